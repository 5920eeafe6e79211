"""From a data set's section in the study to its reader.

A reader is a class, found by its name in `convergent.registry.READERS`. Its constructor's keyword
parameters, with their type hints, are the options that a study may give; two are filled in here and
are no options: ``name`` (the data set's name in the study) and ``subjects`` (the subjects that the
study lists).
"""

from __future__ import annotations

import csv
import inspect
import os
import sysconfig
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from pydantic import ConfigDict, ValidationError, create_model

from convergent.brains.types import DatasetReader
from convergent.errors import ConfigError, DataError, UnknownKeyError, did_you_mean
from convergent.registry import READERS, reader_facts

_FILLED_IN = ("name", "subjects")


class DatasetSettings(Protocol):
    """What ``open_dataset`` needs of a data set's section in the study."""

    @property
    def reader(self) -> str:
        """Registered reader."""
        ...

    @property
    def modality(self) -> str:
        """``vision`` or ``language``."""
        ...

    @property
    def design(self) -> str:
        """``items`` or ``story``."""
        ...

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects of the study."""
        ...

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of the reader."""
        ...


def has_option(reader: str, option: str) -> bool:
    """Whether a registered reader knows an option.

    Raises
    ------
    UnknownKeyError
        No such reader.
    """
    return option in inspect.signature(READERS.load(reader)).parameters


def open_dataset(name: str, config: DatasetSettings) -> DatasetReader:
    """Build the reader of one data set of a study.

    Parameters
    ----------
    name : str
        The data set's name in the study.
    config : DatasetSettings
        Its section: reader, modality, design, subjects, options.

    Returns
    -------
    DatasetReader
        The reader; nothing has been read from disk yet.

    Raises
    ------
    UnknownKeyError
        No such reader, or a subject that the data set does not have.
    ConfigError
        Unknown or invalid options, or a modality or design that is not the reader's.
    DataError
        A subject whose data cannot be used.
    """
    where = f"data set '{name}'"
    reader_facts(config.reader, where)  # which must name options that there are
    reader_class = READERS.load(config.reader)
    options = _validated(reader_class, config, where)
    accepted = inspect.signature(reader_class).parameters
    filled_in = {"name": name, "subjects": tuple(config.subjects)}
    options |= {key: value for key, value in filled_in.items() if key in accepted}
    reader: DatasetReader = reader_class(**options)
    for key in ("modality", "design"):
        given, actual = getattr(config, key), getattr(reader, key)
        if given != actual:
            raise ConfigError(
                f"{key} is '{given}' but reader '{config.reader}' gives '{actual}'",
                where=where,
                fix=f"set {key}: {actual}",
            )
    for subject in config.subjects:
        check_subject(reader, subject, where)
    return reader


def check_subject(reader: DatasetReader, subject: str, where: str) -> None:
    """Refuse a subject that the reader does not have or cannot use.

    Parameters
    ----------
    reader : DatasetReader
        May have ``unusable`` (subject to reason) and ``aggregates`` (names, such as ``group``, that
        stand for several subjects and are therefore not listed by ``subjects()``).
    subject : str
    where : str
        For the message.

    Raises
    ------
    DataError
        The subject is known, but its data cannot be used.
    UnknownKeyError
        The subject is not known.
    """
    unusable: Mapping[str, str] = getattr(reader, "unusable", {})
    if subject in unusable:
        raise DataError(
            f"subject '{subject}' cannot be used: {unusable[subject]}",
            where=where,
            fix="leave the subject out",
        )
    aggregates: Iterable[str] = getattr(reader, "aggregates", ())
    known = (*reader.subjects(), *aggregates)
    if subject not in known:
        raise UnknownKeyError(
            f"unknown subject '{subject}'", where=where, fix=did_you_mean(subject, known)
        )


def _validated(reader_class: type[Any], config: DatasetSettings, where: str) -> dict[str, Any]:
    """Check the options against the constructor's parameters and their type hints."""
    parameters = {
        key: parameter
        for key, parameter in inspect.signature(reader_class, eval_str=True).parameters.items()
        if key not in _FILLED_IN
        and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }
    unknown = [key for key in config.options if key not in parameters]
    if unknown:
        raise ConfigError(
            f"reader '{config.reader}' has no option '{unknown[0]}'",
            where=where,
            fix=did_you_mean(unknown[0], parameters),
        )
    fields: dict[str, Any] = {
        key: (
            Any if parameter.annotation is parameter.empty else parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for key, parameter in parameters.items()
    }
    model = create_model(
        "Options",
        __config__=ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False),
        **fields,
    )
    try:
        checked = model(**config.options)
    except ValidationError as error:
        sentences = [
            f"option '{'.'.join(map(str, item['loc']))}': {item['msg']} (given: {item['input']!r})"
            for item in error.errors()
        ]
        raise ConfigError(
            "; ".join(sentences),
            where=f"{where}, reader '{config.reader}'",
            fix=f"see the options in {reader_class.__module__}",
        ) from None
    # Only what the study gave: defaults stay the constructor's own.
    return {key: getattr(checked, key) for key in config.options}


_TIMEOUT = 60.0  # seconds without an answer
_ATTEMPTS = 3


def recorded(package: str, name: str) -> list[dict[str, str]]:
    """Rows of a package's table of files and checksums; lines that start with # are comments."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return list(csv.DictReader(lines, delimiter="\t"))


def fetch_file(
    source: str,
    name: str,
    target: Path,
    check: Callable[[bytes, str], None],
    *,
    where: str,
    report: Callable[[str], None] | None,
) -> None:
    """Fetch one file and check its content before it gets its name.

    Parameters
    ----------
    source, name : str
        Address of the folder, and the file's path in it.
    target : Path
    check : callable
        ``check(content, where)`` raises unless the content is the recorded one.
    where : str
        For messages.
    report : callable, optional
        Called with a line when the file was fetched.

    Raises
    ------
    DataError
        The file cannot be fetched or written, or is not the recorded one.
    """
    content = fetch_bytes(source.rstrip("/") + "/" + name, where)
    check(content, f"{where}, from {source}")
    try:
        publish_bytes(target, content)
    except OSError as error:
        raise DataError(
            f"file {name} cannot be written: {error.strerror}",
            where=where,
            fix="check the directory's permissions and the free space",
        ) from None
    if report is not None:
        report(f"fetched {name} ({len(content)} bytes)")


def fetch_bytes(address: str, where: str) -> bytes:
    """Content of a file on the internet.

    Raises
    ------
    DataError
        It cannot be fetched.
    """
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            reason = f"{error.code} {error.reason}"
            error.close()
            if error.code < 500:  # asking again will not help
                break
        except (urllib.error.URLError, OSError) as error:
            reason = str(getattr(error, "reason", error))
    raise DataError(
        f"{address} cannot be fetched: {reason}",
        where=where,
        fix="run this where the internet can be reached, then copy the directory",
    )


def publish_bytes(target: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: a killed download leaves no half file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


STANDARD_LIBRARY = "python"


def package_path(package: str, inside: str, distribution: str) -> Path:
    """Find a file or folder of an installed package.

    Parameters
    ----------
    package : str
        Top-level module, or ``python`` for the standard library.
    inside : str
        Path inside it.
    distribution : str
        What to install when it is missing.

    Raises
    ------
    DataError
        The package or the file is not there.
    """
    if package == STANDARD_LIBRARY:
        root = Path(sysconfig.get_path("stdlib"))
    else:
        spec = find_spec(package)
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            raise DataError(
                f"package '{package}' is not installed",
                where=f"{package}/{inside}",
                fix=f"pip install {distribution}",
            )
        root = Path(places[0])
    path = root / inside
    if not path.exists():
        raise DataError(
            f"no '{inside}' in package '{package}'",
            where=str(root),
            fix=f"install the version of {distribution} that the project's lock file names",
        )
    return path

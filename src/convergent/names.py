"""Names that become parts of file names: one rule for all that a study names.

A study's files lie below ``results/<study>`` and carry the names of data sets, subjects, models,
families, checkpoints, layers and benchmarks. A name that is accepted here can neither leave that
folder nor mean another file; what is not accepted is refused, and never replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from convergent.errors import printable

# With the longest ending of a file and of its temporary files, below the 255 bytes of a name.
LONGEST = 150

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LAYER = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]*)(?:@(0|[1-9][0-9]{0,5}))?")
_FOLDER = re.compile(r"[\w.@+=,-][\w.@+=, -]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")

KEY_FIX = "use letters without accents, digits, '.', '_' and '-', starting with a letter or digit"
DEVICE_FIX = "write cpu, cuda or cuda:<number>"
LAYER_FIX = (
    "give a module path, for example encoder.layer.3; of a module that runs several times in a "
    "pass, the run as well, counted from 0: encoder.layer@0"
)


def key_error(name: str) -> str | None:
    """Why a name cannot be the key of a study, data set, subject, model, ...; None if it can."""
    if not _KEY.fullmatch(name):
        return f"'{shown(name)}' can't be part of a file name"
    return _length_error(name)


def layer_error(name: str) -> str | None:
    """Why a name cannot be that of a layer; None if it can."""
    found = _LAYER.fullmatch(name)
    if found is None or ".." in name or found[1].endswith("."):
        return f"'{shown(name)}' is no module path"
    return _length_error(name)


def layer_place(name: str) -> tuple[str, int | None]:
    """Module path of a layer, and which of the module's runs in a pass it is, from 0.

    None is the run of a module that runs once: ``encoder.layer.3``; a number is one of several:
    ``encoder.layer@2``.
    """
    path, at, number = name.partition("@")
    return path, int(number) if at else None


def _length_error(name: str) -> str | None:
    if len(name) > LONGEST:
        return f"'{shown(name)}' has {len(name)} characters, at most {LONGEST} are allowed"
    return None


def folder_error(path: str) -> str | None:
    """Why a path cannot be the folder of results; None if it can.

    It is part of the names of all files, in commands, patterns and queries: it must mean the same
    everywhere, so nothing in it may be expanded.
    """
    parts = path.removeprefix("/").rstrip("/").split("/")
    for part in parts:
        if part == ".." or (part in ("", ".") and path not in (".", "./")):
            return f"'{shown(path)}' has the part '{part}'"
        if not _FOLDER.fullmatch(part) or part[0] == "-" or part[-1] == " ":
            return f"'{shown(path)}' cannot be a folder of results"
        if len(part.encode()) > LONGEST:
            return f"'{shown(part)}' has {len(part.encode())} bytes, at most {LONGEST} are allowed"
    if len(path.encode()) > 1000:
        return f"'{shown(path)}' is too long"
    return None


def location_error(path: str) -> str | None:
    """Why a text cannot be the path of any file; None if it can."""
    if not path.strip():
        return "the path is empty"
    if _CONTROL.search(path):
        return f"'{shown(path)}' has a control character"
    if any(len(part.encode()) > 255 for part in path.split("/")) or len(path.encode()) > 4000:
        return f"'{shown(path)}' is too long for a path"
    return None


def device_error(device: str) -> str | None:
    """Why a text cannot be a device; None if it is one, which this machine may not have."""
    if re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", device):
        return None
    return f"unknown device '{shown(device)}'"


def same_but_case(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of different names that are one file on file systems that ignore case."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        other = first.setdefault(name.casefold(), name)
        if other != name:
            pairs.append((other, name))
    return pairs


def shown(name: str) -> str:
    """A name as a message may show it: short, on one line, without control characters."""
    plain = printable(name)
    return plain if len(plain) <= 60 else f"{plain[:57]}..."


def _checked_key(name: str) -> str:
    if (reason := key_error(name)) is not None:
        raise ValueError(f"{reason}: {KEY_FIX}")
    return name


def _checked_folder(path: str) -> str:
    if (reason := folder_error(path)) is not None:
        raise ValueError(
            f"{reason}: name a folder below the working directory, or an absolute path, of "
            "letters, digits, spaces and . _ - + = , @"
        )
    return path


def _checked_location(path: str) -> str:
    if (reason := location_error(path)) is not None:
        raise ValueError(f"{reason}: give the path of a file or folder")
    return path


Key = Annotated[
    str,
    AfterValidator(_checked_key),
    WithJsonSchema({"type": "string", "pattern": f"^{_KEY.pattern}$", "maxLength": LONGEST}),
]
"""Text that becomes part of file names."""
Folder = Annotated[str, AfterValidator(_checked_folder)]
"""Folder that results are written to."""
Location = Annotated[str, AfterValidator(_checked_location)]
"""Path of something that is read."""

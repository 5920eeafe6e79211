"""Resolve a checkpoint's reference into a manifest. Imports no deep-learning library."""

from __future__ import annotations

import hashlib
from pathlib import Path

from convergent.errors import WeightsError
from convergent.models._files import choose_configs, choose_weights, file_sha256, joint_sha256
from convergent.models._headers import check_index, read_header
from convergent.models._hub import snapshot
from convergent.models._manifest import WeightsFile, WeightsManifest
from convergent.models._options import Options
from convergent.models._reference import (
    Reference,
    local_path,
    package_directory,
    parse_reference,
    require_commit,
)
from convergent.models._remote import OPTION as REMOTE_CODE
from convergent.models._remote import PATTERN as REMOTE_CODE_FILES
from convergent.models._source import Source, source
from convergent.study.types import Checkpoint, Model


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
    patterns = kind.config_patterns + ((REMOTE_CODE_FILES,) if REMOTE_CODE in options else ())
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

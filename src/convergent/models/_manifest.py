"""Weights manifests: which files a checkpoint is, and their hashes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from convergent.errors import WeightsError
from convergent.models._files import file_sha256
from convergent.models._headers import read_header


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file of a checkpoint.

    Attributes
    ----------
    name : str
        File name inside the manifest's directory.
    size : int
        Bytes.
    sha256 : str
    role : {"weights", "config"}
    mtime_ns : int
        When the content last changed, as the file system says; 0 if that is not known.
    """

    name: str
    size: int
    sha256: str
    role: str
    mtime_ns: int = 0


@dataclass(frozen=True, slots=True)
class WeightsManifest:
    """The weights of one checkpoint.

    Attributes
    ----------
    model, checkpoint, modality, role, source, reference, architecture : str
        As in the study's tables.
    revision : str
        Commit of the hub repository; empty for other references.
    directory : str
        Where the files are; empty if there are none.
    files : tuple of WeightsFile
    sha256 : str
        Identity of the weights: hash of the weight files' contents, whatever their names,
        or of source, architecture and seed for random weights.
    config_sha256 : str
        Hash of the configuration files' contents (architecture, tokenizer, preprocessing).
    bytes : int
        Size of the weight files.
    identity : str
        Fingerprint of the study's settings that the weights were found with; empty outside one.
    """

    model: str
    checkpoint: str
    modality: str
    role: str
    source: str
    reference: str
    architecture: str
    revision: str
    directory: str
    files: tuple[WeightsFile, ...]
    sha256: str
    config_sha256: str
    bytes: int
    identity: str = ""

    @property
    def where(self) -> str:
        """For error messages."""
        return f"model '{self.model}', checkpoint '{self.checkpoint}'"

    @property
    def weight_files(self) -> tuple[str, ...]:
        """Names of the weight files."""
        return tuple(file.name for file in self.files if file.role == "weights")

    def write(self, path: str | Path) -> None:
        """Write as JSON, atomically."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump({"kind": "weights", **asdict(self)}, stream, indent=2, sort_keys=True)
                stream.write("\n")
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: str | Path) -> WeightsManifest:
        """Read a manifest.

        Raises
        ------
        WeightsError
            If the file is missing, truncated or not a weights manifest.
        """
        try:
            content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            if content.pop("kind") != "weights":
                raise ValueError("of another kind")
            content["files"] = tuple(WeightsFile(**file) for file in content["files"])
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(
                f"not a readable weights manifest ({type(error).__name__}: {error})",
                where=str(path),
                fix="delete it and run the weights step again",
            ) from error


def verify(manifest: WeightsManifest, *, full: bool = False) -> None:
    """Check that the files are those that the manifest recorded.

    Contents are hashed when they are recorded. Afterwards a file whose size and time of change
    are as recorded counts as the same: whatever writes to a file changes its time. A file with
    another time (a copy, say) is hashed again, and so is all code. Headers of safetensors files
    are always compared with their size.

    Parameters
    ----------
    manifest : WeightsManifest
    full : bool
        Whether to hash every file whatever its time.

    Raises
    ------
    WeightsError
        If a file is missing, damaged, or has changed under the same name.
    """
    fix = "run the weights step again, so that everything computed from them is recomputed"
    for file in manifest.files:
        path = Path(manifest.directory) / file.name
        if not path.is_file():
            raise WeightsError(f"'{path}' is missing", where=manifest.where, fix=fix)
        status = path.stat()
        if status.st_size != file.size:
            raise WeightsError(
                f"'{path}' has {status.st_size} bytes, {file.size} were recorded",
                where=manifest.where,
                fix=fix,
            )
        if path.suffix == ".safetensors" and file.role == "weights":
            read_header(path, manifest.where)
        trusted = status.st_mtime_ns == file.mtime_ns and path.suffix != ".py" and not full
        if not trusted and file_sha256(path) != file.sha256:
            raise WeightsError(
                f"the content of '{path}' has changed since it was recorded",
                where=manifest.where,
                fix=fix,
            )


def check_distinct(
    manifests: Iterable[WeightsManifest],
    copies: Mapping[tuple[str, str], tuple[str, str]] = MappingProxyType({}),
) -> None:
    """Check that no two checkpoints have the same weights.

    A revision that is silently ignored makes every checkpoint of a trajectory the same model.
    The towers of a dual encoder share one file: a vision and a language model may. Random
    weights are those of an architecture and a seed, and several models may share these; within
    one model they are told apart as well.

    Parameters
    ----------
    manifests : iterable of WeightsManifest
    copies : mapping of (model, checkpoint) to (model, checkpoint)
        Origin of checkpoints that are known to be published with the weights of another.

    Raises
    ------
    WeightsError
        Naming the two.
    """
    seen: dict[tuple[str, str, str], WeightsManifest] = {}
    for manifest in manifests:
        group = manifest.model if manifest.role == "random" else ""
        first = seen.setdefault((manifest.modality, group, manifest.sha256), manifest)
        names = [(one.model, one.checkpoint) for one in (first, manifest)]
        if len({copies.get(name, name) for name in names}) > 1:
            raise WeightsError(
                f"the same weights as {first.where} (sha256 {manifest.sha256[:12]})",
                where=manifest.where,
                fix="check both revisions (or seeds), or remove one of the rows; if the weights "
                "were published twice, say so in the column same_as",
            )

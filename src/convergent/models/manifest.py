"""Weights manifests: which files a checkpoint is, and their hashes."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import struct
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from convergent.errors import WeightsError

_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<number>\d{5})(?P<suffix>\.\w+)")
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".npz")


def choose_weights(
    names: Iterable[str], preferred: tuple[str, ...], wanted: str, where: str
) -> list[str]:
    """Choose the weight files among the file names of a directory or repository.

    Parameters
    ----------
    names : iterable of str
        File names at the top of the directory.
    preferred : tuple of str
        Names that the source looks for, in order; sharded files count under their plain name.
    wanted : str
        The one file that the row asks for; empty to choose by preference.
    where : str
        For the error message.

    Returns
    -------
    list of str
        One file, or the shards of one set, sorted.

    Raises
    ------
    WeightsError
        If there are none, or several and nothing says which, or shards are missing.
    """
    names = sorted(name for name in names if name.endswith(WEIGHT_SUFFIXES))
    if wanted:
        if wanted in names:
            return [wanted]
        raise WeightsError(
            f"weights file '{wanted}' is missing",
            where=where,
            fix=f"weight files here: {', '.join(names) or 'none'}",
        )
    # By plain name, and under it by number of shards: 0 for the file that has the name itself.
    sets: dict[str, dict[int, list[str]]] = {}
    for name in names:
        shard = _SHARD.fullmatch(name)
        plain, number = (
            (shard["stem"] + shard["suffix"], int(shard["number"])) if shard else (name, 0)
        )
        sets.setdefault(plain, {}).setdefault(number, []).append(name)
    for name in preferred:
        if name in sets:
            return _complete(_only(sets[name], where), where)
    if len(sets) == 1:
        return _complete(_only(next(iter(sets.values())), where), where)
    if not sets:
        raise WeightsError(
            "no weight files found", where=where, fix="download them first, or correct the path"
        )
    raise WeightsError(
        f"several weight files and none is the usual one: {', '.join(sets)}",
        where=where,
        fix="name one with file=<name> in the preprocessing column",
    )


def _only(found: Mapping[int, list[str]], where: str) -> list[str]:
    """Refuse a checkpoint that is there twice: libraries differ in which of the two they read."""
    if len(found) > 1:
        kinds = [
            f"{len(names)} of {number} shards ({names[0]}, ...)" if number else f"'{names[0]}'"
            for number, names in sorted(found.items())
        ]
        raise WeightsError(
            f"weights are there more than once: {' and '.join(kinds)}",
            where=where,
            fix="remove those that do not belong to this checkpoint",
        )
    return next(iter(found.values()))


def check_adapter(names: Iterable[str], where: str) -> None:
    """Refuse a folder with an adapter: what is read without it is the model before its tuning.

    Raises
    ------
    WeightsError
    """
    found = sorted(name for name in names if name.startswith(("adapter_config", "adapter_model")))
    if found:
        raise WeightsError(
            f"'{found[0]}' is an adapter, which is not applied: the features would be those of "
            "the model without it",
            where=where,
            fix="merge it (peft: merge_and_unload, then save_pretrained) and give that folder; "
            "or remove it, if the model without it is meant",
        )


def _complete(names: list[str], where: str) -> list[str]:
    shard = _SHARD.fullmatch(names[0])
    if shard and len(names) != int(shard["number"]):
        raise WeightsError(
            f"{len(names)} of {int(shard['number'])} shards of "
            f"'{shard['stem']}{shard['suffix']}' are there",
            where=where,
            fix="fetch the missing files",
        )
    return names


def choose_configs(names: Iterable[str], patterns: tuple[str, ...]) -> list[str]:
    """Names that match any of the patterns and are no weights, sorted."""
    return sorted(
        name
        for name in names
        if not name.endswith(WEIGHT_SUFFIXES)
        and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def joint_sha256(digests: Iterable[str]) -> str:
    """One hash for several contents, whatever their file names and order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


_LENGTH = 8  # bytes of the number that says how long the header is
_LONGEST = 100_000_000  # the format's own limit
_AGAIN = "fetch the file again, then run the weights step again"


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a safetensors file.

    Attributes
    ----------
    dtype : str
        As the format writes it: ``F32``, ``BF16``.
    shape : tuple of int
    bytes : int
    """

    dtype: str
    shape: tuple[int, ...]
    bytes: int


def read_header(path: Path, where: str) -> dict[str, Stored]:
    """Read which tensors a safetensors file holds, and check that the file is whole.

    Returns
    -------
    dict of str to Stored
        By tensor name, in the order of the data.

    Raises
    ------
    WeightsError
        If the header is damaged, or the file is shorter or longer than the header says.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(_LENGTH))
            if length > min(_LONGEST, size - _LENGTH):
                raise ValueError("it ends inside its header")
            content: dict[str, Any] = json.loads(stream.read(length))
        content.pop("__metadata__", None)
        entries = sorted(content.items(), key=lambda item: item[1]["data_offsets"])
        end = 0
        for _, entry in entries:
            start, stop = entry["data_offsets"]
            if start != end or stop < start:
                raise ValueError("its tensors overlap or leave gaps")
            end = stop
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise WeightsError(
            f"cannot read '{path.name}': damaged safetensors header ({error})",
            where=where,
            fix=_AGAIN,
        ) from error
    described = _LENGTH + length + end
    if size != described:
        raise WeightsError(
            f"'{path.name}' is damaged: {size} bytes, its header describes {described}",
            where=where,
            fix=_AGAIN,
        )
    return {
        name: Stored(
            str(entry["dtype"]),
            tuple(int(side) for side in entry["shape"]),
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in entries
    }


def check_index(directory: Path, weight_files: tuple[str, ...], where: str) -> None:
    """Check a sharded checkpoint against its index, if it has one.

    Raises
    ------
    WeightsError
        If the index is damaged, or names a shard that is not there.
    """
    if len(weight_files) < 2:
        return
    stem, suffix = weight_files[0].split("-0", 1)[0], Path(weight_files[0]).suffix
    path = directory / f"{stem}{suffix}.index.json"
    if not path.is_file():
        return
    try:
        named = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"cannot read '{path.name}' ({type(error).__name__}: {error})", where=where, fix=_AGAIN
        ) from error
    missing = sorted(map(str, named - set(weight_files)))
    if missing:
        raise WeightsError(
            f"'{path.name}' names '{missing[0]}', which is not there"
            + (f" ({len(missing)} files missing)" if len(missing) > 1 else ""),
            where=where,
            fix="fetch the missing files, then run the weights step again",
        )


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

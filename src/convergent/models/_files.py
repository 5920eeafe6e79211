"""Which files of a directory are weights, which decide the architecture; their hashes."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

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
    sets: dict[str, list[str]] = {}
    for name in names:
        shard = _SHARD.fullmatch(name)
        sets.setdefault(shard["stem"] + shard["suffix"] if shard else name, []).append(name)
    for name in preferred:
        if name in sets:
            return _complete(sets[name], where)
    if len(sets) == 1:
        return _complete(next(iter(sets.values())), where)
    if not sets:
        raise WeightsError(
            "no weight files found", where=where, fix="download them first, or correct the path"
        )
    raise WeightsError(
        f"several weight files and none is the usual one: {', '.join(sets)}",
        where=where,
        fix="name one with file=<name> in the preprocessing column",
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

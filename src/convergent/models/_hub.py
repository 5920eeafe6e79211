"""Pinned snapshots of hub repositories: downloaded once, read from the cache in the jobs."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from convergent.errors import WeightsError
from convergent.models._files import choose_configs, choose_weights


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
            fix="make room, or set weights.cache or HF_HOME to a larger disk that the nodes see",
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

"""Pinned snapshots of hub repositories: downloaded once, read from the cache in the jobs."""

from __future__ import annotations

import os
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

    Raises
    ------
    WeightsError
        If the commit is not in the cache and may not or cannot be downloaded.
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
        path = Path(
            huggingface_hub.snapshot_download(
                repository, revision=revision, allow_patterns=patterns, local_files_only=offline
            )
        )
    except WeightsError:
        raise
    # The hub library raises HTTP, connection, cache and validation errors of many kinds;
    # all mean that this commit cannot be had.
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"commit {revision[:12]} of '{repository}' is not "
            + (f"in the local cache ({first})" if offline else f"available ({first})"),
            where=where,
            fix="run the download step where the hub can be reached (HF_HUB_OFFLINE unset), "
            "or check repository and revision",
        ) from error
    if path.name != revision:
        raise WeightsError(
            f"asked for commit {revision[:12]} of '{repository}' and got '{path.name[:12]}'",
            where=where,
            fix="pin the commit that the hub names",
        )
    return path

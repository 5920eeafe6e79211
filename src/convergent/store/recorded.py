"""Files that are what a study asks for now, whatever Snakemake knows of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from convergent.store.request import StoreRequest, attributes
from convergent.study import Study
from convergent.study.graph import Rule

_IDENTITY = re.compile(r"'([0-9a-f]{16})'")  # as Snakemake records it


def is_current(study: Study, stage: str, keys: Mapping[str, str], path: str | Path) -> bool | None:
    """Whether a file is what a study asks for, as far as the file says.

    Parameters
    ----------
    study : Study
    stage : str
        That wrote it.
    keys : mapping of str to str
        What is in it: see `convergent.study.graph.Graph.files`.
    path : str or Path

    Returns
    -------
    bool or None
        None: the file says nothing. An alignment store may hold more metrics than the study lists.
    """
    said = attributes(path)
    if "identity" not in said:
        return None
    return StoreRequest.of(study, stage, keys, path=str(path)).difference(said) is None


def known_identity(
    rule: Rule, recorded: Callable[[Any], list[Any] | None]
) -> Callable[[Mapping[str, str]], str]:
    """Make the function that gives Snakemake a job's identity.

    It is the job's own. But where Snakemake knows the job's files under another identity and they
    say themselves that they are what the study asks for, it is the one that Snakemake knows, and
    nothing is made again. That is so after a metric, a subject or a checkpoint was removed, and for
    files that were made while the Snakemake that had asked for them was gone.

    Parameters
    ----------
    rule : Rule
    recorded : callable
        Gives the parameters that Snakemake recorded for a file.

    Returns
    -------
    callable
        ``identity(wildcards)``.
    """
    from snakemake.io import IOFile

    def identity(wildcards: Mapping[str, str]) -> str:
        wanted = rule.identity(wildcards)
        study, keys = rule.graph.study, rule.keys(wildcards.items())
        files = list(rule.graph.files(rule.stage, keys))
        known = map(_IDENTITY.fullmatch, recorded(IOFile(files[0][0], rule=None)) or ())
        before = next((found[1] for found in known if found), None)
        if before is None or before == wanted:
            return wanted
        current = all(is_current(study, rule.stage, own, path) for path, own in files)
        return before if current else wanted

    return identity

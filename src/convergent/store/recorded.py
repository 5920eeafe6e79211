"""What files say of themselves, and whether that is what a study asks for now."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from convergent.study import Study
from convergent.study.graph import Rule

_IDENTITY = re.compile(r"'([0-9a-f]{16})'")  # as Snakemake records it


def attributes(path: str | Path) -> dict[str, Any]:
    """What a store or record says of itself; arrays are not read.

    Parameters
    ----------
    path : str or Path
        ``*.zarr.zip`` or ``*.json``.

    Returns
    -------
    dict
        Empty where the file is missing, damaged, or of a kind that says nothing.
    """
    try:
        if str(path).endswith(".zarr.zip"):
            with zipfile.ZipFile(path) as archive:
                found = json.loads(archive.read("zarr.json"))["attributes"]
        elif str(path).endswith(".json"):
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        else:
            return {}
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, RuntimeError):
        return {}
    return found if isinstance(found, dict) else {}


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
    named = {key: value for key, value in keys.items() if key != "subject"}
    if any(said.get(key, value) != value for key, value in keys.items()):
        return False
    if said["identity"] == study.identity(stage, **named):
        return True
    return stage == "fit" and holds_metrics(study, named, said)


def holds_metrics(study: Study, keys: Mapping[str, str], said: Mapping[str, Any]) -> bool:
    """Whether an alignment store has every metric that a study lists, with the study's settings.

    Parameters
    ----------
    study : Study
    keys : mapping of str to str
        ``dataset``, ``model``, ``checkpoint``, ``layer``.
    said : mapping
        Attributes of the store.
    """
    if said.get("status") != "ok":
        # of a layer that failed there is nothing to compute, whatever the metrics
        return bool(said.get("features_identity") == study.identity("extract", **keys))
    there = said.get("metrics") or {}
    return all(
        # of ``unique`` the fingerprints of the nuisance features follow
        str(there.get(name, {}).get("identity", "")).partition(" ")[0] == wanted
        for name, wanted in study.metric_identities(**keys).items()
    )


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

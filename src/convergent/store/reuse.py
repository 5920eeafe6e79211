"""What was computed before and is still valid, and need not be computed again.

Snakemake removes a job's outputs before it runs it. Beside each alignment store lies therefore a
hard link to it, of a name that starts with a dot: no second copy of the bytes, and what a job of
other settings, or of one more metric, may start from. Snakemake's own way to keep outputs, the flag
``update``, was rejected: after a failed job it restores the old file and records the new settings
for it, so that the next plan finds nothing to be done.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convergent.errors import StoreError
from convergent.store import Store, StoreRequest, open_store, publish
from convergent.store.zarr_format import Arrays
from convergent.study import fits_anew

log = logging.getLogger(__name__)

# Attributes of all metrics together.
COMMON = ("n_samples", "n_features", "effective_dimensionality")


@dataclass(frozen=True)
class Part:
    """One metric's part of a store: its arrays, facts, and the software that computed it."""

    arrays: Arrays
    facts: Mapping[str, Any]
    software: Mapping[str, str]


@dataclass(frozen=True)
class Kept:
    """What is there of a wanted store.

    Attributes
    ----------
    parts : dict of str to Part
        Metrics that are still valid.
    complete : bool
        The store is as it would be written: nothing is left to do.
    common : dict
        Attributes of all metrics together; empty without valid metrics.
    """

    parts: Mapping[str, Part]
    complete: bool
    common: Mapping[str, Any]


NOTHING = Kept({}, False, {})


def kept(wanted: StoreRequest) -> Kept:
    """Look at what is there.

    A store that is missing, damaged, of a layer that failed, or made from other features,
    responses or stimuli gives nothing.
    """
    path = _link(wanted.path)
    if fits_anew() or not path.exists():
        return NOTHING
    try:
        store = open_store(path, "alignment")
    except StoreError as error:
        log.warning("%s: computed anew", error)
        return NOTHING
    attrs = store.attrs
    if attrs.get("status") != "ok" or not wanted.same_inputs(attrs):
        return NOTHING
    parts = {
        name: _part(store, attrs["metrics"][name])
        for name in wanted.metrics
        if attrs["metrics"].get(name, {}).get("identity") == wanted.metric_identity(name)
    }
    complete = attrs["identity"] == wanted.identity and set(attrs["metrics"]) == set(parts) == set(
        wanted.metrics
    )
    return Kept(parts, complete, {key: attrs[key] for key in COMMON} if parts else {})


def restore(wanted: StoreRequest) -> None:
    """Give a complete store its name again."""
    kept_as = _link(wanted.path)
    if not _linked(kept_as, Path(wanted.path)):
        with publish(wanted.path) as temporary:
            shutil.copyfile(kept_as, temporary)


def keep(wanted: StoreRequest) -> None:
    """Keep a store that was written, for later jobs."""
    if not _linked(Path(wanted.path), _link(wanted.path)):
        log.warning("%s: no hard links here, so that a later job will not know it", wanted.path)


def _link(path: str) -> Path:
    return Path(path).with_name(f".{Path(path).name}")


def _linked(source: Path, name: Path) -> bool:
    """Give a file a second name in one step; whether the file system can."""
    temporary = name.with_name(f".{name.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        os.link(source, temporary)
        temporary.replace(name)
        temporary.unlink(missing_ok=True)  # of two names of one file, a rename leaves both
    except OSError:
        return False
    return True


def _part(store: Store, described: Mapping[str, Any]) -> Part:
    return Part(
        {name: (store.dims[name], store[name]) for name in described["arrays"]},
        described["facts"],
        described["software"],
    )

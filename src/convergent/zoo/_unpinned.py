"""Weights on the hub that a study would take from wherever a branch happens to be."""

from __future__ import annotations

import re
from collections.abc import Iterable

from convergent.errors import WeightsError
from convergent.models import parse_reference
from convergent.study.types import Checkpoint, Model


def unpinned(models: Iterable[Model]) -> list[tuple[Model, Checkpoint]]:
    """Checkpoints on the hub without a commit."""
    return [
        (model, checkpoint)
        for model in models
        for checkpoint in model.checkpoints
        if not model.is_control and _is_unpinned(checkpoint)
    ]


def unpinned_mistake(models: Iterable[Model]) -> WeightsError | None:
    """One error for all checkpoints without a commit, or None if there are none.

    Its message names the command that writes the commits.
    """
    found = unpinned(models)
    if not found:
        return None
    model, checkpoint = found[0]
    tables = sorted({of.source_location.partition(", line")[0] for of, _ in found})
    return WeightsError(
        f"{len(found)} checkpoint(s) of {len({of.key for of, _ in found})} model(s) have no "
        f"pinned commit (first: model '{model.key}', checkpoint '{checkpoint.name}')",
        where=", ".join(table for table in tables if table) or None,
        fix="where the network is, run `convergent models pin <table> ...` over the models and "
        "checkpoints tables, or exclude these models",
    )


def _is_unpinned(checkpoint: Checkpoint) -> bool:
    if parse_reference(checkpoint.reference).kind not in ("hub", "tag"):
        return False
    return re.fullmatch(r"[0-9a-f]{40}", checkpoint.revision) is None

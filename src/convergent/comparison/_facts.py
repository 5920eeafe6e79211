"""What the two hold and were made from: models, layers, regions, settings, versions, weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from convergent.comparison._side import Side

# What is listed of each side, and the columns that name one.
HELD: dict[str, tuple[str, ...]] = {
    "data sets": ("dataset",),
    "models": ("model",),
    "checkpoints": ("model", "checkpoint"),
    "layers": ("model", "layer"),
    "subjects": ("dataset", "subject"),
    "regions": ("dataset", "region"),
    "metrics": ("metric", "scale"),
}
ABSENT = "(absent)"


class Change(NamedTuple):
    """One thing that is not the same: its name, and what each side has."""

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class Facts:
    """Differences besides numbers.

    Attributes
    ----------
    both : dict of str to int
        How many models, layers, ... both have.
    only_a, only_b : dict of str to list of str
        Names of those that one has; layers and checkpoints of shared models alone.
    configuration, software, weights : list of Change
    unrecorded : list of str
        Sides that say nothing of their configuration and versions.
    """

    both: dict[str, int] = field(default_factory=dict)
    only_a: dict[str, list[str]] = field(default_factory=dict)
    only_b: dict[str, list[str]] = field(default_factory=dict)
    configuration: list[Change] = field(default_factory=list)
    software: list[Change] = field(default_factory=list)
    weights: list[Change] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)


def facts_of(a: Side, b: Side) -> Facts:
    """Compare what two sides hold and were made from."""
    found = Facts(unrecorded=[side.name for side in (a, b) if not side.about])
    of_models = [
        side.distinct("dataset", "model", "checkpoint", "layer", "weights_sha256")
        for side in (a, b)
    ]
    of_places = [side.distinct("dataset", "subject", "region") for side in (a, b)]
    of_metrics = [side.distinct("metric", "scale") for side in (a, b)]
    models: tuple[set[str], set[str]] = (set(), set())
    for what, columns in HELD.items():
        tables = (
            of_metrics if "metric" in columns
            else of_models if what == "data sets" or "model" in columns
            else of_places
        )  # fmt: skip
        names = [{_name(row) for row in table.select(columns).unique().iter_rows()}
                 for table in tables]  # fmt: skip
        if what == "models":
            models = (names[0], names[1])
        found.both[what] = len(names[0] & names[1])
        parts = (found.only_a, found.only_b)
        for mine, other, only in zip(names, reversed(names), parts, strict=True):
            missing = mine - other
            if "model" in columns and len(columns) > 1:  # of other models all would be named
                shared = models[0] & models[1]
                missing = {name for name in missing if name.split(", ")[0] in shared}
            only[what] = sorted(missing)
    found.weights.extend(_weights(*of_models))
    if not found.unrecorded:
        primary = [{"primary": str(side.about.get("primary", ABSENT))} for side in (a, b)]
        found.configuration.extend(_changes(*primary))
        for name in ("configuration", "software"):
            flat = [_flat(side.about.get(name, {})) for side in (a, b)]
            getattr(found, name).extend(_changes(*flat))
    return found


def _name(row: tuple[Any, ...]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value)
                     for value in row if value is not None)  # fmt: skip


def _weights(a: pl.DataFrame, b: pl.DataFrame) -> list[Change]:
    """Shared checkpoints whose weights are not the same."""
    hashes = []
    for table in (a, b):
        grouped = table.group_by("model", "checkpoint").agg(
            pl.col("weights_sha256").drop_nulls().unique().sort().str.join(", ")
        )
        hashes.append({(m, c): text for m, c, text in grouped.iter_rows()})
    return [
        Change(_name(key), hashes[0][key][:16], hashes[1][key][:16])
        for key in sorted(set(hashes[0]) & set(hashes[1]))
        if hashes[0][key] != hashes[1][key]
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Keys with dots, and values as text."""
    if isinstance(value, Mapping) and (value or not prefix):
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
        return found
    return {prefix: str(value)}


def _changes(a: Mapping[str, str], b: Mapping[str, str]) -> list[Change]:
    names = sorted(set(a) | set(b))
    return [
        Change(name, a.get(name, ABSENT), b.get(name, ABSENT))
        for name in names
        if a.get(name) != b.get(name)
    ]

"""Two sets of results side by side: what differs, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from convergent.tables.comparison_scores import (
    EDGES,
    MEASUREMENT_COLUMNS,
    ScoreChanges,
    Side,
    score_changes,
)
from convergent.tables.files import scan_tables
from convergent.tables.frames import read_table
from convergent.tables.results import Results, results_at

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
class Metadata:
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


def metadata_of(a: Side, b: Side) -> Metadata:
    """Compare what two sides hold and were made from."""
    found = Metadata(unrecorded=[side.name for side in (a, b) if not side.about])
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


_CELL = ("dataset", "model", "checkpoint", "subject", "region")
_PERFORMANCE = ("model", "checkpoint", "benchmark")
_QUESTION = ("dataset", "modality", "benchmark", "choice", "measure", "scope", "scope_value")
# Numbers of a headline, in the order in which a reader wants them.
HEADLINE = ("n_models", "r", "low", "high", "p", "q", "rho", "r_low", "r_high", "family_low",
            "family_high", "partial_r", "partial_r_width", "partial_r_both",
            "within_family_r")  # fmt: skip


def primary_of(a: Side, b: Side) -> str:
    """The metric that stands for alignment on both sides, else ridge."""
    named = {str(side.about["primary"]) for side in (a, b) if "primary" in side.about}
    return named.pop() if len(named) == 1 else "ridge_r"


def alignment_changes(a: Side, b: Side, metric: str) -> pl.DataFrame:
    """Mean alignment of each checkpoint, over the subjects and regions that both sides have.

    Layers are chosen on training data. One row per (dataset, model, checkpoint): a, b, change,
    cells; the largest changes first.
    """
    mine = (pl.col("metric") == metric) & pl.col("scale").is_null() & (pl.col("choice") == "best")
    rows = [
        side.alignment.filter(mine).select(*_CELL, "score").collect(engine="streaming")
        for side in (a, b)
    ]
    both = rows[0].join(rows[1], on=list(_CELL), how="inner", suffix="_b").drop_nulls()
    means = both.group_by("dataset", "model", "checkpoint").agg(
        a=pl.col("score").mean(), b=pl.col("score_b").mean(), cells=pl.len().cast(pl.Int64)
    )
    return _ordered(means, ["dataset", "model", "checkpoint"])


def performance_changes(a: Side, b: Side) -> pl.DataFrame:
    """Scores of both sides per (model, checkpoint, benchmark): a, b, change."""
    empty = pl.DataFrame(schema={**dict.fromkeys(_PERFORMANCE, pl.String), "score": pl.Float64})
    rows = [side.tables.get("performance", empty).select(*_PERFORMANCE, "score") for side in (a, b)]
    both = rows[0].join(rows[1], on=list(_PERFORMANCE), how="inner", suffix="_b")
    return _ordered(both.rename({"score": "a", "score_b": "b"}), list(_PERFORMANCE))


def headline_changes(a: Side, b: Side) -> pl.DataFrame:
    """Statistics over all regions: one row a question and number, with a, b and change."""
    tables = [side.tables.get("correlations") for side in (a, b)]
    keys = [n for n in _QUESTION if all(t is not None and n in t.columns for t in tables)]
    schema = {**dict.fromkeys([*keys, "number"], pl.String), "a": pl.Float64, "b": pl.Float64}
    if tables[0] is None or tables[1] is None or not keys:
        return pl.DataFrame(schema={**schema, "change": pl.Float64})
    long = []
    for table in tables:
        assert table is not None
        numbers = [name for name in HEADLINE if name in table.columns]
        chosen = table.filter(pl.col("scope") == "all") if "scope" in keys else table
        long.append(
            chosen.select(*keys, pl.col(numbers).cast(pl.Float64))
            .unpivot(numbers, index=keys, variable_name="number")
        )  # fmt: skip
    both = long[0].join(
        long[1], on=[*keys, "number"], how="inner", nulls_equal=True, suffix="_b",
        maintain_order="left",
    )  # fmt: skip
    both = both.filter(pl.col("value").is_not_null() | pl.col("value_b").is_not_null())
    order = pl.col("number").replace_strict(
        list(HEADLINE), range(len(HEADLINE)), return_dtype=pl.Int64
    )
    return (
        both.rename({"value": "a", "value_b": "b"})
        .with_columns(change=pl.col("b") - pl.col("a"))
        .sort([*keys, order])
    )


def _ordered(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    return rows.with_columns(change=pl.col("b") - pl.col("a")).sort(
        [pl.col("change").abs(), *keys],
        descending=[True, *(False for _ in keys)],
        nulls_last=True,
    )


@dataclass(frozen=True)
class Comparison:
    """Two results side by side; every change is the second less the first.

    Attributes
    ----------
    a, b : str
        What the sides are called.
    primary : str
        The metric of ``alignment``.
    facts : Metadata
    scores : ScoreChanges
    alignment, performance, headline : DataFrame
        With the columns a, b and change.
    """

    a: str
    b: str
    primary: str
    facts: Metadata
    scores: ScoreChanges
    alignment: pl.DataFrame
    performance: pl.DataFrame
    headline: pl.DataFrame

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        scores = self.scores
        plain = ("tolerance", "shared", "only_a", "only_b", "compared", "one_sided", "changed",
                 "columns")  # fmt: skip
        classes = [{"from": 0.0, "to": 0.0, "count": int(scores.classes[0])}]
        ends = [*EDGES[1:], None]
        for low, high, count in zip(EDGES, ends, scores.classes[1:], strict=True):
            classes.append({"from": low, "to": high, "count": int(count)})  # type: ignore[dict-item]
        facts = asdict(self.facts)
        for name in ("configuration", "software", "weights"):
            facts[name] = [change._asdict() for change in getattr(self.facts, name)]
        return {
            "a": self.a,
            "b": self.b,
            "primary": self.primary,
            "facts": facts,
            "scores": {
                **{name: getattr(scores, name) for name in plain},
                "classes": classes,
                **{name: getattr(scores, name).to_dicts()
                   for name in ("models", "metrics", "largest")},
            },
            **{name: getattr(self, name).to_dicts()
               for name in ("alignment", "performance", "headline")},
        }  # fmt: skip


def compare(a: Side, b: Side, *, tolerance: float = 1e-6) -> Comparison:
    """Set two results side by side.

    Parameters
    ----------
    a, b : Side
    tolerance : float
        Up to which two scores are called the same.

    Returns
    -------
    Comparison
    """
    primary = primary_of(a, b)
    return Comparison(
        a=a.name,
        b=b.name,
        primary=primary,
        facts=metadata_of(a, b),
        scores=score_changes(a, b, tolerance=tolerance),
        alignment=alignment_changes(a, b, primary),
        performance=performance_changes(a, b),
        headline=headline_changes(a, b),
    )


_ALIGNMENT = ("dataset", "model", "checkpoint", "subject", "region", "metric", "scale", "choice",
              "score")  # fmt: skip


def compare_results(first: str, second: str, *, tolerance: float) -> Comparison:
    """Compare what two directories ``results/<study>``, or two studies' YAML files, name.

    Parameters
    ----------
    first, second : str
    tolerance : float
        Up to which two scores are called the same.

    Raises
    ------
    StoreError, TableError, ConfigError
        One of them is not there, or is of a version that cannot be compared.
    """
    found = results_at(first), results_at(second)
    names = _names(first, second)
    sides = [_side(name, results) for name, results in zip(names, found, strict=True)]
    return compare(sides[0], sides[1], tolerance=tolerance)


def _names(first: str, second: str) -> tuple[str, str]:
    """Short names that tell the two apart: the last parts of their paths in which they differ."""
    a, b = (Path(name).with_suffix("").parts for name in (first, second))
    for depth in range(1, max(len(a), len(b)) + 1):
        if a[-depth:] != b[-depth:]:
            return "/".join(a[-depth:]), "/".join(b[-depth:])
    return "A", "B"


def _side(name: str, results: Results) -> Side:
    tables: dict[str, pl.DataFrame] = {}
    for table in ("performance", "correlations"):
        for path in results.parts(table):
            tables[table] = read_table(path)
    return Side(
        name=name,
        measurements=scan_tables(
            results.parts("measurements"), "measurements", only=MEASUREMENT_COLUMNS
        ),
        alignment=scan_tables(results.parts("alignment"), "alignment", only=_ALIGNMENT),
        tables=tables,
        about=results.about,
    )

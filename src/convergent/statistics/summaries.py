"""From alignment per region and subject to one number a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats

from convergent.errors import TableError
from convergent.study.types import COUNTED

ALIGNMENT_COLUMNS = (
    "dataset",
    "modality",
    "family",
    "model",
    "checkpoint",
    "role",
    "step",
    "final",
    "subject",
    "region",
    "network",
    "choice",
    "metric",
    "scale",
    "score",
    "score_normalised",
    "noise_ceiling",
)
PERFORMANCE_COLUMNS = ("model", "checkpoint", "benchmark", "score")
MODEL_COLUMNS = ("model", "family", "modality", "parameters", "source")
TRUTH_COLUMNS = ("region", "high_level", "noise_ceiling", "driven")


def require_columns(frame: pl.DataFrame, columns: tuple[str, ...], table: str) -> None:
    """Refuse a table that lacks a column.

    Parameters
    ----------
    frame : DataFrame
    columns : tuple of str
        Columns that must be there.
    table : str
        Name of the table, for the message.

    Raises
    ------
    TableError
        Naming the missing columns.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise TableError(
            f"column(s) {', '.join(missing)} missing",
            where=f"table '{table}'",
            fix=f"give it the columns {', '.join(columns)}",
        )


def one_metric(frame: pl.DataFrame) -> None:
    """Refuse a table of several metrics or scales, whose mean would mean nothing.

    Raises
    ------
    TableError
    """
    found = frame.select("metric", "scale").unique()
    if found.height > 1:
        names = ", ".join(found["metric"].unique().sort().to_list())
        raise TableError(
            f"rows of several metrics or scales ({names})",
            where="table 'alignment'",
            fix="take one with of_metric before averaging",
        )


def without_nan(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn NaN into null in every floating-point column.

    A NaN spoils a mean silently, a null is left out and can be counted.
    """
    return frame.with_columns(pl.selectors.float().fill_nan(None))


_MODEL = ["dataset", "modality", "family", "model", "checkpoint", "role", "step", "final", "choice"]


def mask_by_ceiling(
    alignment: pl.DataFrame, *, ceiling_threshold: float, several: bool = False
) -> pl.DataFrame:
    """Keep the regions whose noise ceiling says that there is something to explain.

    The mask looks at the data's noise ceiling only, never at a model's score, so it
    cannot favour a model. A data set without any estimated ceiling keeps all its regions,
    and the column ``mask`` says so.

    Parameters
    ----------
    alignment : DataFrame
        Alignment table, one row per (dataset, model, checkpoint, subject, region, choice).
    ceiling_threshold : float
        Smallest noise ceiling, in r^2 units, of a region that is kept.
    several : bool
        Whether the table may hold several metrics, which nobody may average.

    Returns
    -------
    DataFrame
        The kept rows, NaN turned into null, with ``mask``: ``ceiling`` or ``none``.

    Raises
    ------
    TableError
        If a column is missing, or several metrics are mixed.
    """
    require_columns(alignment, ALIGNMENT_COLUMNS, "alignment")
    if not several:
        one_metric(alignment)
    known = pl.col("noise_ceiling").is_not_null().any().over("dataset")
    return (
        without_nan(alignment)
        .with_columns(mask=pl.when(known).then(pl.lit("ceiling")).otherwise(pl.lit("none")))
        .filter((pl.col("mask") == "none") | (pl.col("noise_ceiling") >= ceiling_threshold))
    )


SCOPES = ("all", "network", "subject")


def model_alignment(
    alignment: pl.DataFrame, *, ceiling_threshold: float, scopes: Sequence[str] = SCOPES
) -> pl.DataFrame:
    """Average alignment per model: over masked regions, then over subjects.

    Parameters
    ----------
    alignment : DataFrame
        Alignment table.
    ceiling_threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts.
    scopes : sequence of str
        All regions together, each network, each subject.

    Returns
    -------
    DataFrame
        One row per (dataset, modality, family, model, checkpoint, role, step, final, choice,
        scope, scope_value) with ``alignment`` (mean r), ``alignment_normalised`` (mean of
        r / sqrt(ceiling)), ``n_subjects``, ``n_regions`` (of the subject with most),
        ``cells`` (subject-region pairs with a score) and ``expected_cells`` (the pairs that any
        model has). Scopes are ``all`` (value ``all``), ``network`` and ``subject``.

    Raises
    ------
    TableError
        If a column is missing.
    """
    kept = mask_by_ceiling(alignment, ceiling_threshold=ceiling_threshold)
    named = pl.col("network").is_not_null() & (pl.col("network") != "")
    values = {
        "all": (kept, pl.lit("all")),
        "network": (kept.filter(named), pl.col("network")),
        "subject": (kept, pl.col("subject")),
    }
    parts = [
        _average(rows.with_columns(scope=pl.lit(scope), scope_value=value))
        for scope, (rows, value) in values.items()
        if scope in scopes
    ]
    keys = [*_MODEL, "scope", "scope_value"]
    return pl.concat(parts).sort(keys, nulls_last=True)


def _average(rows: pl.DataFrame) -> pl.DataFrame:
    keys = [*_MODEL, "scope", "scope_value"]
    where = ["dataset", "modality", "choice", "scope", "scope_value"]
    expected = rows.group_by(where).agg(
        expected_cells=pl.struct("subject", "region").n_unique().cast(pl.Int64)
    )
    subjects = rows.group_by([*keys, "subject"]).agg(
        score=pl.col("score").mean(),
        normalised=pl.col("score_normalised").mean(),
        cells=pl.col("score").count().cast(pl.Int64),
    )
    return (
        subjects.sort([*keys, "subject"], nulls_last=True)
        .group_by(keys, maintain_order=True)
        .agg(
            alignment=pl.col("score").mean(),
            alignment_normalised=pl.col("normalised").mean(),
            n_subjects=pl.col("score").count().cast(pl.Int64),
            n_regions=pl.col("cells").max(),
            cells=pl.col("cells").sum(),
        )
        .join(expected, on=where, how="left")
    )


# Over all regions of a subject, in the place of a region's name.
ALL_REGIONS = "all regions"
LEVEL = 0.95

SCORE_KEYS = (
    *("dataset", "modality", "family", "model", "checkpoint", "role", "step", "final", "choice"),
    *("metric", "scale", "region", "network"),
)
SCORES_SCHEMA: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(SCORE_KEYS, pl.String),
    "step": pl.Int64,
    "final": pl.Boolean,
    "scale": pl.Float64,
    **dict.fromkeys(
        ("score", "score_low", "score_high", "p_subjects", "normalised", "normalised_low"),
        pl.Float64,
    ),
    **dict.fromkeys(("normalised_high", "noise_ceiling"), pl.Float64),
    **dict.fromkeys(("ceiling_lower", "ceiling_upper"), pl.Float64),
    "n_subjects": pl.Int64,
}


def subject_scores(alignment: pl.DataFrame, ceilings: pl.DataFrame) -> pl.DataFrame:
    """Average each score over subjects, with t intervals.

    Subjects are the samples: the interval is that of the mean of people like these, for these
    stimuli and this model. No region is masked; normalised scores are of the subjects in whom
    the ceiling is high enough to divide by, whose mean is then of fewer subjects.

    Parameters
    ----------
    alignment : DataFrame
        Alignment of all metrics.
    ceilings : DataFrame
        Noise ceilings of similarity metrics: dataset, metric, scale, region, lower, upper.

    Returns
    -------
    DataFrame
        One row per (dataset, model, checkpoint, choice, metric, scale, region), the region also
        ``all regions`` (means over a subject's regions first): score, normalised (share of the
        noise ceiling), the limits of their 95 % t intervals (null with one subject), p_subjects
        (one-sample t test of the score against 0, two-sided), noise_ceiling (mean over subjects,
        r^2), ceiling_lower and ceiling_upper of similarity metrics, and n_subjects.

    Raises
    ------
    TableError
        If a column is missing.
    """
    require_columns(alignment, ALIGNMENT_COLUMNS, "alignment")
    require_columns(
        ceilings, ("dataset", "metric", "scale", "region", "lower", "upper"), "noise ceilings"
    )
    rows = without_nan(alignment)
    if rows.is_empty():
        return pl.DataFrame(schema=SCORES_SCHEMA)
    keys = list(SCORE_KEYS)
    value = pl.col("score", "score_normalised", "noise_ceiling").mean()
    whole = rows.with_columns(region=pl.lit(ALL_REGIONS), network=pl.lit(""))
    columns = [*keys, "subject", "score", "score_normalised", "noise_ceiling"]
    means = (
        pl.concat([rows.select(columns), whole.select(columns)])
        .with_columns(pl.col("network").fill_null(""))
        .group_by([*keys, "subject"], maintain_order=True)
        .agg(value)
        .group_by(keys, maintain_order=True)
        .agg(
            *_moments("score"),
            *_moments("score_normalised"),
            pl.col("noise_ceiling").mean(),
        )
    )
    known = without_nan(ceilings).select("dataset", "metric", "scale", "region", "lower", "upper")
    overall = known.group_by("dataset", "metric", "scale").agg(pl.col("lower", "upper").mean())
    overall = overall.with_columns(region=pl.lit(ALL_REGIONS)).select(known.columns)
    bounds = pl.concat([known, overall]).rename(
        {"lower": "ceiling_lower", "upper": "ceiling_upper"}
    )
    return (
        means.join(
            bounds, on=["dataset", "metric", "scale", "region"], how="left", nulls_equal=True
        )
        .with_columns(
            *_interval("score", "score"),
            *_interval("score_normalised", "normalised"),
            _p_value("score"),
            normalised=pl.col("score_normalised"),
            n_subjects=pl.col("score_n"),
        )
        .select([pl.col(name).cast(kind) for name, kind in SCORES_SCHEMA.items()])
        .sort(keys, nulls_last=True)
    )


def _moments(name: str) -> list[pl.Expr]:
    column = pl.col(name)
    return [
        column.mean(),
        column.std().alias(f"{name}_sd"),
        column.count().cast(pl.Int64).alias(f"{name}_n"),
    ]


def _interval(name: str, label: str) -> list[pl.Expr]:
    """Limits of the t interval of a mean; null with one subject."""

    def half(columns: pl.Series) -> pl.Series:
        n = columns.struct.field(f"{name}_n").to_numpy()
        sd = columns.struct.field(f"{name}_sd").to_numpy().astype(float)
        several = np.where(n > 1, n, 2)
        width = stats.t.ppf((1 + LEVEL) / 2, several - 1) * sd / np.sqrt(several)
        return pl.Series(np.where(n > 1, width, np.nan)).fill_nan(None)

    width = pl.struct(f"{name}_n", f"{name}_sd").map_batches(half, return_dtype=pl.Float64)
    return [
        (pl.col(name) - width).alias(f"{label}_low"),
        (pl.col(name) + width).alias(f"{label}_high"),
    ]


def _p_value(name: str) -> pl.Expr:
    """Two-sided p of a one-sample t test against 0; null with one subject or no spread."""

    def p(columns: pl.Series) -> pl.Series:
        n = columns.struct.field(f"{name}_n").to_numpy()
        mean, sd = (
            columns.struct.field(field).to_numpy().astype(float) for field in (name, f"{name}_sd")
        )
        good = (n > 1) & (sd > 0)
        t = np.abs(mean) * np.sqrt(np.where(good, n, 1)) / np.where(good, sd, 1.0)
        found = 2 * stats.t.sf(t, np.where(good, n - 1, 1))
        return pl.Series(np.where(good, found, np.nan)).fill_nan(None)

    columns = pl.struct(name, f"{name}_n", f"{name}_sd")
    return columns.map_batches(p, return_dtype=pl.Float64).alias("p_subjects")


COVERAGE_COLUMNS = ("dataset", "model", "checkpoint", "status", "reason", *COUNTED)


@dataclass(frozen=True)
class Coverage:
    """Share of the planned units that gave a result.

    Attributes
    ----------
    expected, ok : int
        Planned units, and those with a result.
    minimum : float
        Share below which a headline is withheld.
    by_model : DataFrame
        dataset, model, expected, ok, failed, missing, reasons; incomplete ones first.
    counted : DataFrame
        dataset, model and what extraction counted (`convergent.study.types.COUNTED`; of each the
        layer with the largest number, or share of features), where anything was found wanting.
    """

    expected: int
    ok: int
    minimum: float
    by_model: pl.DataFrame
    counted: pl.DataFrame

    @property
    def share(self) -> float:
        """Units with a result over planned units; 0 for an empty plan."""
        return self.ok / self.expected if self.expected else 0.0

    @property
    def sufficient(self) -> bool:
        """Whether enough has run for the headline to mean anything."""
        return self.expected > 0 and self.share >= self.minimum - 1e-12


def coverage_summary(units: pl.DataFrame, *, minimum: float) -> Coverage:
    """Count what the plan asked for and what exists.

    Parameters
    ----------
    units : DataFrame
        One row a planned unit: dataset, model, checkpoint, status (``ok``, ``failed`` or
        ``missing``), reason, and what extraction counted; further columns (layer, subject) are
        allowed.
    minimum : float
        Share of units, in [0, 1], that a headline needs.

    Returns
    -------
    Coverage

    Raises
    ------
    TableError
        If a column is missing.
    """
    require_columns(units, COVERAGE_COLUMNS, "coverage")
    status = pl.col("status")
    why = pl.col("reason").filter(status != "ok").drop_nulls().unique().sort().str.join("; ")
    by_model = (
        units.group_by("dataset", "model")
        .agg(
            expected=pl.len().cast(pl.Int64),
            ok=(status == "ok").sum().cast(pl.Int64),
            failed=(status == "failed").sum().cast(pl.Int64),
            missing=(status == "missing").sum().cast(pl.Int64),
            reasons=why,
        )
        .sort((pl.col("ok") - pl.col("expected")), "dataset", "model")
    )
    return Coverage(
        expected=units.height,
        ok=int((units["status"] == "ok").sum()),
        minimum=minimum,
        by_model=by_model,
        counted=_counted(units),
    )


_WANTING = ("unknown", "truncated", "blank", "saturated", "constant", "identical")


def _counted(units: pl.DataFrame) -> pl.DataFrame:
    worst = (pl.col("constant") / pl.col("features")).fill_null(-1.0).arg_max()
    of_worst = [pl.col(name).get(worst) for name in ("features", "constant")]
    others = [name for name in COUNTED if name not in ("features", "constant")]
    return (
        units.group_by("dataset", "model")
        .agg(*(pl.col(name).max() for name in others), *of_worst)
        .filter(pl.any_horizontal(pl.col(name) > 0 for name in _WANTING))
        .select("dataset", "model", *COUNTED)
        .sort("dataset", "model")
    )


_KEYS = (
    *("dataset", "modality", "family", "model", "checkpoint", "role", "step", "final"),
    *("layer", "layer_index", "depth", "region", "network"),
)


def layer_scores(measurements: pl.LazyFrame | pl.DataFrame, metric: str) -> pl.DataFrame:
    """Average the measurements of final trained models over subjects.

    Parameters
    ----------
    measurements : LazyFrame or DataFrame
    metric : str
        One that has no scales.

    Returns
    -------
    DataFrame
        One row per (dataset, model, layer, region): score, score_normalised, noise_ceiling
        (means), axis_position and n_subjects.
    """
    mine = (
        (pl.col("metric") == metric)
        & pl.col("scale").is_null()
        & (pl.col("role") == "trained")
        & pl.col("final")
    )
    value = pl.col("score", "score_normalised", "noise_ceiling").fill_nan(None).mean()
    return (
        measurements.lazy()
        .filter(mine)
        .group_by(_KEYS)
        .agg(
            value,
            pl.col("axis_position").first(),
            n_subjects=pl.col("score").fill_nan(None).count().cast(pl.Int64),
        )
        .sort("dataset", "family", "model", "checkpoint", "layer_index", "axis_position", "region")
        .collect(engine="streaming")
    )

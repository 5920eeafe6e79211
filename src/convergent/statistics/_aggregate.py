"""From alignment per region and subject to one number a model."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ._tables import ALIGNMENT_COLUMNS, one_metric, require_columns, without_nan

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

"""How much of the study has run, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from convergent.study.types import COUNTED

from ._tables import require_columns

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

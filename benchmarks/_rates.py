"""A rate of rejections as one row of the calibration table."""

from __future__ import annotations

from typing import Any

from scipy import stats

NOMINAL = 0.05
LIMITS = (0.03, 0.07)  # what a calibrated test's rate must lie in
Row = dict[str, Any]


def rate_row(
    topic: str,
    design: str,
    test: str,
    hits: int,
    simulations: int,
    *,
    kind: str = "guard",
    limits: tuple[float, float] = LIMITS,
    nominal: float = NOMINAL,
) -> Row:
    """Make one row.

    `kind` says how to read the rate: ``guard``, it must lie within `limits`; ``naive``, of the way
    that the guard replaces, shown beside it and expected outside; ``other``, of another way that
    was considered; ``power``, rejections where there is an effect (say its size in `design`);
    ``coverage``, of an interval, within `limits`.
    `low` and `high` are the 95 % interval of the rate (Clopper-Pearson). `passed` is None where
    nothing is demanded.
    """
    exact = stats.binomtest(hits, simulations).proportion_ci(0.95)
    rate = hits / simulations
    demanded = kind in ("guard", "coverage")
    return {
        "topic": topic,
        "design": design,
        "test": test,
        "kind": kind,
        "nominal": nominal,
        "rate": rate,
        "simulations": simulations,
        "low": float(exact.low),
        "high": float(exact.high),
        "passed": limits[0] <= rate <= limits[1] if demanded else None,
    }


def value_row(
    topic: str, design: str, test: str, value: float, error: float, simulations: int, passed: bool
) -> Row:
    """Make a row of a mean with its standard error instead of a rate (``kind`` is ``mean``)."""
    return {
        "topic": topic,
        "design": design,
        "test": test,
        "kind": "mean",
        "nominal": 0.0,
        "rate": value,
        "simulations": simulations,
        "low": value - 1.96 * error,
        "high": value + 1.96 * error,
        "passed": passed,
    }

"""Vision and language models' representations of the same stimuli, over relative depth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from convergent.statistics.convergence import two_sample_jackknife
from convergent.statistics.depth import BINS, CENTRES
from convergent.statistics.regions import MINIMUM_FAMILIES

Floats = NDArray[np.float64]

_PAIR = ("dataset", "other_dataset")
_COUNTS = ("n_models", "n_families", "other_n_models", "other_n_families", "n_items")
REPRESENTATION_DEPTH_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(_PAIR, pl.String),
    **dict.fromkeys(("bin", "other_bin"), pl.Int64),
    **dict.fromkeys(("depth", "other_depth", "cka", "low", "high", "null"), pl.Float64),
    **dict.fromkeys(_COUNTS, pl.Int64),
}
REPRESENTATION_TREND_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(_PAIR, pl.String),
    **dict.fromkeys(("early", "late", "difference", "low", "high", "p"), pl.Float64),
    **dict.fromkeys(_COUNTS, pl.Int64),
    "reason": pl.String,
}


def representation_depth(pairs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Average the similarity of layers over pairs of families, by depth in both; test the trend.

    Scores are unbiased linear CKA, less the mean of their permutations. Layers of a model stand
    for the bins of relative depth that they are nearest to; models are averaged in their family,
    and families count alike.

    Parameters
    ----------
    pairs : DataFrame
        One row a pair of layers of a model of vision and one of language: dataset, family, model,
        depth, the same with ``other_``, cka, null_mean and n_items.

    Returns
    -------
    by_depth : DataFrame
        One row a (pair of data sets, bin, other bin): mean cka, its jackknife interval over
        families of both (at equal depths; null with fewer than 3 families of either), and the
        mean of the null.
    trend : DataFrame
        One row a pair of data sets: mean at equal depths in the late half less that in the early
        half, with interval and p of the jackknife.
    """
    by_depth, trend = [], []
    for (dataset, other), rows in pairs.group_by(["dataset", "other_dataset"], maintain_order=True):
        cube, null = _cube(rows, "cka"), float(_mean(rows["null_mean"]))
        facts = {"dataset": dataset, "other_dataset": other, **_counts(rows)}
        for i in range(BINS):
            for j in range(BINS):
                cell = {"bin": i, "other_bin": j, "depth": CENTRES[i], "other_depth": CENTRES[j]}
                value, low, high, _ = _over_families(cube[:, :, i, j][:, :, None])
                if i != j:
                    low = high = math.nan
                by_depth.append(
                    {**facts, **cell, "cka": value, "low": low, "high": high, "null": null}
                )
        trend.append({**facts, **_trend(cube)})
    return (
        _table(by_depth, REPRESENTATION_DEPTH_SCHEMA),
        _table(trend, REPRESENTATION_TREND_SCHEMA),
    )


def _trend(cube: Floats) -> dict[str, Any]:
    equal = np.diagonal(cube, axis1=2, axis2=3)  # (family, other family, bin)
    half = BINS // 2
    late, early = equal[:, :, half:].mean(axis=2), equal[:, :, :half].mean(axis=2)
    value, low, high, p = _over_families((late - early)[:, :, None])
    few = min(cube.shape[:2]) < MINIMUM_FAMILIES
    return {
        "early": float(early.mean()),
        "late": float(late.mean()),
        "difference": value,
        "low": low,
        "high": high,
        "p": p,
        "reason": f"fewer than {MINIMUM_FAMILIES} families of a modality" if few else None,
    }


def _over_families(values: Floats) -> tuple[float, float, float, float]:
    """Mean over pairs of families, (family, other family, 1), with the jackknife of both."""

    def mean(first: Floats, second: Floats) -> float:
        return float(values[np.ix_(first.astype(int), second.astype(int))].mean())

    return two_sample_jackknife(
        mean, np.arange(float(values.shape[0])), np.arange(float(values.shape[1]))
    )


def _cube(rows: pl.DataFrame, value: str) -> Floats:
    """Mean of a value less its null, (family, other family, bin, other bin)."""
    models = rows.select("family", "model").unique().sort("family", "model")
    others = rows.select("other_family", "other_model").unique().sort("other_family", "other_model")
    cells = np.empty((len(models), len(others), BINS, BINS))
    for (model, other), part in rows.group_by(["model", "other_model"]):
        depth = part["depth"].unique().sort().to_numpy()
        other_depth = part["other_depth"].unique().sort().to_numpy()
        grid = np.full((len(depth), len(other_depth)), np.nan)
        score = (part[value] - part["null_mean"].fill_null(0.0)).to_numpy()
        at = np.searchsorted(depth, part["depth"].to_numpy())
        grid[at, np.searchsorted(other_depth, part["other_depth"].to_numpy())] = score
        i = models["model"].to_list().index(model)
        j = others["other_model"].to_list().index(other)
        cells[i, j] = grid[np.ix_(_nearest(depth), _nearest(other_depth))]
    first, second = (
        np.unique(table[name].to_numpy(), return_inverse=True)[1]
        for table, name in ((models, "family"), (others, "other_family"))
    )
    by_first = np.stack([cells[first == k].mean(axis=0) for k in range(first.max() + 1)])
    return np.stack([by_first[:, second == k].mean(axis=1) for k in range(second.max() + 1)], 1)


def _nearest(depth: Floats) -> NDArray[np.intp]:
    """Layer that stands for each bin."""
    nearest: NDArray[np.intp] = np.abs(depth[None, :] - CENTRES[:, None]).argmin(axis=1)
    return nearest


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    names = ("model", "family", "other_model", "other_family")
    numbers = [rows[name].n_unique() for name in names]
    return dict(zip(_COUNTS, (*numbers, int(rows["n_items"][0])), strict=True))


def _mean(values: pl.Series) -> float:
    known = values.drop_nulls()
    return float(known.to_numpy().mean()) if len(known) else math.nan


def _table(rows: list[dict[str, Any]], schema: dict[str, Any]) -> pl.DataFrame:
    table = pl.DataFrame(rows, schema=schema, strict=False)
    return table.with_columns(pl.selectors.float().fill_nan(None))

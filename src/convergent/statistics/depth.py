"""Alignment over relative depth, in bins that models of any number of layers share."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from convergent.statistics.correlation import benjamini_hochberg
from convergent.statistics.regions import (
    MINIMUM_FAMILIES,
    family_means,
    percentile_interval,
    profile_matrix,
    resampled_means,
    t_over_families,
)

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]

BINS = 8
CENTRES = (np.arange(BINS) + 0.5) / BINS
_FINE = 16
_KEYS = ("dataset", "modality", "family", "model", "region", "network")
BINNED_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(_KEYS, pl.String),
    "axis_position": pl.Float64,
    "bin": pl.Int64,
    **dict.fromkeys(("score", "score_normalised"), pl.Float64),
    "n_subjects": pl.Int64,
}
_PLACE = ("dataset", "modality", "kind", "place", "network")
_COUNTS = ("n_models", "n_families", "n_subjects", "n_regions")
DEPTH_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(_PLACE, pl.String),
    "bin": pl.Int64,
    **dict.fromkeys(("axis_position", "depth", "score", "low", "high"), pl.Float64),
    **dict.fromkeys(_COUNTS, pl.Int64),
}
DEPTH_TEST_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(_PLACE, pl.String),
    **dict.fromkeys(("axis_position", "early", "late", "difference", "low", "high"), pl.Float64),
    **dict.fromkeys(("p", "q", "best_depth", "best_low", "best_high"), pl.Float64),
    **dict.fromkeys(_COUNTS, pl.Int64),
    "reason": pl.String,
}


@lru_cache(maxsize=512)
def bin_weights(depths: tuple[float, ...]) -> Floats:
    """Weight of each layer in each bin of relative depth, (bin, layer).

    Scores are taken to run straight from layer to layer, and averaged within each bin: models with
    more layers than bins are averaged, models with fewer are interpolated, and every model counts
    in every bin.

    Parameters
    ----------
    depths : tuple of float
        Relative depths of a model's layers, ascending, at least two.
    """
    at = np.array(depths)
    grid = (np.arange(BINS * _FINE) + 0.5) / (BINS * _FINE)
    basis = np.stack([np.interp(grid, at, one) for one in np.eye(at.size)], axis=1)
    weights: Floats = basis.reshape(BINS, _FINE, at.size).mean(axis=1)
    return weights


def depth_bins(layers: pl.DataFrame, *, ceiling_threshold: float) -> pl.DataFrame:
    """Scores of final trained models in bins of relative depth.

    Parameters
    ----------
    layers : DataFrame
        From `layer_scores`. Models with one layer have no depth and are left out.
    ceiling_threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts, where ceilings are known.

    Returns
    -------
    DataFrame
        One row a (dataset, modality, family, model, region, bin): score and score_normalised.
    """
    known = pl.col("noise_ceiling").is_not_null().any().over("dataset")
    kept = layers.filter(~known | (pl.col("noise_ceiling") >= ceiling_threshold)).sort(
        "dataset", "model", "region", "depth"
    )
    parts = [pl.DataFrame(schema=BINNED_SCHEMA)]
    for _, part in kept.group_by(["dataset", "model"], maintain_order=True):
        whole = part.drop_nulls("score")
        depths = tuple(sorted(set(whole["depth"].to_list())))
        # a region counts if every layer of the model has it
        whole = whole.filter(pl.len().over("region") == len(depths))
        if len(depths) < 2 or whole.is_empty():
            continue
        weights = bin_weights(depths)
        about = whole.unique("region", keep="first", maintain_order=True)
        binned = {
            name: (
                weights @ whole[name].cast(pl.Float64).to_numpy().reshape(len(about), len(depths)).T
            ).T.ravel()
            for name in ("score", "score_normalised")
        }
        columns = [name for name in BINNED_SCHEMA if name not in ("bin", *binned)]
        repeated = about.select(columns)[np.repeat(np.arange(len(about)), BINS)]
        parts.append(
            repeated.with_columns(
                pl.Series("bin", np.tile(np.arange(BINS), len(about)), dtype=pl.Int64),
                *(pl.Series(name, values) for name, values in binned.items()),
            ).select(list(BINNED_SCHEMA))
        )
    return pl.concat(parts).with_columns(pl.selectors.float().fill_nan(None))


def depth_profile(binned: pl.DataFrame) -> pl.DataFrame:
    """Mean over families at each depth, over all regions, by network and by region.

    Parameters
    ----------
    binned : DataFrame
        From `depth_bins`.

    Returns
    -------
    DataFrame
        One row a (dataset, modality, kind, place, bin): score with its t interval over families.
    """
    rows: Rows = []
    for common, curves, families in _curves(binned):
        means = family_means(curves, families)[1]
        found = t_over_families(means)
        for index in range(BINS):
            rows.append(
                {
                    **common,
                    "bin": index,
                    "depth": float(CENTRES[index]),
                    "score": float(found.mean[index]),
                    "low": float(found.low[index]),
                    "high": float(found.high[index]),
                }
            )
    return _table(rows, DEPTH_SCHEMA)


def depth_tests(binned: pl.DataFrame, *, bootstraps: int, seed: int) -> pl.DataFrame:
    """Test late against early layers, and find the depth of the best score, over families.

    Parameters
    ----------
    binned : DataFrame
        From `depth_bins`.
    bootstraps, seed : int

    Returns
    -------
    DataFrame
        One row a (dataset, modality, kind, place): early and late (means of the first and second
        half of the depth), their difference with t interval and p over families, q
        (Benjamini-Hochberg over places of a kind), best_depth (middle of the best bin of the mean
        over families) with its bootstrap interval (null with fewer than 5 families).
    """
    rows: Rows = []
    half = BINS // 2
    for common, curves, families in _curves(binned):
        means = family_means(curves, families)[1]
        late, early = means[:, half:].mean(axis=1), means[:, :half].mean(axis=1)
        found = t_over_families((late - early)[:, None])
        stream = zlib.crc32("|".join(str(common[k]) for k in _PLACE).encode())
        drawn = resampled_means(means, bootstraps=bootstraps, seed=[seed, stream])
        low, high = (
            percentile_interval(CENTRES[drawn.argmax(axis=1)]) if len(drawn) else (None,) * 2
        )
        rows.append(
            {
                **common,
                "early": float(early.mean()),
                "late": float(late.mean()),
                "difference": float(found.mean[0]),
                "low": float(found.low[0]),
                "high": float(found.high[0]),
                "p": float(found.p[0]),
                "best_depth": float(CENTRES[means.mean(axis=0).argmax()]),
                "best_low": low,
                "best_high": high,
                "reason": None if len(means) >= MINIMUM_FAMILIES else "fewer than 3 families",
            }
        )
    table = _table(rows, DEPTH_TEST_SCHEMA)
    parts = [
        part.with_columns(q=pl.Series(benjamini_hochberg(part["p"].cast(pl.Float64).to_numpy())))
        for part in table.partition_by(["dataset", "modality", "kind"], maintain_order=True)
    ]
    return pl.concat(parts).with_columns(pl.selectors.float().fill_nan(None)) if parts else table


def _curves(binned: pl.DataFrame) -> list[tuple[dict[str, Any], Floats, list[str]]]:
    """Each place's curves over depth, (model, bin), with their families."""
    found = []
    for (dataset, modality), part in binned.sort("dataset", "modality").group_by(
        ["dataset", "modality"], maintain_order=True
    ):
        named = part.filter(pl.col("network").fill_null("") != "")
        kinds = [("all", [("all", part)])]
        for kind, rows in (("network", named), ("region", part)):
            groups = rows.sort(kind).group_by([kind], maintain_order=True)
            kinds.append((kind, [(str(name), inside) for (name,), inside in groups]))
        for kind, places in kinds:
            for place, inside in places:
                means = inside.group_by("family", "model", "bin").agg(pl.col("score").mean())
                table = profile_matrix(means, "score", place="bin")
                if len(table.places) != BINS:
                    continue
                order = [table.places.index(str(index)) for index in range(BINS)]
                common = {
                    "dataset": dataset,
                    "modality": modality,
                    "kind": kind,
                    "place": place,
                    "network": None if kind == "all" else inside["network"][0],
                    "axis_position": inside["axis_position"].mean(),
                    "n_models": len(table.models),
                    "n_families": len(set(table.families)),
                    "n_subjects": inside["n_subjects"].max(),
                    "n_regions": inside["region"].n_unique(),
                }
                found.append((common, table.values[:, order], table.families))
    return found


def _table(rows: Rows, schema: dict[str, Any]) -> pl.DataFrame:
    table = pl.DataFrame(rows, schema=schema, strict=False)
    return table.with_columns(pl.selectors.float().fill_nan(None))

"""Does alignment rise or fall from the senses to association?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from convergent.statistics.cortex import MINIMUM_REGIONS, Axis
from convergent.statistics.regions import (
    Profiles,
    family_means,
    jackknife_interval,
    profile_matrix,
)
from convergent.statistics.summaries import mask_by_ceiling, without_nan

Floats = NDArray[np.float64]

GRADIENT_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(
        ("dataset", "modality", "choice", "measure", "level", "member", "family"), pl.String
    ),
    **dict.fromkeys(("n_regions", "n_models", "n_families", "n_subjects"), pl.Int64),
    **dict.fromkeys(
        ("rho", "rho_low", "rho_high", "slope", "slope_low", "slope_high", "p_naive", "p_spin"),
        pl.Float64,
    ),
    "rotations": pl.Int64,
    "left_out": pl.String,
    "reason": pl.String,
}
MEASURES = ("score", "score_normalised", "depth")
_TIE = 1e-12


def ranked(values: ArrayLike) -> Floats:
    """Ranks along the last axis, centred and of length 1; NaN where all are equal."""
    ranks = stats.rankdata(np.asarray(values, dtype=np.float64), axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(ranks, axis=-1, keepdims=True)
    unit: Floats = np.divide(
        ranks, length, out=np.full(ranks.shape, np.nan), where=length > _TIE * ranks.shape[-1]
    )
    return unit


def spin_test(values: ArrayLike, position: ArrayLike, spun: ArrayLike) -> tuple[Floats, Floats]:
    """Spearman correlation of maps with the axis, against rotations of the axis.

    Neighbouring regions are alike in almost any map, and the axis is smooth: a correlation of 360
    regions is one of far fewer independent places, and its textbook p value is much too small.

    Parameters
    ----------
    values : array_like, shape (map, region)
    position : array_like, shape (region,)
    spun : array_like, shape (rotation, region)
        From `Axis.spun`.

    Returns
    -------
    rho : ndarray, shape (map,)
    p : ndarray, shape (map,)
        Two-sided; NaN without rotations.

    References
    ----------
    Alexander-Bloch et al., NeuroImage 178 (2018) 540-551.
    """
    maps, null = ranked(np.atleast_2d(values)), np.asarray(spun, dtype=np.float64)
    rho: Floats = maps @ ranked(position)
    if not len(null):
        return rho, np.full(rho.shape, np.nan)
    reached = np.abs(maps @ ranked(null).T) >= np.abs(rho)[:, None] - _TIE
    p = (1.0 + reached.sum(axis=1)) / (1.0 + len(null))
    return rho, np.where(np.isnan(rho), np.nan, p)


def gradients(
    profile: pl.DataFrame,
    people: pl.DataFrame,
    axes: Mapping[str, Axis],
) -> pl.DataFrame:
    """Correlate region profiles with the axis: their mean, each subject's, and each model's.

    Parameters
    ----------
    profile : DataFrame
        One row a (dataset, modality, choice, family, model, region): the measures ``score``,
        ``score_normalised`` and ``depth`` (of the layer chosen), means over subjects; n_subjects.
    people : DataFrame
        One row a (dataset, modality, choice, subject, region): score and score_normalised, means
        over families.
    axes : mapping of str to Axis
        One a data set.

    Returns
    -------
    DataFrame
        One row a (dataset, modality, choice, measure, level, member), levels ``mean`` (of the
        families' means), ``subject`` and ``model``: Spearman rho and the slope (measure per whole
        axis) with jackknife intervals over families (level mean), p_naive (regions taken as
        independent: for comparison only), p_spin, and the reason where a test is missing.
    """
    rows: list[dict[str, Any]] = []
    for (dataset, modality, choice), part in profile.sort("dataset", "modality", "choice").group_by(
        ["dataset", "modality", "choice"], maintain_order=True
    ):
        axis = axes[str(dataset)]
        common = {"dataset": dataset, "modality": modality, "choice": choice}
        here = people.filter(
            (pl.col("dataset") == dataset)
            & (pl.col("modality") == modality)
            & (pl.col("choice") == choice)
        )
        for measure in MEASURES:
            found = profile_matrix(_on(part, axis, measure), measure)
            facts = {
                **common,
                "measure": measure,
                "n_subjects": part["n_subjects"].max(),
                "left_out": ", ".join(found.left_out),
            }
            rows += _of_models(found, axis, facts)
            if measure in here.columns and found.places:
                rows += _of_people(here, measure, found.places, axis, facts)
    return pl.DataFrame(rows, schema=GRADIENT_SCHEMA, strict=False)


def subject_means(alignment: pl.DataFrame) -> pl.DataFrame:
    """Average the models of each family, then families, for every subject and region.

    Parameters
    ----------
    alignment : DataFrame
        Of the primary metric and of final trained models.

    Returns
    -------
    DataFrame
        One row a (dataset, modality, choice, subject, region): score and score_normalised.
    """
    keys = ["dataset", "modality", "choice", "subject", "region"]
    value = pl.col("score", "score_normalised").fill_nan(None).mean()
    return alignment.group_by([*keys, "family"]).agg(value).group_by(keys).agg(value).sort(keys)


def _on(rows: pl.DataFrame, axis: Axis, measure: str) -> pl.DataFrame:
    kept = rows.filter(pl.col("region").is_in(list(axis.regions)) & pl.col(measure).is_not_null())
    if measure == "depth" and kept["score_normalised"].is_not_null().any():
        # where there is nothing to explain, the layer chosen is chosen by noise
        return kept.filter(pl.col("score_normalised").is_not_null())
    return kept


def _of_models(found: Profiles, axis: Axis, facts: dict[str, Any]) -> list[dict[str, Any]]:
    families, means = family_means(found.values, found.families) if found.models else ([], None)
    counts = {
        "n_regions": len(found.places),
        "n_models": len(found.models),
        "n_families": len(families),
    }
    whole = {**facts, **counts, "level": "mean", "member": "mean of families"}
    if means is None or len(found.places) < MINIMUM_REGIONS:
        few = f"{len(found.places)} regions with a position and this measure, fewer than 10"
        return [{**whole, "reason": few}]
    position, spun = _at(axis, found.places)
    every = np.vstack([means.mean(axis=0), found.values])
    tested = _rows(every, position, spun, axis.reason)
    rows = [{**whole, **tested[0]}]
    unit = ranked(position)
    low, high = jackknife_interval(means, lambda maps: np.arctanh(_inside(ranked(maps) @ unit)))
    if low is not None and high is not None:
        rows[0] |= {"rho_low": float(np.tanh(low)), "rho_high": float(np.tanh(high))}
    weights = _slope_weights(position)
    rows[0]["slope_low"], rows[0]["slope_high"] = jackknife_interval(
        means, lambda maps: maps @ weights
    )
    one = {**facts, **counts, "level": "model", "n_models": 1, "n_families": 1}
    for model, family, row in zip(found.models, found.families, tested[1:], strict=True):
        rows.append({**one, "member": model, "family": family, **row})
    return rows


def _of_people(
    people: pl.DataFrame, measure: str, places: list[str], axis: Axis, facts: dict[str, Any]
) -> list[dict[str, Any]]:
    """Each subject on the regions that it has a score in."""
    rows = []
    for (subject,), part in people.filter(
        pl.col("region").is_in(places) & pl.col(measure).is_not_null()
    ).group_by(["subject"], maintain_order=True):
        own = part["region"].to_list()
        row = {**facts, "level": "subject", "member": subject, "n_regions": len(own)}
        if len(own) < MINIMUM_REGIONS:
            rows.append({**row, "reason": "fewer than 10 regions"})
            continue
        position, spun = _at(axis, own)
        (tested,) = _rows(part[measure].to_numpy()[None], position, spun, axis.reason)
        rows.append({**row, **tested})
    return rows


def _at(axis: Axis, places: list[str]) -> tuple[Floats, Floats]:
    index = {name: at for at, name in enumerate(axis.regions)}
    at = [index[name] for name in places]
    return axis.position[at], axis.spun[:, at]


def _rows(values: Floats, position: Floats, spun: Floats, reason: str) -> list[dict[str, Any]]:
    """Columns of the tests of maps, (map, region)."""
    rho, p = spin_test(values, position, spun)
    slopes = values @ _slope_weights(position)
    rows: list[dict[str, Any]] = []
    for i, one in enumerate(rho.tolist()):
        if np.isnan(one):
            rows.append({"reason": "all regions have the same value"})
            continue
        rows.append(
            {
                "rho": one,
                "slope": float(slopes[i]),
                "p_naive": float(stats.spearmanr(values[i], position).pvalue),
                "p_spin": float(p[i]) if len(spun) else None,
                "rotations": len(spun),
                "reason": None if len(spun) else reason,
            }
        )
    return rows


def _inside(rho: Floats) -> Floats:
    """Keep a perfect correlation from an infinite z."""
    inside: Floats = np.clip(rho, -1 + 1e-12, 1 - 1e-12)
    return inside


def _slope_weights(position: Floats) -> Floats:
    centred = position - position.mean()
    weights: Floats = centred / (centred @ centred)
    return weights


MAXIMUM_REGIONS = 40
PROFILE_SCHEMA: dict[str, type[pl.DataType]] = {
    "dataset": pl.String,
    "place": pl.String,
    "place_kind": pl.String,
    "order": pl.Float64,
    "subject": pl.String,
    "kind": pl.String,
    "score": pl.Float64,
    "ceiling": pl.Float64,
    "n_models": pl.Int64,
    "strongest": pl.String,
}


def subject_profile(alignment: pl.DataFrame) -> pl.DataFrame:
    """Average final models, random twins and controls, per place and subject.

    Of controls the strongest stands alone: a mean over controls would sink with every weak one
    that a study adds, and make models look better than they are.

    Parameters
    ----------
    alignment : DataFrame
        Alignment of the primary metric.

    Returns
    -------
    DataFrame
        One row per (dataset, place, subject, kind): place_kind (regions, or networks when there
        are more than 40 regions; a data set with many regions and no networks has no rows), order,
        kind (trained, random, control), score, ceiling (square root of the noise ceiling, in r;
        null where unknown), n_models (of that kind) and strongest (name of the control shown).
    """
    rows = without_nan(alignment).filter(
        (pl.col("choice") == "best") & (pl.col("final") | (pl.col("role") == "random"))
    )
    parts = [
        _of_dataset(part).select(pl.lit(dataset).alias("dataset"), pl.all())
        for (dataset,), part in rows.sort("dataset").group_by(["dataset"], maintain_order=True)
        if _fits(part)
    ]
    return pl.concat(
        [pl.DataFrame(schema=PROFILE_SCHEMA), *(p.select(list(PROFILE_SCHEMA)) for p in parts)],
        how="vertical_relaxed",
    )


def _fits(rows: pl.DataFrame) -> bool:
    """Tell whether there are few regions, or networks to gather them in."""
    few = rows["region"].n_unique() <= MAXIMUM_REGIONS
    return few or bool((rows["network"].fill_null("") != "").all())


def _of_dataset(rows: pl.DataFrame) -> pl.DataFrame:
    place = "region" if rows["region"].n_unique() <= MAXIMUM_REGIONS else "network"
    if "axis_position" not in rows.columns:
        rows = rows.with_columns(axis_position=pl.lit(None, dtype=pl.Float64))
    if place == "network":
        rows = mask_by_ceiling(rows, ceiling_threshold=0.0)
    strongest = _strongest_control(rows)
    numbers = rows.group_by(pl.col("role").alias("kind")).agg(
        n_models=pl.col("model").n_unique().cast(pl.Int64)
    )
    return (
        rows.filter((pl.col("role") != "control") | (pl.col("model") == strongest))
        .group_by(pl.col(place).alias("place"), "subject", pl.col("role").alias("kind"), "model")
        .agg(
            pl.col("score").mean(),
            ceiling=pl.col("noise_ceiling").clip(0).sqrt().mean(),
            order=pl.col("axis_position").mean(),
        )
        .group_by("place", "subject", "kind")
        .agg(pl.col("score", "ceiling", "order").mean())
        .join(numbers, on="kind")
        .with_columns(
            place_kind=pl.lit(place),
            strongest=pl.when(pl.col("kind") == "control").then(pl.lit(strongest)),
        )
        .sort("order", "place", "kind", "subject", nulls_last=True)
    )


def _strongest_control(rows: pl.DataFrame) -> str:
    """Find the control with the highest mean score; empty where there is none."""
    means = (
        rows.filter(pl.col("role") == "control")
        .group_by("model")
        .agg(pl.col("score").mean())
        .sort("score", "model", descending=[True, False], nulls_last=True)
    )
    return "" if means.is_empty() else str(means["model"][0])

"""Alignment over scales, by family, subject and region."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from convergent.alignment.constant import PRODUCT, is_constant_array, without_rounding
from convergent.statistics.correlation import benjamini_hochberg
from convergent.statistics.cortex import MINIMUM_REGIONS, Axis
from convergent.statistics.gradient import spin_test
from convergent.statistics.regions import MINIMUM_FAMILIES, percentile_interval, resampled_means

Floats = NDArray[np.float64]

SWEEP = ["dataset", "modality", "metric"]
CURVE_SCHEMA: dict[str, Any] = {
    **dict.fromkeys((*SWEEP, "family", "subject", "region", "network"), pl.String),
    **dict.fromkeys(("scale", "score", "noise_ceiling", "n_targets", "axis_position"), pl.Float64),
    "n_models": pl.Int64,
}


def scale_curves(alignment: pl.LazyFrame, *, ceiling_threshold: float) -> pl.DataFrame:
    """Average final trained models of each family, layers chosen on training data.

    Parameters
    ----------
    alignment : LazyFrame
        All metrics.
    ceiling_threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts, where ceilings are known.

    Returns
    -------
    DataFrame
        One row a (dataset, modality, metric, family, subject, region, scale): score (calibrated
        where there are permutations), noise_ceiling, n_targets, axis_position, n_models.
    """
    value = pl.coalesce(
        pl.col("score_chance_corrected").fill_nan(None), pl.col("score").fill_nan(None)
    )
    known = pl.col("noise_ceiling").is_not_null().any().over("dataset")
    keys = [*SWEEP, "family", "subject", "region", "network", "scale"]
    rows = swept(alignment)
    absent = {"n_targets", "axis_position"} - set(rows.collect_schema().names())
    found = (
        rows.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in sorted(absent))
        .group_by(keys)
        .agg(
            score=value.mean(),
            noise_ceiling=pl.col("noise_ceiling").fill_nan(None).mean(),
            n_targets=pl.col("n_targets").mean(),
            axis_position=pl.col("axis_position").first(),
            n_models=pl.col("model").n_unique().cast(pl.Int64),
        )
        .collect()
    )
    return (
        found.filter(~known | (pl.col("noise_ceiling") >= ceiling_threshold))
        .drop_nulls("score")
        .sort(keys, nulls_last=True)
        .select(list(CURVE_SCHEMA))
    )


def typical_p(alignment: pl.LazyFrame) -> pl.DataFrame:
    """Twice the median p over models and scales, families weighed alike; see `median_p`.

    Returns
    -------
    DataFrame
        dataset, modality, metric, region, p and smallest (the least p that the permutations allow);
        no rows without permutations.
    """
    place = [*SWEEP, "region"]
    rows = (
        swept(alignment)
        .group_by([*place, "family", "model", "scale"])
        .agg(p=pl.col("p_permutation").first())
        .drop_nulls("p")
        .collect()
    )
    weight = 1 / (pl.len().over([*place, "family"]) * pl.col("family").n_unique().over(place))
    return (
        rows.with_columns(weight=weight, smallest=2 * pl.col("p").min().over(SWEEP))
        .sort([*place, "p"])
        .with_columns(heap=pl.col("weight").cum_sum().over(place))
        .filter(pl.col("heap") >= 0.5 - 1e-9)
        .group_by(place, maintain_order=True)
        .agg(p=(2 * pl.col("p").first()).clip(upper_bound=1.0), smallest=pl.col("smallest").first())
    )


def family_curves(rows: pl.DataFrame, scales: Floats) -> tuple[list[str], Floats]:
    """Mean curve of each family that has every scale, subjects first, (family, scale)."""
    wide = (
        rows.group_by("family", "subject", "scale")
        .agg(pl.col("score").mean())
        .group_by("family", "scale")
        .agg(pl.col("score").mean())
        .sort("family", "scale")
        .pivot(on="scale", index="family", values="score")
        .sort("family")
        .drop_nulls()
    )
    if wide.width != len(scales) + 1:
        return [], np.empty((0, len(scales)))
    columns = [str(scale) for scale in scales.tolist()]
    return wide["family"].to_list(), wide.select(columns).to_numpy().astype(np.float64)


def curve_cube(rows: pl.DataFrame) -> tuple[list[str], list[str], Floats]:
    """Means over subjects, (family, region, scale), of what every family has."""
    means = (
        rows.group_by("family", "region", "scale").agg(pl.col("score").mean()).sort(
            "family", "region", "scale"
        )
    )  # fmt: skip
    families = means["family"].unique(maintain_order=True).to_list()
    scales = means["scale"].n_unique()
    whole = (
        means.group_by("region", maintain_order=True)
        .agg(n=pl.len())
        .filter(pl.col("n") == len(families) * scales)["region"]
        .sort()
        .to_list()
    )
    kept = means.filter(pl.col("region").is_in(whole)).sort("family", "region", "scale")
    shape = (len(families), len(whole), scales)
    return families, whole, kept["score"].to_numpy().astype(np.float64).reshape(shape)


def count_models(rows: pl.DataFrame) -> int:
    """Models behind curves."""
    per_family = rows.group_by("family").agg(pl.col("n_models").max())
    return int(per_family["n_models"].sum())


def swept(alignment: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of a metric that was computed at several scales."""
    return alignment.filter(
        pl.col("scale").is_not_null()
        & (pl.col("choice") == "best")
        & (pl.col("role") == "trained")
        & pl.col("final")
    )


# A peak needs two shoulders.
MINIMUM_SCALES = 3


class Peak(NamedTuple):
    """Where a curve over scales is highest.

    Attributes
    ----------
    peak : float
        Scale, between the measured ones by a parabola; at an edge of the sweep, that edge.
    low, high : float or None
        95 % interval over families; None with fewer than 5.
    score : float
        Highest measured mean.
    edge : {"", "low", "high"}
        Which end of the sweep the highest score lies at: the true peak may lie beyond.
    edge_share : float
        Share of draws of families whose highest score lies at an end.
    p_flat : float
        That families' curves have neither slope nor bend (Hotelling's T2); NaN if untested.
    """

    peak: float
    low: float | None
    high: float | None
    score: float
    edge: str
    edge_share: float
    p_flat: float


def scale_peak(
    curves: ArrayLike, scales: ArrayLike, *, bootstraps: int, seed: Sequence[int]
) -> Peak:
    """Find the peak of the mean over families, and how far families agree on it.

    Parameters
    ----------
    curves : array_like, shape (family, scale)
        Means of the models of each family.
    scales : array_like, shape (scale,)
        Ascending.
    bootstraps : int
        Draws of families.
    seed : sequence of int

    Returns
    -------
    Peak
    """
    values = np.asarray(curves, dtype=np.float64)
    steps = np.log2(np.asarray(scales, dtype=np.float64))
    mean = values.mean(axis=0)
    at, edge = _highest(mean[None], steps)
    drawn = resampled_means(values, bootstraps=bootstraps, seed=seed)
    low, high, share = None, None, math.nan
    if len(drawn):
        places, ends = _highest(drawn, steps)
        low, high = (None if end is None else 2.0**end for end in percentile_interval(places))
        share = float((ends != 0).mean())
    return Peak(
        2.0 ** float(at[0]),
        low,
        high,
        float(mean.max()),
        {-1: "low", 0: "", 1: "high"}[int(edge[0])],
        share,
        flatness(values, steps),
    )


def flatness(curves: Floats, steps: Floats) -> float:
    """P value that curves over scales are flat: no slope and no bend in the mean over families.

    Parameters
    ----------
    curves : ndarray, shape (family, scale)
    steps : ndarray, shape (scale,)
        Logarithms of the scales.

    Returns
    -------
    float
        Hotelling's T2 test of the linear and quadratic trends; NaN with fewer than 4 families or 3
        scales.

    References
    ----------
    Hotelling, Ann. Math. Stat. 2 (1931) 360-378.
    """
    families = len(curves)
    if families < MINIMUM_FAMILIES + 1 or steps.size < MINIMUM_SCALES:
        return math.nan
    basis = np.linalg.qr(np.vander(steps, 3, increasing=True))[0][:, 1:]
    trends = curves @ basis
    mean = trends.mean(axis=0)
    covariance = np.cov(trends.T) / families
    if np.linalg.matrix_rank(covariance) < 2:
        return math.nan
    t2 = float(mean @ np.linalg.solve(covariance, mean))
    f = t2 * (families - 2) / (2 * (families - 1))
    return float(stats.f.sf(f, 2, families - 2))


def _highest(curves: Floats, steps: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Place of the highest point of each curve, and whether it is the first or last (-1, 0, 1)."""
    top = curves.argmax(axis=1)
    edge = np.where(top == 0, -1, np.where(top == steps.size - 1, 1, 0))
    rows = np.arange(len(curves))
    inner = np.clip(top, 1, steps.size - 2)
    y = np.stack([curves[rows, inner + shift] for shift in (-1, 0, 1)], axis=1)
    x = np.stack([steps[inner + shift] for shift in (-1, 0, 1)], axis=1)
    # the parabola through the highest point and its neighbours
    left = (x[:, 1] - x[:, 0]) * (y[:, 1] - y[:, 2])
    right = (x[:, 1] - x[:, 2]) * (y[:, 1] - y[:, 0])
    below = left - right
    above = (x[:, 1] - x[:, 0]) * left - (x[:, 1] - x[:, 2]) * right
    moved = np.divide(above, 2 * below, out=np.zeros_like(above), where=np.abs(below) > 1e-300)
    place = np.where(edge == 0, x[:, 1] - moved, steps[top])
    return place, edge


Rows = list[dict[str, Any]]

LEVEL = 0.05

PEAK_SCHEMA: dict[str, Any] = {
    **dict.fromkeys((*SWEEP, "kind", "place", "network"), pl.String),
    "axis_position": pl.Float64,
    **dict.fromkeys(("n_models", "n_families", "n_subjects", "n_scales"), pl.Int64),
    **dict.fromkeys(
        (
            "lowest",
            "highest",
            "peak",
            "low",
            "high",
            "score",
            "edge_share",
            "p_flat",
            "q_flat",
            "p",
            "q",
        ),
        pl.Float64,
    ),
    **dict.fromkeys(("edge", "state"), pl.String),
}


def scale_peaks(
    curves: pl.DataFrame, typical: pl.DataFrame, *, bootstraps: int, seed: int
) -> pl.DataFrame:
    """Find the peak in each region, network and over all.

    Parameters
    ----------
    curves, typical : DataFrame
        From `scale_curves` and `typical_p`.
    bootstraps, seed : int

    Returns
    -------
    DataFrame
        One row a (dataset, modality, metric, kind, place): ends of the sweep
        (lowest, highest), peak with its interval over families,
        edge and edge_share, p_flat and q_flat (Benjamini-Hochberg over places of a kind), p and q
        (above chance; regions only), and state: ``peak``, ``edge``, ``flat`` (no slope or bend can
        be told), ``no alignment``, or ``untested`` (too few families or scales).
    """
    rows: Rows = []
    for (dataset, modality, metric), part in curves.group_by(SWEEP, maintain_order=True):
        common = dict(zip(SWEEP, (dataset, modality, metric), strict=True))
        scales = part["scale"].unique().sort().to_numpy()
        own = typical.filter(pl.all_horizontal(pl.col(k) == v for k, v in common.items()))
        chance = {
            # with few permutations no region could be told from chance, and none is said to be
            region: p
            for region, p, least in own.select("region", "p", "smallest").iter_rows()
            if least < LEVEL
        }
        for kind, places in _places(part).items():
            mine: Rows = []
            for name, inside in places.items():
                families, table = family_curves(inside, scales)
                if not families or len(scales) < MINIMUM_SCALES:
                    continue
                stream = zlib.crc32(f"{dataset}|{modality}|{metric}|{name}".encode())
                found = scale_peak(table, scales, bootstraps=bootstraps, seed=[seed, stream])
                about = inside.row(0, named=True)
                mine.append(
                    {
                        **common,
                        **found._asdict(),
                        "lowest": float(scales[0]),
                        "highest": float(scales[-1]),
                        "kind": kind,
                        "place": name,
                        "network": about["network"] if kind != "all" else None,
                        "axis_position": inside["axis_position"].mean(),
                        "n_models": count_models(inside),
                        "n_families": len(families),
                        "n_subjects": inside["subject"].n_unique(),
                        "n_scales": len(scales),
                        "p": chance.get(name) if kind == "region" else None,
                    }
                )
            rows += _judged(mine)
    return pl.DataFrame(rows, schema=PEAK_SCHEMA, strict=False).with_columns(
        pl.selectors.float().fill_nan(None)
    )


def _places(part: pl.DataFrame) -> dict[str, dict[str, pl.DataFrame]]:
    named = part.filter(pl.col("network").is_not_null() & (pl.col("network") != ""))
    return {
        "all": {"all": part},
        "network": {str(k[0]): v for k, v in named.group_by(["network"], maintain_order=True)},
        "region": {str(k[0]): v for k, v in part.group_by(["region"], maintain_order=True)},
    }


def _judged(rows: Rows) -> Rows:
    flat = benjamini_hochberg([row["p_flat"] for row in rows]).tolist()
    p = [math.nan if row["p"] is None else row["p"] for row in rows]
    chance = benjamini_hochberg(p).tolist()
    for row, q_flat, q in zip(rows, flat, chance, strict=True):
        row["q_flat"], row["q"] = q_flat, q
        if q >= LEVEL:
            row["state"] = "no alignment"
        elif math.isnan(q_flat):
            row["state"] = "untested"
        elif q_flat >= LEVEL:
            row["state"] = "flat"
        else:
            row["state"] = "edge" if row["edge"] else "peak"
    return rows


class Shift(NamedTuple):
    """Shift of the centre of the curve over scales along an axis.

    Attributes
    ----------
    slope : float
        In units of the scales' logarithm to base 2, over the whole axis (position 0 to 1). NaN
        where nothing aligns.
    low, high : float
        95 % interval over families (Fieller's); NaN where it is unbounded.
    t, p : float
        Over families, two-sided; NaN with fewer than 3.
    p_spin : float
        Over places: against rotations of the axis, two-sided; NaN without any.
    families : int
    """

    slope: float
    low: float
    high: float
    t: float
    p: float
    p_spin: float
    families: int


def scale_shift(
    scores: ArrayLike,
    log_scale: ArrayLike,
    position: ArrayLike,
    *,
    given: ArrayLike | None = None,
    spun: ArrayLike | None = None,
    level: float = 0.95,
) -> Shift:
    """Test whether the curve of alignment over scales moves along the axis.

    With a_r the score of region r summed over scales and b_r the same weighted by the scales'
    logarithm, the centre of its curve is b_r / a_r. Where curves differ in height alone, all
    centres are one. Their covariance with the position, each region weighing its score, is
    ``sum(c b) sum(a) - sum(b) sum(c a)``, c the centred position, over ``sum(a) ** 2``; this is
    computed in each family without dividing by scores that may be 0. For unrelated
    representations a and b of an unbiased score are 0 on average and the two products have the
    same mean whatever the regions' sizes, so that the t test over families is centred on 0; a
    biased score's a and b depend on size and scale, and the test finds a shift in nothing.

    The t test asks whether other models would show the same, in these regions of these people.
    Regions' curves also differ for reasons of their own, and would from any axis: that asks for
    the spatial null. A shift along the axis needs both.

    Parameters
    ----------
    scores : array_like, shape (family, region, scale)
        Of an unbiased metric, not normalised by anything that depends on the scores.
    log_scale : array_like, shape (scale,)
        To base 2.
    position : array_like, shape (region,)
    given : array_like, shape (region, covariate), optional
        What is taken out of the position by least squares: noise ceilings, sizes of regions.
    spun : array_like, shape (rotation, region), optional
        From `Axis.spun`.
    level : float

    Returns
    -------
    Shift

    References
    ----------
    Fieller, J. R. Stat. Soc. B 16 (1954) 175-185.
    """
    values = np.asarray(scores, dtype=np.float64)
    position = np.asarray(position, dtype=np.float64)
    families = len(values)
    covariates = np.ones((len(position), 1))
    if given is not None:
        covariates = np.column_stack([covariates, np.asarray(given, dtype=np.float64)])
    c = without_rounding(_residual(position, covariates), position)
    steps = np.asarray(log_scale, dtype=np.float64)
    a, b = values.sum(axis=2), values @ (steps - steps.mean())
    size = np.maximum((a**2).sum(axis=1), np.finfo(float).tiny)
    # what each region adds to the covariance, per unit of position
    pull = (b * a.sum(axis=1)[:, None] - b.sum(axis=1)[:, None] * a) / size[:, None]
    moved = pull @ c
    spread = ((a @ (c * position)) * a.sum(axis=1) - (a @ c) * (a @ position)) / size
    nothing = math.nan
    if families < MINIMUM_FAMILIES or is_constant_array(c):
        return Shift(nothing, nothing, nothing, nothing, nothing, nothing, families)
    total = float(spread.mean())
    slope = float(moved.mean()) / total if total > 0 else nothing
    error = float(moved.std(ddof=1)) / math.sqrt(families)
    t = float(moved.mean()) / error if error > 0 else nothing
    p = float(2 * stats.t.sf(abs(t), families - 1))
    critical = float(stats.t.ppf((1 + level) / 2, families - 1))
    low, high = _fieller(moved, spread, critical)
    p_spin = nothing
    if spun is not None and len(np.asarray(spun)):
        rotated = _residual(np.asarray(spun, dtype=np.float64).T, covariates).T
        rotated = rotated / np.linalg.norm(rotated, axis=1, keepdims=True)
        mean = pull.mean(axis=0)
        observed = abs(float(mean @ c)) / float(np.linalg.norm(c))
        reached = int((np.abs(rotated @ mean) >= observed - 1e-12).sum())
        p_spin = (1 + reached) / (1 + len(rotated))
    return Shift(slope, low, high, t, p, p_spin, families)


def _residual(values: Floats, covariates: Floats) -> Floats:
    rest: Floats = values - covariates @ np.linalg.lstsq(covariates, values, rcond=None)[0]
    return rest


def _fieller(above: Floats, below: Floats, critical: float) -> tuple[float, float]:
    """Interval of a ratio of means: the ratios that a t test of above - ratio * below accepts."""
    n = len(above)
    x, y = float(above.mean()), float(below.mean())
    cov = np.cov(above, below) / n
    g = critical**2
    first = y * y - g * cov[1, 1]
    middle = x * y - g * cov[0, 1]
    last = x * x - g * cov[0, 0]
    root = middle**2 - first * last
    if first <= 0 or root < 0:
        return math.nan, math.nan
    return (middle - math.sqrt(root)) / first, (middle + math.sqrt(root)) / first


SHIFT_SCHEMA: dict[str, Any] = {
    **dict.fromkeys((*SWEEP, "level", "member", "given"), pl.String),
    **dict.fromkeys(
        ("n_regions", "n_models", "n_families", "n_subjects", "n_scales", "n_above", "n_peaks"),
        pl.Int64,
    ),
    **dict.fromkeys(
        ("slope", "low", "high", "t", "p", "p_spin", "peak_rho", "peak_p_spin"), pl.Float64
    ),
    "reason": pl.String,
}
_COVARIATES = "noise ceiling and size"


def scale_shifts(
    curves: pl.DataFrame, peaks: pl.DataFrame, axes: Mapping[str, Axis]
) -> pl.DataFrame:
    """Test whether the curve over scales moves along the axis, in all and in each subject.

    Parameters
    ----------
    curves, peaks : DataFrame
        From `scale_curves` and `scale_peaks`.
    axes : mapping of str to Axis
        One a data set.

    Returns
    -------
    DataFrame
        One row a (dataset, modality, metric, level, member, given): slope (octaves of bandwidth
        from the senses to association) with interval and p over families and p_spin over places,
        see `scale_shift`;
        ``given`` names what was taken out of the position. n_above: regions above chance in the
        typical model (null without permutations); peak_rho: Spearman correlation of the n_peaks
        regions' peaks with the axis, with its spin p.
    """
    rows: Rows = []
    for (dataset, modality, metric), part in curves.group_by(SWEEP, maintain_order=True):
        common: dict[str, Any] = dict(zip(SWEEP, (dataset, modality, metric), strict=True))
        axis = axes[str(dataset)]
        here = peaks.filter(
            pl.all_horizontal(pl.col(k) == v for k, v in common.items())
            & (pl.col("kind") == "region")
        )
        facts = common | _of_peaks(here, axis)
        levels = [("mean", "all subjects", part)] + [
            ("subject", str(subject), rows_of)
            for (subject,), rows_of in part.group_by(["subject"], maintain_order=True)
        ]
        for level, member, inside in levels:
            rows += _shifts(inside, axis, {**facts, "level": level, "member": member})
    return pl.DataFrame(rows, schema=SHIFT_SCHEMA, strict=False).with_columns(
        pl.selectors.float().fill_nan(None)
    )


def _of_peaks(peaks: pl.DataFrame, axis: Axis) -> dict[str, Any]:
    """How many regions align and peak, and whether the peaks follow the axis."""
    tested = peaks["q"].is_not_null().any()
    index = {name: at for at, name in enumerate(axis.regions)}
    sure = peaks.filter((pl.col("state") == "peak") & pl.col("place").is_in(list(index)))
    facts: dict[str, Any] = {
        "n_above": int((peaks["q"] < 0.05).sum()) if tested else None,
        "n_peaks": sure.height,
    }
    if sure.height >= MINIMUM_REGIONS:
        at = [index[name] for name in sure["place"].to_list()]
        rho, p = spin_test(
            np.log2(sure["peak"].to_numpy())[None], axis.position[at], axis.spun[:, at]
        )
        facts |= {"peak_rho": float(rho[0]), "peak_p_spin": float(p[0])}
    return facts


def _shifts(rows: pl.DataFrame, axis: Axis, facts: dict[str, Any]) -> Rows:
    scales = rows["scale"].unique().sort().to_numpy()
    families, regions, values = curve_cube(rows.filter(pl.col("region").is_in(list(axis.regions))))
    facts = {
        **facts,
        "n_regions": len(regions),
        "n_models": count_models(rows.filter(pl.col("family").is_in(families))),
        "n_families": len(families),
        "n_subjects": rows["subject"].n_unique(),
        "n_scales": len(scales),
    }
    if len(regions) < MINIMUM_REGIONS or len(scales) < 2:
        few = f"{len(regions)} regions with a position and {len(scales)} scales: too few"
        return [{**facts, "given": "", "reason": few}]
    index = {name: at for at, name in enumerate(axis.regions)}
    at = [index[name] for name in regions]
    position, spun = axis.position[at], axis.spun[:, at]
    found: Rows = []
    for given, covariates in (("", None), (_COVARIATES, _covariates(rows, regions))):
        if given and covariates is None:
            continue
        shift = scale_shift(values, np.log2(scales), position, given=covariates, spun=spun)
        reason = "fewer than 3 families" if math.isnan(shift.p) else None
        numbers = {name: value for name, value in shift._asdict().items() if name != "families"}
        found.append({**facts, **numbers, "given": given, "reason": reason or axis.reason or None})
    return found


def _covariates(rows: pl.DataFrame, regions: list[str]) -> Floats | None:
    """Noise ceiling and logarithm of the size of each region, standardised, where they vary."""
    means = rows.group_by("region").agg(
        pl.col("noise_ceiling").mean(), size=pl.col("n_targets").log(2.0).mean()
    )
    about = {name: values for name, *values in means.iter_rows()}
    table = np.array([about[name] for name in regions], dtype=np.float64)
    usable = np.isfinite(table).all(axis=0) & ~is_constant_array(table, resolution=PRODUCT)
    if not usable.any():
        return None
    kept = table[:, usable]
    standard: Floats = (kept - kept.mean(axis=0)) / kept.std(axis=0)
    return standard

"""Table of shifts: does the curve over scales move along the axis?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from convergent.alignment._constant import PRODUCT, is_constant_array

from ._axis import MINIMUM_REGIONS, Axis
from ._gradient import spin_test
from ._scale_curves import SWEEP, Floats, count_models, curve_cube
from ._scale_shift import scale_shift

Rows = list[dict[str, Any]]

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

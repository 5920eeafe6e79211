"""Table of peaks: at which scale each region and network aligns best, if at any."""

from __future__ import annotations

import math
import zlib
from typing import Any

import polars as pl

from ._multiplicity import benjamini_hochberg
from ._scale_curves import SWEEP, count_models, family_curves
from ._scale_peaks import MINIMUM_SCALES, scale_peak

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

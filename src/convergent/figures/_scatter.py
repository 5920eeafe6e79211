"""Performance against alignment, every model named."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from ._drawing import Drawing, Tables, figure_of
from ._scatter_drawn import interactive, static
from ._words import interval, number, p_value


@figure_of("model_alignment", "performance", "models", "correlations")
def performance_scatter(tables: Tables) -> list[Drawing]:
    """Scatter of every final model, with random twins hollow and controls as lines."""
    headline = tables["correlations"].filter(
        (pl.col("scope") == "all") & (pl.col("choice") == "best") & (pl.col("measure") == "score")
    )
    return [
        drawing
        for row in headline.iter_rows(named=True)
        if (drawing := _draw(row, tables)) is not None
    ]


def scatter_points(tables: Tables, dataset: str, modality: str, benchmark: str) -> pl.DataFrame:
    """Points of one scatter.

    Returns
    -------
    DataFrame
        model, family, checkpoint, role (trained, random or control), performance (null where
        none was measured), alignment, alignment_normalised, parameters, coco (yes, unknown or
        no: trained on its images or captions).
    """
    scores = (
        tables["performance"]
        .filter(pl.col("benchmark") == benchmark)
        .select("model", "checkpoint", performance="score")
    )
    tags = pl.col("tags").fill_null("").str.split(" ")
    facts = tables["models"].select(
        "model",
        "parameters",
        coco=pl.when(tags.list.contains("coco"))
        .then(pl.lit("yes"))
        .when(tags.list.contains("coco-unknown"))
        .then(pl.lit("unknown"))
        .otherwise(pl.lit("no")),
    )
    shown = (pl.col("final") & pl.col("role").is_in(["trained", "control"])) | (
        pl.col("role") == "random"
    )
    return (
        tables["model_alignment"]
        .filter(
            (pl.col("dataset") == dataset)
            & (pl.col("modality") == modality)
            & (pl.col("scope") == "all")
            & (pl.col("choice") == "best")
            & shown
        )
        .join(scores, on=["model", "checkpoint"], how="left")
        .join(facts, on="model", how="left")
        .select(
            *("model", "family", "checkpoint", "role", "performance"),
            *("alignment", "alignment_normalised", "parameters", "coco"),
        )
        .sort("role", "family", "model", "checkpoint", descending=[True, False, False, False])
    )


def _draw(row: dict[str, Any], tables: Tables) -> Drawing | None:
    points = scatter_points(tables, row["dataset"], row["modality"], row["benchmark"])
    trained = points.filter((pl.col("role") == "trained") & pl.col("performance").is_not_null())
    if trained.is_empty():
        return None
    # Without a correlation there is no line either: it would say what was withheld.
    line = None if row["r"] is None else _line(trained, row["n_effective"])
    twins = points.filter((pl.col("role") == "random") & pl.col("performance").is_not_null())
    name = f"performance-alignment-{row['dataset']}-{row['benchmark']}"
    several = tables["correlations"].filter(pl.col("dataset") == row["dataset"])["benchmark"]
    where = row["dataset"] + f", {row['benchmark']}" * (several.n_unique() > 1)
    return Drawing(
        name=name,
        figure="performance-alignment",
        title=f"Do better {row['modality']} models align better? ({where})",
        caption=_caption(row, points, trained, line is not None),
        alt=(
            f"Scatter of {trained.height} trained models and {twins.height} random twins: "
            f"{row['benchmark']} on the horizontal axis, brain alignment on the vertical axis; "
            f"Pearson r {number(row['r'])}, 95% interval {interval(row['low'], row['high'])}."
        ),
        data=points,
        static=static(points, row, line),
        interactive=interactive(points, row, line),
    )


def _caption(row: dict[str, Any], points: pl.DataFrame, trained: pl.DataFrame, line: bool) -> str:
    unplaced = points.filter((pl.col("role") == "random") & pl.col("performance").is_null()).height
    tagged = trained.filter(pl.col("coco") == "yes").height
    parts = [
        f"Performance ({row['benchmark']}) against brain alignment (mean r over regions above the "
        f"noise-ceiling threshold, then over {row['n_subjects']} subjects; best layer chosen on "
        f"training folds) for {row['n_models']} {row['modality']} models of {row['n_families']} "
        f"families, data set {row['dataset']}.",
        f"{_tested(row)}." if row["r"] is not None else f"No correlation: {row['reason']}.",
        "Line: least squares, with a 95% band for as many independent models." * line,
        "Hollow: the same architectures with random weights, not in r.",
        "Dashed: controls without weights.",
        f"Ringed: {tagged} models trained on COCO images or captions." * bool(tagged),
        f"{unplaced} random twins without a measured performance are not placed." * bool(unplaced),
    ]
    return " ".join(part for part in parts if part)


def _tested(row: dict[str, Any]) -> str:
    if row["p"] is None:
        return f"Pearson r = {number(row['r'])}, not tested ({row['p_reason']})"
    return (
        f"Pearson r = {number(row['r'])}, 95% CI {interval(row['low'], row['high'])}, "
        f"p = {p_value(row['p'])}, against unrelated performance and alignment that both run in "
        f"families; in r the models count as {row['n_effective']:.0f} independent ones"
    )


def _line(points: pl.DataFrame, effective: float | None) -> np.ndarray | None:
    """Least-squares line with its 95% band: rows x, fit, low, high.

    The band's error is that of `effective` independent models instead of all.
    """
    x = points["performance"].to_numpy().astype(float)
    y = points["alignment"].to_numpy().astype(float)
    if len(x) < 3 or np.ptp(x) < 1e-12:
        return None
    count = min(len(x), effective or 0.0)
    fit = stats.linregress(x, y)
    grid = np.linspace(x.min(), x.max(), 50)
    middle = fit.intercept + fit.slope * grid
    if count <= 3:  # fewer leave no band
        return np.stack([grid, middle, middle, middle])
    residual = y - fit.intercept - fit.slope * x
    spread = np.sqrt(residual @ residual / (len(x) - 2))
    share = (grid - x.mean()) ** 2 / ((x - x.mean()) ** 2).mean()
    half = stats.t.ppf(0.975, count - 2) * spread * np.sqrt((1 + share) / count)
    return np.stack([grid, middle, middle - half, middle + half])

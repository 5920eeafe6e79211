"""Performance, a table and a figure."""

from __future__ import annotations

import polars as pl
from matplotlib.figure import Figure

from convergent.evaluation import Subject, evaluation
from convergent.figures import Drawing, Tables, figure_of
from convergent.pipeline.claims import Material


@evaluation()
def output_spread(subject: Subject) -> tuple[float, str]:
    """Spread of the network's outputs for the benchmark's images."""
    network = subject.network()
    outputs = network.run({"pixels": network.images(subject.benchmark.stimuli.images)})
    return float(outputs.std()), "measured: spread of outputs"


def grating_models(material: Material) -> dict[str, pl.DataFrame]:
    """Mean score of each model and metric."""
    rows = material.alignment.group_by("model", "metric").agg(pl.col("score").mean())
    return {"grating_models": rows.sort("model", "metric").collect()}


@figure_of("grating_models")
def draw(tables: Tables) -> list[Drawing]:
    """Bars of the mean scores."""
    rows = tables["grating_models"]
    static = Figure()
    names = [f"{model} {metric}" for model, metric in rows.select("model", "metric").iter_rows()]
    static.add_subplot().barh(names, rows["score"].to_list())
    text = "Mean score of each model and metric."
    return [Drawing("grating-models", "grating-models", "Gratings", text, text, rows, static)]

"""The report's table of noise ceilings."""

from __future__ import annotations

import polars as pl

from convergent.figures import metric_label, number

from ._sections import Table, cell


def ceiling_table(summary: pl.DataFrame) -> Table:
    """Noise ceilings of similarity metrics beside what models reach."""
    rows = [
        (
            metric_label(row["metric"], row["scale"]),
            row["dataset"],
            number(row["score"], 3),
            cell(row["n_models"]),
            number(row["lower"], 3),
            number(row["upper"], 3),
            cell(row["n_subjects"]),
            cell(row["n_stimuli"]),
        )
        for row in summary.iter_rows(named=True)
    ]
    columns = (
        *("metric", "data set", "mean score", "models", "lower bound", "upper bound"),
        *("subjects", "stimuli"),
    )
    caption = "Final trained models beside the noise ceiling of similarity metrics"
    return Table(caption, columns, rows, True)

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


CEILING_NOTE = (
    "Noise ceilings are means over all regions with a value. The lower bound says how well the "
    "mean of the other subjects predicts a subject, the upper how well the mean of all does, which "
    "with few subjects is mostly the subject itself. Bounds are of all stimuli; scores are of "
    "halves, since layers are chosen on the other half, so that metrics that depend on the number "
    "of stimuli (knn and the biased estimators) are not on quite the same scale."
)

"""Results on disk as the sides of a comparison."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from convergent.comparison import MEASUREMENT_COLUMNS, Comparison, Side, compare
from convergent.stages.results import Results, results_at
from convergent.stages.table_files import scan_tables
from convergent.stages.tables import read_table

_ALIGNMENT = ("dataset", "model", "checkpoint", "subject", "region", "metric", "scale", "choice",
              "score")  # fmt: skip


def compare_results(first: str, second: str, *, tolerance: float) -> Comparison:
    """Compare what two directories ``results/<study>``, or two studies' YAML files, name.

    Parameters
    ----------
    first, second : str
    tolerance : float
        Up to which two scores are called the same.

    Raises
    ------
    StoreError, TableError, ConfigError
        One of them is not there, or is of a version that cannot be compared.
    """
    found = results_at(first), results_at(second)
    names = _names(first, second)
    sides = [_side(name, results) for name, results in zip(names, found, strict=True)]
    return compare(sides[0], sides[1], tolerance=tolerance)


def _names(first: str, second: str) -> tuple[str, str]:
    """Short names that tell the two apart: the last parts of their paths in which they differ."""
    a, b = (Path(name).with_suffix("").parts for name in (first, second))
    for depth in range(1, max(len(a), len(b)) + 1):
        if a[-depth:] != b[-depth:]:
            return "/".join(a[-depth:]), "/".join(b[-depth:])
    return "A", "B"


def _side(name: str, results: Results) -> Side:
    tables: dict[str, pl.DataFrame] = {}
    for table in ("performance", "correlations"):
        for path in results.parts(table):
            tables[table] = read_table(path)
    return Side(
        name=name,
        measurements=scan_tables(
            results.parts("measurements"), "measurements", only=MEASUREMENT_COLUMNS
        ),
        alignment=scan_tables(results.parts("alignment"), "alignment", only=_ALIGNMENT),
        tables=tables,
        about=results.about,
    )

"""Tables of the report: plain rows of text, ready for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from convergent.figures import (
    Drawing,
    interval,
    metric_label,
    number,
    p_value,
    twin_differences,
)
from convergent.statistics import Coverage

MAXIMUM_ROWS = 2000
_GIVEN = ("partial_r", "partial_r_width", "partial_r_both", "within_family_r")


@dataclass(frozen=True)
class Table:
    """A table of text; the first column names the row.

    Attributes
    ----------
    caption : str
    columns : tuple of str
    rows : sequence of tuple of str
    searchable : bool
        Whether a short table can be sorted; long ones always can, and searched.
    total : int
        Number of rows of the file, where the page shows its first ones only.
    """

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    searchable: bool = False
    total: int = 0

    @property
    def size(self) -> str:
        """Number of rows in words."""
        shown = len(self.rows)
        if self.total > shown:
            return f"first {shown:,} of {self.total:,} rows; the file has all"
        return f"{shown:,} row" + ("" if shown == 1 else "s")


def cell(value: Any) -> str:
    """One value as text: numbers rounded, nothing as a dash."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value, 3)
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def data_table(drawing: Drawing) -> Table:
    """Numbers behind a figure, cut to a length that a page can carry."""
    shown = drawing.data.head(MAXIMUM_ROWS)
    caption = f"Data behind: {drawing.title}"
    rows = [tuple(cell(value) for value in row) for row in shown.iter_rows()]
    columns = tuple(name.replace("_", " ") for name in shown.columns)
    return Table(caption, columns, rows, True, drawing.data.height)


def _limits(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else interval(low, high)


def correlation_table(correlations: pl.DataFrame) -> Table:
    """Every way in which the question was asked."""
    order = {"all": 0, "network": 1, "subject": 2}
    rows = sorted(
        correlations.iter_rows(named=True),
        key=lambda r: (r["dataset"], r["benchmark"], order.get(r["scope"], 3), r["scope_value"]),
    )
    body = [
        (
            row["dataset"],
            row["benchmark"],
            row["scope"] if row["scope"] == "all" else f"{row['scope']} {row['scope_value']}",
            row["choice"],
            "share of ceiling" if row["measure"] == "score_normalised" else "r",
            f"{row['n_models']} / {row['n_families']}",
            number(row["r"]),
            _limits(row["low"], row["high"]),
            p_value(row["p"]),
            p_value(row["q"]) if row["scope"] != "all" else "–",
            number(row["rho"]),
            *(number(row[name]) for name in _GIVEN),
            _limits(row["leave_one_family_out_low"], row["leave_one_family_out_high"]),
            _limits(row["r_low"], row["r_high"]),
            p_value(row["p_exchangeable"]),
            _limits(row["family_low"], row["family_high"]),
            row["reason"] or row["p_reason"] or "",
        )
        for row in rows
    ]
    columns = (
        *("data set", "benchmark", "regions or subject", "layer", "alignment as"),
        *("models / families", "r", "95% CI", "p", "q", "rho", "r given size", "r given width"),
        *("r given both", "r within families", "r with a family left out"),
        *("95% CI, models independent", "p, models independent", "95% CI, families resampled"),
        "note",
    )
    return Table("Performance-alignment correlation, every way it was asked", columns, body, True)


def metric_table(correlations: pl.DataFrame) -> Table:
    """The headline's question, asked of every metric."""
    rows = [
        (
            metric_label(row["metric"], row["scale"]),
            row["dataset"],
            row["benchmark"],
            row["choice"],
            "calibrated" if row["measure"] == "score_chance_corrected" else "score",
            f"{row['n_models']} / {row['n_families']}",
            number(row["r"]),
            _limits(row["low"], row["high"]),
            p_value(row["p"]),
            number(row["rho"]),
            number(row["partial_r"]),
            row["reason"] or row["p_reason"] or "",
        )
        for row in correlations.sort(
            "dataset", "benchmark", "metric", "scale", "choice", "measure"
        ).iter_rows(named=True)
    ]
    columns = (
        *("metric", "data set", "benchmark", "layer", "alignment as", "models / families", "r"),
        *("95% CI", "p", "rho", "r given size", "note"),
    )
    return Table(
        "Performance-alignment correlation by metric, over all regions", columns, rows, True
    )


def left_out_table(correlations: pl.DataFrame) -> Table:
    """Models that are in no correlation, and why."""
    rows: dict[tuple[str, ...], None] = {}
    for row in correlations.filter(pl.col("scope") == "all").iter_rows(named=True):
        for entry in (row["left_out"] or "").split("; "):
            if entry:
                model, _, why = entry.partition(": ")
                rows[(model, row["dataset"], row["benchmark"], why)] = None
    caption = "Models left out of the correlation"
    return Table(caption, ("model", "data set", "benchmark", "reason"), sorted(rows))


def model_table(tables: dict[str, pl.DataFrame]) -> Table:
    """One row per model and data set, with its scores."""
    correlations = tables["correlations"]
    wanted = correlations.select("modality", "benchmark").unique().sort("modality", "benchmark")
    benchmark = dict(wanted.iter_rows())
    averaged = tables["model_alignment"].filter(
        (pl.col("scope") == "all") & pl.col("final") & (pl.col("role") != "random")
    )
    scores = {
        (m, c, b): s
        for m, c, b, s in tables["performance"]
        .select("model", "checkpoint", "benchmark", "score")
        .iter_rows()
    }
    twins = {
        (row["dataset"], row["model"]): row["random"]
        for row in twin_differences(tables["model_alignment"]).iter_rows(named=True)
    }
    fixed = {
        (row["dataset"], row["model"], row["checkpoint"]): row["alignment"]
        for row in averaged.filter(pl.col("choice") == "fixed").iter_rows(named=True)
    }
    facts = {row["model"]: row for row in tables["models"].iter_rows(named=True)}
    best = averaged.filter(pl.col("choice") == "best").sort(
        "dataset", "alignment", "model", descending=[False, True, False], nulls_last=True
    )
    rows = []
    for row in best.iter_rows(named=True):
        fact = facts.get(row["model"], {})
        name = benchmark.get(row["modality"], "")
        rows.append(
            (
                row["model"],
                row["family"],
                row["dataset"],
                cell(fact.get("parameters") or None),
                cell(scores.get((row["model"], row["checkpoint"], name))),
                cell(row["alignment"]),
                cell(row["alignment_normalised"]),
                cell(fixed.get((row["dataset"], row["model"], row["checkpoint"]))),
                cell(twins.get((row["dataset"], row["model"]))),
                cell(fact.get("tags")),
            )
        )
    columns = (
        *("model", "family", "data set", "parameters", "performance", "alignment r"),
        *("share of ceiling", "r at fixed depth", "r of random twins", "tags"),
    )
    return Table("Models and their scores", columns, rows, True)


def region_table(profile: pl.DataFrame) -> Table:
    """Regions with the share of models whose alignment is significant there."""
    rows = [
        (
            row["region"],
            row["dataset"],
            cell(row["network"]),
            number(row["score"], 3),
            number(row["score_normalised"], 3),
            number(row["noise_ceiling"]),
            number(row["depth"]),
            "–" if row["n_significant"] is None else f"{row['n_significant']} of {row['n_models']}",
        )
        for row in profile.filter(pl.col("choice") == "best").iter_rows(named=True)
    ]
    columns = (
        *("region", "data set", "network", "mean r", "share of ceiling", "noise ceiling (r²)"),
        *("mean depth chosen", "models with q < 0.05"),
    )
    return Table("Regions: mean over final trained models", columns, rows, True)


def coverage_table(coverage: Coverage) -> Table:
    """What is missing and why; models that are complete are counted in the caption."""
    incomplete = coverage.by_model.filter(pl.col("ok") < pl.col("expected"))
    complete = coverage.by_model.height - incomplete.height
    rows = [
        (
            row["model"],
            row["dataset"],
            f"{row['ok']:,} of {row['expected']:,}",
            f"{row['failed']:,}",
            f"{row['missing']:,}",
            row["reasons"] or "not run",
        )
        for row in incomplete.iter_rows(named=True)
    ]
    caption = f"Incomplete models by data set ({complete} complete ones are not listed)"
    return Table(caption, ("model", "data set", "fits", "failed", "missing", "why"), rows)


def counted_table(coverage: Coverage) -> Table:
    """What extraction found wanting in inputs and features, of the models where it did."""
    rows = [
        (
            row["model"],
            row["dataset"],
            f"{row['stimuli']:,}",
            *(f"{row[name]:,}" for name in ("unknown", "truncated", "blank", "saturated")),
            f"{row['constant']:,} of {row['features']:,}",
            f"{row['identical']:,}",
        )
        for row in coverage.counted.iter_rows(named=True)
    ]
    columns = (
        *("model", "data set", "stimuli", "with unknown tokens", "cut to the longest input"),
        *("of one value", "saturated", "constant features", "features of another stimulus"),
    )
    return Table("Inputs and features found wanting: numbers of the worst layer", columns, rows)


def checks_table(checks: pl.DataFrame) -> Table:
    """Planted-versus-recovered checks."""
    words = {True: "pass", False: "FAIL", None: "no check"}
    rows = [
        (
            row["check"],
            row["dataset"],
            row["planted"],
            number(row["recovered"], 3),
            cell(row["n"]),
            row["criterion"],
            words[row["passed"]],
        )
        for row in checks.iter_rows(named=True)
    ]
    columns = ("check", "data set", "planted", "recovered", "n", "criterion", "outcome")
    return Table("Planted against recovered", columns, rows)

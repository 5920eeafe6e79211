"""Tables of the report: plain rows of text, ready for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from convergent.statistics import ALL_REGIONS, Coverage

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


Row = Mapping[str, Any]
NOTHING = "–"


def scores_table(scores: pl.DataFrame, primary: str) -> Table:
    """Raw, normalised and unique scores of models and controls, layers chosen on other samples.

    Regions one by one where the page can carry them, else their mean alone; the file has all.
    """
    rows = scores.filter(
        (pl.col("choice") == "best")
        & pl.col("scale").is_null()
        & (pl.col("final") | (pl.col("role") == "random"))
    )
    main = rows.filter(pl.col("metric") == primary)
    caption = "Models and controls by region, with 95 % t intervals over subjects"
    if main.height > MAXIMUM_ROWS:
        main = main.filter(pl.col("region") == ALL_REGIONS).head(MAXIMUM_ROWS)
        caption += " (regions one by one: study/scores.parquet)"
    where = ["dataset", "model", "checkpoint", "region"]
    unique = {
        tuple(row[key] for key in where): row
        for row in rows.filter(pl.col("metric") == "unique").iter_rows(named=True)
    }
    # the mean over one region is that region
    several = (pl.col("region").n_unique() > 2).over("dataset")
    main = main.filter(several | (pl.col("region") != ALL_REGIONS))
    whole = pl.col("region") != ALL_REGIONS
    order = main.sort("dataset", whole, "region", "score", descending=[False] * 3 + [True])
    body = [
        _row(row, unique.get(tuple(row[key] for key in where)), bool(unique))
        for row in order.iter_rows(named=True)
    ]
    columns = (
        *("model", "weights", "data set", "region", f"{primary}", "95% CI", "p (t test)"),
        *("share of ceiling", "95% CI"),
        *(("unique R²", "95% CI", "p (t test)", "unique share of ceiling") if unique else ()),
        *("noise ceiling (r²)", "lower, upper bound", "subjects"),
    )
    return Table(caption, *_with_values(columns, body), True)


def _with_values(
    columns: tuple[str, ...], rows: list[tuple[str, ...]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Leave out the columns in which no row says anything."""
    kept = [k for k in range(len(columns)) if not rows or any(row[k] != NOTHING for row in rows)]
    return tuple(columns[k] for k in kept), [tuple(row[k] for k in kept) for row in rows]


def _row(row: Row, unique: Row | None, wanted: bool) -> tuple[str, ...]:
    more: tuple[str, ...] = ()
    if wanted:
        more = (NOTHING,) * 4
    if wanted and unique is not None:
        more = (
            number(unique["score"], 3),
            _score_limits(unique["score_low"], unique["score_high"]),
            p_value(unique["p_subjects"]),
            number(unique["normalised"], 3),
        )
    bounds = f"{number(row['ceiling_lower'], 3)}, {number(row['ceiling_upper'], 3)}"
    return (
        row["model"],
        "control" if row["family"] == "baseline" else row["checkpoint"],
        row["dataset"],
        row["region"],
        number(row["score"], 3),
        _score_limits(row["score_low"], row["score_high"]),
        p_value(row["p_subjects"]),
        number(row["normalised"], 3),
        _score_limits(row["normalised_low"], row["normalised_high"]),
        *more,
        number(row["noise_ceiling"], 3),
        bounds if row["ceiling_lower"] is not None else NOTHING,
        cell(row["n_subjects"]),
    )


def _score_limits(low: float | None, high: float | None) -> str:
    """An interval, or nothing where there is one subject."""
    return NOTHING if low is None or high is None else interval(low, high)


# Section, name of the study's table, caption.
_CLAIMS = (
    ("performance", "mixed", "Mixed models: alignment from performance, size and width"),
    ("performance", "contamination", "With and without models trained on COCO"),
    ("training", "leads", "Lag of performance behind alignment (log10 steps)"),
    ("training", "onsets", "Onset of every training curve"),
    ("regions", "gradient", "Alignment along the axis from the senses to association"),
    ("regions", "region_tests", "Tests of regions and networks"),
    ("scale", "scale_shift", "Shift of the scale along the axis"),
    ("scale", "scale_peaks", "Scale at which alignment peaks"),
    ("scale", "depth_tests", "Early against late layers"),
    ("scale", "representation_trend", "Likeness of representations from early to late layers"),
    ("scale", "convergence_trend", "Convergence of modalities from early to late layers"),
)
_SHORT = {"n_models": "models", "n_families": "families", "n_subjects": "subjects"}


def claim_tables(tables: Mapping[str, pl.DataFrame]) -> dict[str, list[Table]]:
    """Render the claims' tables, by section; one that is absent or empty is left out.

    Parameters
    ----------
    tables : dict of str to DataFrame
    """
    found: dict[str, list[Table]] = {}
    for section, name, caption in _CLAIMS:
        if name in tables and tables[name].height:
            found.setdefault(section, []).append(claim_table(tables[name], caption))
    return found


def claim_table(table: pl.DataFrame, caption: str) -> Table:
    """Render a table: ends of intervals share a column, columns that say nothing are left out.

    Parameters
    ----------
    table : DataFrame
        Columns ``low`` and ``high``, or ``<name>_low`` and ``<name>_high``, are an interval;
        ``p``, ``q`` and those that begin with ``p_`` or ``q_`` are probabilities.
    caption : str
    """
    shown = table.head(MAXIMUM_ROWS)
    names = [name for name in shown.columns if shown[name].null_count() < shown.height]
    columns: list[tuple[str, list[str]]] = []
    for name in names:
        other = f"{name[:-3]}high"
        if name.endswith("low") and other in names:
            ends = zip(shown[name].to_list(), shown[other].to_list(), strict=True)
            words = f"{name[:-4].replace('_', ' ')} 95% CI".strip()
            columns.append((words, [_ends(low, high) for low, high in ends]))
        elif name.endswith("high") and f"{name[:-4]}low" in names:
            continue
        else:
            write = p_value if _is_probability(name) else cell
            words = _SHORT.get(name, name.replace("_", " "))
            columns.append((words, [write(value) for value in shown[name].to_list()]))
    rows = list(zip(*(values for _, values in columns), strict=True))
    return Table(caption, tuple(words for words, _ in columns), rows, True, table.height)


def _is_probability(name: str) -> bool:
    return name in ("p", "q") or (name.startswith(("p_", "q_")) and not name.endswith("reason"))


def _ends(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else interval(low, high, 3)


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

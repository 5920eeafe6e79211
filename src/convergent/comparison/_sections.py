"""A comparison as titled tables of text, for a terminal or a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from convergent.comparison._compare import Comparison
from convergent.comparison._facts import Change
from convergent.comparison._scores import EDGES


@dataclass(frozen=True)
class Section:
    """One table: its title, a note, its columns (with whether they are numbers) and rows."""

    title: str
    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[str]]
    note: str = ""


def sections(found: Comparison, *, most: int = 15) -> list[Section]:
    """Everything that differs, as tables; sections without rows are left out.

    Parameters
    ----------
    found : Comparison
    most : int
        Rows a table; the note says how many there are.
    """
    made = [
        _held(found),
        _changes("Configuration", found, found.facts.configuration, most),
        _changes("Software", found, found.facts.software, most),
        _changes("Weights (SHA-256)", found, found.facts.weights, most),
        _headline(found, most),
        _frame(found, "Performance", _moved(found.performance), most),
        _frame(found, f"Alignment ({found.primary}, shared subjects and regions)",
               _moved(found.alignment), most),
        _classes(found),
        _columns(found),
        _frame(found, "Scores by model", _moved_scores(found.scores.models), most),
        _frame(found, "Scores by metric", _moved_scores(found.scores.metrics), most),
        _frame(found, "Largest differences", found.scores.largest, most),
    ]  # fmt: skip
    return [section for section in made if section.rows]


def _held(found: Comparison) -> Section:
    facts = found.facts
    rows = []
    for what, both in facts.both.items():
        names = [
            f"{side}: {_some(only[what])}"
            for side, only in ((found.a, facts.only_a), (found.b, facts.only_b))
            if only[what]
        ]
        counts = (both, len(facts.only_a[what]), len(facts.only_b[what]))
        rows.append([what, *(f"{count:,}" for count in counts), "; ".join(names)])
    columns = [("", False), ("in both", True), (f"only {found.a}", True),
               (f"only {found.b}", True), ("which", False)]  # fmt: skip
    return Section("What they hold", columns, rows, "layers and checkpoints: of shared models")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _changes(title: str, found: Comparison, changes: Sequence[Change], most: int) -> Section:
    columns = [("", False), (found.a, False), (found.b, False)]
    return Section(title, columns, [list(c) for c in changes[:most]], _more(len(changes), most))


# Numbers that are shown side by side; the JSON has all of them.
_SHOWN = ("n_models", "r", "low", "high", "p", "rho", "partial_r")


def _headline(found: Comparison, most: int) -> Section:
    """One row a question, each number as A, B and the change."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    keys: list[str] = [
        name for name in ("dataset", "benchmark", "choice") if name in found.headline.columns
    ]
    for row in found.headline.iter_rows(named=True):
        if row.get("measure", "score") == "score" and row["number"] in _SHOWN:
            cells = rows.setdefault(tuple(str(row[key]) for key in keys), {})
            cells[row["number"]] = _from_to(row["a"], row["b"])
    names = [name for name in _SHOWN if any(name in cells for cells in rows.values())]
    columns = [*((key, False) for key in keys), *((name, False) for name in names)]
    shown = [[*key, *(cells.get(name, "") for name in names)] for key, cells in rows.items()]
    return Section("Headline (all regions)", columns, shown[:most], _more(len(shown), most))


def _from_to(a: float | None, b: float | None) -> str:
    if a == b or a is None or b is None:
        return _cell(a) if a == b else f"{_cell(a) or 'none'} → {_cell(b) or 'none'}"
    return f"{a:.4g} → {b:.4g} ({b - a:+.2g})"


def _moved(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("change").abs() > 0)


def _moved_scores(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter((pl.col("largest") > 0) | (pl.col("one_sided") > 0))


def _classes(found: Comparison) -> Section:
    scores = found.scores
    ends: list[float | None] = [*EDGES[1:], None]
    names = ["0 (equal)"]
    for low, high in zip(EDGES, ends, strict=True):
        names.append(f"{low:g} and more" if high is None else f"{low:g} to {high:g}")
    rows = [
        [name, f"{count:,}", f"{100 * count / scores.compared:.3g} %"]
        for name, count in zip(names, scores.classes.tolist(), strict=True)
        if count
    ]
    columns = [("|difference|", False), ("scores", True), ("share", True)]
    return Section("Differences of shared scores", columns, rows)


def _columns(found: Comparison) -> Section:
    rows = [
        [name, f"{n['changed']:,}", f"{n['one_sided']:,}", f"{n['largest']:.3g}"]
        for name, n in found.scores.columns.items()
        if n["largest"] > 0 or n["one_sided"]
    ]
    columns = [("column", False), (f"differ by more than {found.scores.tolerance:g}", True),
               ("on one side alone", True), ("largest", True)]  # fmt: skip
    return Section("Columns of shared measurements", columns, rows)


def _frame(found: Comparison, title: str, rows: pl.DataFrame, most: int) -> Section:
    names = {"a": found.a, "b": found.b, "difference": "change"}
    columns = [(names.get(name, name), kind.is_numeric()) for name, kind in rows.schema.items()]
    shown = [[_cell(value) for value in row] for row in rows.head(most).iter_rows()]
    return Section(title, columns, shown, _more(rows.height, most))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _more(count: int, most: int) -> str:
    return f"{most} of {count:,}" if count > most else ""

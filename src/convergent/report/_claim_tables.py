"""Tables of claims that stand in the page as they are: intervals as one column, rounded."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from convergent.figures import interval, p_value

from ._sections import MAXIMUM_ROWS, Table, cell

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

"""Do models that perform better align better? The answer in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from convergent.figures import interval, number, p_value
from convergent.report.answers import Answer, Facts, State, answers

Tables = Mapping[str, pl.DataFrame]


@answers("performance")
def performance(tables: Tables, facts: Facts) -> list[Answer]:
    """Answer once a data set and modality, of the first benchmark; the others are a sentence."""
    rows = tables["correlations"]
    main = rows.filter(
        (pl.col("scope") == "all") & (pl.col("choice") == "best") & (pl.col("measure") == "score")
    )
    return [
        _answer(group.row(0, named=True), group, tables, facts)
        for _, group in main.group_by(["dataset", "modality"], maintain_order=True)
    ]


def _answer(row: dict[str, Any], main: pl.DataFrame, tables: Tables, facts: Facts) -> Answer:
    dataset = row["dataset"] + " (simulated subjects)" * (row["dataset"] in facts.simulated)
    figure = f"performance-alignment-{row['dataset']}-{row['benchmark']}"
    if row["r"] is None:
        reason = f"{str(row['reason']).capitalize()}."
        return Answer("performance", dataset, "No correlation", "", (reason,), "", "open")
    verdict, state = _verdict(row)
    sentences = [
        _models(row, facts),
        _test(row),
        _size(row, _one(tables.get("mixed"), row)),
        _families(row),
        _contamination(_one(tables.get("contamination"), row)),
        _otherwise(row, tables["correlations"]),
        _subjects(row, tables["correlations"]),
        _benchmarks(main),
    ]
    value = f"r = {number(row['r'])}"
    if row["low"] is not None:
        value += f", 95% interval {interval(row['low'], row['high'])}"
    told = tuple(sentence for sentence in sentences if sentence)
    return Answer("performance", dataset, verdict, value, told, figure, state)


def _verdict(row: dict[str, Any]) -> tuple[str, State]:
    """Say what the interval that knows of families allows, and no more."""
    if row["low"] is None:
        return "Too few families to tell", "open"
    if row["low"] > 0:
        return "Better models align better", "yes"
    if row["high"] < 0:
        return "Better models align worse", "no"
    return "No relation that can be told from none", "open"


def _models(row: dict[str, Any], facts: Facts) -> str:
    return (
        f"{row['n_models']} {row['modality']} models of {row['n_families']} families, "
        f"{row['n_subjects']} subjects; performance: {row['benchmark']}; alignment: mean "
        f"{facts.primary} over regions above the noise-ceiling threshold, layers chosen on "
        "training data."
    )


def _test(row: dict[str, Any]) -> str:
    if row["p"] is None:
        words = f"Not tested: {row['p_reason']}."
    else:
        words = (
            f"p = {p_value(row['p'])} (two-sided; against unrelated performance and alignment that "
            f"both run in families). In r these models count as {row['n_effective']:.0f} "
            "independent ones."
        )
    return (
        f"{words} Spearman rho {number(row['rho'])}. Were all models independent, the interval "
        f"would be {interval(row['r_low'], row['r_high'])}, p = {p_value(row['p_exchangeable'])}."
    )


def _size(row: dict[str, Any], mixed: list[dict[str, Any]]) -> str:
    parts = [
        f"given {words} r = {number(row[name])}"
        for name, words in (
            ("partial_r", "log10 parameters"),
            ("partial_r_width", "log10 width"),
            ("partial_r_both", "both"),
        )
        if row[name] is not None
    ]
    text = f"{'; '.join(parts).capitalize()}." if parts else ""
    effects = [
        effect
        for effect in mixed
        if effect["term"] == "performance" and effect["estimate"] is not None
    ]
    if not effects:
        return text
    last = effects[-1]
    scale = last["standardised"] / last["estimate"]
    low, high = last["low"] * scale, last["high"] * scale
    return (
        f"{text} Mixed model ({last['model']}, {last['n_models']} models): "
        f"{number(last['standardised'])} standard deviations of alignment per standard deviation "
        f"of performance, 95% interval {interval(low, high)}, p = {p_value(last['p'])} (parametric "
        "bootstrap)."
    ).strip()


def _families(row: dict[str, Any]) -> str:
    parts = []
    if row["within_family_r"] is not None:
        parts.append(f"within families r = {number(row['within_family_r'])}")
    if row["leave_one_family_out_low"] is not None:
        between = (
            f"{number(row['leave_one_family_out_low'])} to "
            f"{number(row['leave_one_family_out_high'])}"
        )
        parts.append(
            f"with one family left out r runs from {between} (it changes most without "
            f"{row['leave_one_family_out_family']})"
        )
    return f"{'; '.join(parts)[:1].upper()}{'; '.join(parts)[1:]}." if parts else ""


def _contamination(rows: list[dict[str, Any]]) -> str:
    parts: list[str] = []
    told: set[int] = set()  # the wider tag may hold no more models
    for row in rows:
        known = row["tagged"] == "coco"
        if not row["n_tagged"] or row["r_without"] is None or row["n_tagged"] in told:
            continue
        told.add(row["n_tagged"])
        what = "trained on COCO" if known else "of which it is known or possible"
        text = f"without the {row['n_tagged']} models {what} r = {number(row['r_without'])}"
        if row["low"] is not None:
            text += (
                f" (difference {number(row['difference'])}, 95% interval "
                f"{interval(row['low'], row['high'])})"
            )
        parts.append(text)
    return f"{'; '.join(parts)[:1].upper()}{'; '.join(parts)[1:]}." if parts else ""


def _otherwise(row: dict[str, Any], rows: pl.DataFrame) -> str:
    same = rows.filter(
        (pl.col("scope") == "all")
        & pl.all_horizontal(pl.col(k) == row[k] for k in ("dataset", "modality", "benchmark"))
    )
    parts = []
    for words, choice, measure in (
        ("at a fixed relative depth", "fixed", "score"),
        ("with alignment as a share of the noise ceiling", "best", "score_normalised"),
    ):
        found = same.filter((pl.col("choice") == choice) & (pl.col("measure") == measure))
        if found.height and found["r"][0] is not None:
            ends = interval(found["low"][0], found["high"][0])
            parts.append(f"{words} r = {number(found['r'][0])} {ends}")
    return f"Asked otherwise: {'; '.join(parts)}." if parts else ""


def _subjects(row: dict[str, Any], rows: pl.DataFrame) -> str:
    mine = rows.filter(
        (pl.col("scope") == "subject")
        & pl.all_horizontal(
            pl.col(k) == row[k] for k in ("dataset", "modality", "benchmark", "choice", "measure")
        )
        & pl.col("r").is_not_null()
    )
    if mine.height < 2:
        return ""
    above = mine.filter(pl.col("low") > 0).height
    return (
        f"Subject by subject r runs from {number(mine['r'].min())} to {number(mine['r'].max())}; "  # type: ignore[arg-type]
        f"in {above} of {mine.height} its interval lies above 0."
    )


def _benchmarks(main: pl.DataFrame) -> str:
    others = [
        f"{row['benchmark']} {number(row['r'])} {interval(row['low'], row['high'])}"
        for row in main.iter_rows(named=True)
        if row["r"] is not None
    ][1:]
    return f"By other benchmarks: {'; '.join(others)}." if others else ""


def _one(table: pl.DataFrame | None, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of a table of the same question; none where the table is absent."""
    if table is None:
        return []
    keys = ("dataset", "modality", "benchmark", "choice")
    return list(
        table.filter(pl.all_horizontal(pl.col(k) == row[k] for k in keys)).iter_rows(named=True)
    )

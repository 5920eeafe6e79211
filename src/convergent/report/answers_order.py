"""Which comes first in training? The answer in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from convergent.figures import interval, number, p_value
from convergent.report.answers import Answer, Facts, State, answers

Tables = Mapping[str, pl.DataFrame]

_TOGETHER = "all"
_FIRST = {
    "alignment first": ("Alignment comes first", "yes"),
    "performance first": ("Performance comes first", "no"),
}


@answers("order")
def order(tables: Tables, facts: Facts) -> list[Answer]:
    """Answer once a data set, from the lag at half of the range of continuous measures."""
    rows = tables.get("leads", pl.DataFrame())
    if rows.is_empty():
        why = (
            "No model of this study has several checkpoints of its training with a measured "
            "performance."
        )
        return [Answer("order", "", "Not asked", "", (why,), "", "open")]
    main = rows.filter((pl.col("choice") == "best") & (pl.col("model") == _TOGETHER))
    return [
        _answer(str(dataset), part, facts)
        for (dataset,), part in main.group_by(["dataset"], maintain_order=True)
    ]


def _answer(dataset: str, rows: pl.DataFrame, facts: Facts) -> Answer:
    name = dataset + " (simulated subjects)" * (dataset in facts.simulated)
    middle = rows.filter(pl.col("share") == 0.5)
    carry = list(middle.filter(pl.col("kind") == "continuous").iter_rows(named=True))
    others = list(middle.filter(pl.col("kind") != "continuous").iter_rows(named=True))
    defined = [row for row in carry if row["lag"] is not None]
    if not defined:
        return Answer("order", name, "Cannot be told", "", _nothing(carry, others), "", "open")
    verdict, state = _verdict(defined)
    row = defined[0]
    value = f"lag {number(row['lag'])} decades, 95% interval {interval(row['low'], row['high'])}"
    sentences = [
        _what(row, facts),
        _test(row),
        *(_beside(other) for other in defined[1:]),
        _ends(rows.filter(pl.col("benchmark") == row["benchmark"])),
        *(_unclear(other) for other in carry if other["lag"] is None),
        _accuracy([other for other in others if other["lag"] is not None]),
        "Curves are compared on the scales on which they were measured: if alignment responds to "
        "the same progress along a bend, the lag tells the bend.",
    ]
    told = tuple(sentence for sentence in sentences if sentence)
    return Answer("order", name, verdict, value, told, f"leads-{dataset}-{row['benchmark']}", state)


def _verdict(rows: list[dict[str, Any]]) -> tuple[str, State]:
    """Say an order only where every continuous measure says the same."""
    said = {row["verdict"] for row in rows}
    if len(said) == 1:
        (only,) = said
        if only in _FIRST:
            words, state = _FIRST[only]
            return words, "yes" if state == "yes" else "no"
        if only == "resolution":
            return "Closer together than the checkpoints", "open"
    if said >= set(_FIRST):
        return "It depends on the measure of performance", "open"
    return "No order that can be told from moving together", "open"


def _what(row: dict[str, Any], facts: Facts) -> str:
    return (
        f"Lag of {row['benchmark']} behind alignment (mean {facts.primary}) at half of each "
        f"curve's own range, in decades of training steps: {row['n_models']} model(s), "
        f"{row['n_runs']} training run(s), at least {row['n_checkpoints']} checkpoints, "
        f"{row['n_subjects']} subjects"
        + (f", {row['resamples']} resamples of the stimuli." if row["resamples"] else ".")
        + (f" {row['n_unclear']} run(s) do not rise clearly." if row["n_unclear"] else "")
    )


def _test(row: dict[str, Any]) -> str:
    words = (
        f"p = {p_value(row['p'])} (two-sided), against simulated curves that move together with "
        f"the same noise and checkpoints, whose lags lie in "
        f"{interval(row['null_low'], row['null_high'])}"
    )
    if row["verdict"] == "resolution":
        words += f"; {1 - row['resolved']:.0%} of the runs have both onsets between the same "
        words += "two checkpoints"
    return words + "."


def _beside(row: dict[str, Any]) -> str:
    return (
        f"With {row['benchmark']}: lag {number(row['lag'])} "
        f"{interval(row['low'], row['high'])}, p = {p_value(row['p'])} ({row['verdict']}; "
        f"{row['n_runs']} run(s))."
    )


def _ends(rows: pl.DataFrame) -> str:
    parts = [
        f"{row['share']:.0%}: {number(row['lag'])} {interval(row['low'], row['high'])}, "
        f"p = {p_value(row['p'])}"
        for row in rows.filter(pl.col("share") != 0.5).iter_rows(named=True)
    ]
    return "At other shares of the range, " + "; ".join(parts) + "." if parts else ""


def _unclear(row: dict[str, Any]) -> str:
    return f"{row['benchmark']}: no onset ({row['reason']})."


def _accuracy(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    parts = [
        f"{row['benchmark']} {number(row['lag'])} {interval(row['low'], row['high'])}"
        for row in rows
    ]
    return f"Shown but not counted: {', '.join(parts)}, because {rows[0]['reason']}."


def _nothing(carry: list[dict[str, Any]], others: list[dict[str, Any]]) -> tuple[str, ...]:
    if carry:
        return tuple(_unclear(row) for row in carry)
    names = ", ".join(row["benchmark"] for row in others)
    reasons = {row["reason"] for row in others if row["reason"]}
    return (
        f"Performance is known by {names} only: {'; '.join(sorted(reasons))}. A continuous measure "
        "(loss, bits per byte) at the same checkpoints would answer.",
    )

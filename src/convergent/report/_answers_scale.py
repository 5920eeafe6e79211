"""Does representational scale, or depth, shift where models align? The answers in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from convergent.figures import (
    interval,
    number,
    p_value,
    representation_words,
    shift_words,
    trend_words,
)

from ._answers import Answer, Facts, State, answers

Tables = Mapping[str, pl.DataFrame]

_LEVEL = 0.05


@answers("scale")
def scale(tables: Tables, facts: Facts) -> list[Answer]:
    """Answer of scale, of depth, and of convergence, each once a data set or pair."""
    found = []
    shifts = tables.get("scale_shift", pl.DataFrame())
    if not shifts.is_empty():
        mean = shifts.filter(pl.col("level") == "mean")
        for _, rows in mean.group_by(["dataset", "modality", "metric"], maintain_order=True):
            found.append(_shift(rows, shifts, tables, facts))
    tests = tables.get("depth_tests", pl.DataFrame())
    if not tests.is_empty():
        for _, rows in tests.group_by(["dataset", "modality"], maintain_order=True):
            found.append(_depth(rows, facts))
    trends = tables.get("convergence_trend", pl.DataFrame())
    if not trends.is_empty():
        for _, rows in trends.group_by(["dataset", "other_dataset"], maintain_order=True):
            found.append(_convergence(rows, facts))
    alike = tables.get("representation_trend", pl.DataFrame())
    found += [_representations(row, facts) for row in alike.iter_rows(named=True)]
    if found:
        return found
    why = "No metric of this study has a scale, and no model several layers."
    return [Answer("scale", "", "Not asked", "", (why,), "", "open")]


def _shift(rows: pl.DataFrame, shifts: pl.DataFrame, tables: Tables, facts: Facts) -> Answer:
    row = rows.row(0, named=True)
    verdict, state = shift_verdict(list(rows.iter_rows(named=True)))
    value = ""
    if row["slope"] is not None:
        value = f"{number(row['slope'])} octaves of bandwidth along the axis"
        if row["low"] is not None:
            value += f", 95% interval {interval(row['low'], row['high'])}"
    people = shifts.filter(
        pl.all_horizontal(pl.col(k) == row[k] for k in ("dataset", "modality", "metric"))
        & (pl.col("level") == "subject")
        & (pl.col("given") == "")
    ).drop_nulls("slope")
    sentences = [
        f"{row['n_models']} {row['modality']} models of {row['n_families']} families, "
        f"{row['n_subjects']} subjects, {row['n_regions']} regions, {row['n_scales']} bandwidths "
        f"of {row['metric']}.",
        *(f"{_capital(shift_words(one))}." for one in rows.iter_rows(named=True)),
        _subjects(people),
        _peaks(tables.get("scale_peaks", pl.DataFrame()), row),
        "Noise moves the curve too: a shift counts only if it is there over families, against "
        "rotations of the axis, and given the noise ceiling where that is known.",
    ]
    return Answer(
        "scale",
        _name(f"{row['dataset']}, scale", {row["dataset"]}, facts),
        verdict,
        value,
        tuple(sentence for sentence in sentences if sentence),
        f"scale-peaks-{row['dataset']}-{row['metric']}",
        state,
    )


def shift_verdict(rows: list[dict[str, Any]]) -> tuple[str, State]:
    """Say whether the scale shifts, from the rows with nothing and with the ceiling given.

    Every test must agree: over families, over places, and given the noise ceiling.
    """
    first = rows[0]
    if first["p"] is None:
        return "Too little to tell a shift of scale", "open"
    if first["n_above"] == 0:
        return "No region above chance whose scale could shift", "open"
    if any(row["p_spin"] is None for row in rows):
        return "No spatial null, so that no shift can be claimed", "open"
    agree = all(row["p"] < _LEVEL and row["p_spin"] < _LEVEL for row in rows)
    signs = {row["slope"] > 0 for row in rows if row["slope"] is not None}
    if not agree or len(signs) != 1 or any(row["slope"] is None for row in rows):
        return "No shift of scale along the axis that can be told from none", "open"
    if signs == {True}:
        return "Association cortex aligns at larger scales", "yes"
    return "Association cortex aligns at smaller scales", "no"


def _subjects(people: pl.DataFrame) -> str:
    if people.is_empty():
        return ""
    slopes = [
        f"{member} {number(slope)}"
        for member, slope in people.select("member", "slope").iter_rows()
    ]
    return f"By subject: {', '.join(slopes)}."


def _peaks(peaks: pl.DataFrame, row: dict[str, Any]) -> str:
    if peaks.is_empty():
        return ""
    mine = peaks.filter(
        pl.all_horizontal(pl.col(k) == row[k] for k in ("dataset", "modality", "metric"))
        & (pl.col("kind") == "region")
    )
    states = dict(mine.group_by("state").len().sort("state").iter_rows())
    words = {
        "peak": "peak inside the sweep",
        "edge": "are highest at an end of it",
        "flat": "are flat",
        "no alignment": "are not above chance",
        "untested": "have too few families or permutations to tell",
    }
    parts = [f"{count} {words[state]}" for state, count in states.items()]
    return f"Of {mine.height} regions {', '.join(parts)}." if parts else ""


def _depth(rows: pl.DataFrame, facts: Facts) -> Answer:
    row = rows.filter(pl.col("kind") == "all").row(0, named=True)
    regions = rows.filter(pl.col("kind") == "region")
    verdict, state = _trend_verdict(
        row,
        untold="Too few families to compare depths",
        none="No difference between early and late layers beyond families",
        more="Late layers align better than early ones",
        less="Early layers align better than late ones",
    )
    value = _late_less_early(row, 3)
    later, earlier = (
        regions.filter((pl.col("q") < _LEVEL) & (pl.col("difference") * sign > 0)).height
        for sign in (1, -1)
    )
    best = f"The mean over families is highest at depth {number(row['best_depth'])}"
    if row["best_low"] is not None:
        best += f", 95 % interval {interval(row['best_low'], row['best_high'])}"
    sentences = [
        f"{row['n_models']} {row['modality']} models of {row['n_families']} families with several "
        f"layers, {row['n_subjects']} subjects, {row['n_regions']} regions; "
        + (
            f"t test over families p = {p_value(row['p'])}." if row["p"] is not None else "no test."
        ),
        f"{best}.",
        f"Of {regions.height} regions {later} are aligned better by late layers and {earlier} by "
        "early ones (false discovery rate 5 %).",
    ]
    return Answer(
        "scale",
        _name(f"{row['dataset']}, depth of {row['modality']} models", {row["dataset"]}, facts),
        verdict,
        value,
        tuple(sentences),
        f"depth-{row['dataset']}-{row['modality']}",
        state,
    )


def _representations(row: dict[str, Any], facts: Facts) -> Answer:
    verdict, state = _trend_verdict(
        row,
        untold="Whether representations become alike with depth cannot be told",
        none="Representations of late layers are not more alike beyond families",
        more="Late layers represent the same stimuli more alike",
        less="Late layers represent the same stimuli less alike",
    )
    value = f"CKA, {_late_less_early(row, 3)}"
    pair = {row["dataset"], row["other_dataset"]}
    sentences = (
        f"{row['n_models']} vision models ({row['n_families']} families) and "
        f"{row['other_n_models']} language models ({row['other_n_families']} families), the same "
        f"{row['n_items']} stimuli, layers at equal relative depth.",
        f"Unbiased linear CKA less its null: {representation_words(row)}.",
        "Intervals: jackknife over families of both modalities, for these stimuli.",
    )
    name = f"{row['dataset']} and {row['other_dataset']}, representations"
    return Answer(
        "scale",
        _name(name, pair, facts),
        verdict,
        value,
        sentences,
        f"representations-{row['dataset']}-{row['other_dataset']}",
        state,
    )


def _convergence(rows: pl.DataFrame, facts: Facts) -> Answer:
    measures = rows["measure"].unique().to_list()
    measure = "score_normalised" if "score_normalised" in measures else "score"
    mine = rows.filter(pl.col("measure") == measure)
    row = mine.filter(pl.col("statistic") == "corrected r").row(0, named=True)
    verdict, state = _trend_verdict(
        row,
        untold="Whether modalities converge with depth cannot be told",
        none="No convergence with depth that can be told from none",
        more="Modalities' region profiles converge with depth",
        less="Modalities' region profiles diverge with depth",
    )
    value = "" if row["difference"] is None else _late_less_early(row, 2)
    pair = {row["dataset"], row["other_dataset"]}
    told = "; ".join(trend_words(one) for one in mine.iter_rows(named=True))
    sentences = [
        f"Correlation over {row['n_regions']} regions of {row['n_models']} {row['modality']} "
        f"models ({row['n_families']} families) and {row['other_n_models']} "
        f"{row['other_modality']} models ({row['other_n_families']} families) at equal relative "
        "depth" + (", of alignment as a share of its ceiling." if measure != "score" else "."),
        f"Late against early layers: {told}.",
        "Intervals: jackknife over families of both modalities; regions are taken as they are. "
        "Profiles are compared here, not the representations of the same stimuli.",
    ]
    return Answer(
        "scale",
        _name(f"{row['dataset']} and {row['other_dataset']}, convergence", pair, facts),
        verdict,
        value,
        tuple(sentences),
        f"convergence-{row['dataset']}-{row['other_dataset']}",
        state,
    )


def _trend_verdict(
    row: dict[str, Any], *, untold: str, none: str, more: str, less: str
) -> tuple[str, State]:
    """Choose the words for late against early layers, by the test and the sign."""
    if row["p"] is None:
        return untold, "open"
    if row["p"] >= _LEVEL:
        return none, "open"
    return (more, "yes") if row["difference"] > 0 else (less, "no")


def _late_less_early(row: dict[str, Any], digits: int) -> str:
    value = f"late less early {number(row['difference'], digits)}"
    if row["low"] is not None:
        value += f", 95% interval {interval(row['low'], row['high'], digits)}"
    return value


def _name(words: str, datasets: set[str], facts: Facts) -> str:
    return words + " (simulated subjects)" * bool(datasets & facts.simulated)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]

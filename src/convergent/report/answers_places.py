"""Where in the brain do models align? The answer in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from convergent.figures import (
    gradient_words,
    interval,
    number,
    p_value,
    representation_words,
    shift_words,
    trend_words,
)
from convergent.report.answers import Answer, Facts, State, answers

Tables = Mapping[str, pl.DataFrame]

_LEVEL = 0.05


@answers("regions")
def regions(tables: Tables, facts: Facts) -> list[Answer]:
    """Answer once a data set and modality, and once a pair of modalities on one atlas."""
    tests = tables.get("region_tests", pl.DataFrame())
    if tests.is_empty():
        why = "No final trained model has an alignment with any region."
        return [Answer("regions", "", "Not asked", "", (why,), "", "open")]
    best = tests.filter(pl.col("choice") == "best")
    found = []
    chance = best.filter(pl.col("question") == "chance")
    for (dataset, modality), rows in chance.group_by(["dataset", "modality"], maintain_order=True):
        found.append(_where(str(dataset), str(modality), rows, best, tables, facts))
    pairs = best.filter(pl.col("question") == "modality")
    for _, rows in pairs.group_by(["dataset", "other_dataset"], maintain_order=True):
        found.append(_between(rows, facts))
    return found


def _where(
    dataset: str,
    modality: str,
    rows: pl.DataFrame,
    tests: pl.DataFrame,
    tables: Tables,
    facts: Facts,
) -> Answer:
    name = f"{dataset}, {modality}" + " (simulated subjects)" * (dataset in facts.simulated)
    mine = (pl.col("dataset") == dataset) & (pl.col("modality") == modality)
    about = rows.row(0, named=True)
    above = rows.filter(pl.col("p_fwe") < _LEVEL)
    verdict, state = _verdict(rows, above)
    value = f"{above.height} of {rows.height} regions above chance" if state != "open" else ""
    networks = tests.filter(
        mine & (pl.col("question") == "network") & (pl.col("measure") == "score")
    )
    gradients = tables.get("gradient", pl.DataFrame())
    lines, both = [], ""
    if not gradients.is_empty():
        mean = gradients.filter(mine & (pl.col("choice") == "best") & (pl.col("level") == "mean"))
        lines = [gradient_words(row) for row in mean.iter_rows(named=True)]
        both = _both(list(mean.iter_rows(named=True)))
    sentences = (
        f"{about['n_models']} models of {about['n_families']} families, {about['n_subjects']} "
        f"subjects; {facts.primary}, layers chosen on other samples.",
        _chance(rows, above),
        _networks(networks),
        f"Along the axis from primary to association cortex: {'; '.join(lines)}." if lines else "",
        both,
        "Intervals over families hold for these people and stimuli.",
    )
    return Answer(
        "regions",
        name,
        verdict,
        value,
        tuple(sentence for sentence in sentences if sentence),
        f"gradient-{dataset}-{modality}" if rows["axis_position"].is_not_null().any() else "",
        state,
    )


def _verdict(rows: pl.DataFrame, above: pl.DataFrame) -> tuple[str, State]:
    if rows["reason"].is_not_null().any():
        return "Cannot be told from chance here", "open"
    if above.is_empty():
        return "In no region that can be told from chance", "open"
    top = above.sort("effect", descending=True)["place"].to_list()
    return f"Most in {_names(top)}", "yes"


def _chance(rows: pl.DataFrame, above: pl.DataFrame) -> str:
    reason = rows["reason"][0]
    if reason is not None:
        return f"No region is tested against chance: {reason}."
    found = rows.filter(pl.col("q") < _LEVEL).height
    return (
        f"In the typical model (twice the median p, families weighed alike) {above.height} of "
        f"{rows.height} regions pass the largest of each permutation of the stimuli, {found} the "
        "false discovery rate, both at 5 %."
    )


def _both(rows: list[dict[str, Any]]) -> str:
    """Say which gradients pass the spin test and have an interval on one side of 0."""
    words = {"score": "alignment", "score_normalised": "its share of the ceiling"}
    parts = [
        f"{words.get(row['measure'], 'the depth of the layer chosen')} "
        f"{'rises' if row['rho'] > 0 else 'falls'} towards association cortex"
        for row in rows
        if row["p_spin"] is not None
        and row["p_spin"] < _LEVEL
        and row["rho_low"] is not None
        and row["rho_low"] * row["rho_high"] > 0
    ]
    if not parts:
        return "No gradient passes both the spin test and the interval over families."
    text = "; ".join(parts)
    return f"By both spin test and interval: {text}."


def _networks(rows: pl.DataFrame) -> str:
    if rows.is_empty():
        return ""
    tested = rows.drop_nulls("p")
    if tested.is_empty():
        return "Networks are not tested: fewer than 3 families."
    sure = tested.filter((pl.col("p_fwe") < _LEVEL) & ~(pl.col("p_spin") >= _LEVEL))
    if sure.is_empty():
        return (
            "No network stands out from the rest of cortex by both tests, over families (Holm) "
            "and against rotations of the network."
        )
    parts = [
        f"{row['place']} lies {number(abs(row['effect']), 3)} "
        f"{'above' if row['effect'] > 0 else 'below'} the other regions, 95 % interval "
        f"{interval(row['low'], row['high'], 3)}"
        for row in sure.sort("effect", descending=True).iter_rows(named=True)
    ]
    return f"{'; '.join(parts)} (over families, Holm; against rotations of the network too)."


def _between(rows: pl.DataFrame, facts: Facts) -> Answer:
    measures = rows["measure"].unique().to_list()
    measure = "score_normalised" if "score_normalised" in measures else "score"
    mine = rows.filter(pl.col("measure") == measure)
    about = mine.row(0, named=True)
    pair = f"{about['dataset']}, {about['other_dataset']}"
    simulated = {about["dataset"], about["other_dataset"]} & facts.simulated
    name = pair + " (simulated subjects)" * bool(simulated)
    verdict, state = _differ(mine)
    ceiling = "as a share of the ceiling, " if measure == "score_normalised" else ""
    sentences = [
        f"{about['n_models']} {about['modality']} models ({about['n_families']} families) and "
        f"{about['other_n_models']} {about['other_modality']} models "
        f"({about['other_n_families']} families) over {about['n_regions']} regions that both have; "
        f"each model's profile {ceiling}standardised over regions.",
        "Families are dealt anew to the two modalities; the largest t of each deal corrects for "
        "the number of regions or networks. With few families few deals exist, and no p can be "
        "small.",
        *(_list(mine, kind, about) for kind in ("network", "region")),
        "Data sets differ in people and stimuli as well as in modality."
        if about["dataset"] != about["other_dataset"]
        else "",
    ]
    return Answer(
        "regions",
        name,
        verdict,
        "",
        tuple(sentence for sentence in sentences if sentence),
        f"networks-{about['dataset']}-{about['modality']}",
        state,
    )


def _differ(rows: pl.DataFrame) -> tuple[str, State]:
    if rows["p"].null_count() == rows.height:
        return "Too few families to compare modalities", "open"
    if rows.filter(pl.col("p_fwe") < _LEVEL).is_empty():
        return "No difference between modalities that can be told from none", "open"
    return "Modalities align in different places", "yes"


def _list(rows: pl.DataFrame, kind: str, about: dict[str, Any]) -> str:
    sure = rows.filter((pl.col("kind") == kind) & (pl.col("p_fwe") < _LEVEL))
    parts = []
    for word, part in (
        (about["modality"], sure.filter(pl.col("effect") > 0).sort("effect", descending=True)),
        (about["other_modality"], sure.filter(pl.col("effect") < 0).sort("effect")),
    ):
        if part.height:
            parts.append(f"relatively more in {word} models: {_names(part['place'].to_list())}")
    return f"{kind.capitalize()}s: {'; '.join(parts)}." if parts else ""


def _names(places: list[str], shown: int = 5) -> str:
    rest = len(places) - shown
    return ", ".join(places[:shown]) + (f" and {rest} more" if rest > 0 else "")


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

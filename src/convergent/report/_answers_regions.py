"""Where in the brain do models align? The answer in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from convergent.figures import gradient_words, interval, number

from ._answers import Answer, Facts, State, answers

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

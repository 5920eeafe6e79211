"""The study's answer in words, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from convergent.figures import interval, number, p_value


@dataclass(frozen=True)
class Headline:
    """One answer: data set, verdict, the number, and sentences that qualify it."""

    dataset: str
    verdict: str
    value: str
    sentences: tuple[str, ...]


def headlines(correlations: pl.DataFrame, simulated: frozenset[str]) -> list[Headline]:
    """Turn the headline rows of the correlation table into words.

    Parameters
    ----------
    correlations : DataFrame
        From `convergent.statistics.performance_alignment`.
    simulated : frozenset of str
        Data sets whose subjects are simulated.

    Returns
    -------
    list of Headline
        One per (dataset, modality, benchmark).
    """
    rows = correlations.filter(
        (pl.col("scope") == "all") & (pl.col("choice") == "best") & (pl.col("measure") == "score")
    )
    return [_headline(row, correlations, simulated) for row in rows.iter_rows(named=True)]


def verdict(row: dict[str, Any]) -> str:
    """Say what the interval allows, and no more.

    The family interval decides where there is one, because models of a family are not
    independent; else Fisher's.
    """
    low, high = row["family_low"], row["family_high"]
    if low is None or high is None:
        low, high = row["r_low"], row["r_high"]
    if low is None or high is None:
        return "Too few models for an interval"
    if low > 0:
        return "Better models align better"
    if high < 0:
        return "Better models align worse"
    if row["r_low"] is not None and row["r_low"] * row["r_high"] > 0:
        return "Models are related, but these families do not settle it"
    return "No relation that can be told from none"


def _headline(
    row: dict[str, Any], correlations: pl.DataFrame, simulated: frozenset[str]
) -> Headline:
    name = row["dataset"] + (" (simulated subjects)" if row["dataset"] in simulated else "")
    if row["r"] is None:
        return Headline(name, "No headline", "", (f"{str(row['reason']).capitalize()}.",))
    models = (
        f"{row['n_models']} {row['modality']} models of {row['n_families']} families, "
        f"{row['n_subjects']} subjects, performance measured by {row['benchmark']}."
    )
    family = (
        f"{interval(row['family_low'], row['family_high'])} when whole families are resampled"
        if row["family_low"] is not None
        else "too few families to resample them"
    )
    test = (
        f"95% interval {interval(row['r_low'], row['r_high'])} if models were independent, "
        f"{family}; Spearman rho {number(row['rho'])}; "
        f"permutation p = {p_value(row['p'])} (two-sided)."
    )
    return Headline(
        name,
        verdict(row),
        f"r = {number(row['r'])}",
        (models, test, *_checks(row, correlations)),
    )


def _checks(row: dict[str, Any], correlations: pl.DataFrame) -> list[str]:
    """Other ways to ask the same question, so that one choice does not carry the answer."""
    same = correlations.filter(
        pl.all_horizontal(pl.col(k) == row[k] for k in ("dataset", "modality", "benchmark"))
    )
    everything = same.filter(pl.col("scope") == "all")
    fixed = _one(everything, choice="fixed", measure="score")
    normalised = _one(everything, choice="best", measure="score_normalised")
    parts = [
        f"at a fixed relative depth r = {number(fixed)}",
        f"with alignment as a share of the noise ceiling r = {number(normalised)}",
        f"given log10 parameters r = {number(row['partial_r'])}",
        f"within families r = {number(row['within_family_r'])}",
    ]
    subjects = same.filter(
        (pl.col("scope") == "subject")
        & (pl.col("choice") == "best")
        & (pl.col("measure") == "score")
    )["r"].drop_nulls()
    sentences = ["Asked otherwise: " + "; ".join(parts) + "."]
    if len(subjects) > 1:
        values = subjects.to_list()
        sentences.append(
            f"Subject by subject r runs from {number(min(values))} to {number(max(values))}."
        )
    return sentences


def _one(rows: pl.DataFrame, *, choice: str, measure: str) -> float | None:
    found = rows.filter((pl.col("choice") == choice) & (pl.col("measure") == measure))["r"]
    return found[0] if len(found) else None

"""The verdict in one line."""

from __future__ import annotations

import polars as pl

from convergent.comparison._compare import Comparison


def verdict(found: Comparison) -> str:
    """Say in one line whether the two are the same, and what is not."""
    scores = found.scores
    if not scores.shared:
        return f"nothing to compare: no measurement is in both {found.a} and {found.b}"
    parts = [_scores(found), *_held(found), *_claims(found)]
    facts = found.facts
    if facts.weights:
        parts.append(f"weights of {_count(len(facts.weights), 'checkpoint')} differ")
    if facts.configuration:
        parts.append(f"{_count(len(facts.configuration), 'configuration key')} differ")
    if facts.software:
        parts.append(f"{_count(len(facts.software), 'version')} of software differ")
    return "; ".join(parts)


def _scores(found: Comparison) -> str:
    scores = found.scores
    size = f"{scores.tolerance:g}"
    everything = not (scores.only_a or scores.only_b)
    if scores.same:
        if everything:
            models = _count(scores.models.height, "model")
            return f"identical within {size}: all {scores.shared:,} measurements of {models}"
        return f"the {scores.shared:,} shared measurements are identical within {size}"
    changed = scores.models.filter(
        (scores.models["changed"] > 0) | (scores.models["one_sided"] > 0)
    )
    text = f"{changed.height} of {_count(scores.models.height, 'model')} changed"
    if scores.changed:
        text += (
            f": {scores.changed:,} of {scores.compared:,} shared scores differ by more than "
            f"{size}, the largest by {scores.greatest:.3g}"
        )
    if scores.one_sided:
        text += f"; {_count(scores.one_sided, 'shared measurement')} have a score on one side alone"
    return text


def _claims(found: Comparison) -> list[str]:
    """Performance and headline: they may move while every measurement stays."""
    size = found.scores.tolerance
    moved = found.performance.filter(pl.col("change").abs() > size)
    texts = [f"{_count(moved.height, 'performance score')} changed"] if moved.height else []
    r = found.headline.filter(pl.col("number") == "r")["change"].abs().drop_nulls()
    largest = float(r.max() or 0.0) if len(r) else 0.0  # type: ignore[arg-type]
    if largest > size:
        texts.append(f"headline r changed by up to {largest:.3g}")
    return texts


def _held(found: Comparison) -> list[str]:
    texts = []
    for name, held in ((found.a, found.facts.only_a), (found.b, found.facts.only_b)):
        some = [f"{len(names)} {what}" for what, names in held.items() if names]
        if some:
            texts.append(f"only in {name}: {', '.join(some)}")
    scores = found.scores
    if not texts and (scores.only_a or scores.only_b):
        texts.append(
            f"{scores.only_a:,} measurements only in {found.a}, {scores.only_b:,} only in {found.b}"
        )
    return texts


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")

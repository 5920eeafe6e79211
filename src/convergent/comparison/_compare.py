"""The comparison as a whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from convergent.comparison._facts import Facts, facts_of
from convergent.comparison._models import (
    alignment_changes,
    headline_changes,
    performance_changes,
    primary_of,
)
from convergent.comparison._scores import EDGES, ScoreChanges, score_changes
from convergent.comparison._side import Side


@dataclass(frozen=True)
class Comparison:
    """Two results side by side; every change is the second less the first.

    Attributes
    ----------
    a, b : str
        What the sides are called.
    primary : str
        The metric of ``alignment``.
    facts : Facts
    scores : ScoreChanges
    alignment, performance, headline : DataFrame
        With the columns a, b and change.
    """

    a: str
    b: str
    primary: str
    facts: Facts
    scores: ScoreChanges
    alignment: pl.DataFrame
    performance: pl.DataFrame
    headline: pl.DataFrame

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        scores = self.scores
        plain = ("tolerance", "shared", "only_a", "only_b", "compared", "one_sided", "changed",
                 "columns")  # fmt: skip
        classes = [{"from": 0.0, "to": 0.0, "count": int(scores.classes[0])}]
        ends = [*EDGES[1:], None]
        for low, high, count in zip(EDGES, ends, scores.classes[1:], strict=True):
            classes.append({"from": low, "to": high, "count": int(count)})  # type: ignore[dict-item]
        facts = asdict(self.facts)
        for name in ("configuration", "software", "weights"):
            facts[name] = [change._asdict() for change in getattr(self.facts, name)]
        return {
            "a": self.a,
            "b": self.b,
            "primary": self.primary,
            "facts": facts,
            "scores": {
                **{name: getattr(scores, name) for name in plain},
                "classes": classes,
                **{name: getattr(scores, name).to_dicts()
                   for name in ("models", "metrics", "largest")},
            },
            **{name: getattr(self, name).to_dicts()
               for name in ("alignment", "performance", "headline")},
        }  # fmt: skip


def compare(a: Side, b: Side, *, tolerance: float = 1e-6) -> Comparison:
    """Set two results side by side.

    Parameters
    ----------
    a, b : Side
    tolerance : float
        Up to which two scores are called the same.

    Returns
    -------
    Comparison
    """
    primary = primary_of(a, b)
    return Comparison(
        a=a.name,
        b=b.name,
        primary=primary,
        facts=facts_of(a, b),
        scores=score_changes(a, b, tolerance=tolerance),
        alignment=alignment_changes(a, b, primary),
        performance=performance_changes(a, b),
        headline=headline_changes(a, b),
    )

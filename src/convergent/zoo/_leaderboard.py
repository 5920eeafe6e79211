"""The Open LLM Leaderboard v2: scores of language models and the commits they are of."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from convergent.errors import DataError

SOURCE = "Open LLM Leaderboard v2"
# Column of the file: benchmark of the table.
_BENCHMARKS = {
    "average": "open_llm_average",
    "ifeval": "ifeval",
    "bbh": "bbh",
    "math_lvl5": "math_lvl5",
    "gpqa": "gpqa",
    "musr": "musr",
    "mmlu_pro": "mmlu_pro",
}
_COLUMNS = ("model", "revision", "precision", "flagged", "submission_date", *_BENCHMARKS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One evaluation.

    Attributes
    ----------
    name : str
        Hub id at that time.
    revision : str
        Commit that was evaluated; empty where the file has none.
    precision : str
    submitted : str
        Date, ISO 8601.
    scores : dict of str to float
        Average and its six parts, 0 to 100, by benchmark.
    """

    name: str
    revision: str
    precision: str
    submitted: str
    scores: dict[str, float]

    @property
    def source(self) -> str:
        """For the column of that name."""
        commit = self.revision[:7] or "unknown commit"
        return f"{SOURCE}, {self.name} at {commit}, {self.precision}"


def read_leaderboard(path: Path) -> dict[str, list[Entry]]:
    """Read evaluations by model name, without those that the leaderboard flagged.

    Raises
    ------
    DataError
        The file is missing, or lacks a column, or a score is none.
    """
    import polars as pl

    if not path.is_file():
        raise DataError(
            "no such file", where=str(path), fix="give the folder of the published figures"
        )
    table = pl.read_parquet(path)
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"no column '{missing[0]}'", where=str(path))
    found: dict[str, list[Entry]] = {}
    for row in table.select(_COLUMNS).iter_rows(named=True):
        if row["flagged"]:
            continue
        scores = {name: float(row[column]) for column, name in _BENCHMARKS.items()}
        if not all(math.isfinite(score) and 0 <= score <= 100 for score in scores.values()):
            raise DataError(f"'{row['model']}' has a score outside 0 to 100", where=str(path))
        commit = row["revision"] or ""
        entry = Entry(
            name=row["model"],
            revision=commit if re.fullmatch(r"[0-9a-f]{40}", commit) else "",
            precision=row["precision"],
            submitted=row["submission_date"] or "",
            scores=scores,
        )
        found.setdefault(entry.name, []).append(entry)
    return found


def chosen(entries: list[Entry]) -> Entry | None:
    """Evaluation that stands for a model that was evaluated several times.

    One of a known commit before the others, bfloat16 before other precisions, then the newest.
    """
    order = sorted(
        entries,
        key=lambda entry: (
            bool(entry.revision),
            entry.precision == "bfloat16",
            entry.submitted,
            entry.name,
        ),
    )
    return order[-1] if order else None

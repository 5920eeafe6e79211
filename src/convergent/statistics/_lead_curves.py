"""From tidy tables to training curves, one pair a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ._lead_pair import Pair
from ._onset import Curve
from ._onset_measures import rises

Array = NDArray[np.float64]

RESAMPLED_COLUMNS = (
    "dataset", "model", "checkpoint", "subject", "choice", "resample", "alignment",
)  # fmt: skip
_SEED = re.compile(r"(?:^|[-_.])seed[-_]?(\d+)(?=$|[-_.])", re.IGNORECASE)
_DRAWS = 500


class Run(NamedTuple):
    """One training run: a model, and the seed that tells it from others of the same name."""

    model: str
    seed: str


def run_of(model: str, checkpoint: str) -> Run:
    """Tell runs apart that differ by their seed only, by ``seed<number>`` in a name.

    Parameters
    ----------
    model, checkpoint : str
        ``pythia-160m-seed3`` is run 3 of ``pythia-160m``; so is checkpoint ``step512-seed3`` of it.
    """
    for text in (model, checkpoint):
        found = _SEED.search(text)
        if found:
            return Run(_SEED.sub("", model), found.group(1))
    return Run(model, "")


class Subjects:
    """What resampling subjects and stimuli adds to the alignment of one data set.

    Draw number d takes the same subjects and the same resample of the stimuli for every model and
    checkpoint, so that what these share stays shared.

    Parameters
    ----------
    subjects : DataFrame
        model, checkpoint, choice, subject, alignment.
    resampled : DataFrame
        The same with ``resample``; empty where stimuli were not resampled.
    seed : int
    """

    def __init__(self, subjects: pl.DataFrame, resampled: pl.DataFrame, seed: int) -> None:
        self.names = sorted(subjects["subject"].unique().to_list())
        self.resamples = resampled["resample"].n_unique() if len(resampled) else 0
        keys = ("model", "checkpoint", "choice")
        self._means = _lookup(subjects, keys, self.names)
        self._resampled = {
            key: part.sort("resample").select(self.names).to_numpy()
            for key, part in _wide(resampled, (*keys, "resample"), self.names).group_by(keys)
        }
        rng = np.random.default_rng(seed)
        n = len(self.names)
        self._picked = rng.integers(n, size=(_DRAWS, n))
        self._resample = rng.integers(max(self.resamples, 1), size=_DRAWS)

    def deviations(self, model: str, checkpoints: list[str], choice: str) -> Array | None:
        """Deviations of the mean over subjects, (draw, checkpoint); None where nothing is known."""
        n = len(self.names)
        means = [self._means.get((model, name, choice)) for name in checkpoints]
        if any(m is None or np.isnan(m).any() for m in means):
            return None
        table = np.stack([m for m in means if m is not None])
        weight = np.stack([np.bincount(one, minlength=n) for one in self._picked]) / n
        found = np.zeros((_DRAWS, len(checkpoints)))
        known = False
        if n > 1:
            # n subjects drawn from n vary too little, by (n - 1) / n
            found += (weight - 1 / n) @ table.T * np.sqrt(n / (n - 1))
            known = True
        parts = [self._resampled.get((model, name, choice)) for name in checkpoints]
        if all(p is not None and p.shape == (self.resamples, n) for p in parts) and parts:
            stacked = np.stack([p for p in parts if p is not None])
            stacked = stacked - stacked.mean(axis=1, keepdims=True)
            found += np.einsum("ds,kds->dk", weight, stacked[:, self._resample])
            known = True
        return found if known and np.isfinite(found).all() else None


def pairs_of(rows: pl.DataFrame, subjects: Subjects) -> Iterator[tuple[Run, Pair]]:
    """Pair up the curves of each run over the steps that both were measured at or between.

    Parameters
    ----------
    rows : DataFrame
        Trajectories of one data set, choice and benchmark.
    subjects : Subjects
    """
    benchmark, choice = str(rows["benchmark"][0]), str(rows["choice"][0])
    sign = 1.0 if rises(benchmark) else -1.0
    for run, part in runs_of(rows):
        scored = part.filter(pl.col("performance").is_not_null())
        low, high = _bounds(part, scored)
        inside = pl.col("position").is_between(low, high)
        mine, theirs = part.filter(inside), scored.filter(inside)
        alignment = alignment_curve(mine, subjects, choice)
        at, score = _averaged(theirs, "performance")
        pair = Pair(
            f"{run.model} {run.seed}".strip(), alignment, Curve.of(at, sign * score), run.model
        )
        yield run, pair


def runs_of(rows: pl.DataFrame) -> Iterator[tuple[Run, pl.DataFrame]]:
    """Split rows by training run."""
    named = [run_of(*names) for names in rows.select("model", "checkpoint").iter_rows()]
    marked = rows.with_columns(
        run_model=pl.Series([run.model for run in named], dtype=pl.String),
        run_seed=pl.Series([run.seed for run in named], dtype=pl.String),
    )
    for (model, seed), part in marked.group_by(["run_model", "run_seed"], maintain_order=True):
        yield Run(str(model), str(seed)), part.sort("position", "checkpoint")


def alignment_curve(rows: pl.DataFrame, subjects: Subjects, choice: str) -> Curve:
    """Make the alignment curve of one run; checkpoints at one step are averaged."""
    at, value = _averaged(rows, "alignment")
    unique = rows.filter(pl.col("alignment").is_not_null()).unique("position").sort("position")
    deviations = None
    if len(unique) == len(rows) and rows["model"].n_unique() == 1:
        model = str(rows["model"][0])
        deviations = subjects.deviations(model, unique["checkpoint"].to_list(), choice)
    return Curve.of(at, value, deviations)


def _averaged(rows: pl.DataFrame, column: str) -> tuple[Array, Array]:
    mean = (
        rows.filter(pl.col(column).is_not_null())
        .group_by("position")
        .agg(pl.col(column).mean())
        .sort("position")
    )
    return mean["position"].to_numpy(), mean[column].to_numpy()


def _bounds(part: pl.DataFrame, scored: pl.DataFrame) -> tuple[float, float]:
    if scored.is_empty():
        return np.inf, -np.inf
    places = [frame["position"].to_numpy() for frame in (part, scored)]
    return float(max(p.min() for p in places)), float(min(p.max() for p in places))


def _wide(rows: pl.DataFrame, keys: tuple[str, ...], names: list[str]) -> pl.DataFrame:
    wide = rows.pivot("subject", index=list(keys), values="alignment", aggregate_function="mean")
    absent = [pl.lit(None, dtype=pl.Float64).alias(n) for n in names if n not in wide.columns]
    return wide.with_columns(absent).with_columns(pl.col(names).cast(pl.Float64).fill_null(np.nan))


def _lookup(
    rows: pl.DataFrame, keys: tuple[str, ...], names: list[str]
) -> dict[tuple[Any, ...], Array]:
    wide = _wide(rows, keys, names)
    places = wide.select(keys).rows()
    return dict(zip(places, wide.select(names).to_numpy(), strict=True))

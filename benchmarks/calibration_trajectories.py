"""Lags between training curves: how often a lead is found where there is none, and where there is.

Curves rise along a logistic course of log10(step), at 34 checkpoints (those of Pythia up to
143,000 steps) or at 9. All noise is in units of the range. Alone:

    python benchmarks/calibration_trajectories.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from _rates import LIMITS, Row, rate_row
from scipy import stats

from convergent.statistics import (
    Curve,
    Pair,
    cross_correlation_lag,
    granger,
    leads,
    step_positions,
)

MANY = (0, *(2**k for k in range(10)), *(1000 * k for k in (
    1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 75, 90, 100, 110, 120, 128, 136, 143,
)))  # fmt: skip
FEW = (0, 16, 128, 512, 1000, 4000, 16000, 64000, 143000)
LEVEL, INNER = 0.05, 199
# Onset in the middle of training, and how many decades the rise takes.
MIDDLE, SLOPE = 3.2, 0.5
THRESHOLD, WIDTH = 0.75, 0.08
# Rates that are claimed, and so known to half a per cent.
LONGER = ("zero lead, noise 0.02 and 0.1, 34 checkpoints", "zero lead, thresholded performance")


def places(steps: tuple[int, ...]) -> np.ndarray:
    return np.array([step_positions(MANY)[step] if step in MANY else np.nan for step in steps])


def course(place: np.ndarray, middle: float = MIDDLE) -> np.ndarray:
    raw = 1 / (1 + np.exp(-(place - middle) / SLOPE))
    ends = 1 / (1 + np.exp(-(places((0, 143000)) - middle) / SLOPE))
    return (raw - ends[0]) / (ends[1] - ends[0])


def thresholded(ability: np.ndarray) -> np.ndarray:
    """Share of right answers where items need an ability near the threshold."""
    return stats.norm.cdf((ability - THRESHOLD) / WIDTH)


Draw = Callable[[np.random.Generator], Pair]


def plain(alignment: float, performance: float, *, steps=(MANY, MANY), lead: float = 0.0) -> Draw:
    mine, theirs = places(steps[0]), places(steps[1])

    def draw(rng: np.random.Generator) -> Pair:
        a = course(mine) + alignment * rng.standard_normal(mine.size)
        p = course(theirs, MIDDLE + lead) + performance * rng.standard_normal(theirs.size)
        return Pair("run", Curve.of(mine, a), Curve.of(theirs, p))

    return draw


def resampled(alignment: float, shared: float, performance: float) -> Draw:
    """Alignment whose noise is partly a bend common to all checkpoints, known by resampling."""
    x = places(MANY)

    def draw(rng: np.random.Generator) -> Pair:
        def bend(count: int) -> np.ndarray:
            return shared * rng.standard_normal((count, 1)) * np.sin(np.pi * course(x))

        a = course(x) + alignment * rng.standard_normal(x.size) + bend(1)[0]
        p = course(x) + performance * rng.standard_normal(x.size)
        spread = bend(100) + alignment * rng.standard_normal((100, x.size))
        return Pair("run", Curve.of(x, a, spread), Curve.of(x, p))

    return draw


def threshold(alignment: float, performance: float, *, continuous: bool) -> Draw:
    x = places(MANY)

    def draw(rng: np.random.Generator) -> Pair:
        ability = course(x)
        a = Curve.of(x, course(x) + alignment * rng.standard_normal(x.size))
        p = Curve.of(x, thresholded(ability) + performance * rng.standard_normal(x.size))
        loss = Curve.of(x, ability + 0.02 * rng.standard_normal(x.size))
        return Pair("run", a, loss if continuous else p)

    return draw


def onset_test(draw: Draw, share: float) -> Callable[[np.random.Generator], bool]:
    def found(rng: np.random.Generator) -> bool:
        seed = int(rng.integers(2**31))
        (lead,) = leads([draw(rng)], shares=(share,), draws=INNER, seed=seed)
        return lead.p <= LEVEL

    return found


def interval_misses(draw: Draw, truth: float) -> Callable[[np.random.Generator], bool]:
    def found(rng: np.random.Generator) -> bool:
        seed = int(rng.integers(2**31))
        (lead,) = leads([draw(rng)], shares=(0.5,), draws=INNER, seed=seed)
        return not lead.low <= truth <= lead.high

    return found


def several(draw: Draw, runs: int) -> Callable[[np.random.Generator], bool]:
    def found(rng: np.random.Generator) -> bool:
        seed = int(rng.integers(2**31))
        pairs = [Pair(f"{i}", d.alignment, d.performance) for i in range(runs) for d in [draw(rng)]]
        (lead,) = leads(pairs, shares=(0.5,), draws=INNER, seed=seed)
        return lead.p <= LEVEL

    return found


def naive(draw: Draw, test: str) -> Callable[[np.random.Generator], bool]:
    def found(rng: np.random.Generator) -> bool:
        pair = draw(rng)
        a, p = pair.alignment.value, pair.performance.value
        return granger(a, p) <= LEVEL if test == "granger" else cross_correlation_lag(a, p) > 0

    return found


def designs() -> list[tuple[str, str, str, Callable[[np.random.Generator], bool]]]:
    """Design, test, kind of row, and one trial."""
    onset = "onset lag, 50 %, matched null"
    rows = [
        (f"zero lead, noise {a:g} and {p:g}, {name}", onset, "guard",
         onset_test(plain(a, p, steps=steps), 0.5))
        for name, steps in (
            ("34 checkpoints", (MANY, MANY)), ("9 checkpoints", (FEW, FEW)),
            ("34 and 9 checkpoints", (MANY, FEW)),
        )
        for a, p in ((0.02, 0.1), (0.1, 0.02), (0.05, 0.05))
    ]  # fmt: skip
    unequal = plain(0.02, 0.1)
    for share in (0.1, 0.9):
        rows.append((
            "zero lead, noise 0.01 and 0.04, 34 checkpoints",
            f"onset lag, {100 * share:.0f} %, matched null",
            "guard", onset_test(plain(0.01, 0.04), share),
        ))  # fmt: skip
    rows += [
        ("zero lead, 6 runs, noise 0.02 and 0.1", onset, "guard", several(unequal, 6)),
        ("zero lead, alignment's noise shared by checkpoints and resampled", onset, "guard",
         onset_test(resampled(0.02, 0.05, 0.05), 0.5)),
        ("zero lead, thresholded performance", "onset lag of the continuous measure", "guard",
         onset_test(threshold(0.02, 0.03, continuous=True), 0.5)),
        ("zero lead, thresholded performance", "onset lag of the thresholded measure alone",
         "naive", onset_test(threshold(0.02, 0.03, continuous=False), 0.5)),
    ]  # fmt: skip
    for name, draw in (
        ("zero lead, noise 0.02 and 0.1, 34 checkpoints", unequal),
        ("zero lead, thresholded performance", threshold(0.02, 0.03, continuous=False)),
    ):
        rows.append((name, "Granger, lag 1: alignment leads", "naive", naive(draw, "granger")))
        rows.append((name, "cross-correlation peaks after 0", "naive", naive(draw, "cross")))
    for truth in (0.0, 0.5):
        rows.append((
            f"lead {truth:g} decades, noise 0.02 and 0.1", "95 % interval misses the lead",
            "coverage", interval_misses(plain(0.02, 0.1, lead=truth), truth),
        ))  # fmt: skip
    for name, steps in (("34", (MANY, MANY)), ("9", (FEW, FEW))):
        for a, p in ((0.02, 0.1), (0.05, 0.05)):
            rows.append((
                f"lead 0.5 decades, noise {a:g} and {p:g}, {name} checkpoints", onset, "power",
                onset_test(plain(a, p, steps=steps, lead=0.5), 0.5),
            ))  # fmt: skip
    return rows


def run(seed: int, *, quick: bool = False) -> list[Row]:
    """Rates of rejection of every design."""
    rows = []
    for k, (design, test, kind, trial) in enumerate(designs()):
        rng = np.random.default_rng([seed, k])
        count = 60 if quick else 1500 if design in LONGER else 600
        hits = sum(trial(rng) for _ in range(count))
        # curves that bend between checkpoints count as noisier than they are: a cautious test
        limits = (0.0, 0.07) if "34 and 9" in design else LIMITS
        rows.append(rate_row("trajectories", design, test, hits, count, kind=kind, limits=limits))
    return rows


if __name__ == "__main__":
    for row in run(0, quick="--quick" in sys.argv):
        print("  ".join(str(value) for value in row.values()))

"""Large means, jumps and other units change no score, against ridge in two passes of float64."""

from __future__ import annotations

import numpy as np
import pytest

from convergent.alignment import (
    fit_banded,
    fit_ridge,
    fit_unique,
    inner_story_splits,
    story_orders,
    story_splits,
)
from convergent.alignment.similarity import compare_layers
from convergent.alignment import Problem

N, ALPHA = 240, 5.0
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 6))
SIGNAL = X @ RNG.normal(size=6)
PLAIN = SIGNAL / SIGNAL.std() + 0.7 * RNG.normal(size=N)
SPLITS = story_splits(N, folds=3, trim=2)


def inner(train):
    return inner_story_splits(train, folds=3, trim=2)


def jump(size, first):
    """A level that changes for good, such as a scanner's between two runs."""
    values = PLAIN.copy()
    values[first:] += size
    return values


def spike(size, place):
    values = PLAIN.copy()
    values[place] += size
    return values


TARGETS = {
    "plain": PLAIN,
    "mean of 1e3 sd": PLAIN + 1e3,
    "mean of 1e4 sd": PLAIN + 1e4,
    "mean of -1e6 sd": PLAIN - 1e6,
    "units of 1e-30": PLAIN * 1e-30,
    "units of 1e30": PLAIN * 1e30,
    "mean of 1e4 sd in units of 1e-30": (PLAIN + 1e4) * 1e-30,
    "jump of 1e3 sd": jump(1e3, 100),
    "jump of 1e5 sd": jump(1e5, 170),
    "spike of 1e6 sd": spike(1e6, 5),
}


def pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a / abs(a).max()) @ (b / abs(b).max()) / np.linalg.norm(a / abs(a).max()) / (
        np.linalg.norm(b / abs(b).max())
    )


def ridge(x, y, train, test):
    """Two passes of float64, features standardised already."""
    size = abs(y - y.mean()).max()
    centre, level = x[train].mean(axis=0), y[train].mean()
    a, b = x[train] - centre, (y[train] - level) / size
    w = np.linalg.solve(a.T @ a + ALPHA * np.eye(a.shape[1]), a.T @ b)
    return (x[test] - centre) @ w * size + level


def expected(y):
    """Held-out r of each fold, and mean inner r."""
    outer, inside = [], []
    for split in SPLITS:
        x = (X - X[split.train].mean(axis=0)) / X[split.train].std(axis=0)
        outer.append(pearson(ridge(x, y, split.train, split.test), y[split.test]))
        parts = inner(split.train)
        inside.append(
            np.mean([pearson(ridge(x, y, s.train, s.test), y[s.test]) for s in parts])
        )
    return np.array(outer), np.array(inside)


def rounded(kind):
    """All targets in float32 or float64, in units that keep small ones."""
    return np.stack([values.astype(kind) for values in TARGETS.values()], axis=1)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ridge_and_its_inner_folds_are_those_of_two_passes(kind, dtype):
    y = rounded(kind)
    found = fit_ridge(X, y, SPLITS, design="story", alphas=[ALPHA], inner_splits=inner,
                      selection="folds", dtype=dtype)  # fmt: skip
    outer, inside = zip(*(expected(column.astype("f8")) for column in y.T), strict=True)
    for values, truth in ((found.fold_r, outer), (found.inner_r, inside)):
        worst = dict(zip(TARGETS, abs(values - np.array(truth).T).max(axis=0), strict=True))
        assert max(worst.values()) < (1e-3 if dtype == "float32" else 1e-6), worst

"""Pairs of numbers in families, for the tests of statistics that know of them."""

from __future__ import annotations

import math

import numpy as np

from convergent.statistics import Families

SIZES = [18, 6, 5, 4, 3, 2, 1, 1, 1, 1, 1]  # 43 models


def pairs(rng, sizes, icc, *, r=0.0, count=1):
    """Pairs with that r between and within families, (sample, model), and the families."""
    families = Families.of(np.repeat(np.arange(len(sizes)), sizes).astype(str))
    between = rng.standard_normal((2, count, len(sizes)))
    own = rng.standard_normal((2, count, families.models))
    for values in (between, own):
        values[1] = r * values[0] + math.sqrt(1 - r**2) * values[1]
    x, y = math.sqrt(icc) * between[:, :, families.member] + math.sqrt(1 - icc) * own
    return x, y, families


def labels(families):
    return families.names[families.member].tolist()

"""Two curves of one training run, and the course that they would share if neither led."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from ._onset import Curve

Array = NDArray[np.float64]

# Smallest noise, in units of the range, that a curve is taken to have.
QUIET = 1e-3


@dataclass(frozen=True)
class Pair:
    """Alignment and performance of one training run, on one axis.

    Attributes
    ----------
    name : str
    alignment, performance : Curve
        Deviations of one draw number belong to one resample of stimuli and subjects, in every
        pair.
    run : str
        Runs of one name differ by their seed only.
    """

    name: str
    alignment: Curve
    performance: Curve
    run: str = ""

    @cached_property
    def unclear(self) -> str:
        """Why there is no lag; empty where there is."""
        sides = (("alignment", self.alignment), ("performance", self.performance))
        return "; ".join(f"{name}: {side.unclear}" for name, side in sides if side.unclear)

    @cached_property
    def common(self) -> tuple[Array, Array]:
        """The course that both would follow if neither led, at the checkpoints of each.

        Both curves, in units of their own ranges, are fitted together by one monotone curve, each
        weighted by its noise.
        """
        sides = (self.alignment, self.performance)
        place = np.concatenate([side.position for side in sides])
        share = np.concatenate([(side.value - side.fit[0]) / side.range for side in sides])
        # a curve without any scatter would be taken for the whole truth
        quiet = [max(math.sqrt(side.scatter**2 + side.bend) / side.range, QUIET) for side in sides]
        sizes = [side.value.size for side in sides]
        weight = np.repeat([1 / noise**2 for noise in quiet], sizes)
        at, index = np.unique(place, return_inverse=True)
        total = np.bincount(index, weight)
        course = isotonic_regression(np.bincount(index, weight * share) / total, weights=total).x
        course = (course - course[0]) / (course[-1] - course[0])
        mine, theirs = (
            side.fit[0] + side.range * np.interp(side.position, at, course) for side in sides
        )
        return mine, theirs

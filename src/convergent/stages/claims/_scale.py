"""At which scale do regions align, and does that follow the axis?"""

from __future__ import annotations

from convergent.stages.claims._material import Material, Tables, claim
from convergent.stages.claims._regions import axes
from convergent.statistics import scale_curves, scale_peaks, scale_shifts, typical_p


@claim("scale_peaks", "scale_shift")
def scale(material: Material) -> Tables:
    """Peaks over the bandwidth of metrics that have one, and their shift along the axis."""
    curves = scale_curves(material.alignment, ceiling_threshold=material.threshold)
    peaks = scale_peaks(
        curves,
        typical_p(material.alignment),
        bootstraps=material.bootstraps,
        seed=material.seed,
    )
    places = axes(material) if curves.height else {}
    return {"scale_peaks": peaks, "scale_shift": scale_shifts(curves, peaks, places)}

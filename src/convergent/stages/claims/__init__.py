"""Claims: from the study's measurements to the tables that answer its questions."""

from . import _alignment, _depth, _performance, _planted, _regions, _scale, _trajectories
from ._material import CLAIMS, Claim, Material, claim, claimed

__all__ = [
    "CLAIMS",
    "Claim",
    "Material",
    "claim",
    "claimed",
]

# importing them has registered their claims
del _alignment, _depth, _performance, _planted, _regions, _scale, _trajectories

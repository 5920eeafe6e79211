"""Claims: from the study's measurements to the tables that answer its questions."""

from . import _alignment, _performance, _planted, _trajectories
from ._material import CLAIMS, Claim, Material, claim, claimed

__all__ = [
    "CLAIMS",
    "Claim",
    "Material",
    "claim",
    "claimed",
]

del _alignment, _performance, _planted, _trajectories  # importing them has registered their claims

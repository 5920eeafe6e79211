"""Claims: from the study's measurements to the tables that answer its questions."""

from . import claims
from .material import CLAIMS, Claim, Material, claim, claimed

__all__ = [
    "CLAIMS",
    "Claim",
    "Material",
    "claim",
    "claimed",
]

del claims  # importing them has registered their claims

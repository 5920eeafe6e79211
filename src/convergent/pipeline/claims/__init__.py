"""Claims: from the study's measurements to the tables that answer its questions."""

from .material import Claim, Material, Tables, claimed

__all__ = ["Claim", "Material", "Tables", "claimed"]

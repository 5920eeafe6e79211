"""The function of the metric."""

from convergent.alignment.metrics import NoOptions
from convergent.alignment.similarity import Geometry, PairKind, PairVectors


def cosine_pairs(geometry: Geometry, options: NoOptions) -> PairVectors:
    """Cosine of the centred inner products of two representations."""

    def vector():
        packed = geometry.pairs.pack(geometry.centred, PairKind.UPPER)
        return packed / packed.norm()

    return PairVectors.single(PairKind.UPPER, vector)

"""Features reduced to principal components of the training rows, anew in every outer fold."""

from __future__ import annotations

from convergent.alignment._splits import Split
from convergent.alignment.ridge._eigen import diagonalise
from convergent.alignment.ridge._space import Dual, Primal, Source, smaller_space
from convergent.errors import ConfigError


class PrincipalSource:
    """The leading principal components of another source's features.

    Centre, scale and axes are those of a fold's training rows; test rows are turned to the same
    axes and take no part in finding them. Components keep their variances (no whitening).

    Parameters
    ----------
    source : Source
    components : int
        Fewer where the training rows span fewer.
    smallest_alpha : float
        How exact small components must be, see `diagonalise`.

    Raises
    ------
    ConfigError
        Fewer than one component.
    """

    def __init__(self, source: Source, components: int, smallest_alpha: float) -> None:
        if components < 1:
            raise ConfigError(f"components is {components}", where="ridge", fix="use 1 or more")
        self._source = source
        self._alpha = smallest_alpha
        self.samples = source.samples
        self.width = min(components, source.width)

    def dual(self, split: Split) -> Dual:
        """Inner products of the components."""
        if self.width >= split.train.size - 1:  # all that the training rows span
            return self._source.dual(split)
        space = self.primal(split)
        return Dual(space.train @ space.train.T, space.test @ space.train.T, space.alike)

    def primal(self, split: Split) -> Primal:
        """Components of the rows, the largest first."""
        space = smaller_space(self._source, split)
        eigen = diagonalise(space, self._source, split, smallest_alpha=self._alpha)
        values = eigen.values.flip(0)[: self.width]
        train = eigen.basis.flip(1)[:, : self.width] * values.sqrt()
        test = eigen.test.flip(1)[:, : self.width]
        return Primal(train, test, values.diag(), space.alike)

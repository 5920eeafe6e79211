"""What else varies while stimuli are shown: regressors that a model must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convergent.errors import DataError, NumericalError


@dataclass(frozen=True)
class Nuisance:
    """Nuisance regressors of one subject, a row for each sample of the responses.

    Attributes
    ----------
    values : ndarray of float64, shape (sample, column)
        As recorded; they are standardised on training samples by the fit.
    name : ndarray of str, shape (column,)
        What a column belongs to (``motion`` has six). Studies ask for regressors by name.
    delayed : ndarray of bool, shape (column,)
        Story: whether a column is in the time of the stimulus and is delayed as features are.
        False for what is in the time of the responses: head motion, and regressors that were
        convolved with a haemodynamic response already.
    """

    values: NDArray[np.float64]
    name: NDArray[np.str_]
    delayed: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = self.values.shape
        if len(shape) != 2 or self.name.shape != shape[1:] or self.delayed.shape != shape[1:]:
            raise DataError(
                f"nuisance of shape {shape} with {self.name.size} names and "
                f"{self.delayed.size} marks of delay",
                where="nuisance regressors",
                fix="give values (sample, column), and a name and a mark for each column",
            )
        bad = ~np.isfinite(self.values).all(axis=0)
        if bad.any():
            raise NumericalError(
                f"NaN or infinity in {', '.join(dict.fromkeys(self.name[bad].tolist()))}",
                where="nuisance regressors",
                fix="leave the regressor out, or mend its file",
            )

    @classmethod
    def of(
        cls, columns: dict[str, NDArray[np.float64]], *, delayed: frozenset[str] = frozenset()
    ) -> Nuisance:
        """Put named regressors side by side.

        Parameters
        ----------
        columns : dict of str to ndarray, shape (sample,) or (sample, column)
        delayed : frozenset of str
            The names that are in the time of the stimulus.

        Raises
        ------
        DataError
            Regressors of different lengths.
        """
        blocks = {name: np.asarray(v, dtype=np.float64) for name, v in columns.items()}
        blocks = {name: v[:, None] if v.ndim == 1 else v for name, v in blocks.items()}
        lengths = {len(values) for values in blocks.values()}
        if len(lengths) != 1:
            told = ", ".join(f"{name} {len(values)}" for name, values in blocks.items())
            raise DataError(
                f"regressors of different lengths: {told or 'none'}",
                where="nuisance regressors",
                fix="give each a value for every sample",
            )
        name = np.repeat(list(blocks), [values.shape[1] for values in blocks.values()])
        return cls(np.hstack(list(blocks.values())), name, np.isin(name, sorted(delayed)))

    def only(self, names: tuple[str, ...]) -> Nuisance:
        """Return the columns of the given names."""
        kept = np.isin(self.name, names)
        return Nuisance(self.values[:, kept], self.name[kept], self.delayed[kept])

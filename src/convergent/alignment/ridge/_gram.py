"""Inner products of stimuli, which is all that ridge needs to know of wide features."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from convergent.device import resolve_device
from convergent.errors import DataError, NumericalError

Floats = NDArray[np.float64]

# Columns converted to float64 at once: wide features never exist a second time in float64.
FEATURE_BLOCK = 4096

# Rows of a symmetric product at once.
PANEL = 256


@dataclass(frozen=True)
class Gram:
    """Features as the inner products between stimuli.

    Ridge, CKA, RSA and neighbours depend on the features through them alone, so that a layer of
    any width costs no more than (stimulus, stimulus).

    Attributes
    ----------
    matrix : ndarray of float64, shape (stimulus, stimulus)
        Of features less their means over all stimuli.
    width : int
        Number of features.
    """

    matrix: Floats
    width: int

    @classmethod
    def of(cls, blocks: ArrayLike | Iterable[ArrayLike], *, device: str = "cpu") -> Gram:
        """Accumulate in float64 over blocks of features.

        Parameters
        ----------
        blocks : array_like, shape (stimulus, feature), or iterable of such
            An iterable (a generator, say, that reads a store piece by piece) is consumed once.
        device : str

        Returns
        -------
        Gram

        Raises
        ------
        DataError
            No features, or blocks that differ in stimuli.
        NumericalError
            NaN or infinity in a block.
        """
        place = torch.device(resolve_device(device))
        parts = [blocks] if isinstance(blocks, np.ndarray) and blocks.ndim == 2 else blocks
        total: torch.Tensor | None = None
        width = 0
        for part in parts:  # type: ignore[union-attr]
            array = np.asarray(part)
            stimuli = array.shape[0] if total is None else total.shape[0]
            if array.ndim != 2 or array.shape[0] != stimuli:
                raise DataError(
                    f"block of shape {array.shape} where ({stimuli}, feature) is needed",
                    where="Gram",
                    fix="give blocks of features of the same stimuli",
                )
            product = inner_products(_tensor(array, place))
            if not bool(torch.isfinite(product).all()):
                raise NumericalError(
                    f"NaN or infinity in features {width} to {width + array.shape[1] - 1}",
                    where="Gram",
                    fix="record the layer as failed, or run it in float32",
                )
            total = product if total is None else total.add_(product)
            width += array.shape[1]
        if total is None:
            raise DataError("no features", where="Gram", fix="give at least one block")
        return cls(total.cpu().numpy(), width)


def inner_products(x: torch.Tensor) -> torch.Tensor:
    """Multiply features less their means, in float64, a block of features at a time.

    Parameters
    ----------
    x : Tensor, shape (stimulus, feature)
        In any floating dtype.

    Returns
    -------
    Tensor of float64, shape (stimulus, stimulus)
        NaN or infinite where features are.
    """
    total = x.new_zeros((x.shape[0], x.shape[0]), dtype=torch.float64)
    for start in range(0, x.shape[1], FEATURE_BLOCK):
        block = x[:, start : start + FEATURE_BLOCK].to(torch.float64)
        add_lower_products(total, block - block.mean(dim=0))
    return mirrored(total)


def add_lower_products(total: torch.Tensor, x: torch.Tensor) -> None:
    """Add the products of rows to the lower triangle of a square matrix; nearly half the work.

    Parameters
    ----------
    total : Tensor, shape (row, row)
        What lies above the diagonal has no meaning until `mirrored`.
    x : Tensor, shape (row, column)
    """
    for start in range(0, len(x), PANEL):
        stop = min(start + PANEL, len(x))
        total[start:stop, :stop].addmm_(x[start:stop], x[:stop].T)


def mirrored(lower: torch.Tensor) -> torch.Tensor:
    """Fill the upper triangle of a square matrix from its lower one."""
    return lower.tril() + lower.tril(-1).T


def _tensor(block: NDArray[np.floating], device: torch.device) -> torch.Tensor:
    # a copy: torch warns about sharing memory that it may not write to
    return torch.from_numpy(np.array(block)).to(device)

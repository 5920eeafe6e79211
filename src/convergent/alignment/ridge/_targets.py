"""Responses, a block of targets at a time, with the targets as rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment._constant import is_constant, mean_of
from convergent.alignment._splits import Split
from convergent.errors import DataError, NumericalError

Floats = NDArray[np.float64]
Missing = Literal["error", "mask"]


class Streamed(Protocol):
    """Responses that are read in slices of targets: a zarr, HDF5 or memory-mapped array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(sample, target)."""

    def __getitem__(self, key: Any, /) -> Any:
        """Slice like a numpy array."""


@dataclass(frozen=True)
class Block:
    """Targets of one fold, as rows, in the dtype of the products.

    Attributes
    ----------
    train : Tensor, shape (target, train)
        Mean 0 and, but for permuted rows, variance 1; exactly 0 for constant targets.
    test : Tensor, shape (target, test)
        Less the same mean and over the same sd.
    mean, sd : Tensor of float64, shape (target,)
        What turns predictions back into the units of the responses.
    constant : Tensor of bool, shape (target,)
        Over the test samples (`is_constant`).
    """

    train: Tensor
    test: Tensor
    mean: Tensor
    sd: Tensor
    constant: Tensor

    def part(self, rows: slice) -> Block:
        """Some of the targets."""
        return Block(*(getattr(self, field.name)[rows] for field in fields(self)))


class Targets:
    """One subject's responses.

    Parameters
    ----------
    responses : array_like or Streamed, shape (sample, target)
        Anything with ``shape`` and slices; read `size` targets at a time.
    missing : {"error", "mask"}
        Refuse NaN and infinity, or leave the targets concerned undefined.
    where : str
        What reads them, for messages.

    Raises
    ------
    DataError
        Not two axes, or empty.
    NumericalError
        NaN or infinity in an array in memory, with ``missing="error"``.
    """

    def __init__(
        self, responses: ArrayLike | Streamed, *, missing: Missing, where: str = "ridge"
    ) -> None:
        values: Any = responses
        if not (hasattr(values, "shape") and hasattr(values, "__getitem__")):
            values = np.asarray(values)
        self._values = values
        self._missing, self._where = missing, where
        shape = tuple(self._values.shape)
        if len(shape) != 2 or 0 in shape:
            raise DataError(
                f"array of shape {shape} where (sample, target) is needed",
                where=self._where,
                fix="give two non-empty axes",
            )
        self.samples, self.count = shape
        if missing == "error" and type(self._values) is np.ndarray:
            self._refuse(~np.isfinite(self._values).all(axis=0))

    def _refuse(self, bad: Any) -> None:
        if bad.any():
            raise NumericalError(
                f"NaN or infinity in {int(bad.sum())} of {bad.size} targets",
                where=self._where,
                fix="leave out the targets or the subject in the reader, or use missing='mask'",
            )

    def read(self, start: int, stop: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Read targets ``start`` to ``stop``.

        Returns
        -------
        values : Tensor of float32 or float64, as the responses are, shape (target, sample)
            0 in the targets that are masked.
        defined : Tensor of bool, shape (target,)
        """
        part = np.asarray(self._values[:, start:stop])
        single = part.dtype in (np.float16, np.float32)
        part = np.require(part, np.float32 if single else np.float64, ["W"])
        if min(part.strides) < 0:  # which torch has not
            part = part.copy()
        values = torch.from_numpy(part).to(device).T.contiguous()
        defined = torch.isfinite(values).all(dim=1)
        if not bool(defined.all()):
            if self._missing == "error":
                self._refuse(~defined.cpu().numpy())
            values = torch.where(defined[:, None], values, torch.zeros_like(values))
        return values, defined


def block_of(values: Tensor, split: Split, dtype: torch.dtype) -> Block:
    """Centre and scale targets by the training samples of a fold.

    Parameters
    ----------
    values : Tensor of float32 or float64, shape (target, sample)

    Returns
    -------
    Block
    """
    train = values.index_select(1, torch.from_numpy(split.train).to(values.device))
    test = values.index_select(1, torch.from_numpy(split.test).to(values.device))
    flat, constant = is_constant(train, dim=1), is_constant(test, dim=1)
    mean = mean_of(train, dim=1)
    train, test, sd = _scaled(train, test, mean, flat)
    return Block(train.to(dtype), test.to(dtype), mean[:, 0], sd, constant)


def _scaled(
    train: Tensor, other: Tensor, mean: Tensor, flat: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Centre rows and scale them to the sd of the first, which is returned too.

    Rows that are flat become 0 in the first; the largest of the other takes the sd's place.
    """
    train, other = train - mean.to(train.dtype), other - mean.to(other.dtype)
    # in float32 the mean was rounded: what it left is the same for all samples
    left = mean_of(train, dim=1).to(train.dtype)
    train, other = torch.where(flat[:, None], 0.0, train - left), other - left
    # unit size first: squares of very small or large numbers leave the range of float32
    size = torch.where(flat, other.abs().amax(dim=1), train.abs().amax(dim=1))[:, None]
    size = torch.where(size > 0, size, 1.0)
    train, other = train / size, other / size
    sd = torch.where(flat, 1.0, train.square().mean(dim=1, dtype=torch.float64).sqrt())[:, None]
    size, units = size.double(), sd.to(train.dtype)
    return train / units, other / units, (size * sd)[:, 0]


def permuted(values: Tensor, orders: NDArray[np.intp], split: Split, dtype: torch.dtype) -> Block:
    """Put targets in other orders, and centre them anew.

    Parameters
    ----------
    values : Tensor of float32 or float64, shape (target, sample)
    orders : ndarray of int, shape (permutation, sample)

    Returns
    -------
    Block
        Rows are (permutation, target), the target fastest. Scores do not depend on the sd, which
        is that of all samples.
    """
    mean = mean_of(values, dim=1)
    scaled, _, sd = _scaled(values, values, mean, is_constant(values, dim=1))
    scaled = scaled.to(dtype)
    rows = torch.from_numpy(orders).to(values.device)
    samples = torch.from_numpy(np.concatenate([split.train, split.test])).to(values.device)
    picked = scaled.index_select(1, rows[:, samples].reshape(-1))
    picked = picked.reshape(len(scaled), len(orders), -1).transpose(0, 1)
    picked = picked.reshape(-1, samples.numel())
    train, test = picked[:, : split.train.size], picked[:, split.train.size :]
    flat, constant = is_constant(train, dim=1), is_constant(test, dim=1)
    centre = mean_of(train, dim=1).to(dtype)
    train, test = torch.where(flat[:, None], 0.0, train - centre), test - centre
    number = len(orders)
    return Block(train, test, mean[:, 0].repeat(number), sd.repeat(number), constant)


def tiles(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut ``count`` targets into pieces of about equal size, at most ``size``."""
    pieces = -(-count // size)
    yield from pairwise(count * k // pieces for k in range(pieces + 1))

"""Responses, a block of targets at a time, with the targets as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment.constant import RESOLUTION, is_constant, mean_of
from convergent.alignment.splits import Split
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
        Mean 0 and variance 1; exactly 0 for constant targets.
    test : Tensor, shape (target, test)
        Less its own mean and over the sd of the training samples; exactly 0 where it is constant.
    level : Tensor of float64, shape (target,)
        Mean of the test samples, less that of the training samples and over their sd.
    mean, sd : Tensor of float64, shape (target,)
        What turns predictions back into the units of the responses.
    constant : Tensor of bool, shape (target,)
        Over the test samples (`is_constant`).
    grain : Tensor of float64, shape (target,)
        What training samples may differ by and be the same number (`is_constant`), over the sd: a
        large mean, which is gone here, made it large.
    """

    train: Tensor
    test: Tensor
    level: Tensor
    mean: Tensor
    sd: Tensor
    constant: Tensor
    grain: Tensor

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
    return _block(train, test, dtype)


def _block(train: Tensor, test: Tensor, dtype: torch.dtype) -> Block:
    """Centre the rows of each side on their own mean, and scale both by the sd of the first.

    In float64 where responses or products are: rounding to float32 comes last.
    """
    exact = torch.promote_types(train.dtype, dtype)
    train, test = train.to(exact), test.to(exact)
    flat, constant = is_constant(train, dim=1), is_constant(test, dim=1)
    largest = train.abs().amax(dim=1).double()
    mean, level = mean_of(train, dim=1), mean_of(test, dim=1)
    train, test = _centred(train, mean, flat), _centred(test, level, constant)
    # unit size first: squares of very small or large numbers leave the range of float32
    size = torch.where(flat, test.abs().amax(dim=1), train.abs().amax(dim=1))[:, None]
    size = torch.where(size > 0, size, 1.0)
    train, test = train / size, test / size
    sd = torch.where(flat, 1.0, train.square().mean(dim=1, dtype=torch.float64).sqrt())[:, None]
    units = sd.to(train.dtype)
    train, test = (train / units).to(dtype), (test / units).to(dtype)
    sd = (size.double() * sd)[:, 0]
    mean, level = mean[:, 0], level[:, 0]
    return Block(train, test, (level - mean) / sd, mean, sd, constant, RESOLUTION * largest / sd)


def _centred(values: Tensor, mean: Tensor, flat: Tensor) -> Tensor:
    """Rows less their mean, exactly 0 where they are flat."""
    values = values - mean.to(values.dtype)
    # in float32 the mean was rounded: what it left is the same for all samples
    left = mean_of(values, dim=1).to(values.dtype)
    return torch.where(flat[:, None], 0.0, values - left)


def permuted(values: Tensor, orders: NDArray[np.intp], split: Split, dtype: torch.dtype) -> Block:
    """Put targets in other orders, and centre and scale them anew, as `block_of` does.

    Parameters
    ----------
    values : Tensor of float32 or float64, shape (target, sample)
    orders : ndarray of int, shape (permutation, sample)

    Returns
    -------
    Block
        Rows are (permutation, target), the target fastest.
    """
    samples = np.concatenate([split.train, split.test])
    rows = torch.from_numpy(orders[:, samples]).to(values.device)
    picked = values.index_select(1, rows.reshape(-1)).reshape(len(values), *rows.shape)
    picked = picked.transpose(0, 1).reshape(-1, samples.size)
    return _block(picked[:, : split.train.size], picked[:, split.train.size :], dtype)


def tiles(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut ``count`` targets into pieces of about equal size, at most ``size``."""
    pieces = -(-count // size)
    yield from pairwise(count * k // pieces for k in range(pieces + 1))


@dataclass(frozen=True)
class Columns:
    """What one fold says of some targets; tensors of float64, int64 for the index.

    Attributes
    ----------
    index : Tensor, shape (target,)
        Position of the chosen alpha in the grid.
    inner_r, r, r2 : Tensor, shape (target,)
    prediction : Tensor, shape (target, test), or None
        In units of the training sd, about the training mean.
    """

    index: Tensor
    inner_r: Tensor
    r: Tensor
    r2: Tensor
    prediction: Tensor | None = None

    @classmethod
    def join(cls, parts: Sequence[Columns]) -> Columns:
        """Put pieces behind one another."""
        predictions = [p.prediction for p in parts if p.prediction is not None]
        return cls(
            torch.cat([p.index for p in parts]),
            torch.cat([p.inner_r for p in parts]),
            torch.cat([p.r for p in parts]),
            torch.cat([p.r2 for p in parts]),
            torch.cat(predictions) if predictions else None,
        )


def correlation(covariance: Tensor, norm: Tensor) -> Tensor:
    """Divide by the product of two norms; 0 where that is 0."""
    r = torch.where(norm > 0, covariance / torch.where(norm > 0, norm, 1.0), 0.0)
    return r.clamp(-1.0, 1.0)


def held_out(
    prediction: Tensor, offset: Tensor, truth: Tensor, level: Tensor, constant: Tensor
) -> tuple[Tensor, Tensor]:
    """Pearson r and R2 of held-out predictions, in float64.

    Parameters
    ----------
    prediction : Tensor, shape (target, test)
        Less their mean over the test samples: adding it and subtracting it again would cost
        digits in float32.
    offset : Tensor, shape (target,)
        That mean.
    truth : Tensor, shape (target, test)
        Less their mean over the test samples.
    level : Tensor of float64, shape (target,)
        That mean, in units of the predictions.
    constant : Tensor of bool, shape (target,)
        Whether the responses were constant over the test samples, before they were scaled.

    Returns
    -------
    r, r2 : Tensor of float64, shape (target,)
        NaN where the truth is constant; r is 0 where the prediction is.
    """
    p, y = prediction.to(torch.float64), truth.to(torch.float64)
    y = y - mean_of(y, dim=1)  # but for the rounding of float32, 0
    total = y.square().sum(dim=1)
    # unit scale first: squares of very small predictions (large alpha) would underflow
    size = p.abs().amax(dim=1)
    unit = p / torch.where(size > 0, size, 1.0)[:, None]
    norm = (unit.square().sum(dim=1) * total).sqrt()
    r = correlation((unit * y).sum(dim=1), norm)
    residual = (y - p).square().sum(dim=1) + y.shape[1] * (level - offset).square()
    r2 = 1.0 - residual / torch.where(total > 0, total, 1.0)
    undefined = torch.full_like(r, torch.nan)
    return torch.where(constant, undefined, r), torch.where(constant, undefined, r2)

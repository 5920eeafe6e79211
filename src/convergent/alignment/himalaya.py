"""Banded ridge of one training set, solved by himalaya."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.errors import DeviceError

Floats = NDArray[np.float64]


class Bands(NamedTuple):
    """Feature spaces of one outer fold, centred on its training rows.

    Attributes
    ----------
    train, test : sequence of Tensor, shape (sample, feature)
        One a space.
    inner : sequence of (train, test), ndarray of int
        Inner folds, as positions in the training rows.
    """

    train: Sequence[Tensor]
    test: Sequence[Tensor]
    inner: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]

    @property
    def dual(self) -> bool:
        """Whether there are at most as many samples as features: the kernel is then smaller."""
        return self.train[0].shape[0] <= sum(x.shape[1] for x in self.train)

    def among(self, spaces: Sequence[int]) -> Bands:
        """Keep some of the spaces."""
        return Bands([self.train[k] for k in spaces], [self.test[k] for k in spaces], self.inner)


class Solution(NamedTuple):
    """What the chosen penalties predict.

    Attributes
    ----------
    parts : Tensor of float64, shape (space, test, target)
        The prediction of each space; their sum is the prediction. On the CPU.
    log10_penalty : ndarray of float64, shape (space, target)
    """

    parts: Tensor
    log10_penalty: Floats


@contextmanager
def himalaya_backend(device: torch.device) -> Iterator[None]:
    """Let himalaya compute on a device, and restore its backend at the end, also on error.

    The backend is a global of himalaya: two threads must not fit at once.
    """
    from himalaya.backend import get_backend, set_backend

    before = get_backend()
    # Its arrays lie on the current device, whatever the device of their input.
    on_device = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    with on_device, warnings.catch_warnings():
        # float64 is asked for by name; that it is slower is known.
        warnings.filterwarnings("ignore", message="GPU backend .* is much faster with single")
        try:
            set_backend("torch_cuda" if device.type == "cuda" else "torch")
            yield
        finally:
            set_backend(before)


def solve_bands(
    bands: Bands, y: Tensor, *, alphas: Floats, ratios: Floats, batch: int, dual: bool
) -> Solution:
    """Choose the penalties of each target by the inner folds, refit, and predict.

    Among penalties alpha / ratio, the one with the least mean squared error over inner folds is
    chosen for each target; ties go to the first ratio and the largest alpha. The batch is halved
    when memory runs out.

    Parameters
    ----------
    bands : Bands
    y : Tensor, shape (train, target)
        Centred, of unit variance: himalaya breaks ties by absolute tolerances.
    alphas : ndarray, shape (alpha,)
    ratios : ndarray, shape (ratio, space)
    batch : int
        Targets at once.
    dual : bool
        Solve for weights of samples (kernels) or of features. The predictions are the same.

    Returns
    -------
    Solution

    Raises
    ------
    DeviceError
        The device cannot hold the fit of a single target.
    """
    while True:
        options = {
            "n_iter": ratios,
            "alphas": alphas,
            "cv": bands.inner,
            "fit_intercept": True,  # inner folds are centred on their own training rows
            "n_targets_batch": batch,
            "n_alphas_batch": 1,
            "progress_bar": False,
        }
        try:
            with himalaya_backend(y.device):
                parts, deltas = (_dual if dual else _primal)(bands, y, batch, options)
            break
        except torch.OutOfMemoryError as error:
            if batch == 1:
                raise DeviceError(
                    f"out of GPU memory with one target: {error}",
                    where="banded ridge",
                    fix="use a larger GPU, device: cpu, or project the features",
                ) from error
        batch = max(1, min(batch, y.shape[1]) // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return Solution(parts, -deltas.cpu().to(torch.float64).numpy() / np.log(10.0))


def _primal(bands: Bands, y: Tensor, batch: int, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    from himalaya.ridge import solve_group_ridge_random_search

    deltas, weights, _, _ = solve_group_ridge_random_search(
        list(bands.train), y, return_weights=True, warn=False, **options
    )
    by_space = torch.split(weights, [x.shape[1] for x in bands.train])
    parts = [_product(x, w, batch) for x, w in zip(bands.test, by_space, strict=True)]
    return torch.stack(parts), deltas


def _dual(bands: Bands, y: Tensor, batch: int, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search

    kernels = torch.stack([x @ x.T for x in bands.train])
    deltas, weights, _, _ = solve_multiple_kernel_ridge_random_search(
        kernels, y, return_weights="dual", **options
    )
    parts = [
        _product(test @ train.T, weights * torch.exp(delta).cpu(), batch)
        for train, test, delta in zip(bands.train, bands.test, deltas, strict=True)
    ]
    return torch.stack(parts), deltas


def _product(rows: Tensor, weights: Tensor, batch: int) -> Tensor:
    """Multiply on the device, some targets at a time, and return float64 on the CPU."""
    products = [(rows @ w.to(rows.device)).cpu() for w in torch.split(weights, batch, dim=1)]
    return torch.cat(products, dim=1).to(torch.float64)

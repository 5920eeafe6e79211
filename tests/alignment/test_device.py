"""Devices are what they are called, and both compute the same."""

import numpy as np
import pytest
import torch

from convergent.alignment import (
    Gram,
    alpha_grid,
    effective_dimensionality,
    fit_ridge,
    inner_item_splits,
    item_orders,
    item_splits,
    resolve_dtype,
)
from convergent.device import resolve_device
from convergent.errors import ConfigError, DeviceError


def test_cpu_and_dtypes_resolve():
    assert resolve_device("cpu") == "cpu"
    assert resolve_dtype("float32") is torch.float32
    with pytest.raises(ConfigError, match="float16"):
        resolve_dtype("float16")


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:99", ""])
def test_devices_that_are_not_here_are_errors(name):
    with pytest.raises(DeviceError):
        resolve_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_is_never_replaced_by_the_cpu():
    x = np.random.default_rng(0).normal(size=(10, 2))
    with pytest.raises(DeviceError, match="no usable CUDA GPU"):
        fit_ridge(
            x, x, item_splits(10, folds=2, seed=0), design="items", alphas=[1.0], device="cuda"
        )


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-8), ("float32", 1e-4)])
@pytest.mark.parametrize("p", [20, 300])
@pytest.mark.parametrize("selection", ["gcv", "loo", "folds"])
def test_cuda_equals_cpu(dtype, tolerance, p, selection):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, p))
    y = x @ rng.normal(size=(p, 30)) + np.sqrt(p) * rng.normal(size=(100, 30))
    results = [
        fit_ridge(
            x,
            y,
            item_splits(100, folds=3, seed=0),
            design="items",
            alphas=alpha_grid(-1, 5, 7),
            selection=selection,
            inner_splits=lambda rows: inner_item_splits(rows, 100, folds=4, seed=0),
            permutations=item_orders(100, permutations=3, seed=0),
            device=device,
            dtype=dtype,
        )
        for device in ("cpu", "cuda")
    ]
    for name in ("fold_r", "fold_r2", "inner_r", "null_fold_r", "null_inner_r"):
        one, other = (getattr(result, name) for result in results)
        np.testing.assert_allclose(other, one, atol=tolerance)
    assert effective_dimensionality(x, device="cuda") == pytest.approx(effective_dimensionality(x))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_inner_products_on_cuda_equal_those_on_the_cpu():
    x = np.random.default_rng(0).normal(size=(40, 90))
    np.testing.assert_allclose(Gram.of(x, device="cuda").matrix, Gram.of(x).matrix, atol=1e-10)

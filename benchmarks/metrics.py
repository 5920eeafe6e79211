"""CKA of one layer with every region, bandwidth and permutation, against one call a cell.

    python benchmarks/metrics.py                  # 1,000 stimuli, 360 regions, 12 bandwidths, 1,000
    python benchmarks/metrics.py --stimuli 300 --regions 40 --permutations 100 --threads 2

Ours is debiased CKA (`convergent.alignment.similarity.compare`, float32 products) with its whole
null. The peers are timed for a few cells (a region, a bandwidth and a permutation) and scaled to
all cells:

published  biased CKA, one call a cell: both Gaussian kernels are made from the data, centred as
           HKH by matrix products, and multiplied, in float32 NumPy
batched    biased CKA from centred kernels that are made once and permuted once for all regions,
           then one inner product a cell, in float32 NumPy

Each runs in a process of its own. Prints seconds, peak memory with imports, and ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

WIDTH, TARGETS = 1024, 100


def data(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, responses and region index, with power-law spectra and a shared latent."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(options.stimuli, 20))

    def side(width: int) -> np.ndarray:
        scale = 1 / np.sqrt(np.arange(1, width + 1))
        values = rng.normal(size=(options.stimuli, width)) * scale
        return (values + 0.1 * latent @ rng.normal(size=(20, width)) * scale).astype(np.float32)

    responses = np.concatenate([side(TARGETS) for _ in range(options.regions)], axis=1)
    return side(WIDTH), responses, np.repeat(np.arange(options.regions), TARGETS)


def scales(options: argparse.Namespace) -> list[float]:
    """Bandwidths relative to the median distance."""
    return [float(scale) for scale in np.geomspace(0.25, 4, options.bandwidths)]


def gaussian(values: np.ndarray, scale: float) -> np.ndarray:
    """Gaussian kernel from the data."""
    gram = values @ values.T
    square = np.diag(gram)
    distances = np.maximum(square + square[:, None] - 2 * gram, 0)
    median = np.median(distances[np.triu_indices(len(values), 1)])
    return np.exp(-distances / (2 * scale**2 * median))


def centred(kernel: np.ndarray) -> np.ndarray:
    """HKH by two matrix products."""
    n = len(kernel)
    centre = np.eye(n, dtype=np.float32) - np.float32(1 / n)
    return centre @ kernel @ centre


def published_cell(one: np.ndarray, other: np.ndarray, scale: float) -> float:
    """Biased CKA of one cell, from the data."""
    k, m = centred(gaussian(one, scale)), centred(gaussian(other, scale))
    return float((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))


def ours(options: argparse.Namespace) -> dict[str, float]:
    """The whole of it, or a stated fraction of the permutations."""
    import torch

    from convergent.alignment import item_orders
    from convergent.alignment.similarity import compare

    torch.set_num_threads(options.threads)
    x, y, index = data(options)
    number = max(1, round(options.permutations * options.fraction))
    orders = item_orders(options.stimuli, permutations=number, seed=0)
    metrics = {"cka_rbf": {"scales": scales(options)}}
    begun = time.perf_counter()
    compare(x, y, index, options.regions, metrics, permutations=orders, memory=options.memory)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds * (options.permutations + 1) / (number + 1)}


def published(options: argparse.Namespace) -> dict[str, float]:
    """A few cells, scaled; they are checked against our biased CKA."""
    from convergent.alignment.similarity import compare

    x, y, index = data(options)
    options_of_check = {"cka_rbf_biased": {"scales": scales(options)[::3]}}
    check = compare(x, y[:, index == 0], index[index == 0], 1, options_of_check)["cka_rbf_biased"]
    for scale, score in zip(check.scales, check.score[:, 0], strict=True):
        np.testing.assert_allclose(published_cell(x, y[:, index == 0], scale), score, atol=1e-3)
    rng = np.random.default_rng(1)
    begun = time.perf_counter()
    for _ in range(options.cells):
        region, order = rng.integers(options.regions), rng.permutation(options.stimuli)
        published_cell(x, y[order][:, index == region], 1.0)
    seconds = (time.perf_counter() - begun) / options.cells
    return {"seconds": seconds * cells(options)}


def batched(options: argparse.Namespace) -> dict[str, float]:
    """One bandwidth and a few permutations, scaled: kernels, their permutation, products."""
    x, y, index = data(options)
    begun = time.perf_counter()
    kernel = centred(gaussian(x, 1.0))
    kernels = [centred(gaussian(y[:, index == r], 1.0)).ravel() for r in range(options.regions)]
    made = time.perf_counter() - begun
    rng = np.random.default_rng(1)
    orders = [rng.permutation(options.stimuli) for _ in range(options.cells)]
    begun = time.perf_counter()
    for order in orders:
        permuted = kernel[order][:, order].ravel()
        for other in kernels:
            np.vdot(permuted, other)
    each = (time.perf_counter() - begun) / options.cells
    return {"seconds": options.bandwidths * (made + each * (options.permutations + 1))}


def cells(options: argparse.Namespace) -> int:
    """Regions times bandwidths times permutations, the real data with them."""
    return options.regions * options.bandwidths * (options.permutations + 1)


RUNS = {"ours": ours, "published": published, "batched": batched}


def measured(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Run one of them in its own process."""
    threads = str(options.threads)
    variables = {f"{kind}_NUM_THREADS": threads for kind in ("OMP", "MKL", "OPENBLAS")}
    done = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--run", name],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def arguments() -> argparse.Namespace:
    """Sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stimuli", type=int, default=1000)
    parser.add_argument("--regions", type=int, default=360)
    parser.add_argument("--bandwidths", type=int, default=12)
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument(
        "--fraction", type=float, default=1.0, help="of permutations that ours runs"
    )
    parser.add_argument("--cells", type=int, default=5, help="cells or permutations of the peers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=int, default=2**31, help="bytes for ours")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Print the comparison."""
    options = arguments()
    if options.run:
        found = RUNS[options.run](options)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({**found, "gib": peak}))
        return
    found = {name: measured(name, options) for name in RUNS}
    own = found["ours"]
    whole = "whole" if options.fraction == 1 else f"scaled from {options.fraction:.0%} of the null"
    print(
        f"CKA, {options.stimuli} stimuli, {options.regions} regions, {options.bandwidths} "
        f"bandwidths, {options.permutations} permutations, {options.threads} thread(s)"
    )
    print(f"ours       {own['seconds']:12,.1f} s {own['gib']:5.2f} GiB  ({whole})")
    for name in ("published", "batched"):
        peer = found[name]
        print(
            f"{name:10s} {peer['seconds']:12,.1f} s {peer['gib']:5.2f} GiB  (scaled to "
            f"{cells(options):,} cells)  {peer['seconds'] / own['seconds']:,.0f} times ours"
        )


if __name__ == "__main__":
    main()

"""The best layer of deep and shallow models, where no layer has anything to do with the brain.

Layers are random walks of random features (a layer shares most of its variance with the one
before), responses are noise. They go through the fits, `choose_layers` and the permutations that a
study uses: ridge chosen on training folds, similarity (CKA) chosen on one half of the stimuli.
Beside it, the naive best layer: the maximum of the very scores that are reported.
"""

from __future__ import annotations

import numpy as np
from _rates import Row, rate_row, value_row

from convergent.alignment import (
    Problem,
    alpha_grid,
    choose_layers,
    fit_subjects,
    halves_of_items,
    item_orders,
    item_splits,
    region_means,
)
from convergent.alignment.similarity import calibrate, compare_layers

STIMULI, WIDTH, TARGETS, PERMUTATIONS, FOLDS = 60, 12, 3, 39, 4
DEPTHS = (2, 48)
SHARED = 0.8  # share of a layer's variance that comes from the layer before


def run(seed: int, *, quick: bool) -> list[Row]:
    """Rates and means, by metric and number of layers."""
    studies, regions = (3, 40) if quick else (10, 200)
    rows: list[Row] = []
    for metric, fit in (("ridge", _ridge), ("cka", _cka)):
        found = {
            depth: _simulate(fit, np.random.default_rng([seed, depth]), depth, studies, regions)
            for depth in DEPTHS
        }
        for depth, (score, p, best, naive_p) in found.items():
            design = f"{metric}, {depth} layers, no alignment"
            for kind, test, values in (
                ("guard", "chosen on training data, in each permutation", p),
                ("naive", "best of the reported scores, null of one layer", naive_p),
            ):
                hits = int((values <= 0.05).sum())
                rows.append(rate_row("layers", design, test, hits, values.size, kind=kind))
            rows.append(_uniform(design, p))
            del score, best
        (few, _, few_best, _), (many, _, many_best, _) = (found[depth] for depth in DEPTHS)
        design = f"{metric}, mean r of 48 layers less that of 2"
        rows.append(_difference(design, "chosen on training data", few, many))
        rows.append(_difference(design, "best of the reported scores", few_best, many_best))
    return rows


Found = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _simulate(fit, rng: np.random.Generator, depth: int, studies: int, regions: int) -> Found:
    """Score and p of the chosen layer, and of the naive best, (study x region)."""
    parts = []
    for _ in range(studies):
        layers = _layers(rng, depth)
        data = rng.standard_normal((STIMULI, regions * TARGETS)).astype(np.float32)
        inner, outer, null_inner, null_outer = fit(layers, data, regions, rng)
        chosen = choose_layers(inner, outer).score
        null = choose_layers(null_inner, null_outer).score
        each = outer.mean(axis=1)  # (layer, region)
        one = null_outer[:, 0].mean(axis=1)  # null of the first layer, (permutation, region)
        best = each.max(axis=0)
        parts.append((chosen, calibrate(chosen, null).p, best, calibrate(best, one).p))
    return tuple(np.concatenate(values) for values in zip(*parts, strict=True))  # type: ignore[return-value]


def _layers(rng: np.random.Generator, depth: int) -> list[np.ndarray]:
    layer = rng.standard_normal((STIMULI, WIDTH))
    layers = [layer]
    for _ in range(depth - 1):
        fresh = rng.standard_normal((STIMULI, WIDTH))
        layer = np.sqrt(SHARED) * layer + np.sqrt(1 - SHARED) * fresh
        layers.append(layer)
    return [layer.astype(np.float32) for layer in layers]


def _ridge(layers, data, regions, rng):
    """Inner and outer scores, (layer, fold, region), and their nulls with permutations first."""
    index = np.repeat(np.arange(regions), TARGETS)
    seed = int(rng.integers(2**31))
    splits = item_splits(STIMULI, folds=FOLDS, seed=seed)
    orders = item_orders(STIMULI, permutations=PERMUTATIONS, seed=seed)
    scores = [
        fit_subjects(
            layer,
            [Problem(data, orders, index)],
            splits,
            design="items",
            alphas=alpha_grid(0, 5, 6),
            selection="gcv",
        )[0]
        for layer in layers
    ]
    inner = np.stack([region_means(one.inner_r, index, regions) for one in scores])
    outer = np.stack([region_means(one.fold_r, index, regions) for one in scores])
    null_inner = np.stack([one.null_inner_r for one in scores], axis=1)
    null_outer = np.stack([one.null_fold_r for one in scores], axis=1)
    return inner, outer, null_inner, null_outer


def _cka(layers, data, regions, rng):
    index = np.repeat(np.arange(regions), TARGETS)
    seed = int(rng.integers(2**31))
    halves = halves_of_items(STIMULI, seed=seed)
    orders = item_orders(STIMULI, permutations=PERMUTATIONS, seed=seed, within=halves)
    found = compare_layers(
        layers, [Problem(data, orders, index)], regions, {"cka": {}}, halves=halves
    )
    half = np.stack([one[0]["cka"].half_score[:, 0] for one in found])
    null = np.stack([one[0]["cka"].half_null[:, :, 0] for one in found], axis=1)
    return half, half[:, ::-1], null, null[:, :, ::-1]


def _uniform(design: str, p: np.ndarray) -> Row:
    """Rate of p up to one half: with the other row, that p is uniform and not just at 5 %."""
    hits = int((p <= 0.5).sum())
    return rate_row(
        "layers", design, "the same, p up to 0.5", hits, p.size, nominal=0.5, limits=(0.47, 0.53)
    )


def _difference(design: str, test: str, few: np.ndarray, many: np.ndarray) -> Row:
    value = float(many.mean() - few.mean())
    error = float(np.sqrt(many.var() / many.size + few.var() / few.size))
    passed = abs(value) < 3 * error if test.startswith("chosen") else None
    return value_row("layers", design, test, value, error, many.size, passed)

"""Depth: bins shared by models of any number of layers, and convergence of profiles."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from convergent.statistics import (
    bin_weights,
    convergence,
    corrected_r,
    depth_bins,
    depth_profile,
    depth_tests,
    surface_of,
    two_sample_jackknife,
)
from convergent.statistics.convergence import profile_r


@pytest.mark.parametrize("layers", [2, 3, 8, 50])
def test_a_straight_line_is_binned_alike_whatever_the_number_of_layers(layers):
    depths = tuple(np.linspace(0, 1, layers).tolist())
    weights = bin_weights(depths)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights @ np.array(depths), (np.arange(8) + 0.5) / 8, atol=2e-3)


def _layers(dataset, modality, families, regions, score) -> pl.DataFrame:
    rng = np.random.default_rng(len(dataset))
    rows = []
    for f in range(families):
        layers = 4 + 3 * f
        for layer in range(layers):
            depth = layer / (layers - 1)
            for r, name in enumerate(regions):
                rows.append(
                    {
                        "dataset": dataset, "modality": modality, "family": f"{modality}{f}",
                        "model": f"{modality}{f}", "region": name, "network": "n",
                        "axis_position": r / len(regions), "depth": depth, "n_subjects": 2,
                        "score": score(r, depth) + rng.normal(0, 0.01),
                        "score_normalised": None, "noise_ceiling": None,
                    }
                )  # fmt: skip
    numbers = dict.fromkeys(("score_normalised", "noise_ceiling"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=numbers)


def test_early_and_late_regions_are_told_apart():
    regions = [f"r{i:02d}" for i in range(12)]
    table = _layers(
        "d", "vision", 6, regions, lambda r, x: 0.3 - 0.3 * (x - (0.2 if r < 6 else 0.9)) ** 2
    )
    binned = depth_bins(table, ceiling_threshold=0.1)
    assert binned.height == 6 * 12 * 8
    tests = depth_tests(binned, bootstraps=100, seed=0)
    regional = tests.filter(pl.col("kind") == "region").sort("place")
    assert (regional["difference"][:6] < 0).all()
    assert (regional["difference"][6:] > 0).all()
    assert (regional["q"] < 0.05).all()
    assert (regional["best_depth"][:6] < 0.4).all()
    assert (regional["best_depth"][6:] > 0.7).all()
    profile = depth_profile(binned).filter(pl.col("kind") == "all")
    assert profile["bin"].to_list() == list(range(8))
    assert (profile["low"] < profile["score"]).all()


def test_models_of_one_layer_have_no_depth():
    one = _layers("d", "vision", 1, ["r"], lambda r, x: x).filter(pl.col("depth") == 0)
    assert depth_bins(one, ceiling_threshold=0.1).is_empty()
    empty = depth_bins(one, ceiling_threshold=0.1)
    assert depth_tests(empty, bootstraps=10, seed=0).is_empty()
    assert depth_profile(empty).is_empty()
    assert all(table.is_empty() for table in convergence(empty, {}))


def _two(rng, r, noise, basis):
    a, b = basis[0], r * basis[0] + np.sqrt(1 - r * r) * basis[1]
    return [x + noise * rng.standard_normal((8, 200)) for x in (a, b)]


def test_less_noise_is_not_convergence_once_it_is_corrected_for():
    rng = np.random.default_rng(0)
    raw = corrected = 0
    for _ in range(150):
        basis = np.linalg.qr(np.column_stack([np.ones(200), rng.standard_normal((200, 2))]))[0]
        basis = basis[:, 1:].T * 200**0.5
        early, late = _two(rng, 0.5, 1.2, basis), _two(rng, 0.5, 0.4, basis)
        first, second = (np.stack([e, x], axis=1) for e, x in zip(early, late, strict=True))
        for ask in (profile_r, corrected_r):
            p = two_sample_jackknife(
                lambda a, b, ask=ask: ask(a[:, 1], b[:, 1]) - ask(a[:, 0], b[:, 0]), first, second
            )[3]
            raw += ask is profile_r and p < 0.05
            corrected += ask is corrected_r and p < 0.05
    assert corrected / 150 < 0.1
    assert raw / 150 > 0.2


def test_the_corrected_correlation_is_that_without_noise():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(np.column_stack([np.ones(200), rng.standard_normal((200, 2))]))[0]
    a, b = _two(rng, 0.6, 1.0, basis[:, 1:].T * 200**0.5)
    assert corrected_r(a, b) == pytest.approx(0.6, abs=0.08)
    assert np.isnan(corrected_r(rng.standard_normal((8, 200)), b))


def test_planted_convergence_is_found_between_data_sets_of_one_atlas():
    names = [f"L_{a}" for a in ("V1", "V2", "V3", "V4", "A1", "FFC", "MT", "MST", "4", "1", "2",
                                "PBelt", "LBelt", "V6", "V8", "FEF")]  # fmt: skip
    rng = np.random.default_rng(1)
    common, one, two = rng.standard_normal((3, len(names)))
    tables = [
        _layers(
            dataset,
            modality,
            5,
            names,
            lambda r, x, own=own: 0.3 * (x * common[r] + (1 - x) * own[r]),
        )
        for dataset, modality, own in (("pictures", "vision", one), ("words", "language", two))
    ]
    binned = pl.concat([depth_bins(table, ceiling_threshold=0.1) for table in tables])
    surface = surface_of([(name, "L") for name in names])
    by_depth, trend = convergence(binned, {"pictures": surface, "words": surface})
    assert by_depth["r"][-1] > 0.9 > by_depth["r"][0]
    assert by_depth["p_spin"][-1] is not None
    raw, corrected = trend.sort("statistic", descending=True).iter_rows(named=True)
    assert (raw["statistic"], corrected["statistic"]) == ("r", "corrected r")
    assert corrected["low"] > 0
    assert corrected["p"] < 0.05

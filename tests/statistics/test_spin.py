"""Gradients along the axis: the spin test against smooth maps, and what is planted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from scipy import stats

from convergent.brains.atlas import open_atlas, sphere_of
from convergent.errors import DataError
from convergent.statistics import (
    axis_of,
    family_means,
    gradients,
    jackknife_interval,
    spin_contrast,
    spin_maps,
    spin_test,
    spins,
    subject_means,
    surface_of,
)


def smooth_fields(number: int, length: float = 0.4, seed: int = 0) -> np.ndarray:
    sphere = sphere_of("hcp-mmp1")
    points = sphere.centre * np.where(sphere.side == "R", -1.0, 1.0)[:, None] ** [[1, 0, 0]]
    square = ((points[:, None] - points[None]) ** 2).sum(-1)
    values, vectors = np.linalg.eigh(np.exp(-square / (2 * length**2)))
    root = vectors * np.sqrt(np.clip(values, 0, None))
    return np.random.default_rng(seed).standard_normal((number, len(points))) @ root.T


@pytest.fixture(scope="module")
def axis():
    order = {region.name: region.order for region in open_atlas("hcp-mmp1").regions}
    return axis_of([(name, "", order[name]) for name in sphere_of("hcp-mmp1").names])


def test_a_rotation_keeps_neighbours_together_and_hemispheres_apart():
    sphere = sphere_of("hcp-mmp1")
    found = spins(sphere.centre, sphere.side, rotations=20, seed=1)
    assert (sphere.side[found] == sphere.side).all()
    near = ((sphere.centre[:, None] - sphere.centre[None]) ** 2).sum(-1) < 0.02
    near &= sphere.side[:, None] == sphere.side
    one, two = np.nonzero(near)
    moved = sphere.centre[found]
    assert np.median(((moved[:, one] - moved[:, two]) ** 2).sum(-1)) < 0.05


def test_the_right_hemisphere_turns_as_the_mirror_of_the_left():
    left = np.random.default_rng(0).standard_normal((30, 3))
    both = np.vstack([left, left * [-1, 1, 1]])
    found = spins(both, np.repeat(["L", "R"], 30), rotations=50, seed=3)
    assert (found[:, 30:] == found[:, :30] + 30).all()


def test_a_map_is_itself_without_rotation_and_sides_must_be_named():
    with pytest.raises(DataError, match="neither L nor R"):
        spins(np.eye(3), ["L", "R", "both"], rotations=1)
    with pytest.raises(DataError, match="one side a region"):
        spins(np.eye(3), ["L"], rotations=1)


def test_smooth_maps_deceive_spearman_and_not_the_spin_test(axis):
    fields = smooth_fields(300)
    rho, p = spin_test(fields, axis.position, axis.spun)
    naive = stats.spearmanr(fields.T, axis.position).pvalue[-1, :-1]
    assert rho[0] == pytest.approx(stats.spearmanr(fields[0], axis.position).statistic)
    assert (naive < 0.05).mean() > 0.4
    assert (p < 0.05).mean() < 0.085  # of 300; the benchmark bounds it by 7 %


def test_smooth_maps_deceive_a_t_test_of_networks_and_of_one_another():
    sphere = sphere_of("hcp-mmp1")
    labels = {region.name: region.network for region in open_atlas("hcp-mmp1").regions}
    names = list(sphere.names)
    surface = surface_of([(name, "") for name in names])
    whole = np.array([labels[name] == "Visual" for name in names], dtype=float)
    spun = surface.spun(whole, names)
    fields = smooth_fields(80, seed=2)
    p = np.array([spin_contrast(field, whole, spun) for field in fields])
    naive = stats.ttest_ind(fields[:, whole > 0], fields[:, whole == 0], axis=1).pvalue
    assert (naive < 0.05).mean() > 0.4
    assert (p < 0.05).mean() < 0.1
    pairs = np.array([spin_maps(a, b, names, surface) for a, b in pairwise(fields)])
    assert (stats.pearsonr(fields[:-1], fields[1:], axis=1).pvalue < 0.05).mean() > 0.4
    assert (pairs < 0.05).mean() < 0.1
    assert spin_maps(fields[0], fields[0], names, surface) < 0.01


def test_a_map_that_follows_the_axis_is_found(axis):
    follows = stats.zscore(axis.position) + 0.5 * smooth_fields(20, seed=5)
    _, p = spin_test(follows, axis.position, axis.spun)
    assert (p < 0.05).all()


def test_regions_without_a_surface_have_an_axis_and_no_null():
    found = axis_of([(f"LIFG{i}", "", i / 10) for i in range(11)])
    assert found.position.tolist() == pytest.approx([i / 10 for i in range(11)])
    assert found.spun.shape == (0, 11)
    assert "no atlas" in found.reason


def test_the_interval_of_few_families_covers_where_percentiles_do_not():
    rng = np.random.default_rng(0)
    covered = narrow = 0
    for _ in range(400):
        means = 1.0 + rng.standard_normal((4, 1))
        low, high = jackknife_interval(means, lambda maps: maps[:, 0])
        covered += low <= 1.0 <= high
        drawn = means[rng.integers(0, 4, (300, 4)), 0].mean(axis=1)
        narrow += np.quantile(drawn, 0.025) <= 1.0 <= np.quantile(drawn, 0.975)
    assert 0.92 < covered / 400 < 0.98
    assert narrow / 400 < 0.88
    assert jackknife_interval(np.ones((2, 1)), lambda maps: maps[:, 0]) == (None, None)


def test_the_table_has_the_mean_each_subject_and_each_model(axis):
    rng = np.random.default_rng(0)
    rows = []
    for f in range(4):
        for s in ("a", "b"):
            score = stats.zscore(axis.position) + 0.5 * rng.standard_normal(axis.position.size)
            rows += [
                {
                    "dataset": "d", "modality": "vision", "choice": "best", "family": f"f{f}",
                    "model": f"m{f}", "subject": s, "region": name, "score": value,
                    "score_normalised": None, "depth": 0.5, "n_subjects": 2,
                }
                for name, value in zip(axis.regions, score.tolist(), strict=True)
            ]  # fmt: skip
    table = pl.DataFrame(rows, schema_overrides={"score_normalised": pl.Float64})
    keys = ["dataset", "modality", "choice", "family", "model", "region", "n_subjects"]
    profile = table.group_by(keys).agg(pl.col("score", "score_normalised", "depth").mean())
    found = gradients(profile, subject_means(table), {"d": axis})
    score = found.filter(pl.col("measure") == "score")
    assert score["level"].value_counts().sort("level").rows() == [
        ("mean", 1), ("model", 4), ("subject", 2)
    ]  # fmt: skip
    mean = score.row(0, named=True)
    assert mean["rho"] > 0.8
    assert mean["rho_low"] < mean["rho"] < mean["rho_high"]
    assert mean["p_spin"] < 0.01
    assert mean["slope"] == pytest.approx(1 / axis.position.std(), rel=0.1)
    depth = found.filter((pl.col("measure") == "depth") & (pl.col("level") == "mean"))
    assert depth["reason"][0] == "all regions have the same value"


def test_a_large_family_counts_once():
    names, means = family_means(np.array([[0.0], [0.0], [0.0], [6.0]]), ["a", "a", "a", "b"])
    assert names == ["a", "b"]
    assert means.mean() == 3.0

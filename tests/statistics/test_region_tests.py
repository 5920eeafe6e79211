"""Tests of regions: dependence between models, differences of modalities, networks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from convergent.statistics import median_p, modality_difference, region_tests, surface_of
from convergent.statistics.regions import _welch, contrasts, relative


def test_p_values_of_models_alike_are_not_multiplied():
    rng = np.random.default_rng(0)
    joined, product = [], []
    families = ["a"] * 6 + ["b", "c"]
    for _ in range(2000):
        z = 0.95 * rng.standard_normal() + 0.31 * rng.standard_normal(8)
        p = stats.norm.sf(z)
        joined.append(median_p(p[:, None], families)[0])
        product.append(stats.combine_pvalues(p).pvalue)
    assert np.mean(np.array(joined) < 0.05) <= 0.05
    assert np.mean(np.array(product) < 0.05) > 0.15


def test_the_median_weighs_families_alike():
    p = np.array([[0.9], [0.9], [0.9], [0.01], [0.02]])
    assert median_p(p, ["a", "a", "a", "b", "c"])[0] == pytest.approx(0.04)
    assert median_p(p, ["a"] * 5)[0] == 1.0
    assert np.isnan(median_p(np.array([[np.nan], [0.1]]), ["a", "b"])[0])


def test_the_t_of_a_deal_is_welchs():
    rng = np.random.default_rng(0)
    both = rng.standard_normal((9, 4)) + 5
    deal = np.array([[0, 3, 5, 8]])
    rest = np.setdiff1d(np.arange(9), deal[0])
    oracle = stats.ttest_ind(both[deal[0]], both[rest], equal_var=False).statistic
    np.testing.assert_allclose(_welch(both, deal)[0], oracle)


def test_families_are_dealt_and_not_models():
    rng = np.random.default_rng(1)
    labels = [f"f{i // 5}" for i in range(25)]
    guard = naive = 0
    for seed in range(150):
        a, b = (
            np.repeat(rng.standard_normal((5, 20)), 5, 0) + 0.3 * rng.standard_normal((25, 20))
            for _ in range(2)
        )
        found = modality_difference((a, labels), (b, labels), permutations=300, seed=seed)
        guard += bool((found["p_fwe"] < 0.05).any())
        naive += bool((stats.ttest_ind(a, b).pvalue < 0.05 / 20).any())
    assert guard / 150 < 0.1
    assert naive / 150 > 0.5


def test_a_difference_of_modalities_is_found_where_it_is():
    rng = np.random.default_rng(2)
    labels = [f"f{i}" for i in range(8)]
    a, b = rng.standard_normal((8, 30)), rng.standard_normal((8, 30))
    a[:, 4] += 6
    found = modality_difference((a, labels), (b, labels), permutations=2000, seed=0)
    assert np.flatnonzero(found["p_fwe"] < 0.05).tolist() == [4]
    assert found["low"][4] < 6 < found["high"][4]
    few = modality_difference((a[:2], labels[:2]), (b, labels), permutations=10, seed=0)
    assert np.isnan(few["p"]).all()


def test_all_deals_are_made_where_they_are_few():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 5)), rng.standard_normal((3, 5)) + 100
    found = modality_difference((a, list("abc")), (b, list("def")), permutations=1000, seed=0)
    np.testing.assert_allclose(found["p"], 2 / 20)


def test_contrasts_and_profiles_by_hand():
    values = np.array([[1.0, 2.0, 3.0, 6.0]])
    members = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    found = contrasts(values, members)
    assert found[0, 0] == 3.0
    assert np.isnan(found[0, 1])
    profile = relative(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]))
    np.testing.assert_allclose(profile[0], profile[1])


def _profile(dataset: str, modality: str, high: set[str], p: float) -> list[dict]:
    names = [f"{side}_{area}" for side in "LR" for area in ("V1", "V2", "V4", "FFC", "A1", "PBelt")]
    rng = np.random.default_rng(len(dataset))
    return [
        {
            "dataset": dataset, "modality": modality, "choice": "best", "family": f"{modality}{f}",
            "model": f"{modality}{f}-{m}", "region": name, "hemisphere": name[0], "network": "",
            "axis_position": 0.1, "n_subjects": 2, "score_normalised": None,
            "score": 0.3 * (name in high) + rng.normal(0, 0.02), "p": p, "p_fwe": p,
        }
        for f in range(5) for m in range(2) for name in names
    ]  # fmt: skip


def test_the_table_answers_three_questions():
    seen, heard = {"L_V1", "R_V1", "L_V2", "R_V2"}, {"L_A1", "R_A1", "L_PBelt", "R_PBelt"}
    rows = _profile("pictures", "vision", seen, 0.01) + _profile("words", "language", heard, 0.2)
    table = pl.DataFrame(rows, schema_overrides={"score_normalised": pl.Float64})
    regions = sorted({(row["region"], "") for row in rows})
    surface = surface_of(regions)
    found = region_tests(table, {"pictures": surface, "words": surface}, permutations=500, seed=0)
    chance = found.filter(pl.col("question") == "chance")
    assert chance.filter(pl.col("dataset") == "pictures")["p"].unique().to_list() == [0.02]
    reason = chance.filter(pl.col("dataset") == "words")["reason"][0]
    assert "no p came below 0.4" in reason
    differ = found.filter((pl.col("question") == "modality") & (pl.col("kind") == "region"))
    sure = differ.filter(pl.col("p_fwe") < 0.05)
    assert set(sure.filter(pl.col("effect") > 0)["place"]) == seen
    assert set(sure.filter(pl.col("effect") < 0)["place"]) == heard
    assert differ["modality"].unique().to_list() == ["vision"]
    networks = found.filter((pl.col("question") == "network") & (pl.col("dataset") == "pictures"))
    visual = networks.filter(pl.col("place") == "Visual").row(0, named=True)
    assert visual["effect"] > 0
    assert visual["p_spin"] is not None

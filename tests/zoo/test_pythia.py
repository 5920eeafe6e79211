"""Trajectories of Pythia: checkpoints that exist, scores that the source has."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from convergent.errors import DataError
from convergent.study import same_weights
from convergent.study.rows import read_models, read_performance
from convergent.zoo.pythia import build_pythia, pythia_models

TABLES = Path(__file__).parents[2] / "config" / "models"


@pytest.fixture(scope="module")
def tables():
    errors = []
    models, wrong = read_models(TABLES, ("language.tsv",), ("pythia_checkpoints.tsv",), errors)
    files = ("language_performance.tsv", "pythia_performance.tsv")
    scores = read_performance(TABLES, files, models, wrong, errors)
    assert errors == []
    found = {(score.model, score.checkpoint, score.benchmark): score for score in scores}
    return {key: models[key] for key in pythia_models()}, found


@pytest.fixture(scope="module")
def evaluations():
    shared = os.environ.get("CONVERGENT_SHARED")
    path = Path(shared or "", "data", "performance", "pythia_evals.parquet")
    if not shared or not path.is_file():
        pytest.skip("CONVERGENT_SHARED with data/performance is needed")
    return path


def test_sixteen_models_have_the_log_spaced_steps(tables):
    models, _ = tables
    assert len(models) == 16
    powers = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    thousands = [1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 143000]
    for model in models.values():
        steps = [checkpoint.step for checkpoint in model.checkpoints]
        assert set(powers + thousands) <= set(steps), model.key
        assert steps == sorted(steps), model.key
        assert all(step < 1000 or step % 1000 == 0 for step in steps), "steps that are published"


def test_final_is_the_last_step_at_the_models_own_commit(tables):
    for model in tables[0].values():
        final = [checkpoint for checkpoint in model.checkpoints if checkpoint.final]
        assert [(c.name, c.step) for c in final] == [("final", 143000)]
        assert (final[0].reference, final[0].revision) == (model.reference, model.revision)


def test_steps_never_have_the_commit_of_the_model(tables):
    for model in tables[0].values():
        steps = [c for c in model.checkpoints if not c.final]
        assert all(c.revision != model.revision or not c.revision for c in steps), model.key


def test_steps_with_the_same_weights_say_so(tables):
    # Otherwise the check against a dropped revision would refuse every trajectory.
    models, _ = tables
    for model in models.values():
        declared = {c.name: c.same_as for c in model.checkpoints if c.same_as}
        assert declared.pop("step1") == "step0"
        expected = {}
        if model.key.endswith("-deduped") and model.key != "pythia-1b-deduped":
            expected["step0"] = f"{model.key.removesuffix('-deduped')}/step0"
        assert declared == expected
    origins = same_weights(models.values())
    assert origins["pythia-70m-deduped", "step1"] == ("pythia-70m", "step0")
    assert origins["pythia-70m", "step1"] == ("pythia-70m", "step0")
    assert origins["pythia-1b-deduped", "step1"] == ("pythia-1b-deduped", "step0")


def test_scores_by_step_are_the_published_ones(tables):
    _, scores = tables
    assert scores["pythia-410m", "step0", "lambada_openai"].score == 0
    assert scores["pythia-410m", "step1000", "lambada_openai"].score == pytest.approx(
        0.038, abs=5e-4
    )
    assert scores["pythia-410m", "final", "lambada_openai"].score == pytest.approx(0.516, abs=5e-4)
    assert scores["pythia-12b", "step0", "piqa"].score == pytest.approx(0.517, abs=5e-4)
    assert scores["pythia-12b", "final", "piqa"].score == pytest.approx(0.760, abs=5e-4)
    assert scores["pythia-12b-deduped", "final", "piqa"].score == pytest.approx(0.763, abs=5e-4)


def test_the_continuous_score_is_minus_the_logarithm_of_the_perplexity(tables):
    _, scores = tables
    for model, checkpoint in (("pythia-70m", "step0"), ("pythia-6.9b", "final")):
        perplexity = scores[model, checkpoint, "lambada_openai_ppl"].score
        value = scores[model, checkpoint, "lambada_openai_log_likelihood"].score
        assert math.exp(-value) == pytest.approx(perplexity, rel=1e-9)


def test_tables_are_what_the_evaluations_give(tables, evaluations):
    models, scores = tables
    checkpoints, rows = build_pythia(evaluations)
    expected = {(c.model, c.checkpoint, c.step) for c in checkpoints}
    mine = {(m.key, c.name, c.step) for m in models.values() for c in m.checkpoints}
    assert mine == expected
    assert len(rows) == 16 * 27 * 10
    for row in rows:
        assert scores[row.model, row.checkpoint, row.benchmark].score == row.score


def test_evaluations_without_a_model_stop_the_build(evaluations, tmp_path):
    import polars as pl

    table = pl.read_parquet(evaluations)
    short = tmp_path / "short.parquet"
    table.filter((pl.col("model") != "pythia-1b-bf16") | (pl.col("step") != 143000)).write_parquet(
        short
    )
    with pytest.raises(DataError, match="'pythia-1b-bf16' lacks step 143000"):
        build_pythia(short)
    table.filter((pl.col("task") != "sciq") | (pl.col("step") != 4)).write_parquet(short)
    with pytest.raises(DataError, match="lacks sciq acc at step 4"):
        build_pythia(short)
    twice = table.filter((pl.col("task") == "piqa") & (pl.col("shot") == "zero-shot")).head(1)
    pl.concat([table, twice]).write_parquet(short)
    with pytest.raises(DataError, match="there twice"):
        build_pythia(short)
    with pytest.raises(DataError, match="no such file"):
        build_pythia(tmp_path / "absent.parquet")

"""Nuisance is joined by id or time, delayed once, and gone through the stages to the tables."""

import numpy as np
import polars as pl
import pytest
import yaml

from convergent.alignment import fir, words_to_volumes
from convergent.brains import Nuisance, Responses, StimulusSet
from convergent.errors import ConfigError, DataError, IdError, NumericalError
from convergent.pipeline import data, extract, fit
from convergent.pipeline import measure as aggregate
from convergent.pipeline.metrics import nuisance_of
from convergent.pipeline.samples import Samples
from convergent.store import Store, open_store
from convergent.study import FitConfig, Study

WORDS = np.array(["w0", "w1", "w2", "w3"])
STORY = StimulusSet(
    "d", "language", "story", WORDS, texts=("a", "b", "c", "d"),
    onset=np.array([1.0, 3.0, 8.0, 20.0]), offset=np.array([2.0, 4.0, 9.0, 21.0]),
)  # fmt: skip


def config(**unique):
    return FitConfig(metrics={"ridge": None, "unique": unique}, delays=(1, 2))


def layer(values, ids, stimuli):
    arrays = {"features": values, "stimulus_id": ids}
    return Store("f", arrays, {}, {"stimuli_sha256": stimuli.digest, "model": "rate"})


def story(nuisance):
    return Responses("d", "s", "story", np.zeros((20, 1)), np.array(["A"]), np.ones(1), tr=2.0,
                     start=0.0, nuisance=nuisance)  # fmt: skip


def test_what_is_in_the_time_of_the_stimulus_is_delayed_and_the_rest_is_not():
    rng = np.random.default_rng(0)
    sound, motion = rng.normal(size=20), rng.normal(size=(20, 6))
    brain = story(Nuisance.of({"sound": sound, "motion": motion}, delayed=frozenset({"sound"})))
    rate = layer(np.ones((4, 1)), WORDS[::-1].copy(), STORY)
    given = config(nuisance=("sound", "motion"), baselines=("rate",))
    samples = Samples.join(rate, STORY, brain, given)
    found = nuisance_of(samples, brain, STORY, [rate], given)
    middle = (STORY.onset + STORY.offset) / 2
    volumes = words_to_volumes(np.ones((4, 1)), middle, n_volumes=22, tr=2.0, start=-4.0)
    late = fir(sound[:, None], (1, 2))
    late[0], late[1, 1] = sound.mean(), sound.mean()  # nothing is known before the first volume
    expected = [motion, late, fir(volumes, (1, 2))[2:]]
    np.testing.assert_allclose(found, np.hstack(expected))
    only = config(nuisance=("motion",))
    np.testing.assert_array_equal(nuisance_of(samples, brain, STORY, [], only), motion)


def test_words_before_the_scan_reach_it_in_features_and_baselines_alike():
    rng = np.random.default_rng(0)
    onset = np.arange(80) * 0.5
    names = np.array([f"w{k:02d}" for k in range(80)])
    words = StimulusSet("d", "language", "story", names, texts=("a",) * 80, onset=onset,
                        offset=onset + 0.4)  # fmt: skip
    values, given = rng.normal(size=(80, 3)), config(baselines=("rate",))
    whole, cut = (
        Responses("d", "s", "story", np.zeros((n, 1)), np.array(["A"]), np.ones(1), tr=2.0,
                  start=start) for n, start in ((20, 0.0), (15, 10.0))
    )  # fmt: skip
    made = layer(values, names, words)
    samples = Samples.join(made, words, cut, given)
    expected = Samples.join(made, words, whole, given).features[5:]
    np.testing.assert_allclose(samples.features, expected, atol=1e-12)
    np.testing.assert_allclose(
        nuisance_of(samples, cut, words, [made], given), expected, atol=1e-12
    )


def test_items_are_joined_by_id_whatever_the_order():
    ids = np.array([f"i{k}" for k in range(9)])
    stimuli = StimulusSet("d", "vision", "items", ids, images=np.zeros((9, 2, 2, 3), "u1"))
    order, other = np.random.default_rng(1).permutation(9), np.random.default_rng(2).permutation(9)
    number = np.arange(9.0)[:, None]
    brain = Responses("d", "s", "items", number[order], np.array(["A"]), np.ones(1), ids[order],
                      nuisance=Nuisance.of({"own": number[order, 0]}))  # fmt: skip
    given = config(nuisance=("own",), baselines=("b",))
    samples = Samples.join(layer(number, ids, stimuli), stimuli, brain, given)
    baseline = layer(number[other], ids[other], stimuli)
    found = nuisance_of(samples, brain, stimuli, [baseline], given)
    np.testing.assert_array_equal(found, np.hstack([samples.features] * 2))
    np.testing.assert_array_equal(brain.data[samples.rows], samples.features)
    missing = layer(number[:8], ids[:8], stimuli)
    with pytest.raises(IdError):
        nuisance_of(samples, brain, stimuli, [missing], given)
    foreign = Store("f", baseline.arrays, {}, {"stimuli_sha256": "other", "model": "b"})
    with pytest.raises(IdError, match="another stimulus set"):
        nuisance_of(samples, brain, stimuli, [foreign], given)


def test_nothing_to_add_to_is_an_error():
    given = config(nuisance=("motion",))
    rate = layer(np.ones((4, 1)), WORDS, STORY)
    brain = story(None)
    with pytest.raises(ConfigError, match="none of the nuisance"):
        nuisance_of(Samples.join(rate, STORY, brain, given), brain, STORY, [], given)


def test_wrong_regressors_are_named():
    with pytest.raises(DataError, match="different lengths: a 3, b 4"):
        Nuisance.of({"a": np.zeros(3), "b": np.zeros(4)})
    with pytest.raises(NumericalError, match="infinity in b"):
        Nuisance.of({"a": np.zeros(3), "b": np.array([0, np.nan, 1])})
    with pytest.raises(DataError, match="19 rows of nuisance for 20 samples"):
        story(Nuisance.of({"a": np.zeros(19)}))
    with pytest.raises(ValueError, match="neither nuisance regressors nor baselines"):
        config()


MODELS = (
    "model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\n"
    "lengths\tcontrols\tlanguage\tbaseline\ttext-length\t0\tfeatures\t3\tvector\tnone\n"
    "letters\tcontrols\tlanguage\tbaseline\tcharacter-ngrams\t0\tfeatures\t256\tvector\tnone\n"
)


def test_unique_scores_go_from_stores_to_the_tables(tmp_path, monkeypatch):
    """Beyond itself a baseline has nothing, and the nuisance is the same for every model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.tsv").write_text(MODELS)
    options = {"seed": 1, "vertices": 1}
    section = {"reader": "simulated-sentences", "modality": "language", "design": "items",
               "subjects": ["sim01"], "options": options}  # fmt: skip
    study = {
        "study": "small", "title": "A small study", "tables": {"models": ["models.tsv"]},
        "datasets": {"sentences": section},
        "fit": {"permutations": 0, "folds": 2, "inner_folds": 2,
                "alphas": {"low": 0, "high": 6, "number": 4},
                "metrics": {"ridge": None, "unique": {"baselines": ["lengths"]}}},
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    loaded = Study.load("study.yaml")
    data.write_stimuli(loaded, "sentences")
    data.write_responses(loaded, "sentences", "sim01")
    for model in loaded.models:
        extract.extract(loaded, model, None, None, None)
    for model in loaded.models:
        fit.fit(loaded, model, None, None, None, None)
        aggregate.measure(loaded, model)
    tables = {m: pl.read_parquet(loaded.paths.model(m)) for m in loaded.models}
    own, other = (
        tables[m].filter(pl.col("metric") == "unique").sort("region") for m in loaded.models
    )
    assert own.height == 360 and abs(own["score"].mean()) < 0.005
    assert own["p"].is_null().all()
    alone = [t.filter(pl.col("metric") == "nuisance_r2").sort("region") for t in tables.values()]
    np.testing.assert_array_equal(alone[0]["score"], alone[1]["score"])
    # alone, the nuisance predicts as the same features do by ridge, but for the coarser grid
    plain = tables["lengths"].filter(pl.col("metric") == "ridge_r2").sort("region")["score"]
    assert np.corrcoef(alone[0]["score"], plain)[0, 1] > 0.95 and plain.max() > 0.05
    share = other.filter(pl.col("score_normalised").is_not_null())
    np.testing.assert_allclose(share["score_normalised"], share["score"] / share["noise_ceiling"])
    store = open_store(
        loaded.paths.alignment("sentences", "letters", "final", "features", "sim01"), "alignment"
    )
    assert store.attrs["metrics"]["unique"]["facts"]["nuisance_columns"] == 3
    chosen = pl.read_parquet(loaded.paths.model("letters", "alignment"))
    found = chosen.filter((pl.col("metric") == "unique") & (pl.col("choice") == "best"))
    np.testing.assert_allclose(found.sort("region")["score"], other["score"])

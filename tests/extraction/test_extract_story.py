"""Stories: each word's vector knows the words before it and none after it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from convergent.brains.types import StimulusSet
from convergent.errors import DataError, ModelError
from convergent.extraction import extract

CAUSAL = {"gpt2": "h.2", "gpt_neox": "layers.2", "llama": "layers.2"}


def features(model, loaded, story, **options):
    options = {"loaded": loaded, "context_words": 4} | options
    (result,) = extract(model, model.checkpoints[0], model.layers, story, **options).values()
    return result.features


def story_of(words):
    ids = np.array([f"w{index:03d}" for index in range(len(words))])
    return StimulusSet("tale", "language", "story", ids, texts=tuple(words))


def story_model(kind, path, make_model, hub_layout, attention, **columns):
    reference = f"path:{hub_layout(kind)}"
    return make_model({path: 16}, reference=reference, attention=attention, **columns)


def vectors_of_words(directory, path, words):
    """One pass over all words; mean over each word's tokens, found by tokenising prefixes."""
    network = AutoModel.from_pretrained(directory).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    caught = []

    def hook(_module, _arguments, output):
        caught.append(output[0] if isinstance(output, tuple) else output)

    network.get_submodule(path).register_forward_hook(hook)
    ids = tokenizer(" ".join(words), return_tensors="pt")["input_ids"]
    with torch.no_grad():
        network(ids)
    tokens = caught[0].reshape(-1, caught[0].shape[-1]).numpy()
    special = len(tokenizer("")["input_ids"])
    opening = special // 2  # [CLS] in front, [SEP] behind; none for byte-level tokenizers
    edges = [opening] + [
        len(tokenizer(" ".join(words[: n + 1]))["input_ids"]) - special + opening
        for n in range(len(words))
    ]
    blank = np.array([not tokenizer.decode([token]).strip() for token in ids[0].tolist()])
    return np.stack([tokens[a:b][~blank[a:b]].mean(0) for a, b in pairwise(edges)])


@pytest.mark.parametrize("kind", sorted(CAUSAL))
def test_causal_windows_equal_a_direct_pass_at_the_same_context(
    kind, make_model, open_model, hub_layout, story
):
    path, context = CAUSAL[kind], 4
    model = story_model(kind, path, make_model, hub_layout, "causal")
    result = features(model, open_model(model), story, context_words=context)
    for word in (0, 3, 7, 8, 11, 12, 30, len(story) - 1):
        first = 0 if word < 2 * context else context * (word // context - 1)
        assert first == 0 or context <= word - first < 2 * context
        expected = vectors_of_words(hub_layout(kind), path, story.texts[first : word + 1])[-1]
        np.testing.assert_allclose(result[word], expected, atol=2e-5)


def test_bidirectional_windows_end_with_their_word(make_model, open_model, hub_layout, story):
    path = "encoder.layer.2"
    model = story_model("bert", path, make_model, hub_layout, "bidirectional")
    result = features(model, open_model(model), story, context_words=4)
    for word in (0, 2, 17, len(story) - 1):
        window = story.texts[max(0, word - 4) : word + 1]
        expected = vectors_of_words(hub_layout("bert"), path, window)[-1]
        np.testing.assert_allclose(result[word], expected, atol=2e-5)


@pytest.mark.parametrize(
    ("kind", "path", "attention"),
    [
        ("gpt2", "h.2", "causal"),
        ("gpt2", "h.2", "bidirectional"),
        ("bert", "encoder.layer.2", "bidirectional"),
        ("clip", "text_model.encoder.layers.2", "causal"),
    ],
)
def test_future_words_never_change_a_word(
    kind, path, attention, make_model, open_model, hub_layout, story
):
    model = story_model(kind, path, make_model, hub_layout, attention)
    loaded = open_model(model)
    before = features(model, loaded, story)
    for cut in (1, 9, 26):
        other = story_of(story.texts[:cut] + tuple(reversed(story.texts[cut:])))
        after = features(model, loaded, other)
        np.testing.assert_allclose(after[:cut], before[:cut], atol=1e-5)
        assert np.abs(after[cut:] - before[cut:]).max() > 1e-2


def test_bidirectional_model_declared_causal_is_found_out(
    make_model, open_model, hub_layout, story
):
    model = story_model("bert", "encoder.layer.2", make_model, hub_layout, "causal")
    with pytest.raises(ModelError, match="change with those that follow"):
        features(model, open_model(model), story)


def test_attention_must_be_declared(make_model, open_model, hub_layout, story):
    model = story_model("gpt2", "h.0", make_model, hub_layout, "")
    with pytest.raises(ModelError, match="attention column"):
        features(model, open_model(model), story)


def test_last_takes_the_last_token_of_each_word(make_model, open_model, hub_layout):
    story = story_of(["unhappiness", "sat", "wonderland"])  # several tokens a word
    model = story_model("gpt2", "h.1", make_model, hub_layout, "causal")
    last = features(replace(model, pooling="last"), open_model(model), story)
    network = open_model(model)
    (encoding,) = network.text.encode_words([story.texts])
    assert len(encoding.ids) > 3
    final = [max(i for i, w in enumerate(encoding.word) if w == word) for word in range(3)]
    hidden = network.module(torch.tensor([encoding.ids]), output_hidden_states=True)
    expected = hidden.hidden_states[2][0, final].detach().numpy()
    np.testing.assert_allclose(last, expected, atol=2e-5)


def test_no_context_reads_each_word_alone(make_model, open_model, hub_layout):
    model = story_model("gpt2", "h.1", make_model, hub_layout, "causal")
    loaded = open_model(model)
    result = features(model, loaded, story_of(["cat", "mat", "cat"]), context_words=0)
    np.testing.assert_allclose(result[0], result[2], atol=1e-6)
    assert np.abs(result[0] - result[1]).max() > 1e-2


def test_too_long_a_window_is_an_error_not_a_cut(make_model, open_model, hub_layout, story):
    model = story_model("gpt2", "h.0", make_model, hub_layout, "causal")
    with pytest.raises(DataError, match=r"lower extraction\.context_words"):
        features(model, open_model(model), story, context_words=60)


def test_word_without_a_token_is_named(make_model, open_model, hub_layout):
    model = story_model("bert", "encoder.layer.0", make_model, hub_layout, "bidirectional")
    with pytest.raises(DataError, match="word 1 "):
        features(model, open_model(model), story_of(["cat", "", "mat"]))


def test_story_needs_tokens(make_model, open_model, hub_layout, story):
    model = story_model("bert", "encoder.layer.0", make_model, hub_layout, "bidirectional")
    with pytest.raises(ModelError, match="on a story"):
        features(replace(model, pooling="cls"), open_model(model), story)

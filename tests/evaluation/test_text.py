"""Predictions of a text: every token once, with its context, in bits of its bytes."""

from __future__ import annotations

import math
from pydoc_data.topics import topics

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from convergent.errors import DataError
from convergent.evaluation import Material, evaluate
from convergent.evaluation.language_modelling import cut_windows
from convergent.models import load, make_manifest
from convergent.study import Checkpoint, Layer, Model

BOTH = ["bits_per_byte", "next_token_accuracy"]
FINAL = Checkpoint("final", "trained", None, "", "", None, True)
RANDOM = Checkpoint("random-4", "random", None, "", "", 4, False)


def byte_tokenizer(place, **options):
    """One token a byte, and a start token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    vocabulary["<s>"] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", **options
    ).save_pretrained(place)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A random GPT-2 over bytes that reads 32 of them."""
    place = tmp_path_factory.mktemp("gpt2")
    byte_tokenizer(place)
    config = transformers.GPT2Config(
        n_embd=16, n_layer=2, n_head=2, vocab_size=257, n_positions=32, bos_token_id=256,
        eos_token_id=256,
    )  # fmt: skip
    torch.manual_seed(0)
    network = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        network.transformer.wte.weight.mul_(20)  # predictions that differ
    network.save_pretrained(place)
    return place


def row(place):
    return Model(
        key="small", family="small", modality="language", source="transformers",
        reference=f"path:{place}", revision="", architecture="", parameters=1,
        layers=(Layer("h.0", 0, 0.0, 16),), layout="tokens", pooling="mean", precision="float32",
        preprocessing={}, attention="causal", tags=(), checkpoints=(FINAL, RANDOM),
    )  # fmt: skip


def measure(place, text, checkpoint=FINAL, names=BOTH, **material):
    model = row(place)
    manifest = make_manifest(model, checkpoint)
    file = place / "text.txt"
    file.write_bytes(text.encode())
    scores = evaluate(
        names,
        model,
        checkpoint,
        open_network=lambda head: load(model, checkpoint, manifest, head=head),
        material=Material(text=file, **material),
    )
    return {score.benchmark: score for score in scores}


def test_scores_are_the_sum_of_log_probabilities_each_token_once(small):
    text = topics["assert"][:300]
    found = measure(small, text, window=20, stride=7)
    network = transformers.GPT2LMHeadModel.from_pretrained(small).eval()
    ids = [256, *transformers.AutoTokenizer.from_pretrained(small)(text)["input_ids"]]
    nats, correct = 0.0, 0
    for target in range(1, len(ids)):
        # the first window, at 0, 7, 14, ..., that holds the target
        begin = max(0, math.ceil((target - 19) / 7)) * 7
        with torch.inference_mode():
            logits = network(input_ids=torch.tensor([ids[begin:target]])).logits[0, -1]
        nats -= float(logits.double().log_softmax(-1)[ids[target]])
        correct += int(logits.argmax()) == ids[target]
    assert found["bits_per_byte"].score == pytest.approx(
        nats / len(text.encode()) / math.log(2), rel=1e-5
    )
    assert found["next_token_accuracy"].score == correct / (len(ids) - 1)
    source = found["bits_per_byte"].source
    assert source == f"measured: text.txt, windows of 20 tokens by 7, float32, {len(text)} bytes"


def test_a_network_that_knows_nothing_needs_the_bits_of_its_vocabulary(small, tmp_path):
    """All logits equal: log2 of 257 a token, and here a token is a byte, also of other scripts."""
    network = transformers.GPT2LMHeadModel.from_pretrained(small)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    network.save_pretrained(tmp_path)
    byte_tokenizer(tmp_path)
    text = "naïve — 脳 🧠\r\n" * 20
    assert len(text.encode()) > len(text)
    found = measure(tmp_path, text, window=16, stride=8)
    assert found["bits_per_byte"].score == pytest.approx(math.log2(257), rel=1e-6)


def test_windows_are_no_longer_than_the_model_reads(small):
    found = measure(small, topics["assert"][:100], window=1000, stride=500)
    assert "windows of 32 tokens by 16" in found["bits_per_byte"].source


def test_more_context_predicts_no_worse_than_its_own_oracle_and_batches_change_nothing(small):
    text = topics["assert"][:200]
    model, manifest = row(small), make_manifest(row(small), FINAL)
    scores = [
        evaluate(
            ["bits_per_byte"], model, FINAL, batch_size=size,
            open_network=lambda head: load(model, FINAL, manifest, head=head),
            material=Material(text=_write(small, text), window=16, stride=4),
        )[0].score
        for size in (1, 3, 64)
    ]  # fmt: skip
    assert scores == pytest.approx([scores[0]] * 3, rel=1e-6)


def _write(place, text):
    (place / "again.txt").write_text(text)
    return place / "again.txt"


def test_a_twin_is_measured_with_the_network_that_is_extracted(small):
    model = row(small)
    manifest = make_manifest(model, RANDOM)
    with_head = load(model, RANDOM, manifest, head=True).module
    extracted = load(model, RANDOM, manifest).module
    pairs = zip(
        with_head.transformer.state_dict().values(), extracted.state_dict().values(), strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs)
    assert with_head.lm_head.weight is with_head.transformer.wte.weight
    found = measure(small, topics["assert"][:200], RANDOM, window=16, stride=8)
    assert 7.5 < found["bits_per_byte"].score < 8.5  # near log2(257)


def test_text_that_the_vocabulary_lacks_is_an_error(tmp_path):
    from small_weights import add_tokenizer

    config = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=8, n_positions=32,
                                     bos_token_id=2, eos_token_id=3)  # fmt: skip
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    add_tokenizer(tmp_path)
    with pytest.raises(DataError, match=r"text\.txt: 1 tokens of the text are unknown"):
        measure(tmp_path, "cat mat xylophone")
    assert measure(tmp_path, "cat mat sat")["bits_per_byte"].score > 0
    with pytest.raises(DataError, match="the text is empty"):
        measure(tmp_path, "")


@given(
    length=st.integers(1, 200),
    window=st.integers(2, 50),
    data=st.data(),
    opens=st.booleans(),
)
def test_windows_score_every_token_once_with_the_promised_context(length, window, data, opens):
    stride = data.draw(st.integers(1, window - 1))
    ids = tuple(range(length))
    scored = []
    windows = list(cut_windows(ids, -1, window=window, stride=stride, opens=opens))
    for index, piece in enumerate(windows):
        assert 0 < piece.scored < len(piece.ids) <= window
        scored += piece.ids[piece.scored :]
        if index:
            assert piece.scored >= window - stride
        assert (piece.ids[0] == -1) == (opens or index == 0)
        assert list(piece.ids[1:]) == list(range(piece.ids[1], piece.ids[1] + len(piece.ids) - 1))
    assert scored == list(ids)

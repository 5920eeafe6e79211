"""Texts reach a network as it was trained on them: prompts, templates, case, length, padding."""

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from convergent.brains import StimulusSet
from convergent.errors import ModelError, WeightsError
from convergent.extraction import extract
from convergent.models import load, make_manifest
from small_weights import FEW, SMALL, language_row

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "query",
    ":",
    "cat",
    "mat",
    "sat",
    "Cat",
    "user",
    "says",
]
TEXTS = ("cat mat sat cat mat", "mat", "sat cat")


def tokenizer(place, special=True, **options):
    core = Tokenizer(models.WordLevel({w: k for k, w in enumerate(WORDS)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        core.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", bos_token="[CLS]", model_max_length=32, **options,
    )  # fmt: skip
    made.save_pretrained(place)
    return made


def lively(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


@pytest.fixture
def bert(tmp_path):
    torch.manual_seed(0)
    config = transformers.BertConfig(**SMALL | {"vocab_size": 12}, max_position_embeddings=32)
    module = lively(transformers.BertModel(config))
    module.save_pretrained(tmp_path)
    return tmp_path, module, tokenizer(tmp_path)


def row(make_model, place, layers=("encoder.layer.3",), width=32, **columns):
    options = {"pooling": "mean", "attention": "bidirectional"} | columns
    return language_row(make_model, place, layers=dict.fromkeys(layers, width), **options)


def opened(model):
    checkpoint = model.checkpoints[0]
    return load(model, checkpoint, make_manifest(model, checkpoint))


def features(model, texts):
    ids = np.array([f"s{number}" for number in range(len(texts))])
    stimuli = StimulusSet("texts", "language", "items", ids, texts=tuple(texts))
    found = extract(model, model.checkpoints[0], model.layers, stimuli, loaded=opened(model))
    return found[model.layers[-1].name].features


def said(module, coded):
    with torch.no_grad():
        return module(**coded, output_hidden_states=True).hidden_states[-1]


def test_a_prompt_stands_before_every_text_and_counts_in_the_mean(bert, make_model):
    place, module, fast = bert
    model = row(make_model, place, preprocessing={"prompt": "query: "})
    found = features(model, TEXTS)
    expected = [
        said(module, fast(f"query: {text}", return_tensors="pt"))[0].mean(0) for text in TEXTS
    ]
    np.testing.assert_allclose(found, torch.stack(expected), atol=1e-5)
    (encoding,) = opened(model).text.encode_words([["cat", "mat"]])
    assert encoding.word == (-1, -1, -1, 0, 1, -1)


def test_a_sentence_encoder_is_read_as_its_own_files_say(bert, make_model):
    place, module, fast = bert
    (place / "sentence_bert_config.json").write_text('{"max_seq_length": 5, "do_lower_case": true}')
    (place / "config_sentence_transformers.json").write_text(
        '{"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "query"}'
    )
    model = row(make_model, place, preprocessing={"normalise": "yes"})
    found = features(model, ("Cat mat sat", "mat"))
    coded = [
        fast(f"query: {text}", return_tensors="pt", truncation=True, max_length=5)
        for text in ("cat mat sat", "mat")
    ]
    means = torch.stack([said(module, one)[0].mean(0) for one in coded])
    expected = torch.nn.functional.normalize(means, dim=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert opened(model).text.max_tokens == 5
    other = opened(row(make_model, place, preprocessing={"prompt": "says ", "max_length": "9"}))
    assert other.text.max_tokens == 9 and other.text.encode(["mat"])[0].ids == (2, 11, 7, 3)
    names = {file.name for file in make_manifest(model, model.checkpoints[0]).files}
    assert {"sentence_bert_config.json", "config_sentence_transformers.json"} <= names
    (place / "sentence_bert_config.json").write_text("[")
    with pytest.raises(WeightsError, match=r"cannot read 'sentence_bert_config\.json'"):
        opened(model)


TEMPLATE = "{% for m in messages %}[CLS] user : {{ m.content }} [SEP] {% endfor %}"


def test_a_chat_template_is_around_the_text_and_not_in_the_mean(tmp_path, make_model):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**FEW | {"vocab_size": 12}, max_position_embeddings=32)
    module = lively(transformers.LlamaModel(config))
    module.save_pretrained(tmp_path)
    fast = tokenizer(tmp_path, special=False, chat_template=TEMPLATE)
    options = {"chat": "user", "skip_first_token": "yes"}
    model = row(make_model, tmp_path, ("norm",), attention="causal", preprocessing=options)
    found = features(model, TEXTS)
    expected = []
    for text in TEXTS:
        coded = fast(f"[CLS] user : {text} [SEP] ", return_tensors="pt")
        assert coded["input_ids"][0, 0] == 2 and coded["input_ids"][0, -1] == 3
        with torch.no_grad():
            state = module(input_ids=coded["input_ids"]).last_hidden_state[0]
        expected.append(state[3:-1].mean(0))
    np.testing.assert_allclose(found, torch.stack(expected), atol=1e-5)
    fast.chat_template = None
    fast.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(ModelError, match="chat=user.*remove the option"):
        opened(model)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_siglip_reads_its_padding(pooling, tmp_path, make_model):
    torch.manual_seed(0)
    text = {"vocab_size": 12, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48,
            "num_attention_heads": 2, "max_position_embeddings": 16}  # fmt: skip
    vision = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 48,
              "num_attention_heads": 2, "image_size": 16, "patch_size": 8}  # fmt: skip
    module = lively(
        transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
    )
    module.save_pretrained(tmp_path)
    fast = tokenizer(tmp_path)
    name = "text_model.encoder.layers.1"
    model = row(make_model, tmp_path, (name,), pooling=pooling)
    found = features(model, TEXTS)
    coded = fast(list(TEXTS), padding="max_length", max_length=16, return_tensors="pt")
    got = {}
    module.text_model.encoder.layers[1].register_forward_hook(
        lambda _module, _inputs, output: got.update(x=output)
    )
    with torch.no_grad():
        module.get_text_features(input_ids=coded["input_ids"])
    state = got["x"][0] if isinstance(got["x"], tuple) else got["x"]
    expected = state.mean(1) if pooling == "mean" else state[:, -1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_tokens_are_those_of_tokenizer_json(bert, make_model):
    place, _, _ = bert
    model = row(make_model, place)
    assert opened(model).text.encode(["cat"])[0].ids == (2, 6, 3)
    path = place / "tokenizer.json"
    core = Tokenizer.from_file(str(path))
    core.enable_truncation(2)  # as some hubs store it: no part of how text is cut into tokens
    core.enable_padding(length=8)
    core.save(str(path))
    assert opened(model).text.encode(["cat mat sat"])[0].ids == (2, 6, 7, 8, 3)


def test_a_tokenizer_that_loses_blanks_is_refused(bert, make_model, monkeypatch):
    place, _, fast = bert
    lossy = Tokenizer.from_str(fast.backend_tokenizer.to_str())
    lossy.normalizer = normalizers.Replace(" ", "")
    broken = transformers.PreTrainedTokenizerFast(tokenizer_object=lossy, unk_token="[UNK]")
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *a, **k: broken)
    with pytest.raises(ModelError, match=r"tokenizer\.json as \d+"):
        opened(row(make_model, place))


def test_options_with_blanks_are_read_and_written_back(tmp_path):
    from convergent.study.rows import read_models
    from convergent.zoo import ModelRow, write_table

    written = ModelRow(
        model="m", family="f", modality="language", source="transformers", reference="a/b",
        parameters=1, layers=("x",), widths=(2,), layout="tokens", pooling="mean",
        preprocessing={"prompt": "query: ", "skip_first_token": "yes"}, revision="0" * 40,
        attention="causal",
    )  # fmt: skip
    path = tmp_path / "models.tsv"
    write_table(path, [written])
    assert "prompt='query: ' skip_first_token=yes" in path.read_text()
    errors = []
    models, _ = read_models(tmp_path, ("models.tsv",), (), errors)
    assert not errors
    (model,) = models.values()
    assert model.preprocessing == {"prompt": "query: ", "skip_first_token": "yes"}
    path.write_text(path.read_text().replace("'query: '", "'query: "))
    read_models(tmp_path, ("models.tsv",), (), errors)
    assert "is no key=value pair" in str(errors[0])

"""Networks that draw numbers, mix inputs or run modules again: exact, or refused by name."""

import re
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from convergent.brains.types import StimulusSet
from convergent.errors import LayerError, ModelError
from convergent.extraction import Settings, extract, extract_rows
from convergent.extraction.rows import ArrayRows
from convergent.models import LoadedModel
from convergent.models.tokens import FastTokenizer
from convergent.study.config import ExtractionLimits

ANY = ExtractionLimits(unknown=1, truncated=1, blank=1, saturated=1, constant=1, identical=1)
SMALL = {
    "vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 64,
}  # fmt: skip
# kind: its configuration, a layer, what the check says of it ("" if it may be stored)
TEXT = {
    "Bert": (SMALL, "encoder.layer.1", ""),
    "FNet": (
        {k: v for k, v in SMALL.items() if k != "num_attention_heads"}, "encoder.layer.1",
        "padded, differs .*batch=equal",
    ),
    "Yoso": (SMALL, "encoder.layer.1", "padded, differs .*batch=equal"),
    "ConvBert": (
        SMALL | {"embedding_size": 32, "conv_kernel_size": 5, "head_ratio": 2}, "encoder.layer.1",
        "padded, differs .*batch=equal",
    ),
    "Albert": (
        SMALL | {"embedding_size": 16, "num_hidden_layers": 3}, "encoder.albert_layer_groups.0",
        "runs 3 times .*albert_layer_groups.0@0' to 'encoder.albert_layer_groups.0@2'",
    ),
    "BigBird": (SMALL | {"block_size": 4, "num_random_blocks": 1}, "encoder.layer.1", "any"),
    "Longformer": (SMALL | {"attention_window": 4}, "encoder.layer.1", "any"),
    "Mamba": (
        {"vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
        "layers.1", "any",
    ),
}  # fmt: skip


def saved(kind, folder, tokenizer, arguments):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**arguments)
    network = transformers.AutoModel.from_config(config).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(4)
    network.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    return network


def plain(network, path, texts, tokenizer, run=0):
    """The module's output for each text alone, averaged over its tokens."""
    found = []
    untouched = network
    for text in texts:
        network = deepcopy(untouched)  # some change for good with what they read
        outputs = []
        handle = network.get_submodule(path).register_forward_hook(
            lambda _m, _a, output, outputs=outputs: outputs.append(output)
        )
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            network(input_ids=ids)
        handle.remove()
        output = outputs[run]
        output = output[0] if isinstance(output, tuple) else output
        tokens = output.reshape(-1, output.shape[-1])[: ids.shape[1]]  # without what fills blocks
        found.append(tokens.mean(0).numpy())
    return np.stack(found)


def assert_exact(features, expected):
    assert np.abs(features - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch_size", ["auto", 7])
@pytest.mark.parametrize("kind", sorted(TEXT))
def test_language_models_are_exact_or_refused(
    kind, batch_size, tmp_path, hub_layout, make_model, open_model, sentences
):
    arguments, path, said = TEXT[kind]
    network = saved(kind, tmp_path, hub_layout("bert"), arguments)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    model = make_model({path: 32}, reference=f"path:{tmp_path}", attention="bidirectional")

    def features(row, name=path):
        row = replace(row, layers=tuple(replace(layer, name=name) for layer in row.layers))
        loaded = open_model(row, layers=[name])
        options = {"loaded": loaded, "batch_size": batch_size, "limits": ANY}
        return extract(row, row.checkpoints[0], row.layers, sentences, **options)[name].features

    found, refused = None, ""
    try:
        found = features(model)
    except LayerError as error:
        refused = str(error)
    if found is not None:
        assert said in ("", "any")
        assert_exact(found, plain(network, path, sentences.texts, tokenizer))
        return
    assert said == "any" or re.search(said, refused), refused
    if "batch=" in refused:  # what the message advises helps
        advice = "equal" if "batch=equal" in refused else "one"
        try:
            found = features(replace(model, preprocessing={"batch": advice}))
        except LayerError as error:
            refused, found = str(error), None
        assert found is not None or said == "any", refused
        if found is not None:
            assert_exact(found, plain(network, path, sentences.texts, tokenizer))
    if "@0" in refused:
        for run in range(3):
            expected = plain(network, path, sentences.texts, tokenizer, run)
            assert_exact(features(model, f"{path}@{run}"), expected)
        with pytest.raises(LayerError, match="3 times .*there is no run 3"):
            features(model, f"{path}@3")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch_size", [1, 4])
def test_hashed_attention_is_refused_without_a_seed(
    batch_size, tmp_path, hub_layout, make_model, open_model, sentences
):
    arguments = {
        "vocab_size": 120, "hidden_size": 32, "num_attention_heads": 4, "attention_head_size": 8,
        "feed_forward_size": 48, "attn_layers": ["lsh", "local"], "axial_pos_embds": False,
        "max_position_embeddings": 64, "lsh_attn_chunk_length": 4, "local_attn_chunk_length": 4,
        "num_buckets": 4, "is_decoder": False,
    }  # fmt: skip
    saved("Reformer", tmp_path, hub_layout("bert"), arguments)
    path = "encoder.layers.1.feed_forward"
    # 16 tokens of each: other lengths are filled up to whole chunks, and then refused
    long = [" ".join([text] * 16) for text in sentences.texts]
    model = make_model({path: 32}, reference=f"path:{tmp_path}")

    def features(**options):
        row = replace(model, preprocessing={"max_length": "16"} | options)
        arguments = {"loaded": open_model(row), "batch_size": batch_size, "limits": ANY}
        return extract(row, row.checkpoints[0], row.layers, of_texts(*long), **arguments)[path]

    with pytest.raises(
        LayerError, match=r"begins in module 'encoder.layers.0.attention.*Attention"
    ):
        features()
    np.testing.assert_array_equal(features(seed="3").features, features(seed="3").features)


@pytest.mark.parametrize("batch_size", ["auto", 1])
def test_masked_autoencoder_of_images(batch_size, tmp_path, make_model, open_model, scenes):
    config = transformers.ViTMAEConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24,
    )  # fmt: skip
    torch.manual_seed(0)
    network = transformers.AutoModel.from_config(config).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(4)
    network.save_pretrained(tmp_path)
    options = {"size": "32", "mean": "0.5", "std": "0.5"}
    row = {"modality": "vision", "preprocessing": options, "pooling": "flatten"}
    (path,) = (name for name, _ in network.named_modules() if name.endswith("layers.1"))
    model = make_model({path: 16}, reference=f"path:{tmp_path}", **row)

    def features(**more):
        changed = replace(model, preprocessing=options | more)
        loaded = open_model(changed)
        arguments = {"loaded": loaded, "batch_size": batch_size}
        found = extract(changed, changed.checkpoints[0], changed.layers, scenes, **arguments)
        return found[path].features, loaded.images(scenes.images)

    with pytest.raises(LayerError, match=r"begins in module 'embeddings' \(ViTMAEEmbeddings\)"):
        features()
    np.testing.assert_array_equal(features(seed="1")[0], features(seed="1")[0])
    assert np.abs(features(seed="1")[0] - features(seed="2")[0]).max() > 0.1
    whole, pixels = features(mask_ratio="0")
    assert whole.shape == (len(scenes), 17 * 16)
    network.config.mask_ratio = 0.0
    with torch.no_grad():
        noise = torch.arange(16.0).expand(len(pixels), -1)  # patches keep their order
        outputs = []
        network.get_submodule(path).register_forward_hook(lambda m, a, o: outputs.append(o))
        network(pixel_values=pixels, noise=noise)
    output = outputs[0][0] if isinstance(outputs[0], tuple) else outputs[0]
    assert_exact(whole, output.flatten(1).numpy())


def test_mask_ratio_of_a_network_that_hides_nothing_is_refused(make_model, open_model, hub_layout):
    model = make_model(
        {"layers.1": 16}, reference=f"path:{hub_layout('vit')}", modality="vision",
        preprocessing={"mask_ratio": "0"},
    )  # fmt: skip
    with pytest.raises(ModelError, match="mask_ratio is given, and 'vit' hides no part"):
        open_model(model)


class Dropping(nn.Module):
    """Dropout that was left on."""

    def forward(self, x):
        return nn.functional.dropout(x, 0.2, training=True)


class Noise(nn.Module):
    """Numbers of numpy's generator, as some networks' own code draws them."""

    def forward(self, x):
        return x + torch.from_numpy(np.random.normal(size=x.shape[1:])).float()  # noqa: NPY002


class Skipping(nn.Module):
    """A block that is left out at random."""

    def __init__(self):
        super().__init__()
        self.block = nn.Linear(3, 3)

    def forward(self, x):
        return self.block(x) if torch.rand(()) < 0.5 else x


class Contrast(nn.Module):
    """Normalises over the batch."""

    def forward(self, x):
        return x / (1 + x.norm())


class Leaving(nn.BatchNorm1d):
    """Batch normalisation that stays in training mode."""

    def train(self, mode=True):
        return super().train(True)


class Loop(nn.Module):
    """A universal network: one block, several times."""

    def __init__(self):
        super().__init__()
        self.block = nn.Linear(3, 3)

    def forward(self, x):
        for _ in range(3):
            x = torch.tanh(self.block(x) * 3)
        return x


class Two(nn.Module):
    """One module under two names."""

    def __init__(self, runs):
        super().__init__()
        self.one = self.other = nn.Linear(3, 3)
        self.end, self.runs = nn.Linear(3, 3), runs

    def forward(self, x):
        x = self.one(x)
        return self.end(self.other(torch.relu(x)) if self.runs == 2 else x)


def pixels(module, seed=None):
    return LoadedModel(
        module=module.eval(),
        run=lambda inputs: module(inputs["pixels"]),
        device="cpu",
        dtype="float32",
        images=lambda images: torch.from_numpy(images).float().mean((1, 2)) / 255,
        seed=seed,
    )


@pytest.fixture
def rows(make_model):
    def make(*names, **columns):
        row = {"modality": "vision", "source": "timm", "layout": "vector", "pooling": "none"}
        return make_model(dict.fromkeys(names, 3), **(row | columns))

    return make


class Written(ArrayRows):
    """Rows that tell whether any were written."""

    number = 0

    def write(self, rows, values):
        Written.number += len(rows)
        super().write(rows, values)


def run(model, loaded, stimuli, **options):
    torch.manual_seed(0)
    Written.number = 0
    arrays = {}

    def open_rows(name, shape, dtype):
        return arrays.setdefault(name, Written(shape, dtype))

    found = extract_rows(
        model, model.checkpoints[0], model.layers, stimuli, loaded=loaded, open_rows=open_rows,
        settings=Settings(**options),
    )  # fmt: skip
    return {name: (arrays[name].values, summary) for name, summary in found.items()}


@pytest.mark.parametrize("batch_size", [1, 2, "auto"])
@pytest.mark.parametrize(
    ("part", "begins"),
    [(Dropping(), "'1' .Dropping"), (Noise(), "'1' .Noise"), (Skipping(), "'1(.block)?' .")],
)
def test_random_modules_are_named_before_anything_is_written(
    part, begins, batch_size, rows, scenes
):
    network = nn.Sequential(nn.Linear(3, 3), part, nn.Linear(3, 3))
    with pytest.raises(LayerError, match=rf"layer '2': two passes .*begins in module {begins}"):
        run(rows("0", "2"), pixels(network), scenes, batch_size=batch_size)
    assert Written.number == 0
    seeded = [run(rows("0", "2"), pixels(network, 5), scenes, batch_size=n) for n in (1, 4)]
    np.testing.assert_array_equal(seeded[0]["2"][0], seeded[1]["2"][0])
    assert run(rows("0"), pixels(network), scenes)["0"][1].status == "ok"  # nothing before it


def test_numbers_that_are_drawn_and_not_used_are_no_randomness(rows, scenes):
    class Drawing(nn.Module):
        def forward(self, x):
            torch.rand(3)
            return x + 1

    loaded = pixels(nn.Sequential(nn.Linear(3, 3), Drawing()))
    assert run(rows("0", "1"), loaded, scenes)["1"][1].status == "ok"


@pytest.mark.parametrize("batch_size", [3, "auto"])
@pytest.mark.parametrize("part", [Contrast(), Leaving(3)])
def test_networks_that_mix_inputs_are_refused_in_batches(part, batch_size, rows, scenes):
    network = nn.Sequential(nn.Linear(3, 3), part)
    said = r"can't be read alone" if isinstance(part, Leaving) else r"layer '1': an input differs"
    with pytest.raises(LayerError, match=said):
        run(rows("0", "1"), pixels(network), scenes, batch_size=batch_size)
    assert Written.number == 0
    if isinstance(part, Contrast):
        alone = rows("0", "1", preprocessing={"batch": "one"})
        found = run(alone, pixels(network), scenes, batch_size=batch_size)["1"][0]
        with torch.no_grad():
            inputs = pixels(network).images(scenes.images)
            expected = np.concatenate([network(one[None]).numpy() for one in inputs])
        assert_exact(found, expected)


def test_runs_of_a_loop_are_chosen_and_none_is_guessed(rows, scenes):
    network = Loop()
    with pytest.raises(LayerError, match=r"'block' runs 3 times .*'block@0' to 'block@2'"):
        run(rows("block"), pixels(network), scenes)
    loaded = pixels(network)
    names = [f"block@{number}" for number in range(3)]
    found = run(rows(*names), loaded, scenes)
    x = loaded.images(scenes.images)
    with torch.no_grad():
        for name in names:
            x = network.block(x)
            assert_exact(found[name][0], x.numpy())
            (one,) = run(rows(name), loaded, scenes).values()  # a job for it alone
            np.testing.assert_array_equal(one[0], found[name][0])
            x = torch.tanh(x * 3)
    with pytest.raises(LayerError, match="there is no run 3"):
        run(rows("block@3"), loaded, scenes)


def test_one_module_under_two_names(rows, scenes):
    loaded = pixels(Two(runs=2))
    for names in (("one", "end"), ("other",)):
        with pytest.raises(LayerError, match=r"runs 2 times .*@0' to '(one|other)@1'"):
            run(rows(*names), loaded, scenes)
    found = run(rows("one@0", "other@1"), loaded, scenes)
    x = loaded.images(scenes.images)
    with torch.no_grad():
        x = loaded.module.one(x)
        assert_exact(found["one@0"][0], x.numpy())
        assert_exact(found["other@1"][0], loaded.module.one(torch.relu(x)).numpy())
    for runs, names in ((2, ("one@1", "other@1")), (1, ("one", "other")), (1, ("one", "one@0"))):
        row = rows(*names)
        for layer in row.layers:  # each in a job of its own: the row is wrong all the same
            with pytest.raises(LayerError, match=rf"'{names[1]}': it is layer '{names[0]}'"):
                extract(
                    row, row.checkpoints[0], [layer], scenes, loaded=pixels(Two(runs))
                )  # fmt: skip


class Padding(nn.Module):
    """Attention's sort of leak, of a chosen size: the mean over all places of a batch."""

    def __init__(self, leak, dtype):
        super().__init__()
        self.table, self.block = nn.Embedding(300, 8, dtype=dtype), nn.Identity()
        self.leak = leak

    def forward(self, input_ids, attention_mask=None):
        x = self.table(input_ids)
        return self.block(x + self.leak * x.mean(1, keepdim=True))


@pytest.mark.parametrize("design", ["items", "story"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_padding_is_found_in_every_precision(
    dtype, design, make_model, open_model, hub_layout, sentences, story
):
    text = open_model(make_model({"layers.1": 16}, reference=f"path:{hub_layout('llama')}")).text
    model = make_model({"block": 8}, attention="bidirectional")
    stimuli = sentences if design == "items" else story

    def loaded(leak):
        torch.manual_seed(0)
        module = Padding(leak, getattr(torch, dtype)).eval()
        return LoadedModel(module, lambda inputs: module(**inputs), "cpu", dtype, text=text)

    options = {"batch_size": 64, "limits": ANY, "context_words": 3}
    kept = extract(model, model.checkpoints[0], model.layers, stimuli, loaded=loaded(0), **options)
    assert kept["block"].agreement.inputs > 0
    with pytest.raises(LayerError, match="padded, differs .*batch=equal"):
        extract(model, model.checkpoints[0], model.layers, stimuli, loaded=loaded(1), **options)
    equal = replace(model, preprocessing={"batch": "equal"})
    found = [
        extract(equal, equal.checkpoints[0], equal.layers, stimuli, loaded=loaded(1), **arguments)
        for arguments in (options, options | {"batch_size": 1})
    ]
    difference = found[0]["block"].features - found[1]["block"].features
    tolerance = 1e-5 if dtype == "float32" else 0.05
    assert np.abs(difference).max() < tolerance * np.abs(found[0]["block"].features).max()


def test_a_store_is_the_same_whichever_layers_share_the_job(
    make_model, open_model, hub_layout, sentences
):
    layers = {"embeddings": 16, "encoder.layer.0": 16, "encoder.layer.2": 16}
    model = make_model(layers, reference=f"path:{hub_layout('bert')}")

    def summaries(names):
        some = [model.layer_by_name[name] for name in names]
        loaded = open_model(model, layers=[*names, "encoder.layer.0"])
        options = {"loaded": loaded, "batch_size": "auto", "limits": ANY}
        return extract(model, model.checkpoints[0], some, sentences, **options)

    whole = summaries(layers)
    for name in layers:
        alone = summaries([name])[name]
        assert alone.features.tobytes() == whole[name].features.tobytes()
        assert (alone.counted, alone.agreement) == (whole[name].counted, whole[name].agreement)


def of_texts(*texts):
    ids = np.array([f"t{number}" for number in range(len(texts))])
    return StimulusSet("t", "language", "items", ids, texts=texts)


def test_unknown_and_cut_texts_are_counted_and_limited(make_model, open_model, hub_layout):
    model = make_model({"encoder.layer.1": 16}, reference=f"path:{hub_layout('bert')}")
    stimuli = of_texts("the cat sat", "a \u6f22 dog", "once \u6f22 \u5b57", "the dog", "a mat")

    def result(given=model, stimuli=stimuli, **limits):
        options = {"loaded": open_model(given), "limits": ExtractionLimits(**limits)}
        return extract(given, given.checkpoints[0], given.layers, stimuli, **options)[
            "encoder.layer.1"
        ]

    found = result()
    assert (found.counted["unknown"], found.counted["stimuli"]) == (2, 5)
    assert found.status == "failed"
    assert "in 2 of 5 stimuli, more than extraction.limits.unknown (0.1)" in found.reason
    assert result(unknown=0.4).status == "ok"
    short = replace(model, preprocessing={"max_length": "5"})
    found = result(short, of_texts("the cat sat on the mat", "cat"))
    assert "longest input: 1 of 2 stimuli, more than extraction.limits.truncated" in found.reason
    words = StimulusSet(
        "w", "language", "story", stimuli.ids, texts=("the", "\u6f22", "cat", "\u6f22", "sat")
    )
    told = replace(model, attention="bidirectional")
    assert result(told, words, unknown=0.4).counted["unknown"] == 2  # however many windows


def test_a_token_of_the_unknown_ones_id_in_front_of_a_text_is_not_unknown(hub_layout):
    tokenizer = transformers.AutoTokenizer.from_pretrained(hub_layout("gpt2"))
    tokenizer.unk_token = tokenizer.eos_token
    text = FastTokenizer(tokenizer, 64, tokenizer.eos_token_id, "model 'm'")
    (encoding,) = text.encode(["the cat"])
    assert encoding.ids[0] == tokenizer.unk_token_id and encoding.unknown == ()


def of_images(images):
    ids = np.array([f"i{number}" for number in range(len(images))])
    return StimulusSet("i", "vision", "items", ids, images=np.stack(images).astype(np.uint8))


def test_images_without_content_are_counted_and_limited(rows, scenes):
    loaded, model = pixels(nn.Sequential(nn.Linear(3, 3))), rows("0")
    black, white = np.zeros_like(scenes.images[0]), np.full_like(scenes.images[0], 255)
    drawn = np.where(scenes.images[1] > 128, 255, 0)
    stimuli = of_images([*scenes.images, black, white, drawn])
    (_, summary), *_ = run(model, loaded, stimuli, limits=ANY).values()
    assert (summary.counted["blank"], summary.counted["saturated"]) == (2, 3)
    (_, summary), *_ = run(model, loaded, stimuli, batch_size=3).values()
    assert "images of one value: 2 of 8 stimuli, more than extraction.limits.blank" in (
        summary.reason
    )
    strict = ExtractionLimits(blank=1, saturated=0.3)
    (_, summary), *_ = run(model, loaded, stimuli, limits=strict).values()
    assert "saturated images: 3 of 8 stimuli" in summary.reason


class Collapsed(nn.Module):
    """Gives one of two vectors, or nearly the same one."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        if self.kind == "two":
            return (x[:, :1] > 0.4995).float().expand(-1, 3).contiguous()
        if self.kind == "dead":
            return torch.cat([torch.zeros_like(x), x[:, :1]], 1)
        return 3 + 1e-7 * x


def test_features_that_say_nothing_fail_the_layer(rows, scenes):
    def summary(kind, stimuli=scenes, width=3, **limits):
        loaded = pixels(nn.Sequential(Collapsed(kind)))
        model = rows("0")
        model = replace(model, layers=(replace(model.layers[0], width=width),))
        arguments = {"limits": ExtractionLimits(**limits)}
        return run(model, loaded, stimuli, **arguments)["0"][1]

    flat = summary("flat")
    assert flat.counted["constant"] == 3
    assert "the same for all stimuli: 3 of 3 features, more than extraction.limits.constant" in (
        flat.reason
    )
    two = summary("two", identical=0.1)
    assert "same features as other, different stimuli have: " in two.reason
    dead = summary("dead", width=4)
    assert (dead.counted["constant"], dead.counted["features"], dead.status) == (3, 4, "ok")
    # the same picture many times is no collapse
    same = of_images([scenes.images[0]] * 4)
    assert summary("dead", same, width=4).status == "ok"
    twice = of_images([*scenes.images, *scenes.images])
    assert summary("dead", twice, width=4).counted["identical"] == 0


def test_what_is_checked_is_named_in_inspection():
    from convergent.models.inspect import Sketch, read_layers
    from convergent.models.layers import Pass

    with torch.device("meta"):
        network = Loop().eval()
    passes = tuple(
        Pass(
            network, {"x": torch.empty(size, 3, device="meta")},
            lambda inputs: network(inputs["x"]), size, side=8 * size,
        )
        for size in (2, 3)
    )  # fmt: skip
    found = read_layers(Sketch(passes, "vision", 12), ["block", "block@2", "block@3", "blockz@0"])
    assert "runs 3 times" in str(found["block"]) and "'block@2'" in str(found["block"])
    assert found["block@2"].axes.width == 3
    assert "'block@3' does not run" in str(found["block@3"])
    assert "no module 'blockz'" in str(found["blockz@0"])

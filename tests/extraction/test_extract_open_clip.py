"""open_clip's towers against encode_image and encode_text with a hook placed by hand."""

import json

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from convergent.errors import ModelError, WeightsError
from convergent.extraction import extract
from convergent.models import source

SETTINGS = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    place = tmp_path_factory.mktemp("open_clip")
    torch.manual_seed(3)
    network = open_clip.CLIP(**SETTINGS)
    torch.nn.init.normal_(network.token_embedding.weight)
    save_file(network.state_dict(), place / "open_clip_model.safetensors")
    config = {"model_cfg": SETTINGS, "preprocess_cfg": {"mean": [0.4] * 3, "std": [0.3] * 3}}
    (place / "open_clip_config.json").write_text(json.dumps(config))
    return place


@pytest.fixture(scope="module")
def network(directory):
    return open_clip.create_model(f"local-dir:{directory}").eval()


def caught_output(network, path, call):
    caught = []
    network.get_submodule(path).register_forward_hook(lambda m, a, o: caught.append(o))
    with torch.no_grad():
        call()
    return caught[0].numpy()


def test_image_tower_equals_a_plain_pass(directory, network, make_model, open_model, scenes):
    path = "visual.transformer.resblocks.1"
    row = {"source": "open_clip", "modality": "vision", "reference": f"path:{directory}"}
    model = make_model({path: 64}, **row)
    result = extract(
        model, model.checkpoints[0], model.layers, scenes, loaded=open_model(model), batch_size=2
    )[path]
    transform = open_clip.create_model_and_transforms(f"local-dir:{directory}")[2]
    from PIL import Image

    pixels = torch.stack([transform(Image.fromarray(image)) for image in scenes.images])
    output = caught_output(network, path, lambda: network.encode_image(pixels))
    np.testing.assert_allclose(result.features, output.mean(1), atol=2e-5)


def test_text_tower_reads_up_to_the_end_token(
    directory, network, make_model, open_model, sentences
):
    path = "transformer.resblocks.1"
    model = make_model({path: 64}, source="open_clip", reference=f"path:{directory}")
    result = extract(
        model, model.checkpoints[0], model.layers, sentences, loaded=open_model(model)
    )[path]
    tokens = open_clip.get_tokenizer(f"local-dir:{directory}")(list(sentences.texts))
    output = caught_output(network, path, lambda: network.encode_text(tokens))
    ends = (tokens == tokens.max()).int().argmax(1) + 1
    expected = [row[:end].mean(0) for row, end in zip(output, ends, strict=True)]
    np.testing.assert_allclose(result.features, expected, atol=2e-5)


def test_story_words_do_not_see_the_future(directory, make_model, open_model, story):
    path = "transformer.resblocks.1"
    row = {"source": "open_clip", "reference": f"path:{directory}", "attention": "causal"}
    model = make_model({path: 64}, **row)
    loaded, final = open_model(model), model.checkpoints[0]
    short = type(story)("t", "language", "story", story.ids[:20], texts=story.texts[:20])
    options = {"loaded": loaded, "context_words": 8}
    part = extract(model, final, model.layers, short, **options)[path].features
    whole = extract(model, final, model.layers, story, **options)[path].features
    np.testing.assert_allclose(part, whole[:20], atol=1e-5)


def test_random_twin_is_reproducible_and_differs(directory, make_model, open_model, scenes):
    path = "visual.transformer.resblocks.1"
    row = {"source": "open_clip", "modality": "vision", "reference": f"path:{directory}"}
    model = make_model({path: 64}, **row)
    trained, first, second = (open_model(model, which) for which in (0, 1, 1))
    a, b, c = (
        extract(model, model.checkpoints[0], model.layers, scenes, loaded=loaded)[path].features
        for loaded in (trained, first, second)
    )
    assert np.array_equal(b, c) and np.abs(a - b).max() > 0.01


def test_pretrained_tags_stand_for_hub_repositories():
    hub_id = source("open_clip").hub_id
    assert hub_id("ViT-B-32", "laion2b_s34b_b79k") == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    with pytest.raises(WeightsError, match="did you mean 'laion2b_s34b_b79k'"):
        hub_id("ViT-B-32", "laion2b_s34b_b79")


def test_text_towers_of_transformers_are_refused(directory, tmp_path, make_model, open_model):
    settings = json.loads(json.dumps(SETTINGS))
    settings["text_cfg"] = {"hf_model_name": "roberta-base"}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings}))
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    model = make_model({"x": 1}, source="open_clip", reference=f"path:{tmp_path}")
    with pytest.raises(ModelError, match="source transformers"):
        open_model(model)

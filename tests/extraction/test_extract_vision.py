"""Vision models against a plain forward pass with a hook placed by hand."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from transformers import AutoImageProcessor, AutoModel

from convergent.errors import LayerError
from convergent.extraction import extract

CASES = {
    # architecture, constructor arguments, layer, width, layout, pooling
    "vit": (
        "vit_tiny_patch16_224",
        {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2},
        "blocks.1",
        24,
        "tokens",
        "mean",
    ),
    "resnet": ("resnet18", {"layers": (1, 1, 1, 1)}, "layer2", 128, "channels_first", "mean"),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 32, "window_size": 4, "embed_dim": 12, "depths": (1, 1), "num_heads": (2, 2)},
        "layers.1",
        24,
        "channels_last",
        "spatial_mean",
    ),
    "mambaout": (
        "mambaout_femto",
        {"depths": (1, 1), "dims": (12, 20)},
        "stages.1",
        20,
        "channels_last",
        "spatial_mean",
    ),
    "convnext": (
        "convnext_atto",
        {"depths": (1, 1, 1, 1), "dims": (12, 20, 24, 24)},
        "stages.1",
        20,
        "channels_first",
        "spatial_mean",
    ),
    "efficientnet": (
        "tf_efficientnet_lite0",
        {"num_classes": 0},
        "blocks.2",
        40,
        "channels_first",
        "flatten",
    ),
}
INPUT = {"size": "32", "mean": "0.5", "std": "0.25", "resize": "squash"}


@pytest.fixture(scope="module")
def timm_directory(tmp_path_factory):
    """Directory in timm's hub layout, with random weights."""
    made = {}

    def get(case):
        if case not in made:
            import json

            architecture, arguments = CASES[case][:2]
            torch.manual_seed(2)
            network = timm.create_model(architecture, **arguments)
            directory = tmp_path_factory.mktemp(case)
            save_file(network.state_dict(), directory / "model.safetensors")
            config = {
                "architecture": architecture,
                "model_args": arguments,
                "num_classes": network.num_classes,
                "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.25] * 3},
            }
            (directory / "config.json").write_text(json.dumps(config))
            made[case] = directory
        return made[case]

    return get


def model_of(case, directory, make_model, **columns):
    _, _, path, width, layout, pooling = CASES[case]
    row = {
        "modality": "vision",
        "source": "timm",
        "reference": f"path:{directory}",
        "layout": layout,
        "pooling": pooling,
        "preprocessing": INPUT,
    }
    return make_model({path: width}, **(row | columns))


def caught_output(network, path, call):
    caught = []
    handle = network.get_submodule(path).register_forward_hook(lambda m, a, o: caught.append(o))
    with torch.no_grad():
        call()
    handle.remove()
    return caught[0]


@pytest.mark.parametrize("case", sorted(CASES))
def test_pooled_layer_equals_a_plain_pass(case, timm_directory, make_model, open_model, scenes):
    architecture, arguments, path, width, layout, pooling = CASES[case]
    directory = timm_directory(case)
    model = model_of(case, directory, make_model)
    loaded = open_model(model)
    result = extract(
        model, model.checkpoints[0], model.layers, scenes, loaded=loaded, batch_size=2
    )[path]
    network = timm.create_model(architecture, **arguments).eval()
    timm.models.load_checkpoint(network, str(directory / "model.safetensors"))
    output = caught_output(network, path, lambda: network(loaded.images(scenes.images)))
    axes = {"channels_first": (2, 3), "channels_last": (1, 2), "tokens": 1}[layout]
    expected = output.flatten(1) if pooling == "flatten" else output.mean(axes)
    assert pooling == "flatten" or expected.shape == (len(scenes), width)
    np.testing.assert_allclose(result.features, expected.numpy(), atol=2e-5)
    assert (result.width, result.pooled_width) == (width, expected.shape[1])


@pytest.mark.parametrize("case", ["swin", "mambaout"])
def test_wrong_layout_never_averages_the_channels_away(
    case, timm_directory, make_model, open_model, scenes
):
    model = model_of(case, timm_directory(case), make_model, layout="channels_first")
    with pytest.raises(LayerError, match=r"layer '.*': output float32 \(1, 4, 4, 2"):
        extract(model, model.checkpoints[0], model.layers, scenes, loaded=open_model(model))


def test_wrong_width_names_module_and_shape(timm_directory, make_model, open_model, scenes):
    model = model_of("resnet", timm_directory("resnet"), make_model)
    wrong = make_model({"layer2": 127}, modality="vision", source="timm", layout="channels_first")
    with pytest.raises(LayerError, match=r"'layer2': output float32 \(1, 128, 4, 4\).*127"):
        extract(wrong, model.checkpoints[0], wrong.layers, scenes, loaded=open_model(model))


def test_in_place_operations_after_a_layer_do_not_change_it(
    timm_directory, make_model, open_model, scenes
):
    # ReLU overwrites bn1's output, the residual sum overwrites bn2's.
    names = {"bn1": 64, "layer1.0.bn2": 64, "layer2": 128}
    row = {"modality": "vision", "source": "timm", "layout": "channels_first"}
    model = make_model(
        names, reference=f"path:{timm_directory('resnet')}", preprocessing=INPUT, **row
    )
    loaded, final = open_model(model), model.checkpoints[0]
    together = extract(model, final, model.layers, scenes, loaded=loaded)
    for layer in model.layers:
        alone = extract(model, final, [layer], scenes, loaded=loaded)[layer.name]
        assert alone.features.tobytes() == together[layer.name].features.tobytes()
    assert together["bn1"].features.min() < 0


def test_flattened_layer_is_projected(timm_directory, make_model, open_model, scenes):
    model = model_of("efficientnet", timm_directory("efficientnet"), make_model)
    loaded, final = open_model(model), model.checkpoints[0]
    whole = extract(model, final, model.layers, scenes, loaded=loaded)["blocks.2"]
    small = extract(model, final, model.layers, scenes, loaded=loaded, projection=50)["blocks.2"]
    assert small.projected and not whole.projected
    assert small.features.shape == (5, 50) and small.pooled_width == whole.features.shape[1]
    lengths = np.linalg.norm(small.features, axis=1) / np.linalg.norm(whole.features, axis=1)
    assert np.all((lengths > 0.6) & (lengths < 1.4))


def test_class_token_and_patches(timm_directory, make_model, open_model, scenes):
    network = {}
    for name, columns in {
        "cls": {"pooling": "cls"},
        "patches": {"preprocessing": INPUT | {"skip_tokens": "1"}},
        "all": {},
    }.items():
        model = model_of("vit", timm_directory("vit"), make_model, **columns)
        network[name] = extract(
            model, model.checkpoints[0], model.layers, scenes, loaded=open_model(model)
        )["blocks.1"].features
    tokens = 17
    np.testing.assert_allclose(
        network["all"], (network["cls"] + (tokens - 1) * network["patches"]) / tokens, atol=1e-5
    )


@pytest.mark.parametrize(
    ("kind", "path"), [("vit", "layers.1"), ("clip", "vision_model.encoder.layers.1")]
)
def test_transformers_towers_equal_a_plain_pass(
    kind, path, hub_layout, make_model, open_model, scenes
):
    directory = hub_layout(kind)
    model = make_model({path: 16}, modality="vision", reference=f"path:{directory}", pooling="cls")
    result = extract(model, model.checkpoints[0], model.layers, scenes, loaded=open_model(model))[
        path
    ]
    network = AutoModel.from_pretrained(directory).eval()
    processor = AutoImageProcessor.from_pretrained(directory)
    pixels = processor(list(scenes.images), return_tensors="pt")["pixel_values"]
    tower = getattr(network, "vision_model", network)
    output = caught_output(network, path, lambda: tower(pixel_values=pixels))
    output = output[0] if isinstance(output, tuple) else output
    np.testing.assert_allclose(result.features, output[:, 0].numpy(), atol=2e-5)

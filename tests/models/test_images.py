import json

import numpy as np
import pytest
import torch
from PIL import Image

from convergent.errors import ModelError
from convergent.models import LoadRequest, OpenClipSource, Options, TimmSource
from convergent.models.images import ImageTransform, image_transform, square

HALF, MEAN = (0.5, 0.5, 0.5), (0.48, 0.45, 0.4)


SHAPES = [(50, 70), (70, 41), (32, 32), (20, 15), (33, 200)]
FILL = tuple(round(255 * value) for value in MEAN)


@pytest.mark.parametrize(
    ("crop", "filter_"), [(0.875, "bicubic"), (1.0, "bilinear"), (1.15, "bicubic")]
)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("resize", "mode", "fill"),
    [("crop", "center", (0, 0, 0)), ("squash", "squash", (0, 0, 0)), ("longest", "border", FILL)],
)
def test_agrees_with_timm(crop, filter_, shape, resize, mode, fill):
    from timm.data import create_transform

    images = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    theirs = create_transform(
        (3, 32, 32), crop_pct=crop, crop_mode=mode, interpolation=filter_, mean=MEAN, std=HALF
    )
    expected = torch.stack([theirs(Image.fromarray(image)) for image in images])
    result = ImageTransform(32, crop, MEAN, HALF, filter_, resize, fill)(images)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"resize_mode": "squash", "interpolation": "bilinear"},
        {"resize_mode": "longest", "fill_color": 200, "mean": [0.5, 0.4, 0.3]},
        {"resize_mode": None, "mean": None, "interpolation": "random", "std": [0.5, 0.5, 0.5]},
    ],
)
def test_agrees_with_open_clip(own, tmp_path, make_model):
    """What a folder says of its preprocessing is done as open_clip does it."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    tower = {"width": 32, "layers": 1}
    vision = {**tower, "image_size": 32, "patch_size": 16, "head_width": 16}
    text = {**tower, "context_length": 8, "vocab_size": 50, "heads": 2}
    content = {"model_cfg": {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}}
    content["preprocess_cfg"] = own
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    model = make_model(source="open_clip")
    random = model.checkpoints[1]
    request = LoadRequest(model, random, Options(model, ()), (), "cpu", "float32")
    transform = OpenClipSource().load(request, tmp_path).images
    said = {key: value for key, value in own.items() if value is not None}
    theirs = image_transform_v2(PreprocessCfg(size=32, **said), is_train=False)
    for shape in SHAPES:
        image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        expected = theirs(Image.fromarray(image))
        torch.testing.assert_close(transform(image[None])[0], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("own", [{"crop_mode": "border"}, {"crop_mode": "center"}])
def test_a_timm_folder_is_fitted_as_it_says(own, tmp_path, make_model):
    import timm
    from timm.data import create_transform, resolve_data_config

    said = {"input_size": [3, 32, 32], "mean": MEAN, "std": HALF, "crop_pct": 0.9, **own}
    content = {"architecture": "test_vit", "model_args": {"img_size": 32}, "pretrained_cfg": said}
    (tmp_path / "config.json").write_text(json.dumps(content))
    model = make_model(source="timm", architecture="")
    random = model.checkpoints[1]
    request = LoadRequest(model, random, Options(model, ()), (), "cpu", "float32")
    transform = TimmSource().load(request, tmp_path).images
    network = timm.create_model(f"local-dir:{tmp_path}", pretrained=False)
    theirs = create_transform(**resolve_data_config(model=network))
    for shape in SHAPES:
        image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        expected = theirs(Image.fromarray(image))
        torch.testing.assert_close(transform(image[None])[0], expected, atol=1e-6, rtol=0)


def test_networks_without_a_square_input_are_refused():
    with pytest.raises(ModelError, match="images of 384 x 128 pixels"):
        square([384, 128])
    assert square((64, 64)) == square(64) == 64


def test_letterboxing_keeps_all_and_fills_the_rest():
    image = np.full((1, 10, 40, 3), 255, np.uint8)
    result = ImageTransform(20, 1.0, (0,) * 3, (1,) * 3, "box", "longest", (51, 0, 102))(image)
    rows = result[0, :, :, 10].T.numpy()  # (y, channel)
    np.testing.assert_allclose(rows[:7], [[0.2, 0, 0.4]] * 7, atol=1e-6)
    np.testing.assert_allclose(rows[8:12], 1.0)


def test_squash_keeps_all_of_the_image():
    image = np.zeros((1, 10, 40, 3), np.uint8)
    image[:, :, :4] = 255  # the left tenth, lost in a centre crop
    transform = ImageTransform(20, 1.0, (0, 0, 0), (1, 1, 1), "box", "squash")
    assert transform(image)[0, 0, :, :2].min() == 1.0
    assert transform(image).shape == (1, 3, 20, 20)


def test_row_overrides_the_models_own_values(make_model):
    own = ImageTransform(224, 0.9, HALF, HALF, "bilinear")
    row = Options(make_model(preprocessing={"size": "64"}), ("size",))
    assert image_transform(row, own) == ImageTransform(64, 0.9, HALF, HALF, "bilinear")


def test_values_that_nobody_gives_are_an_error(make_model):
    row = Options(make_model(preprocessing={"size": "64"}), ("size",))
    with pytest.raises(ModelError, match="'mean' is missing"):
        image_transform(row)

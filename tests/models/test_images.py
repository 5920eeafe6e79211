import numpy as np
import pytest
import torch
from PIL import Image

from convergent.errors import ModelError
from convergent.models import Options
from convergent.models.images import ImageTransform, image_transform

HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(("crop", "filter_"), [(0.875, "bicubic"), (1.0, "bilinear")])
@pytest.mark.parametrize("shape", [(50, 70), (70, 41), (32, 32)])
@pytest.mark.parametrize(("resize", "mode"), [("crop", "center"), ("squash", "squash")])
def test_agrees_with_timm(crop, filter_, shape, resize, mode):
    from timm.data import create_transform

    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    theirs = create_transform(
        (3, 32, 32), crop_pct=crop, crop_mode=mode, interpolation=filter_, mean=HALF, std=HALF
    )
    expected = torch.stack([theirs(Image.fromarray(image)) for image in images])
    result = ImageTransform(32, crop, HALF, HALF, filter_, resize)(images)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)


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

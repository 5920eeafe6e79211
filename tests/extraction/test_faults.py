"""What goes wrong in a pass: memory, NaN, devices, rows that do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from convergent.device import resolve_device
from convergent.errors import DataError, DeviceError, LayerError, ModelError
from convergent.extraction import extract
from convergent.extraction.batches import run_batches
from convergent.models import LoadedBaseline, LoadedModel
from convergent.study.config import ExtractionLimits


def pixel_network(module):
    return LoadedModel(
        module=module.eval(),
        run=lambda inputs: module(inputs["pixels"]),
        device="cpu",
        dtype="float32",
        images=lambda images: torch.from_numpy(images).float().mean((1, 2)),
    )


@pytest.fixture
def colours(make_model):
    row = {"modality": "vision", "source": "timm", "layout": "vector", "pooling": "none"}
    return make_model({"0": 4, "1": 4}, **row)


class Log(nn.Module):
    def forward(self, x):
        return torch.log(x)


def run(model, loaded, scenes, **options):
    return extract(model, model.checkpoints[0], model.layers, scenes, loaded=loaded, **options)


def test_nan_in_one_layer_leaves_the_others(colours, scenes):
    result = run(colours, pixel_network(nn.Sequential(nn.Linear(3, 4), Log())), scenes)
    assert result["0"].status == "ok"
    assert result["1"].status == "failed"
    assert "NaN or infinity for 5 of 5 stimuli (first: i0)" in result["1"].reason


def test_full_memory_halves_the_batch_and_changes_nothing(colours, scenes):
    class Small(nn.Linear):
        sizes: list[int] = []  # noqa: RUF012

        def forward(self, x):
            if len(x) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.sizes.append(len(x))
            return super().forward(x)

    network = nn.Sequential(Small(3, 4), nn.Linear(4, 4))
    halved = run(colours, pixel_network(network), scenes, batch_size=5)["1"].features
    # what is read again for the check is read alone
    assert set(Small.sizes) == {1, 2} and Small.sizes.count(2) == 2
    whole = run(colours, pixel_network(network), scenes, batch_size=1)["1"].features
    np.testing.assert_allclose(halved, whole, atol=1e-5)


def test_single_item_that_does_not_fit_is_an_error():
    def process(start, stop):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceError, match="single input"):
        run_batches([(0, 4), (4, 5)], process, "model 'm'")


def test_other_errors_are_not_taken_for_full_memory():
    def process(start, stop):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        run_batches([(0, 4), (4, 5)], process, "model 'm'")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_missing_gpu_is_an_error_not_a_fallback():
    assert resolve_device("cpu") == "cpu"
    with pytest.raises(DeviceError, match="no usable CUDA GPU"):
        resolve_device("cuda")


def test_unknown_device_is_refused():
    with pytest.raises(DeviceError, match="unknown device 'gpu'"):
        resolve_device("gpu")


def test_vision_model_on_text_is_refused(colours, sentences):
    with pytest.raises(ModelError, match="a vision model cannot read language stimuli"):
        run(colours, pixel_network(nn.Sequential(nn.Linear(3, 4))), sentences)


def test_no_layers_and_no_stimuli_are_errors(colours, scenes):
    loaded = pixel_network(nn.Sequential(nn.Linear(3, 4)))
    with pytest.raises(LayerError, match="no layers"):
        run(replace(colours, layers=()), loaded, scenes)
    empty = replace(scenes, ids=scenes.ids[:0], images=scenes.images[:0])
    with pytest.raises(DataError, match="no stimuli"):
        run(colours, loaded, empty)


def test_layer_with_parameters_missing_from_the_weights_is_refused(colours, scenes):
    loaded = replace(pixel_network(nn.Sequential(nn.Linear(3, 4), Log())), fresh=("0.weight",))
    with pytest.raises(LayerError, match=r"'0.weight' is not in the weights"):
        run(colours, loaded, scenes)


def test_baseline_width_must_be_declared(make_model, scenes):
    loaded = LoadedBaseline("two", lambda stimuli: np.ones((len(stimuli), 2), np.float32))
    row = {"modality": "vision", "source": "baseline", "layout": "vector", "pooling": "none"}
    fits, wrong = make_model({"features": 2}, **row), make_model({"features": 3}, **row)
    assert run(fits, loaded, scenes)["features"].features.shape == (5, 2)
    with pytest.raises(LayerError, match=r"gives \(5, 2\).*set the width to 2"):
        run(wrong, loaded, scenes)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
def test_gpu_agrees_with_cpu(make_model, open_model, hub_layout, sentences):
    model = make_model({"layers.2": 16}, reference=f"path:{hub_layout('llama')}")
    cpu, gpu = (
        run(model, open_model(model, device=device), sentences)["layers.2"].features
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(gpu, cpu, atol=1e-4)


class Two(nn.Module):
    """Returns a pair, and has a part that never runs."""

    def __init__(self):
        super().__init__()
        self.inner, self.unused = nn.Linear(3, 4), nn.Linear(3, 4)

    def forward(self, x):
        return self.inner(x), x


@pytest.mark.parametrize(
    ("layer", "width", "message"),
    [
        ("0", 4, r"layer '0': the module returns tuple of float32 \(1, 4\), float32 \(1, 3\)"),
        ("0.inner", 5, r"layer '0.inner': output float32 \(1, 4\) for 1 items is not .* 5 in"),
        ("0.inner", 3, r"layer '0.inner': output float32 \(1, 4\) for 1 items is not .* 3 in"),
        ("0.iner", 4, r"no module '0.iner'.*close paths: 0.inner"),
        ("0.unused", 4, r"module '0.unused' did not run in the forward pass"),
    ],
)
def test_rows_that_do_not_fit_the_network_are_named(layer, width, message, make_model, scenes):
    row = {"modality": "vision", "source": "timm", "layout": "vector", "pooling": "none"}
    model = make_model({layer: width}, **row)
    for batch_size in (8, "auto"):
        with pytest.raises(LayerError, match=message):
            run(model, pixel_network(nn.Sequential(Two())), scenes, batch_size=batch_size)


def test_one_bad_stimulus_fails_its_layer_and_is_named(colours, scenes):
    images = scenes.images.copy()
    images[3] = 0  # log(0)
    network = nn.Sequential(nn.Identity(), Log())
    model = replace(colours, layers=tuple(replace(layer, width=3) for layer in colours.layers))
    stimuli = replace(scenes, images=images)
    limits = ExtractionLimits(blank=0.2)
    result = run(model, pixel_network(network), stimuli, batch_size=2, limits=limits)
    assert result["1"].reason == "NaN or infinity for 1 of 5 stimuli (first: i3)"
    assert (result["0"].status, result["1"].status) == ("ok", "failed")
    assert np.isfinite(result["1"].features[[0, 1, 2, 4]]).all()


def test_what_half_precision_cannot_hold_is_a_failed_layer(colours, scenes):
    class Large(nn.Module):
        def forward(self, x):
            return x * 1e4

    result = run(
        replace(colours, layers=tuple(replace(each, width=3) for each in colours.layers)),
        pixel_network(nn.Sequential(nn.Identity(), Large())),
        scenes,
        store="float16",
    )
    assert result["0"].status == "ok" and result["0"].features.dtype == np.float16
    assert "beyond float16 (at most 65504) for 5 of 5" in result["1"].reason

"""Where the parts of large networks go; and that hooks which move them change no number."""

import accelerate
import pytest
import torch
import transformers
from accelerate.utils import compute_module_sizes

from convergent.errors import DeviceError
from convergent.models import load, make_manifest
from convergent.models.place import FILL, device_map
from small_weights import add_tokenizer, config_of, language_row, read_layer, save_language, text


@pytest.fixture(scope="module")
def network():
    with torch.device("meta"):
        return transformers.AutoModel.from_config(config_of("Llama"), dtype=torch.float32)


def room(network, share):
    """Memory of a GPU that a share of the weights fills as far as they may."""
    return int(compute_module_sizes(network)[""] * share / FILL) + 1


def place(network, memory, **arguments):
    settings = {"spread": False, "offload": "none", "where": "model 'm'", **arguments}
    return device_map(network, "cuda", memory=memory, **settings)


def test_what_fits_one_gpu_stays_on_it(network):
    assert place(network, {0: room(network, 1), 1: room(network, 1), "cpu": 0}) is None
    assert device_map(network, "cpu", spread=False, offload="none", where="m") is None


def test_what_fits_two_gpus_is_split_between_layers(network):
    places = place(network, {0: room(network, 0.7), 1: room(network, 0.7), "cpu": 0})
    assert set(places.values()) == {0, 1}
    layers = [places[f"layers.{i}"] for i in range(4)]  # none is cut in two
    assert layers == sorted(layers) and places["embed_tokens"] == 0
    sizes = compute_module_sizes(network)
    for gpu in (0, 1):
        held = sum(sizes[name] for name, place in places.items() if place == gpu)
        assert held <= FILL * room(network, 0.7)


def test_what_fits_nowhere_is_refused_with_the_number_of_gpus(network):
    with pytest.raises(DeviceError, match=r"model 'm': .* 2 with room .*, 4 or more like them"):
        place(network, {0: room(network, 0.26), 1: room(network, 0.26), "cpu": 10**12})


def test_host_memory_is_used_only_if_it_is_allowed(network):
    memory = {0: room(network, 0.6), "cpu": 10**12}
    places = place(network, memory, offload="cpu")
    assert set(places.values()) == {0, "cpu"}
    with pytest.raises(DeviceError, match="or set extraction.offload to cpu"):
        place(network, memory)
    with pytest.raises(DeviceError, match="this machine and in host memory"):
        place(network, {0: room(network, 0.3), "cpu": 10}, offload="cpu")


def test_a_named_gpu_is_the_only_one(network, monkeypatch):
    from convergent.models import place as _spread

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (100 + number, 200))
    assert set(_spread._free("cuda:2")) == {2, "cpu"}
    assert set(_spread._free("cuda")) == {0, 1, 2, "cpu"}
    assert set(_spread._free("cpu")) == {"cpu"}


@pytest.mark.parametrize("layers", [None, ["layers.1"]])
def test_a_network_that_is_placed_by_a_map_gives_the_same_numbers(
    layers, make_model, tmp_path, monkeypatch
):
    """All parts are on the CPU here, through the same calls as on GPUs."""
    from convergent.models import transformers as network

    save_language("Llama", tmp_path)
    model = language_row(make_model, tmp_path)
    manifest = make_manifest(model, model.checkpoints[0])
    plain = load(model, model.checkpoints[0], manifest)
    expected = read_layer(plain, "layers.1", text)
    monkeypatch.setattr(network, "device_map", lambda *a, **k: {"": "cpu"})
    placed = load(model, model.checkpoints[0], manifest, layers=layers, offload="cpu")
    assert torch.equal(read_layer(placed, "layers.1", text), expected)


def test_hooks_that_fetch_weights_from_host_memory_change_no_number(make_model, tmp_path):
    save_language("GPT2", tmp_path)
    model = language_row(make_model, tmp_path)
    manifest = make_manifest(model, model.checkpoints[0])
    loaded = load(model, model.checkpoints[0], manifest)
    expected = read_layer(loaded, "h.1", text)
    accelerate.cpu_offload(loaded.module, execution_device=torch.device("cpu"))
    assert all(parameter.is_meta for parameter in loaded.module.h[1].parameters())
    assert torch.equal(read_layer(loaded, "h.1", text), expected)


def test_a_twin_is_drawn_in_its_own_precision_and_the_same_in_part(make_model, tmp_path):
    config_of("Llama").save_pretrained(tmp_path)
    add_tokenizer(tmp_path)
    model = language_row(make_model, tmp_path, precision="bfloat16")
    twin = model.checkpoints[1]
    manifest = make_manifest(model, twin)
    assert manifest.bytes == 0  # its configuration is all that it needs
    whole = load(model, twin, manifest)
    part = load(model, twin, manifest, layers=["layers.1"])
    assert whole.module.norm.weight.dtype == torch.bfloat16
    assert torch.equal(read_layer(whole, "layers.1", text), read_layer(part, "layers.1", text))
    assert len(list(part.module.parameters())) < len(list(whole.module.parameters()))

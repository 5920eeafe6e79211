import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from convergent.errors import WeightsError
from convergent.models.state import load_by_name, load_in_order, read_state


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def block(names=("a", "b")):
    parts = {names[0]: nn.Linear(2, 3), names[1]: nn.BatchNorm1d(3)}
    return nn.ModuleDict(parts)


@pytest.mark.parametrize("suffix", [".pth", ".bin"])
def test_malicious_pickle_is_refused_and_does_nothing(suffix, tmp_path):
    canary = tmp_path / "canary"
    content = {"weight": torch.ones(2), "x": Canary(canary)}
    torch.save(content, tmp_path / f"zip{suffix}")
    (tmp_path / f"plain{suffix}").write_bytes(pickle.dumps(content["x"], protocol=2))
    for name in ("zip", "plain"):
        with pytest.raises(WeightsError, match="holds more than tensors and was not opened"):
            read_state(tmp_path / f"{name}{suffix}", "model 'm'")
    assert not canary.exists()


def test_safetensors_and_pickles_of_tensors_are_read(tmp_path):
    state = block().state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pth")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "c.pth")
    for name in ("a.safetensors", "b.pth", "c.pth"):
        read = read_state(tmp_path / name, "m")
        assert all(torch.equal(read[key], value) for key, value in state.items())


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_damaged_files_are_named(name, tmp_path):
    (tmp_path / name).write_bytes(b"\x00" * 40)
    with pytest.raises(WeightsError, match=r"'a\."):
        read_state(tmp_path / name, "m")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="not a state dictionary"):
        read_state(tmp_path / "list.pth", "m")


def test_in_order_copies_by_position_whatever_the_names():
    source, target = block(("x", "y")), block()
    load_in_order(target, source.state_dict(), "m")
    for theirs, ours in zip(source.parameters(), target.parameters(), strict=True):
        assert torch.equal(theirs, ours)


def test_in_order_checks_number_and_shape():
    state = dict(block().state_dict())
    with pytest.raises(WeightsError, match="5 tensors in the file, 6 in the architecture"):
        load_in_order(block(), {k: v for k, v in state.items() if k != "a.bias"}, "m")
    state["a.bias"] = torch.ones(4)
    with pytest.raises(WeightsError, match=r"'a.bias' has shape \(4,\), 'a.bias' needs \(3,\)"):
        load_in_order(block(), state, "m")


def test_by_name_is_strict():
    state = dict(block().state_dict())
    with pytest.raises(WeightsError, match=r"1 parameters missing .*a\.bias.*1 unexpected"):
        load_by_name(block(), {("c" if k == "a.bias" else k): v for k, v in state.items()}, "m")
    state["a.bias"] = torch.ones(4)
    with pytest.raises(WeightsError, match=r"has shape \(4,\)"):
        load_by_name(block(), state, "m")

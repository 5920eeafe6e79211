import pytest
import torch
from torch import nn

from convergent.errors import LayerError
from convergent.extraction.passes import find_modules, read_modules


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 5)
        self.unused = nn.Linear(2, 2)
        self.ran = []

    def forward(self, x):
        for name in ("first", "second", "third"):
            x = getattr(self, name)(x)
            self.ran.append(name)
        return x


def read(network, names):
    modules, seen = find_modules(network, names, "model 'm'"), {}
    read_modules(modules, lambda: network(torch.ones(1, 2)), seen.__setitem__, "model 'm'")
    return seen


def test_the_pass_stops_after_the_last_module_asked_for():
    network = Chain()
    assert list(read(network, ["second", "first"])) == ["first", "second"]
    assert network.ran == ["first"]  # second had run but not returned


def test_hooks_are_removed_even_after_a_failure():
    network = Chain()
    read(network, ["first"])
    with pytest.raises(LayerError):
        read(network, ["unused"])
    assert not any(module._forward_hooks for module in network.modules())


def test_missing_module_lists_close_paths():
    with pytest.raises(LayerError, match=r"no module 'secnd'.*close paths: second"):
        find_modules(Chain(), ["secnd"], "model 'm'")


def test_module_that_never_runs_is_named():
    with pytest.raises(LayerError, match=r"module 'unused' did not run"):
        read(Chain(), ["first", "unused"])


def test_module_used_twice_is_read_the_first_time_unless_the_pass_is_whole():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.same, self.end = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.end(self.same(self.same(x)))

    network = Twice()
    alone, together = read(network, ["same"]), read(network, ["same", "end"])
    assert torch.equal(alone["same"], together["same"])


def test_errors_of_the_model_itself_are_not_swallowed():
    network = Chain()
    modules = find_modules(network, ["third"], "m")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        read_modules(modules, lambda: network(torch.ones(1, 7)), lambda n, o: None, "m")

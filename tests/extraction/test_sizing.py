"""Batches follow from the model, the inputs and the machine, and not from the job."""

import numpy as np
import pytest
import torch

from convergent.brains.types import StimulusSet
from convergent.errors import DeviceError
from convergent.extraction import extract
from convergent.extraction import sizing as _sizing
from convergent.extraction.batches import cut, run_batches
from convergent.extraction.sizing import GIB, Cost, Sizer, memory_of, peak_bytes, plan_sizes


def test_peak_counts_what_is_alive_and_not_what_is_seen_twice():
    x = torch.zeros(1000)

    def call():
        with torch.inference_mode():
            a = x + 1  # 4,000 bytes
            b = a * 2  # 8,000
            del a  # 4,000
            c = b.view(10, 100)[2:]  # no bytes of its own
            b.add_(1)
            return c @ torch.zeros(100, 20)  # 8,000 + 640 more

    assert peak_bytes(call) == 4_000 + 8_000 + 640
    assert peak_bytes(call) == peak_bytes(call)


def test_costs_are_split_into_tokens_and_pairs_of_tokens():
    cost = Cost.through((50, 50 * 7 + 50**2 * 3), (100, 100 * 7 + 100**2 * 3))
    assert (cost.linear, cost.quadratic) == pytest.approx((7, 3))
    assert cost(10) == pytest.approx(370)
    assert Cost.through((1, 90), (1, 90)) == Cost(90.0)
    # sublinear measurements (constants) are not extrapolated below the longest
    assert Cost.through((50, 1000), (100, 1500)).quadratic == 0


@pytest.mark.parametrize(
    ("length", "expected"), [(1, 16), (10, 16), (50, 8), (70, 4), (128, 2), (4000, 1)]
)
def test_batches_hold_fewer_of_longer_texts(length, expected):
    sizer = Sizer(Cost(1.0, 0.05), budget=4000, most_inputs=20, most_tokens=512)
    size = sizer(length)
    assert size == expected
    assert size == 1 or (size * length <= 512 and 2 * size * sizer.cost(length) <= 4000)


def test_cutting_covers_all_inputs_in_order():
    lengths = np.sort(np.random.default_rng(0).integers(1, 60, 500))[::-1]
    batches = cut(lengths, lambda length: 120 // length)
    assert [i for start, stop in batches for i in range(start, stop)] == list(range(500))
    assert all((stop - start) * lengths[start] <= 120 for start, stop in batches)
    unsorted = cut(np.array([1, 1, 100, 1]), lambda length: 100 // length)
    assert unsorted == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_texts_of_unlike_length_do_not_share_a_batch():
    lengths = np.array([100, 80, 75, 74, 60, 20, 19, 2, 1])
    assert cut(lengths, lambda length: 8, alike=0.75) == [
        (0, 3), (3, 5), (5, 7), (7, 8), (8, 9),
    ]  # fmt: skip
    assert cut(lengths, lambda length: 2, alike=0.75)[0] == (0, 2)
    assert cut(np.ones(9), lambda length: 8, alike=0.75) == [(0, 8), (8, 9)]


def plan(free, total, monkeypatch, device="cuda", weights=0, memory_gb=None, cost=None):
    monkeypatch.setattr(_sizing, "memory_of", lambda device: (int(free * GIB), int(total * GIB)))
    return plan_sizes(
        cost or Cost(0.1 * GIB),
        device=device,
        weights=int(weights * GIB),
        longest=1,
        memory_gb=memory_gb,
        where="model 'm'",
    )


def test_what_is_free_changes_no_plan_that_fits(monkeypatch):
    sizes = {plan(free, 80, monkeypatch)(1) for free in (79, 70, 52)}
    assert sizes == {256}
    with_weights = {plan(free, 80, monkeypatch, weights=50)(1) for free in (30, 27)}
    assert with_weights == {64}


def test_what_is_not_free_halves_a_plan_and_says_so(monkeypatch, caplog):
    assert plan(20, 80, monkeypatch)(1) == 64
    assert "20.0 GiB are free" in caplog.text and "model 'm'" in caplog.text
    with pytest.raises(DeviceError, match="no memory is free"):
        plan(0, 80, monkeypatch)


def test_budgets_of_cpu_and_of_models_on_several_gpus(monkeypatch):
    assert plan(20, 32, monkeypatch, device="cpu")(1) == 4  # 1 GiB
    assert plan(20, 32, monkeypatch, device="cpu", memory_gb=4)(1) == 16
    assert plan(10, 80, monkeypatch, weights=140)(1) == 16  # a sixteenth of 80
    assert plan(70, 80, monkeypatch, memory_gb=2)(1) == 8


def test_memory_of_this_machine_is_plausible():
    free, total = memory_of("cpu")
    assert 0 < free <= total and total > 2**28


def test_a_job_may_use_what_its_control_group_allows(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/job_7/step\n")
    for folder, limit, used in (("job_7", "1000", 300), ("job_7/step", "max", 250)):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "memory.max").write_text(limit)
        (tmp_path / folder / "memory.current").write_text(str(used))
        (tmp_path / folder / "memory.stat").write_text("anon 9\nactive_file 100\ninactive_file 50")
    assert _sizing._job_limits(tmp_path, own) == [(1000, 150)]
    assert _sizing._job_limits(tmp_path, tmp_path / "none") == []


SIZES = {"h.0": 16, "h.1": 16, "h.2": 16}


@pytest.fixture
def texts():
    rng = np.random.default_rng(0)
    lines = tuple("a" * n for n in rng.integers(1, 50, 60))
    return StimulusSet("s", "language", "items", np.array([f"{i}" for i in range(60)]), texts=lines)


def test_automatic_batches_give_the_same_bytes_for_any_choice_of_layers(
    make_model, open_model, hub_layout, texts
):
    model = make_model(SIZES, reference=f"path:{hub_layout('gpt2')}")
    loaded, final = open_model(model), model.checkpoints[0]
    options = {"loaded": loaded, "batch_size": "auto", "memory_gb": 1e-4}
    together = extract(model, final, model.layers, texts, **options)
    for layer in model.layers:
        alone = extract(model, final, [layer], texts, **options)[layer.name]
        assert alone.features.tobytes() == together[layer.name].features.tobytes()


@pytest.mark.parametrize("memory_gb", [1e-5, 1e-4, 1.0])
def test_results_do_not_depend_on_memory(memory_gb, make_model, open_model, hub_layout, texts):
    model = make_model(SIZES, reference=f"path:{hub_layout('gpt2')}")
    loaded, final = open_model(model), model.checkpoints[0]
    one = extract(model, final, model.layers, texts, loaded=loaded, batch_size=1)
    sizes = []

    def spy(_module, _arguments, output):
        sizes.append(len(output[0] if isinstance(output, tuple) else output))

    handle = loaded.module.get_submodule("h.0").register_forward_hook(spy)
    options = {"loaded": loaded, "batch_size": "auto", "memory_gb": memory_gb}
    auto = extract(model, final, model.layers, texts, **options)
    handle.remove()
    assert len(set(sizes)) > 1 or memory_gb == 1.0
    for name, expected in one.items():
        scale = np.abs(expected.features).max()
        np.testing.assert_allclose(auto[name].features, expected.features, atol=1e-5 * scale)


def test_memory_that_runs_out_on_the_way_halves_what_is_left():
    sizes = []

    def process(start, stop):
        if stop - start > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
        sizes.append((start, stop))

    assert run_batches([(0, 2), (2, 8), (8, 16)], process, "model 'm'") == 2
    assert sizes == [(0, 2), (2, 5), (5, 8), (8, 10), (10, 12), (12, 14), (14, 16)]


def test_out_of_memory_on_the_way_changes_no_layer(make_model, open_model, hub_layout, texts):
    model = make_model(SIZES, reference=f"path:{hub_layout('gpt2')}")
    loaded, final = open_model(model), model.checkpoints[0]
    whole = extract(model, final, model.layers, texts, loaded=loaded, batch_size=16)

    def small(_module, arguments):
        if len(arguments[0]) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = loaded.module.get_submodule("h.1").register_forward_pre_hook(small)
    halved = extract(model, final, model.layers, texts, loaded=loaded, batch_size=16)
    handle.remove()
    for name, expected in whole.items():
        scale = np.abs(expected.features).max()
        np.testing.assert_allclose(halved[name].features, expected.features, atol=1e-5 * scale)


def test_an_input_that_does_not_fit_is_named_by_the_probe(
    make_model, open_model, hub_layout, texts
):
    model = make_model(SIZES, reference=f"path:{hub_layout('gpt2')}")
    loaded = open_model(model)

    def full(_module, _arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = loaded.module.get_submodule("h.1").register_forward_pre_hook(full)
    with pytest.raises(DeviceError, match="out of memory with a single input"):
        extract(
            model, model.checkpoints[0], model.layers[:1], texts, loaded=loaded, batch_size="auto"
        )
    handle.remove()

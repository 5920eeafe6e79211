"""What jobs ask of the cluster."""

from __future__ import annotations

import pytest

from convergent.errors import ConfigError
from convergent.study import Study, Unit, resources

HEADER = (
    "model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling"
    "\tprecision\tattention\n"
)
ROWS = {
    "small": ("70426624", "layers.{0-5}", "float32"),
    "middle": ("7000000000", "layers.{0-31}", "bfloat16"),
    "large": ("72000000000", "layers.{0-79}", "bfloat16"),
    "half": ("72000000000", "layers.{40-79}", "bfloat16"),
}


@pytest.fixture
def sized(files):
    rows = [
        f"{key}\ttexts\tlanguage\ttransformers\torg/{key}\t{number}\t{layers}\t8\ttokens\tmean"
        f"\t{precision}\tcausal\n"
        for key, (number, layers, precision) in ROWS.items()
    ]
    (files.folder / "sizes.tsv").write_text(HEADER + "".join(rows))
    files.config["tables"]["models"].append("sizes.tsv")
    files.config["extraction"] = {"device": "cuda"}
    return files


def unit(model, layer=None):
    return Unit(model, "final", None if layer is None else f"layers.{layer}")


def asks(study, model, layer=None, attempt=1):
    keys = {"model": model, "checkpoint": "final"}
    if layer is not None:
        keys["layer"] = f"layers.{layer}"
    return study.graph.request("extract", keys, attempt)


def test_gpus_follow_weights_and_precision(sized):
    study = Study.load(sized.path)
    assert [resources.weights_mb(study, study.model(key)) for key in ("small", "middle", "large")] \
        == [282, 14_000, 144_000]  # fmt: skip
    assert [resources.gpus(study, unit(key)) for key in ("small", "middle", "large")] == [1, 1, 3]
    sized.config["resources"] = {"gpu_mb": 24_000}
    assert resources.gpus(Study.load(sized.path), unit("large")) == 8
    sized.config["extraction"]["precision"] = "float32"
    assert resources.gpus(Study.load(sized.path), unit("large")) == 16


def test_a_layer_asks_for_the_weights_that_it_needs(sized):
    study = Study.load(sized.path)
    large = study.model("large")
    shares = [resources.fraction(large, f"layers.{index}") for index in (0, 39, 79)]
    assert shares == pytest.approx([0.15 + 1 / 80, 0.65, 1.0])
    asked = [resources.gpus(study, unit("large", index)) for index in (0, 39, 79)]
    assert asked == [1, 2, 3]
    memory = [resources.extract_mb(study, unit("large", index)) for index in (0, 39, 79)]
    assert memory == sorted(memory) and memory[2] == 4000 + 1.5 * 144_000
    time = [asks(study, "large", index).minutes for index in (0, 39, 79)]
    assert time == sorted(time) and time[0] < time[2]


def test_a_row_of_late_layers_only_is_not_taken_for_a_shallow_model(sized):
    study = Study.load(sized.path)
    assert resources.fraction(study.model("half"), "layers.40") == pytest.approx(0.15 + 41 / 80)


def test_networks_without_numbered_blocks_count_whole(files):
    study = Study.load(files.path)
    assert resources.fraction(study.model("net-b"), "stages.0") == 1.0
    assert resources.fraction(study.model("rate"), "features") == 1.0


def test_a_twin_needs_host_memory_for_all_of_its_weights(sized):
    sized.config["twins"] = {"seeds": [0], "models": ["large"]}
    study = Study.load(sized.path)
    twin = Unit("large", "random-0", "layers.0")
    assert resources.extract_mb(study, twin) == 4000 + 1.5 * 144_000
    assert resources.gpus(study, twin) == 1


def test_time_follows_stimuli_and_memory_and_time_follow_the_attempt(sized):
    study = Study.load(sized.path)
    few, more = (asks(study, "middle", attempt=attempt) for attempt in (1, 3))
    assert (more.minutes, more.memory_mb) == (3 * few.minutes, 3 * few.memory_mb)
    for data in sized.config["datasets"].values():
        data["stimuli"] = 1_000_000
    assert asks(Study.load(sized.path), "middle").minutes > few.minutes + 30


def test_offload_asks_no_more_gpus_than_a_node_has(sized):
    sized.config["resources"] = {"gpu_mb": 24_000, "gpus": 4}
    plain = Study.load(sized.path)
    sized.config["extraction"]["offload"] = "cpu"
    study = Study.load(sized.path)
    assert resources.gpus(plain, unit("large")) == 8
    assert resources.gpus(study, unit("large")) == 4
    time = [asks(each, "large").minutes for each in (plain, study)]
    assert time[1] > time[0]
    assert resources.mistakes(study) == []


def test_rows_that_fit_no_node_are_mistakes(sized):
    assert resources.mistakes(Study.load(sized.path)) == []
    sized.config["resources"] = {"gpu_mb": 24_000, "gpus": 4}
    first, _ = resources.mistakes(Study.load(sized.path))
    assert "model 'large' has 144 GB of weights and asks 8 GPUs of 24 GB, a node has 4" in str(
        first
    )
    assert "sizes.tsv, line 4" in str(first)
    sized.config["resources"] = {"node_mb": 100_000}
    first, _ = resources.mistakes(Study.load(sized.path))
    assert "asks 220 GB of host memory, a node has 100 GB" in str(first)


def layer_job(study, layer, attempt):
    """Minutes of a layer's extraction and of all of its fits, as one SLURM job sums them."""
    (dataset,) = study.datasets_of("large")
    keys = {"dataset": dataset, "model": "large", "checkpoint": "final", "layer": f"layers.{layer}"}
    fits = [keys]
    if study.config.fit_granularity == "subject":
        fits = [{**keys, "subject": name} for name in study.dataset(dataset).subjects]
    return (
        study.graph.request("extract", keys, attempt).minutes,
        sum(study.graph.request("fit", one, attempt).minutes for one in fits),
    )


@pytest.mark.parametrize("granularity", ["layer", "subject"])
def test_no_attempt_asks_more_time_than_the_site_gives(sized, granularity):
    sized.config["fit_granularity"] = granularity
    for data in sized.config["datasets"].values():
        data["stimuli"] = 500_000
    free = Study.load(sized.path)
    first = layer_job(free, 79, 1)
    assert layer_job(free, 79, 3) == tuple(3 * minutes for minutes in first)
    for limit in (
        sum(first) + 30,
        sum(first) // 2,
    ):  # the first attempt fits; only without its spare
        sized.config["resources"] = {"max_minutes": limit}
        study = Study.load(sized.path)
        asked = [layer_job(study, 79, attempt) for attempt in (1, 2, 3)]
        assert [sum(one) for one in asked[1:]] == pytest.approx([limit, limit], abs=3)
        assert all(sum(one) <= limit for one in asked)
        for later in asked[1:]:  # no part gets less than at first
            assert later[0] >= asked[0][0] and later[1] >= asked[0][1]
        assert layer_job(study, 0, 1) == layer_job(free, 0, 1)
        assert resources.mistakes(study) == []


def test_a_job_that_the_site_gives_too_little_time_is_a_mistake_before_it_is_submitted(sized):
    for data in sized.config["datasets"].values():
        data["stimuli"] = 500_000
    sized.config["resources"] = {"max_minutes": 100}
    study = Study.load(sized.path)
    found = {str(mistake) for mistake in resources.mistakes(study)}
    assert any("jobs of model 'large' need more than the 100 minutes" in one for one in found)
    assert not any("'small'" in one for one in found)
    with pytest.raises(ConfigError, match=r"max_minutes: .*large final layers\.79 needs .* hours"):
        layer_job(study, 79, 1)


def test_later_attempts_ask_no_more_memory_than_a_node_has(sized):
    sized.config["resources"] = {"node_mb": 300_000}
    study = Study.load(sized.path)
    memory = [asks(study, "large", attempt=attempt).memory_mb for attempt in (1, 2, 3)]
    assert memory == [220_000, 300_000, 300_000]

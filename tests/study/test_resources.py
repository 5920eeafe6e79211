"""What jobs ask of the cluster."""

from __future__ import annotations

import pytest

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
    memory = [resources.extract_mb(study, unit("large", index), 1) for index in (0, 39, 79)]
    assert memory == sorted(memory) and memory[2] == 4000 + 1.5 * 144_000
    time = [resources.extract_minutes(study, unit("large", index), 1) for index in (0, 39, 79)]
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
    assert resources.extract_mb(study, twin, 1) == 4000 + 1.5 * 144_000
    assert resources.gpus(study, twin) == 1


def test_time_follows_stimuli_and_memory_and_time_follow_the_attempt(sized):
    study = Study.load(sized.path)
    few = resources.extract_minutes(study, unit("middle"), 1)
    assert resources.extract_minutes(study, unit("middle"), 3) == 3 * few
    assert resources.extract_mb(study, unit("middle"), 2) == 2 * resources.extract_mb(
        study, unit("middle"), 1
    )
    for data in sized.config["datasets"].values():
        data["stimuli"] = 1_000_000
    assert resources.extract_minutes(Study.load(sized.path), unit("middle"), 1) > few + 30


def test_offload_asks_no_more_gpus_than_a_node_has(sized):
    sized.config["resources"] = {"gpu_mb": 24_000, "gpus": 4}
    plain = Study.load(sized.path)
    sized.config["extraction"]["offload"] = "cpu"
    study = Study.load(sized.path)
    assert resources.gpus(plain, unit("large")) == 8
    assert resources.gpus(study, unit("large")) == 4
    time = [resources.extract_minutes(each, unit("large"), 1) for each in (plain, study)]
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

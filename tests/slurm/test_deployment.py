"""Images, scratch and the mail at the end, on a real SLURM; apptainer is a stand-in."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import yaml
from _cluster import Place, make_place

from stand_ins import command_of, make_apptainer

pytestmark = pytest.mark.slurm

OPTIONS = (
    "--profile slurm --configfile study.yaml --slurm-init-seconds-before-status-checks 2 "
    "--retries 0 --latency-wait 5"
)
LAYER = "results/small/alignment/scenes/vit-0/{}/layers.0/sim01.zarr.zip"
LOGS = "results/small/logs/{}/scenes/vit-0/{}/layers.0.log"


@pytest.fixture(scope="module")
def place(cluster, tmp_path_factory) -> Place:
    return make_place(tmp_path_factory.mktemp("deployment") / "study", 1, 1, {"cka": None})


def _scratch_in(place: Place, folder: str) -> None:
    file = place.root / "study.yaml"
    config = yaml.safe_load(file.read_text()) | {"resources": {"scratch": folder}}
    file.write_text(yaml.safe_dump(config))


def _last_job(name: str) -> str:
    done = subprocess.run(
        ["squeue", "-h", "--states=all", "-o", "%i|%j|%T"],
        capture_output=True,
        text=True,
        check=True,
    )
    return next(line for line in done.stdout.splitlines() if name in line)


def test_a_layer_runs_in_an_image_with_scratch_that_only_the_node_knows(
    place, tmp_path, monkeypatch
):
    record = make_apptainer(tmp_path / "programs")
    command_of(place.root / "image" / "bin" / "convergent", "the image")
    disk = tmp_path / "gpu"  # the name of the job's partition
    disk.mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{os.environ['PATH']}")
    monkeypatch.setenv("CONVERGENT_MAIL", "nobody")
    assert "SLURM_JOB_PARTITION" not in os.environ
    _scratch_in(place, f"{tmp_path}/$SLURM_JOB_PARTITION")
    run = place.snakemake(
        f"{OPTIONS} --software-deployment-method apptainer --apptainer-args '--nv --bind /data' "
        f"--config container=image -- {LAYER.format('final')}"
    )
    told = run.log.read_text()
    assert run.returncode == 0, told
    calls = [json.loads(line) for line in record.read_text().splitlines()]
    layer = [call for call in calls if "--layer layers.0" in call[-1]]
    assert [call[-1].split("convergent ")[1].split()[0] for call in layer] == ["extract", "fit"]
    for call in calls:
        assert call[3:6] == ["--nv", "--bind", "/data"]
    for stage in ("extract", "fit"):
        log = (place.root / LOGS.format(stage, "final")).read_text()
        assert log.startswith("convergent of the image\n")
    assert "SLURM will mail nobody: convergent small: done" in told
    assert "|convergent small: done" in _last_job("convergent small: done")


def test_scratch_that_the_node_does_not_have_fails_the_layer_and_names_the_node(
    place, tmp_path, monkeypatch
):
    monkeypatch.setenv("CONVERGENT_MAIL", "nobody")
    _scratch_in(place, f"{tmp_path}/$SLURM_JOB_ID")
    run = place.snakemake(f"{OPTIONS} -- {LAYER.format('random-0')}")
    assert run.returncode != 0
    log = (place.root / LOGS.format("extract", "random-0")).read_text()
    assert f"resources.scratch is '{tmp_path}/$SLURM_JOB_ID', here {tmp_path}/" in log
    assert "there is no such folder" in log
    assert "convergent small: FAILED" in run.log.read_text()

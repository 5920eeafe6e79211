"""What docs/cluster.md says about a site's own options, as SLURM records it."""

from __future__ import annotations

import subprocess

import chaos
import pytest
import yaml
from _cluster import make_place

pytestmark = pytest.mark.slurm


def _call(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def jobs(cluster, tmp_path_factory) -> dict[str, str]:
    """Run one layer with every option, its fits in a job of their own; SLURM's description."""
    place = make_place(tmp_path_factory.mktemp("options") / "study", 1, 1, {"cka": None})
    path = place.root / "profiles" / "slurm" / "config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["default-resources"] |= {
        "slurm_account": "tests",
        "qos": "urgent",
        "constraint": "nvlink",
        "gpu_model": "h100",
        "gpu": 0,
        "slurm_extra": "--mail-type=END --mail-user=nobody --nice=5",
    }
    profile["groups"] = {"fit_scenes": "fits.scenes.{model}.{checkpoint}.{layer}"}
    profile["set-resources"] = {"fit_scenes": {"mem_mb": "3000 * attempt", "runtime": 33}}
    path.write_text(yaml.safe_dump(profile))
    layer = place.study.paths.alignment("scenes", "vit-0", "final", "layers.0", "sim01")
    run = place.snakemake(f"{chaos.OPTIONS} -- {layer}")
    assert run.returncode == 0, run.log.read_text()
    described = {}
    for job in _call("sacct", "-X", "-n", "-P", f"--name={run.identity}", "-oJobIDRaw").split():
        text = _call("scontrol", "show", "job", "-o", job)
        described[text.split("Comment=")[1].split()[0]] = text
    return described


def test_every_job_has_the_account_the_quality_of_service_and_the_constraint(jobs):
    for text in jobs.values():
        for option in ("Account=tests", "QOS=urgent", "Features=nvlink", "Nice=5"):
            assert option in text


def test_slurm_is_asked_for_a_mail_at_the_end_of_each_job(jobs):
    for text in jobs.values():
        assert "MailUser=nobody" in text
        assert "MailType=END" in text


def test_a_layer_has_a_gpu_of_the_model_and_other_jobs_have_none(jobs):
    layer = jobs["rule_scenes.vit-0.final.layers.0_extract"]
    others = [text for comment, text in jobs.items() if "extract" not in comment]
    assert "gres/gpu:h100=1" in layer
    assert "Partition=gpu" in layer
    assert len(others) == 4  # stimuli, responses of two subjects, and the fits
    for text in others:
        assert "gres/gpu" not in text.split("TRES=")[1].split()[0]
        assert "Partition=cpu" in text


def test_fits_of_another_group_are_a_job_with_the_memory_and_time_that_the_profile_sets(jobs):
    fits = jobs["rule_fits.scenes.vit-0.final.layers.0_fit_scenes"]
    assert "mem=3000M" in fits
    assert "TimeLimit=00:33:00" in fits

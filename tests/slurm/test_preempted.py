"""A layer that has to make way for someone else's job comes back, and ends as if it never had."""

from __future__ import annotations

import subprocess
import time

import chaos
import pytest
import yaml
from _cluster import make_place, recorded

from convergent.ops.cluster import partitions

pytestmark = pytest.mark.slurm


def test_a_preempted_layer_returns_under_its_number_and_gives_the_same_stores(cluster, tmp_path):
    place = make_place(tmp_path / "study", 1, 1, {"cka": None})
    right = chaos.undisturbed(place)
    place.forget()
    profile = place.root / "profiles" / "slurm"
    file = profile / "partitions.yaml"
    file.write_text(yaml.safe_dump({"partitions": {"cpu": {}, "spot": {"max_gpu": 8}}}))

    told = [c for c in partitions(place.study, profile) if c.about == "cluster: preemption"]
    assert [check.level for check in told] == ["warning"] and "'spot'" in told[0].text
    chaos.allow_requeue(place)
    assert not [c for c in partitions(place.study, profile) if c.about == "cluster: preemption"]

    nodes = subprocess.run(
        ["sinfo", "-h", "-p", "urgent", "-o", "%D"], capture_output=True, text=True, check=True
    ).stdout.strip()
    log = place.root / "run.log"
    controller = place.start(f"{chaos.OPTIONS} -- {' '.join(place.targets)}", log)
    try:
        urgent = False
        while controller.poll() is None:
            if not urgent and chaos.workers(place.root):
                everything = [
                    "-p",
                    "urgent",
                    "-N",
                    nodes,
                    "--gres=gpu:4",
                    "-t",
                    "1",
                    "-o",
                    "/dev/null",
                ]
                subprocess.run(["sbatch", *everything, "--wrap", "sleep 1"], check=True)
                urgent = True
            chaos.hurry()
            time.sleep(0.2)
    finally:
        controller.terminate()
        controller.wait()
    assert controller.returncode == 0, log.read_text()
    assert place.digests() == right
    text = log.read_text()
    identity = next(line.split()[-1] for line in text.splitlines() if "SLURM run ID" in line)
    states: dict[str, list[str]] = {}
    for job in recorded(identity, duplicates=True):
        states.setdefault(job.id, []).append(job.state)
    assert len(states) == 2  # one job a layer, and none was submitted a second time
    assert ["PREEMPTED", "COMPLETED"] in states.values()
    assert {found[-1] for found in states.values()} == {"COMPLETED"}

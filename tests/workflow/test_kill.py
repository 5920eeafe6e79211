"""A stage killed at any moment leaves outputs whole or absent; the rerun gives the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

import forked

LAYER = ("--model", "tiny-vit", "--checkpoint", "final", "--layer", "layers.1")
STAGES = {
    "stimuli": (("stimuli", "--dataset", "scenes"), ["stimuli/scenes.zarr.zip"]),
    "responses": (
        ("responses", "--dataset", "scenes", "--subject", "sim01"),
        ["responses/scenes/sim01.zarr.zip"],
    ),
    "ceilings": (("ceilings", "--dataset", "scenes"), ["ceilings/scenes.parquet"]),
    "weights": (("weights", "--model", "tiny-vit"), ["weights/tiny-vit/final.json"]),
    "extract": (("extract", *LAYER), ["features/scenes/tiny-vit/final/layers.1.zarr.zip"]),
    "fit": (
        ("fit", *LAYER, "--subject", "sim01"),
        ["alignment/scenes/tiny-vit/final/layers.1/sim01.zarr.zip"],
    ),
    "measure": (
        ("measure", "--model", "tiny-vit"),
        ["models/tiny-vit.parquet", "models-alignment/tiny-vit.parquet"],
    ),
    "family": (("family", "--family", "tiny"), ["families/tiny.parquet"]),
    "correlate": (("correlate",), ["study/correlations.parquet", "study/about.json"]),
}
# As Snakemake gives to each job: sums of other numbers of threads round otherwise.
ONE_THREAD = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_publishes_nothing_half_and_reruns_to_the_same_bytes(workflow, stage):
    workflow.write()
    arguments, names = STAGES[stage]
    command = [forked.program("convergent"), *arguments, "--study", "study.yaml"]
    outputs = [workflow.folder / "results/small" / name for name in names]
    before = [path.read_bytes() for path in outputs]

    def start() -> subprocess.Popen[bytes]:
        for path in outputs:
            path.unlink(missing_ok=True)
        return subprocess.Popen(
            command, cwd=workflow.folder, stderr=subprocess.PIPE, env=ONE_THREAD
        )

    def kill(process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for path, content in zip(outputs, before, strict=True):
            assert not path.exists() or path.read_bytes() == content

    begun = time.monotonic()
    process = start()
    while process.poll() is None and not _being_written(outputs):
        time.sleep(0.001)
    seconds = time.monotonic() - begun
    kill(process)
    process = start()
    time.sleep(0.8 * seconds)  # while it computes
    kill(process)
    process = start()  # beside what the killed ones left
    _, complaint = process.communicate()
    assert process.returncode == 0, complaint.decode()
    assert [path.read_bytes() for path in outputs] == before


def _being_written(outputs) -> bool:
    return any(any(path.parent.glob(".*.tmp")) for path in outputs)

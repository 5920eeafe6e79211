"""One tiny SLURM job: whether a node sees the same folder, Python and GPU as jobs will need."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convergent import __version__
from convergent.errors import ConfigError
from convergent.ops.checks import Check, gigabytes
from convergent.ops.cluster import gpu_partition
from convergent.ops.disk import rows_of_a_job, weights_cache
from convergent.ops.status import last_lines
from convergent.study import Study
from convergent.text_files import read_yaml

_ABOUT = "test job"
_LATENCY = 60  # seconds that a network file system may take to show a file
_MINUTES = 5


def run_test_job(study: Study, overrides: list[str], profile: Path, wait: int) -> Iterator[Check]:
    """Submit a job that looks around on a node, wait for it, and compare.

    Parameters
    ----------
    study : Study
    overrides : list of str
        As on the command line.
    profile : Path
        Its account and extra options of `sbatch` are used.
    wait : int
        Seconds.
    """
    if shutil.which("sbatch") is None:
        yield Check("problem", _ABOUT, "no sbatch here", "start from a login node")
        return
    folder = Path(study.paths.root, "logs", "doctor")
    folder.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    told, output = folder / f"{token}.json", folder / f"{token}.log"
    here = Path.cwd()
    own = [sys.executable, "-m", "convergent", "doctor", "--in-job", str(told)]
    command = [*own, "--study", study.file, *(part for one in overrides for part in ("--set", one))]
    try:
        asked = [*_options(study, profile), f"--chdir={here}", f"--output={output}"]
    except ConfigError as error:
        yield Check("problem", _ABOUT, str(error), "give the folder with --profile")
        return
    begun = time.monotonic()
    script = "#!/bin/sh\nexec " + " ".join(map(shlex.quote, command)) + "\n"
    done = subprocess.run(
        ["sbatch", "--parsable", *asked], input=script, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " ".join(done.stderr.split())
        fix = "correct account, partition and limits in the profile: its jobs would be refused too"
        yield Check("problem", _ABOUT, f"sbatch refuses: {said}", fix)
        return
    number = done.stdout.strip().partition(";")[0]
    state = _until_gone(number, wait)
    if state is not None:
        subprocess.run(["scancel", number], check=False, capture_output=True)
        fix = "raise --wait if the queue is long, or see `squeue -j` for the reason of waiting"
        text = f"job {number} was still {state} after {wait} s and was cancelled"
        yield Check("warning" if state == "PENDING" else "problem", _ABOUT, text, fix)
        return
    answered = _read(told)
    seconds = time.monotonic() - begun
    if answered is None:
        text = f"job {number} ended and left no answer{_end_of(output)}"
        fix = "the nodes must see this folder and this Python: see the log"
        yield Check("problem", _ABOUT, f"{text} ({output})", fix)
        return
    told.unlink(missing_ok=True)
    output.unlink(missing_ok=True)
    yield Check("ok", _ABOUT, f"job {number} ran on {answered['host']}, {seconds:.0f} s in all")
    yield from compared(study, answered)


def _options(study: Study, profile: Path) -> list[str]:
    settings = read_yaml(profile / "config.yaml", fix="give the folder with --profile")
    defaults = settings.get("default-resources") or {}
    options = [
        "--job-name=convergent_doctor",
        f"--time={_MINUTES}",
        "--ntasks=1",
        "--cpus-per-task=1",
        "--mem=4000M",
    ]
    if (account := defaults.get("slurm_account")) is not None:
        options.append(f"--account={account}")
    if (extra := defaults.get("slurm_extra")) is not None:
        options += str(extra).split()
    # the partition that most jobs will go to, with one GPU
    if partition := defaults.get("slurm_partition") or gpu_partition(profile):
        options.append(f"--partition={partition}")
        options.append("--gpus=1" if gpu_partition(profile) else "--nodes=1")
    return options


def _until_gone(number: str, wait: int) -> str | None:
    """Wait until a job has left the queue; its state if it has not."""
    deadline, pause, state = time.monotonic() + wait, 0.5, "PENDING"
    while time.monotonic() < deadline:
        done = subprocess.run(
            ["squeue", "-h", "-j", number, "-o", "%T"], capture_output=True, text=True, check=False
        )
        # a job that is gone for long is "invalid": no error of ours
        state = done.stdout.strip()
        if not state and (done.returncode == 0 or "Invalid job id" in done.stderr):
            return None
        if state in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"):
            return None
        time.sleep(pause)
        pause = min(5.0, 1.5 * pause)
    return state or "unknown"


def _read(path: Path) -> dict[str, Any] | None:
    begun, log = time.monotonic(), path.with_suffix(".log")
    while True:
        try:
            found: dict[str, Any] = json.loads(path.read_text())
            return found
        except (OSError, json.JSONDecodeError):
            waited = time.monotonic() - begun
            # where its output has arrived, the answer would have soon after
            said = log.exists() and log.stat().st_size > 0
            if waited > (_LATENCY / 12 if said else _LATENCY):
                return None
            time.sleep(1)


def _end_of(output: Path) -> str:
    lines = last_lines(output, 1)
    return f": {lines[0]}" if lines else ""


def answer(study: Study, path: Path) -> None:
    """Look around, in the job, and write what is seen."""
    device: str | None = None
    if study.config.extraction.device != "cpu" or study.config.fit.device != "cpu":
        device = _device()
    cache = weights_cache(study)
    content = {
        "host": platform.node(),
        "folder": str(Path.cwd()),
        "python": sys.executable,
        "python_version": platform.python_version(),
        "convergent": __version__,
        "code": str(Path(__file__).resolve()),
        "device": device,
        "cache": cache.exists(),
        "scratch": _scratch(study),
        "time": time.time(),
    }
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(content))
    beside.replace(path)


def _scratch(study: Study) -> dict[str, Any]:
    """Where rows wait for their store on this node, or other temporary files lie; or why not."""
    try:
        place = study.scratch() or Path(os.environ.get("TMPDIR", "/tmp"))
    except ConfigError as error:
        return {"problem": error.what, "fix": error.fix or ""}
    if not os.access(place, os.W_OK):
        return {"place": str(place), "free": 0}
    return {"place": str(place), "free": shutil.disk_usage(place).free}


def _device() -> str:
    """Name of the GPU, or why there is none."""
    try:
        import torch

        if torch.cuda.is_available():
            return f"cuda: {torch.cuda.get_device_name(0)}"
        return "torch sees no GPU"
    except (ImportError, RuntimeError, OSError) as error:
        return f"torch does not start: {error}"


def compared(study: Study, seen: dict[str, Any]) -> Iterator[Check]:
    """Compare what the job saw with what is here."""
    about = f"{_ABOUT}: node"
    here = {
        "folder": str(Path.cwd()),
        "python_version": platform.python_version(),
        "convergent": __version__,
        "code": str(Path(__file__).resolve()),
    }
    other = [f"{key} {seen[key]}, not {value}" for key, value in here.items() if seen[key] != value]
    if other:
        fix = "install the environment where login node and nodes see it"
        yield Check("problem", about, "; ".join(other), fix)
    else:
        yield Check("ok", about, "it sees this folder, this Python and this code")
    if seen["device"] is not None:
        good = str(seen["device"]).startswith("cuda")
        fix = "" if good else "install torch for the node's driver, or ask for another partition"
        yield Check("ok" if good else "problem", f"{_ABOUT}: GPU", str(seen["device"]), fix)
    place = weights_cache(study)
    if place.exists() and not seen["cache"]:
        fix = "set HF_HOME or weights.cache to a place that nodes see"
        yield Check("problem", f"{_ABOUT}: weights", f"the node does not see {place}", fix)
    yield from _compared_scratch(study, seen["scratch"])
    drift = abs(time.time() - float(seen["time"]))
    if drift > 2 * _LATENCY:
        yield Check("warning", f"{_ABOUT}: clock", f"{drift:.0f} s apart", "have the clocks set")


def _compared_scratch(study: Study, seen: dict[str, Any]) -> Iterator[Check]:
    about = f"{_ABOUT}: scratch"
    if "problem" in seen:
        yield Check("problem", about, seen["problem"], seen["fix"])
    elif study.config.resources.scratch is None:
        if not seen["free"]:
            text = f"{seen['place']} cannot be written on the node"
            yield Check("warning", about, text, "set TMPDIR in the profile")
    else:
        need, at_once = rows_of_a_job(study), study.config.resources.gpus
        text = (
            f"{seen['place']} has {gigabytes(seen['free'])} free, a job's rows take up to "
            f"{gigabytes(need)}"
        )
        fix = "name a larger disk (resources.scratch), or leave it out"
        if seen["free"] < need:
            yield Check("problem", about, text, fix)
        elif seen["free"] < need * at_once:
            text += f", and a node runs {at_once} at a time"
            yield Check("warning", about, text, fix)
        else:
            yield Check("ok", about, text)

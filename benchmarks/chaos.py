"""A study on a SLURM whose jobs are cancelled, requeued and killed, and its controller with them.

    python benchmarks/chaos.py FOLDER --models 2 --layers 10 --faults 30        # 40 layer jobs

needs a SLURM that answers (`tests/slurm/slurm-up.sh` starts one). The study is run undisturbed, on
this machine alone, and then on the SLURM with something broken every few seconds. The controller is
killed twice, when a quarter and a half of the stores are there: after the first time its jobs are
cancelled, after the second they run to their ends.
Prints what was done, and whether every store is the undisturbed one, byte for byte; ends with 1 if
one is not, if a temporary file is left, or if a half-written store ever had its final name.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from _cluster import Place, make_place

OPTIONS = "--profile slurm --configfile study.yaml --slurm-init-seconds-before-status-checks 2"
STATES = "PENDING,CONFIGURING,RUNNING,COMPLETING,SUSPENDED"


@dataclass
class Outcome:
    """What was done to the study, and how it ended."""

    done: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    stores: int = 0
    same: bool = False
    wrong: list[str] = field(default_factory=list)
    temporaries: list[str] = field(default_factory=list)
    seconds: float = 0.0


def undisturbed(place: Place) -> dict[str, str]:
    """The study's stores, made on this machine, a checkpoint a process."""
    run = place.snakemake(
        f"--cores 2 --configfile study.yaml --config granularity=checkpoint"
        f" -- {' '.join(place.targets)}"
    )
    if run.returncode:
        raise RuntimeError(run.log.read_text()[-4000:])
    return place.digests()


def allow_requeue(place: Place) -> None:
    """Let SLURM requeue jobs, as docs/cluster.md says for preemptible partitions."""
    profile = place.root / "profiles" / "slurm" / "config.yaml"
    profile.write_text(profile.read_text().replace("slurm-no-requeue", "slurm-requeue"))


def disturbed(
    place: Place, right: dict[str, str], *, seed: int, every: float, faults: int
) -> Outcome:
    """Run the study while breaking something every so many seconds, so many times."""
    allow_requeue(place)
    chaos = _Chaos(place, right, random.Random(seed))
    begun = time.monotonic()
    chaos.run(every, faults)
    outcome = chaos.outcome
    outcome.seconds = time.monotonic() - begun
    found = place.digests()
    outcome.stores = len(found)
    outcome.same = found == right
    outcome.temporaries = [str(path) for path in place.temporaries()]
    return outcome


class _Chaos:
    def __init__(self, place: Place, right: dict[str, str], dice: random.Random) -> None:
        self.place, self.right, self.dice = place, right, dice
        self.outcome = Outcome()
        self.names: list[str] = []
        self.runs = 0
        self.controller = self._start()

    def run(self, every: float, faults: int) -> None:
        kills = [len(self.right) // 4, len(self.right) // 2]
        while self.controller.poll() is None:
            self._wait(every)
            hurry()
            if kills and self._look() >= kills[0]:
                kills.pop(0)
                self._kill_controller(cancel=bool(kills))
            elif self.outcome.done.total() < faults:
                self._break_something()
        if self.controller.returncode:  # what used up its attempts is made by the next call
            self.outcome.done["started again"] += 1
            self.controller = self._start()
            self.controller.wait()
        self._look()
        self.outcome.jobs = sum(len(_queue(name, "all")) for name in self._all_names())

    def _start(self) -> subprocess.Popen[bytes]:
        self.runs += 1
        targets = " ".join(self.place.targets)
        return self.place.start(f"{OPTIONS} --retries 6 -- {targets}", self._log())

    def _log(self) -> Path:
        return self.place.root / f"controller-{self.runs}.log"

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.controller.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)

    def _all_names(self) -> list[str]:
        return [
            line.split()[-1]
            for log in sorted(self.place.root.glob("controller-*.log"))
            for line in log.read_text().splitlines()
            if "SLURM run ID" in line
        ]

    def _running(self) -> list[str]:
        return [job for name in self._all_names() for job in _queue(name, "RUNNING")]

    def _break_something(self) -> None:
        what = self.dice.choice(("cancelled", "requeued", "killed"))
        if what == "killed":
            running = workers(self.place.root)
            if not running:
                return
            try:
                self.dice.choice(running).kill()
            except psutil.Error:  # it has just ended
                return
        else:
            jobs = self._running()
            if not jobs:
                return
            command = ["scancel"] if what == "cancelled" else ["scontrol", "requeue"]
            call = [*command, self.dice.choice(jobs)]
            if subprocess.run(call, capture_output=True, check=False).returncode:
                return
        self.outcome.done[what] += 1

    def _kill_controller(self, *, cancel: bool) -> None:
        """Kill the controller, and do what docs/cluster.md says."""
        os.killpg(self.controller.pid, signal.SIGKILL)
        self.controller.wait()
        self.outcome.done["controller killed"] += 1
        for name in self._all_names():
            if cancel:
                subprocess.run(["scancel", f"--name={name}"], check=True)
            while _queue(name, STATES):
                hurry()
                time.sleep(0.5)
        unlock = self.place.snakemake("--profile slurm --configfile study.yaml --unlock")
        if unlock.returncode:
            raise RuntimeError(unlock.log.read_text())
        self.controller = self._start()

    def _look(self) -> int:
        """Note the stores that have their final name and other bytes; how many are there."""
        try:
            found = self.place.digests()
        except FileNotFoundError:  # removed by Snakemake while it was looked at
            return 0
        self.outcome.wrong += [
            name for name, digest in found.items() if digest != self.right.get(name)
        ]
        return len(found)


def _queue(name: str, states: str) -> list[str]:
    """Jobs of one run."""
    if states == "all":
        command = ["sacct", "-X", "-n", "-P", "--starttime=now-1day", "-D", "-oJobIDRaw"]
    else:
        command = ["squeue", "-h", f"--states={states}", "-o%i"]
    done = subprocess.run([*command, f"--name={name}"], capture_output=True, text=True, check=True)
    return done.stdout.split()


def hurry() -> None:
    """Start requeued jobs now: SLURM keeps them for two minutes."""
    command = ["squeue", "--me", "-h", "--states=PENDING", "-o%i %r"]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line in table.splitlines():
        job, reason = line.split(maxsplit=1)
        if reason == "BeginTime":
            call = ["scontrol", "update", f"jobid={job}", "StartTime=now"]
            subprocess.run(call, capture_output=True, check=False)


def workers(root: Path) -> list[psutil.Process]:
    """Commands of this study that compute inside a job now."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if process.cwd() == str(root) and ("extract" in words or "fit" in words):
                found.append(process)
        except psutil.Error:
            continue
    return [process for process in found if _of_slurm(process)]


def _of_slurm(process: psutil.Process) -> bool:
    try:
        return "SLURM_JOB_ID" in process.environ()
    except psutil.Error:
        return False


def study(
    folder: Path, *, models: int, layers: int, seed: int, every: float, faults: int
) -> Outcome:
    """Run one study undisturbed, and its layers again disturbed."""
    metrics: dict[str, object] = {"cka": None}
    quiet = make_place(folder / "study", models, layers, metrics)
    right = undisturbed(quiet)
    quiet.forget()
    return disturbed(quiet, right, seed=seed, every=every, faults=faults)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="empty or missing; what is there is removed")
    parser.add_argument("--models", type=int, default=2)
    parser.add_argument("--layers", type=int, default=10, help="a model; two checkpoints each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two faults")
    parser.add_argument("--faults", type=int, default=30)
    given = vars(parser.parse_args())
    folder = given.pop("folder").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    outcome = study(folder, **given)
    print(json.dumps(outcome.__dict__, indent=2))
    sys.exit(not outcome.same or bool(outcome.wrong or outcome.temporaries))


if __name__ == "__main__":
    main()

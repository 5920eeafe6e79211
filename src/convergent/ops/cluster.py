"""SLURM as a profile needs it: its commands, the partitions, GPUs, and Snakemake's plugin."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from convergent.errors import ConfigError
from convergent.ops.checks import Check
from convergent.ops.slurm import Limits, ask, compared, node_limits
from convergent.study import Study
from convergent.text_files import read_yaml

COMMANDS = ("sbatch", "squeue", "sacct", "sinfo")
_UNUSABLE = ("down", "drain", "drng", "fail", "inval", "maint")
_PLUGIN = "snakemake-executor-plugin-slurm"


def cluster(study: Study, profile: Path) -> Iterator[Check]:
    """Whether jobs can be submitted, to partitions that there are."""
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    if "sbatch" in absent:
        yield Check(
            "warning",
            "cluster",
            f"no {', '.join(absent)} here",
            "jobs can run on this machine only (snakemake --profile local); on a cluster, start "
            "from a login node",
        )
        return
    if absent:
        yield Check(
            "warning",
            "cluster",
            f"no {', '.join(absent)} here",
            "without accounting GPU hours are not known; add slurm-status-command: squeue to the "
            "profile if sacct is missing",
        )
    else:
        yield Check("ok", "cluster", f"{', '.join(COMMANDS)} are here")
    try:
        yield Check("ok", "cluster: plugin", f"{_PLUGIN} {metadata.version(_PLUGIN)}")
    except metadata.PackageNotFoundError:
        fix = f"pip install {_PLUGIN}, at the version of envs/lock.txt"
        yield Check("problem", "cluster: plugin", f"{_PLUGIN} is not installed", fix)
    yield from partitions(study, profile)


def _settings(profile: Path) -> dict[str, object]:
    return read_yaml(profile / "config.yaml", fix="give the folder with --profile")


def wanted_partitions(profile: Path) -> dict[str, dict[str, object]]:
    """Partitions that a profile may use, with their limits.

    Raises
    ------
    ConfigError
        The profile's files cannot be read.
    """
    settings = _settings(profile)
    name = settings.get("slurm-partition-config")
    if name is None:
        return {}
    listed = read_yaml(profile / str(name), fix="list partitions in it")
    found = listed.get("partitions")
    if not isinstance(found, dict):
        raise ConfigError(f"{name} lists no partitions", where=str(profile))
    return {str(key): value or {} for key, value in found.items()}


def partitions(study: Study, profile: Path) -> Iterator[Check]:
    """Whether a profile's partitions are the site's, are up, and one has GPUs."""
    about = "cluster: partitions"
    try:
        wanted = wanted_partitions(profile)
    except ConfigError as error:
        yield Check("problem", about, str(error), "give the folder with --profile")
        return
    notes: list[str] = []
    site = _site(ask(["sinfo", "-h", "-o", "%P|%a|%G|%t|%M|%l|%m|%c"], notes))
    if notes:
        yield Check("problem", about, notes[0], "SLURM must answer before jobs can be submitted")
        return
    file = profile / "partitions.yaml"
    for name, limits in wanted.items():
        if name not in site:
            known = ", ".join(sorted(site)) or "none"
            fix = f"write the site's names to {file} (sinfo: {known})"
            yield Check("problem", about, f"there is no partition '{name}'", fix)
            continue
        found = site[name]
        if limits.get("max_gpu") and not found.gpus:
            fix = f"in {file}, give max_gpu to a partition with GPUs (sinfo -o '%P %G')"
            yield Check("problem", about, f"partition '{name}' has no GPUs", fix)
        elif not found.up:
            yield Check("warning", about, f"no node of partition '{name}' is up", "see sinfo")
        else:
            with_gpus = f", with GPUs ({found.gpus})" if limits.get("max_gpu") else ""
            yield Check("ok", about, f"'{name}' is up{with_gpus}")
        yield from _preemption(name, found.preempted, profile)
    if wanted and not any(limits.get("max_gpu") for limits in wanted.values()):
        fix = f"give max_gpu to a partition in {file}"
        yield Check("problem", about, "no partition takes jobs with GPUs", fix)
    else:
        allowed = {name: one.limits for name, one in site.items()}
        yield from compared(study, profile, _settings(profile), allowed)
    if study.config.extraction.device == "cpu":
        yield Check(
            "warning",
            "cluster: device",
            "extraction.device is cpu: jobs ask for GPUs and do not use them",
            "set extraction.device: cuda (--config 'extraction={device: cuda}')",
        )


def _preemption(name: str, mode: str, profile: Path) -> Iterator[Check]:
    """Whether a job that has to make way comes back, and Snakemake does not wait for it in vain."""
    about, what = "cluster: preemption", f"jobs of partition '{name}' may have to make way"
    if mode == "REQUEUE" and not _settings(profile).get("slurm-requeue"):
        fix = f"in {profile / 'config.yaml'}, slurm-requeue: true instead of slurm-no-requeue: true"
        text = f"{what}, and the profile does not let them return: Snakemake would wait for ever"
        yield Check("warning", about, text, fix)
    elif mode == "CANCEL":
        fix = f"name a partition without preemption in {profile / 'partitions.yaml'}"
        text = f"{what} and are then cancelled: Snakemake would wait for ever"
        yield Check("warning", about, text, fix)


@dataclass(frozen=True)
class _Partition:
    """What ``sinfo`` says of a partition."""

    up: bool
    gpus: str
    preempted: str
    limits: Limits


def _site(text: str) -> dict[str, _Partition]:
    """Partitions of ``sinfo``: whether a node is up, their GPUs, their limits."""
    rows: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        name, *row = [*line.strip().split("|"), *[""] * 8][:8]
        rows.setdefault(name.rstrip("*"), []).append(row)
    return {
        name: _Partition(
            up=any(up == "up" and not state.startswith(_UNUSABLE) for up, _, state, *_ in found),
            gpus=next((gres for _, gres, *_ in found if "gpu" in gres), ""),
            preempted=found[0][3],
            limits=node_limits(name, [(row[4], row[5], row[6], row[1]) for row in found]),
        )
        for name, found in rows.items()
    }


def gpu_partition(profile: Path) -> str | None:
    """The first partition that takes jobs with GPUs."""
    wanted = wanted_partitions(profile)
    return next((name for name, limits in wanted.items() if limits.get("max_gpu")), None)

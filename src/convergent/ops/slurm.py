"""What SLURM says of jobs, partitions and limits, and whether a study's jobs fit these."""

from __future__ import annotations

import getpass
import math
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from convergent.errors import ConfigError
from convergent.ops.checks import Check
from convergent.study import Study
from convergent.study.resources import Request

_SECONDS = 60
_GPUS = re.compile(r"gres/gpu=(\d+)")


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """One SLURM job.

    Attributes
    ----------
    id : str
    state : str
        ``RUNNING``, ``PENDING``, ...
    comment : str
        As Snakemake's executor wrote it, without ``rule_``; empty where the site keeps none.
    gpu_seconds : float
    reason : str
        Why it waits.
    """

    id: str
    state: str
    comment: str
    gpu_seconds: float = 0.0
    reason: str = ""


def queue(names: Iterable[str], notes: list[str]) -> list[SlurmJob]:
    """Jobs in the queue by the name of the runs that submitted them.

    Parameters
    ----------
    names : iterable of str
    notes : list of str
        What went wrong is added to it.
    """
    wanted = ",".join(names)
    if not wanted:
        return []
    text = ask(["squeue", "-h", "-r", f"--name={wanted}", "-o", "%i|%T|%r|%k"], notes)
    rows = (line.strip().split("|", 3) for line in text.splitlines())
    return [
        SlurmJob(id_, state, _comment(comment), reason=reason)
        for id_, state, reason, comment in (row for row in rows if len(row) == 4)
    ]


def accounts(names: Iterable[str], since: float, notes: list[str]) -> list[SlurmJob]:
    """All jobs of some runs, with the GPU time that they have used."""
    wanted = ",".join(names)
    if not wanted:
        return []
    begin = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since - 60))
    columns = "JobID,State,ElapsedRaw,AllocTRES,Comment"
    command = ["sacct", "-X", "-n", "-P", "-D", f"--starttime={begin}", f"--name={wanted}"]
    found = []
    for line in ask([*command, f"-o{columns}"], notes).splitlines():
        row = line.split("|", 4)
        if len(row) == 5 and row[2].isdigit():
            gpus = sum(map(int, _GPUS.findall(row[3])))
            state = row[1].split()[0] if row[1] else ""
            found.append(SlurmJob(row[0], state, _comment(row[4]), gpus * float(row[2])))
    return found


def ask(command: list[str], notes: list[str]) -> str:
    """Output of one of SLURM's commands; empty if it is not there or fails, which is noted."""
    if shutil.which(command[0]) is None:
        notes.append(f"{command[0]} is not here")
        return ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        notes.append(f"{command[0]} did not answer within {_SECONDS} s")
        return ""
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        notes.append(f"{command[0]}: {said[-1] if said else f'exit {done.returncode}'}")
        return ""
    return done.stdout


def _comment(text: str) -> str:
    return "" if text in ("(null)", "None") else text.removeprefix("rule_")


def job_named(comment: str, known: Mapping[str, object]) -> str | None:
    """Find the longest beginning of a comment that is known: groups add their rules' names."""
    while comment not in known:
        comment, cut, _ = comment.rpartition("_")
        if not cut:
            return None
    return comment


_ABOUT = "cluster: limits"
_ASSOCIATION = (
    "Account,User,Partition,MaxSubmitJobs,GrpSubmitJobs,MaxWall,MaxTRES,GrpTRES,DefaultQOS"
)
_QOS = "Name,MaxSubmitJobsPU,GrpSubmitJobs,MaxWall,MaxTRES,GrpTRES"


@dataclass(frozen=True)
class Limits:
    """What one job may ask for, and how many may be submitted; None where nothing limits it.

    Attributes
    ----------
    of : str
        Whose limits they are, for messages.
    minutes, memory_mb, gpus, cpus : int or None
        Of one job on one node.
    jobs : int or None
        Submitted at once.
    """

    of: str
    minutes: int | None = None
    memory_mb: int | None = None
    gpus: int | None = None
    cpus: int | None = None
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """A SLURM job of the study, as it is submitted."""

    name: str
    model: str
    cpus: int
    request: Request


def node_limits(name: str, nodes: Iterable[tuple[str, str, str, str]]) -> Limits:
    """Limits of a partition, from its time limit and what its largest nodes have.

    Parameters
    ----------
    name : str
    nodes : iterable of (time, memory, processors, GPUs)
        As ``sinfo`` writes them: ``%l``, ``%m``, ``%c`` and ``%G``.
    """
    rows = [(parse_minutes(time), _number(memory), _number(cpus), count_gpus(gpus))
            for time, memory, cpus, gpus in nodes]  # fmt: skip
    times = [minutes for minutes, *_ in rows]
    return Limits(
        f"partition '{name}'",
        None if None in times else max(filter(None, times), default=None),
        max((memory for _, memory, _, _ in rows if memory), default=None),
        max((gpus for *_, gpus in rows if gpus), default=None),
        max((cpus for _, _, cpus, _ in rows if cpus), default=None),
    )


def parse_minutes(text: str) -> int | None:
    """Minutes of a time of SLURM, ``days-hours:minutes:seconds``; None for no limit."""
    days, _, rest = text.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in (*parts, days or "0")):
        return None  # infinite, UNLIMITED, or empty
    if days:
        hours, minutes = [*map(int, parts), 0][:2]
        return 24 * 60 * int(days) + 60 * hours + minutes
    hours, minutes = map(int, parts[:2] if len(parts) == 3 else ("0", parts[0]))
    return 60 * hours + minutes


def count_gpus(text: str) -> int:
    """GPUs in a list of generic resources, ``gpu:h100:4(S:0-1)`` or ``gres/gpu=4``."""
    listed = re.findall(r"(?:^|,)gpu(?::[^:,(]+)?:(\d+)", text)
    return sum(map(int, listed or re.findall(r"gres/gpu=(\d+)", text)))


def association_limits(settings: Mapping[str, Any], notes: list[str]) -> list[Limits]:
    """Limits of the user's account and quality of service, which a profile's jobs have.

    Parameters
    ----------
    settings : mapping
        Of the profile.
    notes : list of str
        Where ``sacctmgr`` does not answer, which it does not where accounting is off.
    """
    defaults = settings.get("default-resources") or {}
    user = getpass.getuser()
    account = defaults.get("slurm_account") or _line(
        ["sacctmgr", "-n", "-P", "show", "user", user, "format=DefaultAccount"], notes
    )
    command = ["sacctmgr", "-n", "-P", "show", "assoc", f"account={account}"]
    found, qos = [], defaults.get("qos") or settings.get("slurm-qos")
    for _, who, partition, most, group, wall, tres, group_tres, default in (
        _table([*command, f"format={_ASSOCIATION}"], notes) if account else ()
    ):
        if who not in ("", user) or partition:
            continue
        qos = qos or (default if who else None)
        what = f"account '{account}'" if not who else f"'{user}' in account '{account}'"
        found.append(_limits(what, (most, group), wall, (tres, group_tres)))
    for name, most, group, wall, tres, group_tres in _table(
        ["sacctmgr", "-n", "-P", "show", "qos", f"format={_QOS}"], notes
    ):
        if name == (qos or "normal"):
            what = f"quality of service '{name}'"
            found.append(_limits(what, (most, group), wall, (tres, group_tres)))
    return found


def compared(
    study: Study, profile: Path, settings: Mapping[str, Any], site: Mapping[str, Limits]
) -> Iterator[Check]:
    """Compare what jobs will ask for with what a site allows.

    Parameters
    ----------
    study : Study
    profile : Path
    settings : mapping
        Of the profile.
    site : mapping of str to Limits
        Of each partition of the site.
    """
    notes: list[str] = []
    others = association_limits(settings, notes)
    if notes:
        yield Check("ok", _ABOUT, f"those of accounts are not known: {notes[0]}")
    at_once = int(settings.get("jobs") or 1)
    most, of = _least("jobs", others)
    if most < at_once:
        fix = f"set jobs: {most} in {profile / 'config.yaml'}, less where others submit too"
        text = f"{at_once} jobs are submitted at once, {of} takes {most}: the others wait"
        yield Check("warning", _ABOUT, text, fix)
    last, earlier = 1 + int(settings.get("retries") or 0), set[str]()
    for attempt in sorted({1, last}):
        for what, fix in _of_attempt(study, profile, settings, site, others, attempt):
            if what not in earlier:  # as before, where a limit is in the study already
                when = "" if attempt == 1 else f"at attempt {attempt}, "
                yield Check("problem" if attempt == 1 else "warning", _ABOUT, when + what, fix)
            earlier.add(what)
    if not earlier:
        yield Check("ok", _ABOUT, "jobs of every attempt fit the partitions")


def _of_attempt(
    study: Study,
    profile: Path,
    settings: Mapping[str, Any],
    site: Mapping[str, Limits],
    others: list[Limits],
    attempt: int,
) -> Iterator[tuple[str, str]]:
    """What is wrong with the jobs of an attempt, and how to fix it."""
    impossible: list[_Job] = []
    jobs = list(_submitted(study, int(settings.get("cores") or 1), attempt, impossible))
    choose = _chooser(profile, settings)
    over: dict[tuple[str, str, float], list[_Job]] = {}
    homeless: list[_Job] = []
    tightest: dict[str, dict[str, tuple[float, str]]] = {}
    for job in jobs:
        name = choose(job)
        if name is None:
            homeless.append(job)
            continue
        if name not in tightest:
            limits = [*filter(None, [site.get(name)]), *others]
            tightest[name] = {kind: _least(kind, limits) for kind in _KINDS}
        for kind, (most, of) in tightest[name].items():
            if _asked(job, kind) > most:
                over.setdefault((kind, of, most), []).append(job)
    total = len(jobs) + len(impossible)
    if impossible:
        text = f"{_listed(impossible, total)} need more time than resources.max_minutes"
        yield text, "`convergent validate` names them, and what can be changed"
    if homeless:
        text = f"{_listed(homeless, total)} fit no partition of the profile, and would go to the "
        fix = f"correct the limits in {profile / 'partitions.yaml'}, or set resources.max_minutes"
        yield f"{text}site's default one", fix
    for (kind, of, most), some in over.items():
        word, scale, unit, fix = _KINDS[kind]
        largest = max(some, key=lambda job: _asked(job, kind))
        yield (
            f"{_listed(some, total)} ask more {word} than the {most / scale:g}{unit} of {of}, at "
            f"most {_asked(largest, kind) / scale:.0f}{unit} ({largest.name}): SLURM would refuse "
            "them, or keep them waiting for ever",
            fix.format(most),
        )


# Of each kind of limit: its name, the unit of messages, and what to do.
_KINDS = {
    "minutes": (
        "time",
        60.0,
        " h",
        "set resources.max_minutes: {}, so that jobs ask no more; `convergent validate` then names "
        "those that need more, and what can be changed",
    ),
    "memory_mb": (
        "memory",
        1000.0,
        " GB",
        "set resources.node_mb: {}, so that later attempts ask no more; `convergent validate` then "
        "names models that need more",
    ),
    "gpus": (
        "GPUs",
        1.0,
        "",
        "set resources.gpus: {}; `convergent validate` then names models that need more, which "
        "run with extraction.offload: cpu",
    ),
    "cpus": ("processors", 1.0, "", "set cores: {} in the profile"),
}


def _least(kind: str, limits: Iterable[Limits]) -> tuple[float, str]:
    """The smallest limit of a kind, and whose it is."""
    found = [(getattr(one, kind), one.of) for one in limits if getattr(one, kind) is not None]
    return min(found, default=(math.inf, ""))


def _asked(job: _Job, kind: str) -> int:
    return job.cpus if kind == "cpus" else int(getattr(job.request, kind))


def _listed(jobs: list[_Job], of: int) -> str:
    models = list(dict.fromkeys(job.model for job in jobs if job.model))
    named = ", ".join(models[:3]) + (f" and {len(models) - 3} more" if len(models) > 3 else "")
    return f"{len(jobs):,} of {of:,} jobs{f' (models {named})' if models else ''}"


def _submitted(study: Study, cores: int, attempt: int, impossible: list[_Job]) -> Iterator[_Job]:
    """SLURM jobs: of a layer one, in which as many fits run at a time as there are cores."""
    graph = study.graph
    for job in graph.jobs:
        if job.stage == "weights" or (job.stage == "fit" and graph.by_layer):
            continue
        name, model = f"{job.stage} {job.name}", job.keys.get("model", "")
        cpus = 1
        try:
            request = graph.request(job.stage, job.keys, attempt)
            if job.stage == "extract" and graph.by_layer:
                keys, fits = dict(job.keys), 1
                if graph.by_subject:
                    subjects = study.dataset(keys["dataset"]).subjects
                    keys["subject"], fits = next(iter(subjects), ""), len(subjects)
                fit, cpus = graph.request("fit", keys, attempt), max(1, min(fits, cores))
                request = replace(
                    request,
                    memory_mb=max(request.memory_mb, cpus * fit.memory_mb),
                    minutes=request.minutes + math.ceil(fits / cpus) * fit.minutes,
                )
        except ConfigError:
            impossible.append(_Job(name, model, cpus, Request(0, 0, 0)))
            continue
        yield _Job(name, model, cpus, request)


def _chooser(profile: Path, settings: Mapping[str, Any]) -> Any:
    """Function that gives the partition of a job, as the executor chooses it."""
    named = (settings.get("default-resources") or {}).get("slurm_partition")
    if named or not settings.get("slurm-partition-config"):
        return lambda _: named
    from snakemake_executor_plugin_slurm.partitions import read_partition_file

    partitions = read_partition_file(profile / str(settings["slurm-partition-config"]))
    chosen: dict[tuple[int, Request], str | None] = {}

    def choose(job: _Job) -> str | None:
        key = (job.cpus, job.request)
        if key not in chosen:
            request = job.request
            asked = {"gpu": request.gpus, "mem_mb": request.memory_mb, "runtime": request.minutes}
            seen = SimpleNamespace(resources=asked, threads=job.cpus)
            scores = [(one.score_job_fit(seen), one.name) for one in partitions]
            fitting = [(score, name) for score, name in scores if score is not None]
            chosen[key] = max(fitting, key=lambda one: one[0])[1] if fitting else None
        return chosen[key]

    return choose


def _limits(of: str, jobs: Iterable[str], wall: str, tres: Iterable[str]) -> Limits:
    both = ",".join(tres)
    memory = re.findall(r"\bmem=(\d+)([MGT]?)", both)
    scale = {"": 1, "M": 1, "G": 1024, "T": 1024**2}
    gpus = [int(number) for number in re.findall(r"gres/gpu=(\d+)", both)]
    cpus = [int(number) for number in re.findall(r"\bcpu=(\d+)", both)]
    return Limits(
        of,
        parse_minutes(wall),
        min((int(number) * scale[unit] for number, unit in memory), default=None),
        min(gpus, default=None),
        min(cpus, default=None),
        min((int(number) for number in jobs if number.isdigit()), default=None),
    )


def _number(text: str) -> int:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def _table(command: list[str], notes: list[str]) -> list[list[str]]:
    return [line.split("|") for line in ask(command, notes).splitlines() if line.strip()]


def _line(command: list[str], notes: list[str]) -> str:
    return ask(command, notes).strip().partition("\n")[0]

"""What is left of a study, by family: jobs, hours, bytes and inodes, before anything runs.

Jobs are those that Snakemake would run, judged by the files that are there (`Graph.left`): a store
that was deleted is not missed while the tables that it went into are there. ``snakemake -n`` and
``convergent verify`` compare the files with the study's settings. Hours follow from parameters,
stimuli and the rates of ``resources``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from convergent.ops.folder_listing import is_there, listed
from convergent.ops.runs import finish_times, runs_of
from convergent.study import resources
from convergent.study.graph import Job
from convergent.study.study import Study
from convergent.study.types import Model, Unit

# Seconds of a job besides its work: Snakemake's start on the node, Python's and torch's.
STARTUP = 10.0
# Alignment stores that are looked at for their size.
_SAMPLE = 50


@dataclass(frozen=True)
class Estimate:
    """What is left of a part of a study.

    Attributes
    ----------
    models, checkpoints, layers : int
        All of them; a layer is one (data set, model, checkpoint, layer).
    jobs, done : int
        Jobs left, and jobs whose files are there.
    gpu_hours, cpu_hours : float
        Hours of GPUs and of processors that the jobs left should take.
    feature_bytes, alignment_bytes : float
        Of the stores that are left to write.
    inodes : int
        Files and folders that are left to make: stores, tables, logs, and Snakemake's records.
    """

    models: int = 0
    checkpoints: int = 0
    layers: int = 0
    jobs: int = 0
    done: int = 0
    gpu_hours: float = 0.0
    cpu_hours: float = 0.0
    feature_bytes: float = 0.0
    alignment_bytes: float = 0.0
    inodes: int = 0

    def __add__(self, other: Estimate) -> Estimate:
        """Sum of two parts."""
        names = [field.name for field in fields(self)]
        return Estimate(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True)
class Plan:
    """A study's estimate.

    Attributes
    ----------
    families : dict of str to Estimate
    shared : Estimate
        Stimuli, responses, ceilings, the study's tables and the report.
    notes : tuple of str
        What the numbers do not say.
    """

    families: dict[str, Estimate]
    shared: Estimate
    notes: tuple[str, ...]

    @property
    def total(self) -> Estimate:
        """Sum over families and what they share."""
        return sum(self.families.values(), self.shared)


def estimate(study: Study, family: str | None = None) -> Plan:
    """Estimate what is left of a study, or of one family.

    Parameters
    ----------
    study : Study
    family : str, optional
        Only this family, and the stimuli and responses that it needs.

    Returns
    -------
    Plan

    Raises
    ------
    UnknownKeyError
        There is no such family.
    """
    return _Counting(study, family).plan()


class _Counting:
    """One look at a study's folders."""

    def __init__(self, study: Study, family: str | None) -> None:
        self.study, self.graph, self.paths = study, study.graph, study.paths
        self.families = list(study.families) if family is None else [family]
        targets = [self.paths.report]
        if family is not None:
            study.family(family)
            targets = self.graph.outputs("family", {"family": family})
        self.found = listed(self.paths.root, without=("figures", "logs"))
        self.jobs = self.graph.upstream(targets)
        self.left = self.graph.left(self._has, targets, finish_times(runs_of(study)))

    def plan(self) -> Plan:
        """Add up the jobs of each family, and of what families share."""
        rows = {name: self._size(name) for name in self.families}
        shared = Estimate()
        folders: set[tuple[str, ...]] = set()
        for job in self.jobs:
            made = self._job(job, folders)
            if job.family in rows:
                rows[job.family] += made
            else:
                shared += made
        return Plan(rows, shared, self.notes())

    def _has(self, path: str) -> bool:
        return is_there(self.found, path)

    def _size(self, family: str) -> Estimate:
        """Models, checkpoints and layers of a family."""
        found = Estimate()
        for key in self.study.family(family):
            model = self.study.model(key)
            checkpoints = len(model.checkpoints)
            datasets = len(self.study.datasets_of(key))
            found += Estimate(
                models=1,
                checkpoints=checkpoints,
                layers=datasets * checkpoints * len(model.layers),
            )
        return found

    def _job(self, job: Job, folders: set[tuple[str, ...]]) -> Estimate:
        """Estimate one job; folders that earlier ones make are made once."""
        if job.log not in self.left:
            return Estimate(done=1)
        missing = [path for path in job.outputs if not self._has(path)] or job.outputs
        # of each file a record of Snakemake's, of each job a log
        found = Estimate(jobs=1, inodes=2 * len(missing) + 1)
        if job.stage not in ("extract", "fit"):
            return found
        model = self.study.model(job.keys["model"])
        place = tuple(job.keys.get(name, "") for name in ("dataset", "model", "checkpoint"))
        if place not in folders:
            folders.add(place)
            found += Estimate(inodes=4)  # of features, alignment and their logs
        if job.stage == "extract":
            return found + self._extraction(model, job)
        layers = {path.rpartition("/")[0] for path in missing}
        return found + Estimate(
            cpu_hours=len(missing) * self.study.config.resources.fit_seconds / 3600,
            alignment_bytes=len(missing) * self._alignment_bytes,
            inodes=len(layers),
        )

    def _extraction(self, model: Model, job: Job) -> Estimate:
        study, keys = self.study, job.keys
        unit = Unit(model.key, keys.get("checkpoint"), keys.get("layer"))
        dataset = keys.get("dataset")
        names = [dataset] if dataset else study.datasets_of(model.key)
        layers = [study.layer(model.key, unit.layer)] if unit.layer else model.layers
        stimuli = sum(study.dataset(name).stimuli for name in names)
        checkpoints = 1 if unit.checkpoint else len(model.checkpoints)
        hours = (STARTUP + resources.extract_seconds(study, unit, dataset)) / 3600
        on_gpu = study.config.extraction.device != "cpu"
        return Estimate(
            gpu_hours=hours * resources.gpus(study, unit) if on_gpu else 0.0,
            cpu_hours=hours,
            feature_bytes=resources.features_bytes(study, layers, stimuli) * checkpoints,
        )

    def notes(self) -> tuple[str, ...]:
        """Say what the numbers leave out, and what they rest on."""
        machine, found = self.study.config.resources, []
        if self.study.config.extraction.device == "cpu":
            found.append(
                "extraction.device is cpu, so that no GPU hours are counted: "
                "--set extraction.device=cuda plans them"
            )
        rates = [
            f"{name}={getattr(machine, name):g}"
            for name in ("teraflops", "read_mb_s", "fit_seconds")
            if name not in machine.model_fields_set
        ]
        if rates:
            found.append(f"not measured here but assumed: resources.{{{', '.join(rates)}}}")
        found.append(
            f"an alignment store is taken for {self._alignment_bytes / 1e6:.2f} MB, "
            + ("as those that are there" if self._measured else "resources.alignment_mb")
        )
        flat = sum(m.pooling == "flatten" for m in self.study.models.values())
        if flat:
            found.append(f"features of {flat} models with pooling flatten are larger than this")
        found.append(
            "not estimated: downloads and their space, reading the raw data, training, measured "
            "performance, tables and report"
        )
        return tuple(found)

    @cached_property
    def _measured(self) -> list[int]:
        """Sizes of some alignment stores that are there."""
        sizes: list[int] = []
        for folder, _, names in os.walk(f"{self.paths.root}/alignment"):
            # kept links have names that start with a dot
            files = [name for name in names if name.endswith(".zarr.zip") and name[0] != "."]
            sizes += [Path(folder, name).stat().st_size for name in files[:2]]
            if len(sizes) >= _SAMPLE:
                break
        return sizes

    @cached_property
    def _alignment_bytes(self) -> float:
        sizes = self._measured
        assumed = 1e6 * self.study.config.resources.alignment_mb
        return sum(sizes) / len(sizes) if sizes else assumed

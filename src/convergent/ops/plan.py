"""What is left of a study, by family: jobs, hours, bytes and inodes, before anything runs.

Jobs are Snakemake's. What is there counts as done, whatever it was made from, and what is missing
as left: ``snakemake -n`` tells what is out of date, and does not miss a store that was deleted
while the tables that it went into are there. Hours follow from parameters, stimuli and the rates of
``resources``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from convergent.ops.folder_listing import Present
from convergent.study import resources
from convergent.study.study import Study
from convergent.study.types import Layer, Model, Unit

# Seconds of a job besides its work: Snakemake's start on the node, Python's and torch's.
STARTUP = 10.0
_TABLES = ("measurements", "alignment", "coverage", "resampled")
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
    chosen = [family] if family else list(study.families)
    counting = _Counting(study)
    rows = {name: counting.family(study.family(name)) for name in chosen}
    left = any(row.jobs for row in rows.values())
    return Plan(rows, counting.shared(chosen, left, whole=family is None), counting.notes())


class _Counting:
    """One look at a study's folders."""

    def __init__(self, study: Study) -> None:
        self.study, self.paths, self.present = study, study.paths, Present()
        self.stores = {
            name: frozenset(file.rpartition("/")[2] for file in study.responses_files(name))
            for name in study.config.datasets
        }

    def family(self, models: Sequence[str]) -> Estimate:
        """Estimate a family: its models, and its own tables."""
        rows = [self._model(self.study.model(key)) for key in models]
        found = sum(rows, Estimate())
        name = self.study.model(models[0]).family
        files = [self.paths.family(name, table) for table in _TABLES]
        return found + self._tables(files, any(row.jobs for row in rows))

    def shared(self, families: list[str], left: bool, *, whole: bool) -> Estimate:
        """Estimate what families have in common."""
        study, paths = self.study, self.paths
        keys = [key for family in families for key in study.family(family)]
        datasets = dict.fromkeys(name for key in keys for name in study.datasets_of(key))
        wanted = [paths.stimuli(name) for name in datasets]
        wanted += [file for name in datasets for file in study.responses_files(name)]
        if whole:
            wanted += [paths.ceilings(name) for name in datasets]
        missing = sum(not self.present.has(file) for file in wanted)
        # stimuli and responses that are gone are not missed until a job needs them
        jobs = missing if left or whole else 0
        found = Estimate(jobs=jobs, done=len(wanted) - jobs, inodes=3 * jobs)
        if whole:
            files = [*(paths.table(name) for name in study.tables()), paths.about]
            found += self._tables(files, left or jobs > 0)
            found += self._tables([paths.report], left or jobs > 0 or found.jobs > jobs)
        return found

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

    def _tables(self, files: list[str], inputs_left: bool) -> Estimate:
        if inputs_left or not all(self.present.has(file) for file in files):
            return Estimate(jobs=1, inodes=2 * len(files) + 1)
        return Estimate(done=1)

    def _model(self, model: Model) -> Estimate:
        study = self.study
        found = Estimate(models=1, checkpoints=len(model.checkpoints))
        if study.trains(model.key):
            found += self._tables([self.paths.trained(model.key)], inputs_left=False)
        if study.config.granularity == "layer":
            for checkpoint in model.checkpoints:
                found += self._checkpoint(model, checkpoint.name)
        else:
            by_model = study.config.granularity == "model"
            for name in [None] if by_model else model.checkpoint_by_name:
                found += self._unit(model, Unit(model.key, name))
        if model.key in study.evaluated_models():
            found += self._tables([self.paths.performance(model.key)], inputs_left=False)
        files = [self.paths.model(model.key, table) for table in _TABLES]
        return found + self._tables(files, found.jobs > 0)

    def _checkpoint(self, model: Model, checkpoint: str) -> Estimate:
        """Estimate a checkpoint whose layers are jobs of their own."""
        found, extracted = Estimate(), False
        per_subject = self.study.config.fit_granularity == "subject"
        for dataset in self.study.datasets_of(model.key):
            for layer in model.layers:
                missing = self._missing(dataset, model.key, checkpoint, layer.name)
                stored = self.present.has(
                    self.paths.features(dataset, model.key, checkpoint, layer.name)
                )
                fits = missing if per_subject else min(missing, 1)
                whole = len(self.stores[dataset]) if per_subject else 1
                extract = missing > 0 and not stored
                extracted |= extract
                found += Estimate(
                    layers=1,
                    jobs=fits + extract,
                    done=whole - fits + (not extract),
                    cpu_hours=self._fit_hours(missing),
                    alignment_bytes=missing * self._alignment_bytes,
                    # a store and a record each, a log a job, folders of the stores
                    inodes=2 * missing + fits + (missing > 0) + 3 * extract,
                )
                if extract:
                    unit = Unit(model.key, checkpoint, layer.name)
                    found += self._extraction(model, unit, dataset, (layer,))
        if extracted or found.jobs:
            found += Estimate(inodes=4)  # folders of features, alignment and their logs
        return found + self._weights(Unit(model.key, checkpoint), extracted)

    def _unit(self, model: Model, unit: Unit) -> Estimate:
        """Estimate a unit that is one extraction and one job of fits."""
        members = list(self.study.members(unit))
        missing = sum(self._missing(*member) for member in members)
        absent = [one for one in members if not self.present.has(self.paths.features(*one))]
        extract, fit = missing > 0 and bool(absent), missing > 0
        found = Estimate(
            layers=len(members),
            jobs=extract + fit,
            done=2 - extract - fit,
            cpu_hours=self._fit_hours(missing),
            alignment_bytes=missing * self._alignment_bytes,
            inodes=2 * missing + fit * (len(members) + 1),
        )
        if extract:
            found += self._extraction(model, unit, None, model.layers)
            found += Estimate(inodes=2 * len(members) + 1)
        return found + self._weights(unit, extract)

    def _weights(self, unit: Unit, extracted: bool) -> Estimate:
        files = self.study.weights_files(unit)
        if not files:
            return Estimate()
        if extracted and not all(self.present.has(file) for file in files):
            return Estimate(jobs=1, inodes=2 * len(files) + 1)
        return Estimate(done=1)

    def _missing(self, dataset: str, model: str, checkpoint: str, layer: str) -> int:
        """Subjects of a layer whose alignment store is not there."""
        folder = self.paths.alignment(dataset, model, checkpoint, layer, "x").rpartition("/")[0]
        wanted = self.stores[dataset]
        return len(wanted - self.present.names(folder))

    def _extraction(
        self, model: Model, unit: Unit, dataset: str | None, layers: tuple[Layer, ...]
    ) -> Estimate:
        study = self.study
        names = [dataset] if dataset else study.datasets_of(model.key)
        checkpoints = 1 if unit.checkpoint else len(model.checkpoints)
        size = sum(
            resources.features_bytes(study, layers, study.dataset(name).stimuli) for name in names
        )
        hours = (STARTUP + resources.extract_seconds(study, unit, dataset)) / 3600
        on_gpu = study.config.extraction.device != "cpu"
        return Estimate(
            gpu_hours=hours * resources.gpus(study, unit) if on_gpu else 0.0,
            cpu_hours=hours,
            feature_bytes=size * checkpoints,
        )

    def _fit_hours(self, stores: int) -> float:
        return stores * self.study.config.resources.fit_seconds / 3600

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

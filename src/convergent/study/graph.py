"""The workflow's graph: what the jobs of each stage read, write, depend on and ask for.

This is its only description. The rules of ``workflow/rules`` are made from it, and ``plan``,
``status``, ``doctor``, ``verify``, ``gc`` and ``targets`` read it.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from convergent.errors import ConfigError, UnknownKeyError
from convergent.study import resources
from convergent.study.resources import Request
from convergent.study.types import Checkpoint, Model, Unit

if TYPE_CHECKING:
    from convergent.study.study import Study

# Every stage stands after those whose files it reads.
STAGES = (
    *("stimuli", "responses", "train", "weights", "extract", "fit"),
    *("ceilings", "evaluate", "measure", "family", "representations", "correlate", "report"),
    *("maps", "cube"),
)
# Their files are made when somebody asks Snakemake for them.
OPTIONAL = ("maps", "cube")

# Tables of a model, and of a family.
MODEL_TABLES = ("measurements", "alignment", "coverage", "resampled")

# Family of jobs that belong to no model: data, statistics, the report.
SHARED = "(study)"

# What a job is of: its data set, model, checkpoint, layer, subject or family.
Keys = Mapping[str, str]

_BINS = 8  # of relative depth


@dataclass(frozen=True, slots=True)
class Job:
    """One job of the workflow.

    Attributes
    ----------
    stage : str
        Command that it runs.
    rule : str
        Name of its rule.
    keys : mapping of str to str
    family : str
        Family of its model, or ``(study)``.
    outputs : tuple of str
    log : str
        Its command's log: unique, and what Snakemake's log, its errors and this list share.
    comment : str
        How its SLURM job's comment begins, after ``rule_``.
    """

    stage: str
    rule: str
    keys: Keys
    family: str
    outputs: tuple[str, ...]
    log: str
    comment: str

    @property
    def name(self) -> str:
        """Keys of what it makes, for people."""
        return " ".join(self.keys.values())


@dataclass(frozen=True, slots=True)
class Finished:
    """When jobs finished last, by their logs, as far as that is known.

    Attributes
    ----------
    times : dict of str to float
        Seconds since the epoch.
    unused : dict of str to float
        Those of runs that did not come to their end: jobs that read what was made may not have run.
    """

    times: dict[str, float]
    unused: dict[str, float]


@dataclass(frozen=True)
class Rule:
    """One rule of the workflow: for all jobs of a stage, of a data set, or for one job.

    Attributes
    ----------
    graph : Graph
    stage, name : str
    fixed : mapping of str to str
        Keys that all its jobs share.
    wildcards : tuple of str
        Keys that differ.
    """

    graph: Graph
    stage: str
    name: str
    fixed: Keys
    wildcards: tuple[str, ...]

    @property
    def output(self) -> list[str]:
        """File names with their wildcards."""
        return self.graph.outputs(self.stage, self._pattern)

    @property
    def log(self) -> str:
        """Name of the log with its wildcards."""
        return self.graph.log(self.stage, self._pattern)

    @property
    def group(self) -> str | None:
        """Jobs of one group run in one SLURM job; None: the job has its own."""
        return self.graph.group(self.stage, self._pattern)

    @property
    def _pattern(self) -> Keys:
        return {**self.fixed, **{name: f"{{{name}}}" for name in self.wildcards}}

    def keys(self, wildcards: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Keys of the job that Snakemake asks about."""
        return {**self.fixed, **dict(wildcards)}

    # Snakemake calls these with the wildcards of a job; it finds arguments by their names.

    def inputs(self, wildcards: Mapping[str, str]) -> dict[str, list[str]]:
        """Files that a job reads, by what they are."""
        return self.graph.inputs(self.stage, self.keys(wildcards.items()))

    def options(self, wildcards: Mapping[str, str]) -> list[str]:
        """Options that name a job to its command."""
        pairs = self.keys(wildcards.items()).items()
        return [word for key, value in pairs for word in (f"--{key}", value)]

    def identity(self, wildcards: Mapping[str, str]) -> str:
        """Fingerprint of everything that a job's files depend on."""
        return self.graph.identity(self.stage, self.keys(wildcards.items()))

    def gpu(self, wildcards: Mapping[str, str], attempt: int) -> int:
        """GPUs."""
        return self._request(wildcards, attempt).gpus

    def mem_mb(self, wildcards: Mapping[str, str], attempt: int) -> int:
        """Memory."""
        return self._request(wildcards, attempt).memory_mb

    def runtime(self, wildcards: Mapping[str, str], attempt: int) -> int:
        """Time limit in minutes."""
        return self._request(wildcards, attempt).minutes

    def _request(self, wildcards: Mapping[str, str], attempt: int) -> Request:
        return self.graph.request(self.stage, self.keys(wildcards.items()), attempt)


class Graph:
    """Jobs of a study and their files.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self.study, self.paths = study, study.paths
        self.by_layer = study.config.granularity == "layer"
        self.by_subject = self.by_layer and study.config.fit_granularity == "subject"

    # ---- one job -----------------------------------------------------------------------------

    def outputs(self, stage: str, keys: Keys) -> list[str]:
        """Files that a job writes; keys may be wildcards, such as ``{model}``."""
        paths = self.paths
        match stage:
            case "stimuli":
                return [paths.stimuli(keys["dataset"])]
            case "responses":
                return [paths.responses(keys["dataset"], keys["subject"])]
            case "train":
                return [paths.trained(keys["model"])]
            case "weights" if self.by_layer:
                return [paths.weights(keys["model"], keys["checkpoint"])]
            case "weights":
                return self.study.weights_files(_unit(keys))
            case "extract" | "fit":
                return [path for path, _ in self.files(stage, keys)]
            case "ceilings":
                return [paths.ceilings(keys["dataset"])]
            case "evaluate":
                return [paths.performance(keys["model"])]
            case "measure":
                return [paths.model(keys["model"], table) for table in MODEL_TABLES]
            case "family":
                return [paths.family(keys["family"], table) for table in MODEL_TABLES]
            case "representations":
                return [paths.representations]
            case "correlate":
                return [*(paths.table(name) for name in self.study.tables()), paths.about]
            case "report":
                return [paths.figures, paths.report]
            case "maps":
                return [paths.maps(keys["dataset"])]
            case "cube":
                return [paths.cube(keys["dataset"])]
        raise UnknownKeyError(f"there is no stage '{stage}'")

    def files(self, stage: str, keys: Keys) -> Iterator[tuple[str, Keys]]:
        """Files that a job writes, each with the keys of what is in it."""
        names = ("dataset", "model", "checkpoint", "layer")
        if stage == "weights" and not self.by_layer:
            model = keys["model"]
            known = self.study.model(model).checkpoint_by_name
            for checkpoint in [keys["checkpoint"]] if "checkpoint" in keys else known:
                path = self.paths.weights(model, checkpoint)
                yield path, {"model": model, "checkpoint": checkpoint}
        elif stage in ("extract", "fit"):
            for member in self._members(keys):
                own = dict(zip(names, member, strict=True))
                if stage == "extract":
                    yield self.paths.features(*member), own
                    continue
                for subject in self._subjects(member[0], keys):
                    yield self.paths.alignment(*member, subject), {**own, "subject": subject}
        else:
            for path in self.outputs(stage, keys):
                yield path, keys

    def inputs(self, stage: str, keys: Keys) -> dict[str, list[str]]:
        """Files that a job reads, by what they are."""
        study, paths = self.study, self.paths
        match stage:
            case "stimuli" | "train":
                return {}
            case "responses":
                return {"stimuli": [paths.stimuli(keys["dataset"])]}
            case "weights":
                trains = study.trains(keys["model"])
                return {"record": [paths.trained(keys["model"])] if trains else []}
            case "extract":
                return {
                    "stimuli": [paths.stimuli(name) for name in self._datasets(keys)],
                    "weights": study.weights_files(_unit(keys)),
                }
            case "fit":
                names = self._datasets(keys)
                return {
                    "features": [paths.features(*member) for member in self._members(keys)],
                    "nuisance": [file for name in names for file in study.nuisance_files(name)],
                    "responses": [
                        paths.responses(name, subject)
                        for name in names
                        for subject in self._subjects(name, keys)
                    ],
                    "stimuli": [paths.stimuli(name) for name in names],
                }
            case "ceilings":
                name = keys["dataset"]
                return {"stimuli": [paths.stimuli(name)], "responses": study.responses_files(name)}
            case "evaluate":
                return {
                    "stimuli": [paths.stimuli(name) for name in self._datasets(keys)],
                    "weights": study.weights_files(_unit(keys)),
                    "files": study.performance_files(),
                }
            case "measure":
                return {"alignment": study.alignment_files(_unit(keys))}
            case "family":
                models = study.family(keys["family"])
                tables = [self.outputs("measure", {"model": model}) for model in models]
                return {"models": [file for files in tables for file in files]}
            case "representations":
                return {"compared": converging_files(study)}
            case "correlate":
                families = [self.outputs("family", {"family": name}) for name in study.families]
                return {
                    "families": [file for files in families for file in files],
                    "performance": [paths.performance(m) for m in study.evaluated_models()],
                    "ceilings": [paths.ceilings(name) for name in study.config.datasets],
                    "representations": (
                        [paths.representations] if study.config.convergence else []
                    ),
                }
            case "report":
                return {"tables": self.outputs("correlate", {})}
            case "maps":
                return {"alignment": final_scores(study, keys["dataset"])}
            case "cube":
                return {"families": [paths.family(name) for name in study.families]}
        raise UnknownKeyError(f"there is no stage '{stage}'")

    def log(self, stage: str, keys: Keys) -> str:
        """Log of a job's command."""
        return self.paths.log(stage, *keys.values())

    def group(self, stage: str, keys: Keys) -> str | None:
        """Group of a layer's extraction and fits, which share one SLURM job."""
        if stage not in ("extract", "fit") or not self.by_layer:
            return None
        return ".".join(keys[name] for name in ("dataset", "model", "checkpoint", "layer"))

    def identity(self, stage: str, keys: Keys) -> str:
        """Fingerprint of what a job's files depend on; of several files, of all of theirs."""
        if self.by_layer or stage not in ("weights", "extract", "fit"):
            named = {key: value for key, value in keys.items() if key != "subject"}
            return self.study.identity(stage, **named)
        names = ("dataset", "model", "checkpoint", "layer")
        parts = (
            self.study.identity(stage, **dict(zip(names, member, strict=True)))
            for member in self._members(keys)
        )
        # sorted: the order of rows is of no consequence
        return hashlib.sha256(" ".join(sorted(parts)).encode()).hexdigest()[:16]

    def request(self, stage: str, keys: Keys, attempt: int = 1) -> Request:
        """What a job asks of the cluster."""
        return resources.request(self.study, stage, keys, attempt)

    def _members(self, keys: Keys) -> list[tuple[str, str, str, str]]:
        """(data set, model, checkpoint, layer) of a job."""
        if "layer" in keys:
            return [(keys["dataset"], keys["model"], keys["checkpoint"], keys["layer"])]
        return list(self.study.members(_unit(keys)))

    def _datasets(self, keys: Keys) -> list[str]:
        return [keys["dataset"]] if "dataset" in keys else self.study.datasets_of(keys["model"])

    def _subjects(self, dataset: str, keys: Keys) -> Sequence[str]:
        return [keys["subject"]] if "subject" in keys else self.study.dataset(dataset).subjects

    # ---- all jobs ----------------------------------------------------------------------------

    def rules(self, stage: str) -> list[Rule]:
        """Rules of a stage; several where names of files cannot say which job makes them."""
        layer = ("model", "checkpoint", "layer")
        wildcards: dict[str, tuple[str, ...]] = {
            "stimuli": ("dataset",),
            "responses": ("dataset", "subject"),
            "train": ("model",),
            "weights": ("model", "checkpoint"),
            "extract": ("dataset", *layer),
            "fit": ("dataset", *layer, "subject"),
            "ceilings": ("dataset",),
            "evaluate": ("model",),
            "measure": ("model",),
            "family": ("family",),
            "maps": ("dataset",),
            "cube": ("dataset",),
        }
        if stage == "representations" and not self.study.config.convergence:
            return []
        if stage in ("weights", "extract", "fit") and not self.by_layer:
            # a job of several files, whose number no wildcard says
            jobs = (keys for _, keys in self._keys(stage))
            return [Rule(self, stage, _named(stage, keys), keys, ()) for keys in jobs]
        if stage == "fit" and not self.by_subject:
            # a rule per data set, because data sets have different subjects
            return [
                Rule(self, stage, _named(stage, {"dataset": name}), {"dataset": name}, layer)
                for name in self.study.config.datasets
            ]
        return [Rule(self, stage, stage, {}, wildcards.get(stage, ()))]

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """Jobs that lead to the report, each after those whose files it reads."""
        return tuple(
            self._job(stage, family, keys)
            for stage in STAGES
            if stage not in OPTIONAL
            for family, keys in self._keys(stage)
        )

    def jobs_of(self, family: str | None = None) -> list[Job]:
        """All jobs, or those of one family's models and tables, or (`SHARED`) of no family.

        Raises
        ------
        UnknownKeyError
            No such family.
        """
        if family not in (None, SHARED):
            self.study.family(str(family))
        return [job for job in self.jobs if family in (None, job.family)]

    def _job(self, stage: str, family: str, keys: Keys) -> Job:
        rule, wildcards = stage, "_".join(keys.values())
        if stage in ("weights", "extract", "fit") and not self.by_layer:
            rule, wildcards = _named(stage, keys), ""
        elif stage == "fit" and not self.by_subject:
            rule = _named(stage, {"dataset": keys["dataset"]})
        comment = f"{rule}_wildcards_{wildcards}" if wildcards else rule
        return Job(
            stage,
            rule,
            keys,
            family,
            tuple(self.outputs(stage, keys)),
            self.log(stage, keys),
            self.group(stage, keys) or comment,
        )

    def _keys(self, stage: str) -> Iterator[tuple[str, Keys]]:
        """Family and keys of each job of a stage."""
        study = self.study
        match stage:
            case "stimuli" | "ceilings":
                for name in study.config.datasets:
                    yield SHARED, {"dataset": name}
            case "responses":
                for name, data in study.config.datasets.items():
                    for subject in data.subjects:
                        yield SHARED, {"dataset": name, "subject": subject}
            case "representations":
                if study.config.convergence:
                    yield SHARED, {}
            case "correlate" | "report":
                yield SHARED, {}
            case "family":
                for name in study.families:
                    yield name, {"family": name}
            case "measure":
                for model in study.models.values():
                    yield model.family, {"model": model.key}
            case "evaluate":
                for key in study.evaluated_models():
                    yield study.model(key).family, {"model": key}
            case "train":
                for model in study.models.values():
                    if study.trains(model.key):
                        yield model.family, {"model": model.key}
            case "weights" | "extract" | "fit":
                for model in study.models.values():
                    for keys in self._of_model(stage, model):
                        yield model.family, keys

    def _of_model(self, stage: str, model: Model) -> Iterator[Keys]:
        if stage == "weights" and model.is_control:
            return
        if self.study.config.granularity == "model":
            yield {"model": model.key}
        elif stage == "weights" or not self.by_layer:
            for name in model.checkpoint_by_name:
                yield {"model": model.key, "checkpoint": name}
        else:
            for dataset, _, checkpoint, layer in self.study.members(Unit(model.key)):
                keys = {
                    "dataset": dataset,
                    "model": model.key,
                    "checkpoint": checkpoint,
                    "layer": layer,
                }
                if stage == "fit" and self.by_subject:
                    for subject in self.study.dataset(dataset).subjects:
                        yield {**keys, "subject": subject}
                else:
                    yield keys

    # ---- what is left ------------------------------------------------------------------------

    def left(
        self,
        has: Callable[[str], bool],
        targets: Sequence[str] | None = None,
        finished: Finished | None = None,
    ) -> set[str]:
        """Jobs that Snakemake would run, judged by the files that are there.

        A job runs if it makes a target that is missing, if a job that runs reads one of its files
        that is missing, if a file that it reads is made by a job that runs, or was made after the
        job's own files in a run that did not come to its end. A missing file whose readers have
        all run is not missed. Settings play no part: `convergent verify` and a dry run compare
        those.

        Parameters
        ----------
        has : callable
            Whether a file is there.
        targets : sequence of str, optional
            Files that are wanted; the report by default.
        finished : Finished, optional
            When jobs finished, as far as that is known.

        Returns
        -------
        set of str
            Logs of the jobs.
        """
        wanted = [self.paths.report] if targets is None else list(targets)
        order = self._upstream(wanted)
        runs = set(self._makers(file for file in wanted if not has(file)))
        if finished:
            runs.update(number for number in order if self._outrun(number, finished))
        known = -1
        while known != len(runs):
            known = len(runs)
            for number in reversed(order):
                if number in runs:
                    runs.update(self._makers(file for file in self._reads[number] if not has(file)))
            for number in order:
                if number not in runs and not runs.isdisjoint(self._makers(self._reads[number])):
                    runs.add(number)
        return {self.jobs[number].log for number in runs}

    def _outrun(self, number: int, finished: Finished) -> bool:
        """Whether a file that a job reads was made after the job finished."""
        own = finished.times.get(self.jobs[number].log, math.inf)
        makers = self._makers(self._reads[number])
        return any(finished.unused.get(self.jobs[maker].log, 0.0) > own for maker in makers)

    def upstream(self, targets: Sequence[str]) -> list[Job]:
        """Jobs that files are made by, from the first on, whether they are there or not."""
        return [self.jobs[number] for number in self._upstream(targets)]

    def _upstream(self, targets: Sequence[str]) -> list[int]:
        found: set[int] = set()
        ahead = list(self._makers(targets))
        while ahead:
            number = ahead.pop()
            if number not in found:
                found.add(number)
                ahead += self._makers(self._reads[number])
        return sorted(found)  # jobs are listed after those whose files they read

    def _makers(self, files: Iterable[str]) -> Iterator[int]:
        """Numbers of the jobs that make some files; files of nobody are the user's."""
        makers = self._maker
        return (makers[file] for file in files if file in makers)

    @cached_property
    def _maker(self) -> dict[str, int]:
        return {file: number for number, job in enumerate(self.jobs) for file in job.outputs}

    @cached_property
    def _reads(self) -> list[tuple[str, ...]]:
        """Files that each job reads."""
        return [
            tuple(file for files in self.inputs(job.stage, job.keys).values() for file in files)
            for job in self.jobs
        ]


def _unit(keys: Keys) -> Unit:
    return Unit(keys["model"], keys.get("checkpoint"), keys.get("layer"))


def _named(stage: str, keys: Keys) -> str:
    """Name of a rule for some keys: "@" is in no key, so that no two rules share a name."""
    return f"{stage}_{'@'.join(keys.values())}"


# ---- parts of a study ------------------------------------------------------------------------


def final_models(study: Study, dataset: str) -> list[tuple[str, str]]:
    """(model, checkpoint) of the final trained models that a data set has, sorted by key.

    Parameters
    ----------
    study : Study
    dataset : str

    Returns
    -------
    list of (str, str)
        Neither baselines nor twins with random weights; one checkpoint a model.
    """
    modality = study.dataset(dataset).modality
    return [
        (key, checkpoint.name)
        for key, model in sorted(study.models.items())
        if model.modality == modality and not model.is_control
        for checkpoint in model.checkpoints
        if checkpoint.final and checkpoint.role == "trained"
    ]


def final_scores(study: Study, dataset: str) -> list[str]:
    """Alignment stores of all layers of the final trained models."""
    return [
        study.paths.alignment(dataset, model, checkpoint, layer.name, subject)
        for model, checkpoint in final_models(study, dataset)
        for layer in study.model(model).layers
        for subject in study.dataset(dataset).subjects
    ]


def converging_layers(study: Study, dataset: str) -> list[tuple[str, str, str]]:
    """(model, checkpoint, layer) that ``convergence`` compares over modalities.

    First one final model of each family, by name, then a second one, and so on. Of each model the
    layers nearest to the middles of eight bins of relative depth.
    """
    section = study.config.convergence
    if section is None:
        return []
    final = dict(final_models(study, dataset))
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, str]] = []
    for key in sorted(filter(final.__contains__, study.models)):
        family = study.models[key].family
        ranked.append((seen[family], key))
        seen[family] += 1
    found = []
    for _, key in sorted(ranked, key=lambda item: item[0])[: section.models]:
        layers = study.models[key].layers
        for middle in ((index + 0.5) / _BINS for index in range(_BINS)):
            nearest = min(layers, key=lambda layer: abs(layer.depth - middle))
            found.append((key, final[key], nearest.name))
    return list(dict.fromkeys(found))


def converging_files(study: Study) -> list[str]:
    """Stimuli and features that are compared over modalities."""
    section = study.config.convergence
    return [
        path
        for dataset in (section.datasets if section else ())
        for path in (
            study.paths.stimuli(dataset),
            *(study.paths.features(dataset, *key) for key in converging_layers(study, dataset)),
        )
    ]


def targets(
    study: Study,
    *,
    family: str | None = None,
    model: str | None = None,
    checkpoint: str | None = None,
    steps: str | None = None,
    layer: str | None = None,
    dataset: str | None = None,
    subject: str | None = None,
) -> list[str]:
    """Alignment stores of a part of a study.

    Parameters
    ----------
    study : Study
    family, model, checkpoint, layer, dataset, subject : str, optional
        What to keep; checkpoint and layer need a model.
    steps : str, optional
        ``low:high``, both included, and either left out: checkpoints of these training steps.

    Returns
    -------
    list of str
        With `fit_granularity: layer` and no subject, one store per layer: its job makes those of
        all subjects.

    Raises
    ------
    UnknownKeyError, ConfigError
        A name is unknown, or nothing is left.
    """
    _check(study, family, model, checkpoint, layer, dataset, subject)
    bounds = _bounds(steps) if steps is not None else None
    one_each = study.config.granularity == "layer" and study.config.fit_granularity == "layer"
    found: list[str] = []
    for row in [study.model(model)] if model else list(study.models.values()):
        if family is not None and row.family != family:
            continue
        layers = [layer] if layer else list(row.layer_by_name)
        for name in study.datasets_of(row.key):
            subjects = study.dataset(name).subjects
            if dataset not in (None, name) or (subject and subject not in subjects):
                continue
            asked = (subject,) if subject else subjects[:1] if one_each else subjects
            found += [
                study.paths.alignment(name, row.key, one, each, who)
                for one in _checkpoints(row, checkpoint, bounds)
                for each in layers
                for who in asked
            ]
    if not found:
        raise ConfigError(
            "no fit of the study is that", where=study.file, fix="ask for less: `convergent ls`"
        )
    return found


def _check(
    study: Study,
    family: str | None,
    model: str | None,
    checkpoint: str | None,
    layer: str | None,
    dataset: str | None,
    subject: str | None,
) -> None:
    if model is None and (checkpoint or layer):
        raise ConfigError("a checkpoint or layer is one of a model", fix="add --model")
    if family:
        study.family(family)
    if model and checkpoint:
        study.checkpoint(model, checkpoint)
    if model and layer:
        study.layer(model, layer)
    if dataset:
        study.dataset(dataset)
    if subject:
        names = [dataset] if dataset else list(study.config.datasets)
        if not any(subject in study.dataset(name).subjects for name in names):
            raise UnknownKeyError(f"no data set has a subject '{subject}'", where=study.file)


def _bounds(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        bounds = float(low or "-inf"), float((high if colon else low) or "inf")
    except ValueError:
        raise ConfigError(f"'{text}' is no range of steps", fix="for example 0:1000") from None
    return bounds


def _checkpoints(
    model: Model, checkpoint: str | None, bounds: tuple[float, float] | None
) -> list[str]:
    def meant(one: Checkpoint) -> bool:
        if checkpoint not in (None, one.name):
            return False
        return bounds is None or (one.step is not None and bounds[0] <= one.step <= bounds[1])

    return [one.name for one in model.checkpoints if meant(one)]

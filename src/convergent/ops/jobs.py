"""What a study's workflow will do, as a list of jobs with their files; no DAG is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from convergent.study import Study, Unit

# Family of jobs that are of no model: data, statistics, the report.
SHARED = "(study)"

MODEL_TABLES = ("measurements", "alignment", "coverage", "resampled")

# A folder, and names of files in it.
Place = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Job:
    """One job of the workflow.

    Attributes
    ----------
    stage : str
        Command that it runs.
    family : str
        Family of its model, or ``(study)``.
    name : str
        Keys of what it makes, for people.
    log : str
        Its command's log: unique, and what Snakemake's log, its errors and this list share.
    outputs : tuple of (folder, names)
    comment : str
        How its SLURM job's comment begins, after ``rule_``.
    """

    stage: str
    family: str
    name: str
    log: str
    outputs: tuple[Place, ...]
    comment: str

    @property
    def paths(self) -> list[str]:
        """Its output files."""
        return [f"{folder}/{name}" for folder, names in self.outputs for name in names]


def jobs_of(study: Study, family: str | None = None) -> list[Job]:
    """All jobs that lead to a study's report, or those of one family.

    Parameters
    ----------
    study : Study
    family : str, optional

    Raises
    ------
    UnknownKeyError
        No such family.
    """
    families = study.families if family is None else {family: study.family(family)}
    found = [] if family is not None else list(_shared(study))
    evaluated = frozenset(study.evaluated_models())
    for name, models in families.items():
        for model in models:
            found += _of_model(study, name, model)
            if model in evaluated:
                paths = [study.paths.performance(model)]
                found.append(_job(study, "evaluate", name, (model,), paths))
        tables = [study.paths.family(name, table) for table in MODEL_TABLES]
        found.append(_job(study, "family", name, (name,), tables))
    return found


def _shared(study: Study) -> Iterator[Job]:
    paths = study.paths
    for dataset, config in study.config.datasets.items():
        yield _job(study, "stimuli", SHARED, (dataset,), [paths.stimuli(dataset)])
        for subject in config.subjects:
            keys = (dataset, subject)
            yield _job(study, "responses", SHARED, keys, [paths.responses(*keys)])
        yield _job(study, "ceilings", SHARED, (dataset,), [paths.ceilings(dataset)])
    tables = [paths.table(name) for name in study.tables()]
    yield _job(study, "correlate", SHARED, (), [*tables, paths.about])
    yield _job(study, "report", SHARED, (), [paths.report])


def _of_model(study: Study, family: str, model: str) -> Iterator[Job]:
    paths, by_layer = study.paths, study.config.granularity == "layer"
    if study.trains(model):
        yield _job(study, "train", family, (model,), [paths.trained(model)])
    if by_layer:
        if not study.model(model).is_control:
            for checkpoint in study.model(model).checkpoints:
                keys = (model, checkpoint.name)
                yield _job(study, "weights", family, keys, [paths.weights(*keys)])
        yield from _layers(study, family, model)
    else:
        for unit in units_of(study, model):
            for stage, files in (
                ("weights", study.weights_files(unit)),
                ("extract", study.feature_files(unit)),
                ("fit", study.alignment_files(unit)),
            ):
                if files:
                    log, comment = paths.log(stage, unit.name), f"{stage}_{unit.name}"
                    yield Job(stage, family, unit.name, log, _places(files), comment)
    tables = [paths.model(model, table) for table in MODEL_TABLES]
    yield _job(study, "measure", family, (model,), tables)


def units_of(study: Study, model: str) -> list[Unit]:
    """Jobs of a model at a granularity that is coarser than a layer."""
    if study.config.granularity == "model":
        return [Unit(model)]
    return [Unit(model, checkpoint.name) for checkpoint in study.model(model).checkpoints]


def _layers(study: Study, family: str, model: str) -> Iterator[Job]:
    paths, together = study.paths, study.config.fit_granularity == "layer"
    names = {
        dataset: tuple(paths.alignment("", "", "", "", one).rpartition("/")[2] for one in subjects)
        for dataset in study.datasets_of(model)
        if (subjects := study.dataset(dataset).subjects)
    }
    for keys in study.members(Unit(model)):
        name, group, dataset = " ".join(keys), ".".join(keys), keys[0]
        folder, _, file = paths.features(*keys).rpartition("/")
        yield Job("extract", family, name, paths.log("extract", *keys), ((folder, (file,)),), group)
        folder = paths.alignment(*keys, "").rpartition("/")[0]
        if together:
            outputs = ((folder, names[dataset]),)
            yield Job("fit", family, name, paths.log("fit", *keys), outputs, group)
            continue
        for subject, file in zip(study.dataset(dataset).subjects, names[dataset], strict=True):
            log = paths.log("fit", *keys, subject)
            yield Job("fit", family, f"{name} {subject}", log, ((folder, (file,)),), group)


def _job(study: Study, stage: str, family: str, keys: tuple[str, ...], files: Iterable[str]) -> Job:
    """Describe a job of a rule with wildcards, which its SLURM job's comment joins."""
    comment = f"{stage}_wildcards_{'_'.join(keys)}" if keys else stage
    return Job(
        stage, family, " ".join(keys), study.paths.log(stage, *keys), _places(files), comment
    )


def _places(files: Iterable[str]) -> tuple[Place, ...]:
    by_folder: dict[str, list[str]] = {}
    for path in files:
        folder, _, name = path.rpartition("/")
        by_folder.setdefault(folder, []).append(name)
    return tuple((folder, tuple(names)) for folder, names in by_folder.items())

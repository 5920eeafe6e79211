"""What a job asks of the cluster: from the model's size, precision and depth, and the stimuli.

Estimates are upper bounds that a retry raises: too little memory ends a job, too much only
keeps it waiting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convergent.errors import ConfigError, ConvergentError
from convergent.study.types import Checkpoint, Layer, Model, Unit

if TYPE_CHECKING:
    from convergent.study.study import Study

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_FILL = 0.75  # share of a GPU that weights fill: activations need the rest
_HOST = 1.5  # host memory over weights: files are mapped while tensors are made
_BASE_MB = 4000  # Python, libraries, a batch of stimuli
_BASE_MINUTES = 20
_EMBEDDINGS = 0.15  # share of the weights in front of the first block
_TOKENS = {"vision": 256, "language": 64}  # a stimulus, if it is an item
_SPARE = 3.0  # time asked over time expected
_BUS_MB_S = 10_000.0  # from host memory to a GPU
_BATCH = 64
_CPU = 0.01  # rate of a CPU over that of a GPU


# Memory (MB) and time limit (minutes) of the first attempt of stages that need no model.
_PLAIN = {
    "stimuli": (4000, 30),
    "responses": (4000, 60),
    "train": (4000, 60),
    "fit": (4000, 60),
    "ceilings": (4000, 60),
    "measure": (4000, 30),
    "family": (4000, 30),
    "representations": (8000, 60),
    "correlate": (8000, 60),
    "report": (8000, 60),
    "maps": (4000, 60),
    "cube": (4000, 60),
}
# A fit of one subject alone.
_ONE_FIT = (2500, 20)


@dataclass(frozen=True, slots=True)
class Request:
    """What a job asks of the cluster."""

    gpus: int
    memory_mb: int
    minutes: int


def request(study: Study, stage: str, keys: Mapping[str, str], attempt: int = 1) -> Request:
    """Say what a job asks for; a later attempt asks for a multiple, up to the site's limits.

    Parameters
    ----------
    study : Study
    stage : str
    keys : mapping of str to str
        What the job is of: see `convergent.study.graph`.
    attempt : int
        From 1.

    Raises
    ------
    ConfigError
        ``resources.max_minutes`` is less than what the job needs.
    """
    first, _ = _first(study, stage, keys)
    machine = study.config.resources
    memory = attempt * first.memory_mb
    if machine.node_mb is not None:
        memory = min(memory, max(first.memory_mb, machine.node_mb))
    if machine.max_minutes is None:
        return Request(first.gpus, memory, attempt * first.minutes)
    return Request(first.gpus, memory, _within(study, stage, keys, attempt, machine.max_minutes))


def _first(study: Study, stage: str, keys: Mapping[str, str]) -> tuple[Request, int]:
    """What a job asks for at first where nothing limits it, and the minutes that it needs."""
    if stage in ("extract", "evaluate"):
        unit, dataset = _unit(keys), keys.get("dataset")
        expected = extract_seconds(study, unit, dataset) / 60
        minutes = math.ceil(_BASE_MINUTES + _SPARE * expected)
        asked = Request(gpus(study, unit), extract_mb(study, unit), minutes)
        return asked, math.ceil(_BASE_MINUTES + expected)
    memory, minutes = _PLAIN.get(stage, (1000, 60))
    if stage == "fit" and "subject" in keys:
        memory, minutes = _ONE_FIT
    elif stage == "fit" and "dataset" in keys:
        minutes = 20 + 5 * len(study.dataset(keys["dataset"]).subjects)
    return Request(1 if stage == "train" else 0, memory, minutes), minutes


def _within(study: Study, stage: str, keys: Mapping[str, str], attempt: int, limit: int) -> int:
    """Minutes of a job where a SLURM job may last so many.

    A layer's extraction and fits are one SLURM job, whose minutes are their sum: fits come first,
    the extraction has the rest, and neither gets less than at the first attempt.
    """
    first, needed = _first(study, stage, keys)
    if stage not in ("extract", "fit") or "layer" not in keys:
        if needed > limit:
            raise _too_long(study, keys, needed, limit)
        return min(attempt * first.minutes, limit)
    subjects = study.dataset(keys["dataset"]).subjects
    fits = 1
    member = {key: value for key, value in keys.items() if key != "subject"}
    if study.config.fit_granularity == "subject":
        fits, member = len(subjects), {**member, "subject": ""}
    one = _first(study, "fit", member)[0].minutes
    extraction, needed = _first(study, "extract", member)
    if needed + one > limit:
        raise _too_long(study, keys, needed + one, limit)
    all_fits = min(fits * one, limit - needed)  # as many as run at once take no more than one
    least = min(extraction.minutes, limit - all_fits)
    all_fits = min(attempt * all_fits, limit - least)
    if stage == "extract":
        return min(attempt * extraction.minutes, limit - all_fits)
    return max(1, all_fits // fits)


def _too_long(study: Study, keys: Mapping[str, str], needed: int, limit: int) -> ConfigError:
    return ConfigError(
        f"{' '.join(keys.values())} needs {needed / 60:.0f} hours, a job may last {limit / 60:.0f}",
        where="resources.max_minutes",
        fix=_SHORTER,
    )


_SHORTER = (
    "use a partition with a longer limit, raise resources.teraflops and read_mb_s if the GPUs are "
    "faster than that, choose a smaller precision, or exclude the model"
)


def weights_mb(study: Study, model: Model) -> int:
    """Size of a model's weights in the precision that they are computed in, in MB."""
    precision = study.config.extraction.precision or model.precision
    return math.ceil(model.parameters * _BYTES[precision] / 1e6)


def fraction(model: Model, layer: str | None) -> float:
    """Share of the weights that a layer needs, at most; 1 for all layers.

    A block ``layers.7`` needs the embeddings and blocks 0 to 7 of at least as many blocks as
    the row lists. Networks whose blocks grow with depth, or are not numbered, count whole.
    """
    if layer is None or model.layout != "tokens":
        return 1.0
    number = model.block_numbers.get(layer)
    if number is None:
        return 1.0
    return min(1.0, _EMBEDDINGS + (number + 1) / (model.last_block + 1))


def gpus(study: Study, unit: Unit) -> int:
    """GPUs of a unit's job: as many as hold its weights, at least one.

    With ``extraction.offload: cpu`` at most those of a node: the rest waits in host memory.
    """
    machine = study.config.resources
    needed = max(1, math.ceil(_loaded_mb(study, unit) / (_FILL * machine.gpu_mb)))
    return min(needed, machine.gpus) if study.config.extraction.offload == "cpu" else needed


def extract_mb(study: Study, unit: Unit) -> int:
    """Host memory of a unit's extraction at the first attempt, in MB."""
    model = study.model(unit.model)
    held = _HOST * _loaded_mb(study, unit)
    if any(checkpoint.role == "random" for checkpoint in _checkpoints(study, unit)):
        held = _HOST * weights_mb(study, model)  # drawn whole, whatever the layer
    return math.ceil(_BASE_MB + held)


def extract_seconds(study: Study, unit: Unit, dataset: str | None = None) -> float:
    """Seconds that a unit's extraction should take: reading weights, and computing."""
    model = study.model(unit.model)
    machine = study.config.resources
    read = _loaded_mb(study, unit) / machine.read_mb_s
    names = study.datasets_of(unit.model) if dataset is None else [dataset]
    share = fraction(model, unit.layer)
    compute = sum(_seconds(study, model, name, share) for name in names)
    wait = 0.0
    if study.config.extraction.offload == "cpu":
        outside = _loaded_mb(study, unit) - _FILL * machine.gpu_mb * gpus(study, unit)
        items = sum(study.dataset(name).stimuli for name in study.datasets_of(unit.model))
        wait = max(0.0, outside) / _BUS_MB_S * items / _BATCH
    return (read + compute + wait) * len(_checkpoints(study, unit))


def features_bytes(study: Study, layers: Sequence[Layer], stimuli: int) -> int:
    """Bytes of the features of some layers, by their declared widths: flattening makes more."""
    extraction = study.config.extraction
    width = sum(min(layer.width, extraction.projection or layer.width) for layer in layers)
    return stimuli * width * _BYTES[extraction.store]


def mistakes(study: Study) -> list[ConvergentError]:
    """Models whose jobs fit no node, told before anything is submitted."""
    machine, too_long = study.config.resources, _too_long_jobs(study)
    found: list[ConvergentError] = []
    for model in study.models.values():
        units = _units(study, model)
        most = max((gpus(study, unit) for unit in units), default=1)
        memory = max((extract_mb(study, unit) for unit in units), default=0)
        size = weights_mb(study, model) / 1000
        if most > machine.gpus:
            found.append(
                ConfigError(
                    f"model '{model.key}' has {size:.0f} GB of weights and asks {most} GPUs of "
                    f"{machine.gpu_mb / 1000:.0f} GB, a node has {machine.gpus}",
                    where=model.source_location,
                    fix="correct resources.gpu_mb and resources.gpus, choose a smaller precision, "
                    "set extraction.offload to cpu, or exclude the model",
                )
            )
        if machine.node_mb is not None and memory > machine.node_mb:
            found.append(
                ConfigError(
                    f"model '{model.key}' asks {memory / 1000:.0f} GB of host memory, a node has "
                    f"{machine.node_mb / 1000:.0f} GB",
                    where=model.source_location,
                    fix="correct resources.node_mb, choose a smaller precision, or exclude it",
                )
            )
        if late := too_long.get(model.key):
            found.append(
                ConfigError(
                    f"{len(late)} jobs of model '{model.key}' need more than the "
                    f"{machine.max_minutes} minutes of resources.max_minutes, such as {late[0]}",
                    where=model.source_location,
                    fix=_SHORTER,
                )
            )
    return found


def _too_long_jobs(study: Study) -> dict[str, list[str]]:
    """Jobs of each model that would not end within ``resources.max_minutes``."""
    found: dict[str, list[str]] = {}
    for job in study.graph.jobs if study.config.resources.max_minutes else ():
        if job.stage in ("extract", "evaluate"):
            try:
                request(study, job.stage, job.keys)
            except ConfigError:
                found.setdefault(job.keys["model"], []).append(job.name)
    return found


def _unit(keys: Mapping[str, str]) -> Unit:
    return Unit(keys["model"], keys.get("checkpoint"), keys.get("layer"))


def _units(study: Study, model: Model) -> list[Unit]:
    if study.config.granularity == "layer":
        return [
            Unit(model.key, checkpoint.name, layer.name)
            for checkpoint in model.checkpoints
            for layer in model.layers
        ]
    return [Unit(model.key, checkpoint.name) for checkpoint in model.checkpoints]


def _checkpoints(study: Study, unit: Unit) -> list[Checkpoint]:
    model = study.model(unit.model)
    if unit.checkpoint is None:
        return list(model.checkpoints)
    known = model.checkpoint_by_name.get(unit.checkpoint)
    return [] if known is None else [known]


def _loaded_mb(study: Study, unit: Unit) -> float:
    model = study.model(unit.model)
    return weights_mb(study, model) * fraction(model, unit.layer)


def _seconds(study: Study, model: Model, dataset: str, share: float) -> float:
    """Time of the passes over one data set: two operations a parameter and token."""
    data = study.dataset(dataset)
    story = data.design == "story"
    tokens = 1.5 * study.config.extraction.context_words if story else _TOKENS[model.modality]
    precision = study.config.extraction.precision or model.precision
    rate = study.config.resources.teraflops * 1e12 * (4 / _BYTES[precision]) ** 2
    if study.config.extraction.device == "cpu":
        rate = study.config.resources.teraflops * 1e12 * _CPU
    return 2.0 * model.parameters * share * tokens * data.stimuli / rate

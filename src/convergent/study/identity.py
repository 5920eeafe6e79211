"""Fingerprints: what in the tables and configuration a file depends on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import ConvergentError
from convergent.registry import reader_facts
from convergent.study.graph import converging_layers, final_models
from convergent.study.types import Checkpoint, Model
from convergent.text_files import MB, read_bytes

if TYPE_CHECKING:
    from convergent.study.study import Study

# Raise a stage's number when its code changes what it writes: stores of the old
# version are then recomputed instead of being mixed with new ones.
STAGE_VERSIONS = {
    "stimuli": 3,
    "responses": 5,
    "train": 2,
    "weights": 3,
    "extract": 3,
    "evaluate": 3,
    "fit": 7,
    "ceilings": 2,
    "representations": 2,
    "measure": 6,
    "family": 2,
    "maps": 3,
    "cube": 2,
    "correlate": 7,
    "report": 7,
}


def identity(study: Study, stage: str, **keys: str | None) -> str:
    """Fingerprint of everything in the tables and configuration that a file depends on.

    Parameters
    ----------
    study : Study
    stage : str
        Stage that writes the file.
    **keys : str
        ``dataset``, ``model``, ``checkpoint``, ``layer`` as far as they apply.

    Returns
    -------
    str
        16 hexadecimal digits. Snakemake compares it (as a parameter of the rule), so
        that a changed row recomputes that model and nothing else.

    Notes
    -----
    Devices and batch sizes do not count: they do not change what is computed. Subjects
    do not count either where each has a file of its own; ceilings and tables are of all of them,
    and so are the stimuli of readers that give what the subjects saw. The order of rows, subjects,
    data sets and metrics does not count.
    """
    return _hash(_facts(study, stage, keys))


# What of `fit` a metric that compares pairs of stimuli does not use, and ridge does not.
_OF_ENCODING = ("alphas", "folds", "inner_folds", "selection", "standardize", "pca", "bootstraps")
_OF_SIMILARITIES = ("similarity_stimuli",)
_OF_TABLES = ("fixed_depth",)


def metric_identity(study: Study, metric: str, **keys: str | None) -> str:
    """Fingerprint of what one metric of a fit depends on in the tables and configuration.

    Parameters
    ----------
    study : Study
    metric : str
        A key of ``fit.metrics``.
    **keys : str
        ``dataset``, ``model``, ``checkpoint``, ``layer``.

    Returns
    -------
    str
        16 hexadecimal digits: a metric that is added, or another's options, change no other's.
    """
    facts = _facts(study, "fit", keys)
    fit = study.config.fit
    encoding = metric not in fit.similarities
    unused = {*_OF_TABLES, *(_OF_SIMILARITIES if encoding else _OF_ENCODING)}
    facts["fit"] = {key: value for key, value in facts["fit"].items() if key not in unused}
    facts["fit"]["metrics"] = {metric: fit.metrics[metric]}
    if metric != "unique":
        facts.pop("nuisance", None)
    if metric != "ridge":
        facts.pop("bootstraps", None)
    return _hash(facts)


def _hash(facts: dict[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _once(study: Study, key: tuple[str, ...], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Make facts that many jobs share once a study; whoever gets them leaves them as they are."""
    if key not in study.remembered:
        study.remembered[key] = make()
    return study.remembered[key]


def _facts(study: Study, stage: str, keys: dict[str, str | None]) -> dict[str, Any]:
    facts: dict[str, Any] = {"stage": stage, "version": STAGE_VERSIONS[stage], "keys": keys}
    dataset = keys.get("dataset")
    if dataset:
        facts |= _once(study, ("dataset", dataset), lambda: _dataset_facts(study, dataset))
    if keys.get("model"):
        facts["model"] = _model_facts(study, stage, keys)
    if stage in ("fit", "measure"):
        model = study.model(str(keys["model"]))
        names = [keys["checkpoint"]] if keys.get("checkpoint") else model.checkpoint_by_name
        if any(study.resampled(model.key, str(name)) for name in names):
            facts["bootstraps"] = study.config.fit.bootstraps
    if stage == "fit" and dataset:
        facts |= _once(study, ("nuisance", dataset), lambda: _nuisance_facts(study, dataset))
    if stage in ("ceilings", "maps"):
        facts["subjects"] = sorted(study.dataset(str(dataset)).subjects)
    if stage == "ceilings":
        fit = study.config.fit
        facts["similarities"] = [fit.similarities, fit.similarity_stimuli, fit.seed]
    if stage == "maps":
        facts["models"] = final_models(study, str(dataset))
    if stage == "evaluate":
        seen = study.datasets_of(str(keys["model"]))
        facts["datasets"] = {name: _dataset_facts(study, name)["dataset"] for name in seen}
    if stage == "measure":
        seen = study.datasets_of(str(keys["model"]))
        facts["subjects"] = {name: sorted(study.dataset(name).subjects) for name in seen}
    if stage == "family":
        facts["models"] = sorted(study.family(str(keys["family"])))
    return facts | _once(study, ("settings", stage), lambda: _settings(study, stage))


def _dataset_facts(study: Study, dataset: str) -> dict[str, Any]:
    data = study.dataset(dataset)
    reader = reader_facts(data.reader)
    options = {
        k: _content(v) if k in reader.file_options else v
        for k, v in data.options.items()
        if k not in reader.location_options
    }
    facts: dict[str, Any] = {"dataset": [data.reader, data.modality, data.design, options]}
    if reader.stimuli_of_subjects:
        facts["seen_by"] = sorted(data.subjects)
    return facts


def _nuisance_facts(study: Study, dataset: str) -> dict[str, Any]:
    facts = [
        _model_facts(study, "extract", {"model": key, "layer": layer})
        for key, _, layer in study.nuisance_baselines(dataset)
    ]
    return {"nuisance": facts} if facts else {}


def _settings(study: Study, stage: str) -> dict[str, Any]:
    """Keys of the configuration that a stage depends on, whatever the file."""
    config = study.config
    facts: dict[str, Any] = {}
    if stage == "extract":
        facts["extraction"] = config.extraction.facts()
    if stage in ("fit", "measure"):
        facts["fit"] = config.fit.facts()
    if stage == "representations":
        section = config.convergence
        assert section is not None
        facts["convergence"] = section.model_dump()
        facts["layers"] = [converging_layers(study, name) for name in section.datasets]
        facts["fit"] = [config.fit.seed, config.fit.permutations]
    if stage == "evaluate":
        facts["evaluations"] = sorted(config.performance.evaluations)
        facts |= config.performance.measured()
    if stage == "measure":
        facts["fit_version"] = STAGE_VERSIONS["fit"]
        facts["threshold"] = config.statistics.ceiling_threshold
    if stage == "maps":
        facts["threshold"] = config.statistics.ceiling_threshold
    if stage in ("correlate", "report", "cube"):
        facts["families"] = {name: sorted(models) for name, models in study.families.items()}
        facts["datasets"] = sorted(config.datasets)
    if stage in ("correlate", "report"):
        facts["primary"] = config.fit.primary_metric
        facts["metrics"] = sorted(config.fit.metrics)
        facts["convergence"] = config.convergence and config.convergence.model_dump()
        facts["statistics"] = config.statistics.model_dump()
        chosen = {"benchmarks", "evaluations"}
        facts["performance"] = config.performance.model_dump(include=chosen)
        facts["coverage"] = config.coverage.model_dump()
        facts["published"] = sorted(
            (score.model, score.checkpoint, score.benchmark, score.score, score.source)
            for score in study.published
        )
        facts["text"] = [config.title, config.description]
    return facts


def _content(path: object) -> str:
    """SHA-256 of a file; its name where it cannot be read, which `validate` tells."""
    try:
        file = Path(os.path.expandvars(str(path))).expanduser()
        return hashlib.sha256(read_bytes(file, largest=1024 * MB)).hexdigest()
    except (ConvergentError, RuntimeError):  # RuntimeError: the home of an unknown user
        return str(path)


def _model_facts(study: Study, stage: str, keys: dict[str, str | None]) -> dict[str, Any]:
    model, whole = study.model(str(keys["model"])), stage in ("measure", "evaluate", "train")
    facts = dict(_once(study, ("row", model.key, stage), lambda: _row_facts(study, model, stage)))
    if keys.get("layer"):
        layer = study.layer(model.key, str(keys["layer"]))
        facts["layer"] = asdict(layer) if stage == "measure" else [layer.name, layer.width]
    elif whole:
        facts["layers"] = [asdict(layer) for layer in model.layers]
    if keys.get("checkpoint"):
        name = str(keys["checkpoint"])
        checkpoint = study.checkpoint(model.key, name)
        facts["checkpoint"] = _once(
            study,
            ("checkpoint", model.key, name, stage),
            lambda: _checkpoint_facts(checkpoint, stage),
        )
    elif whole:
        ordered = sorted(model.checkpoints, key=lambda one: one.name)
        facts["checkpoints"] = [_checkpoint_facts(one, stage) for one in ordered]
    return facts


def _row_facts(study: Study, model: Model, stage: str) -> dict[str, Any]:
    facts = asdict(replace(model, checkpoints=(), layers=()))
    del facts["checkpoints"], facts["layers"], facts["source_location"]
    if stage != "measure":
        # labels for the statistics, of no consequence to activations
        for label in ("family", "tags", "parameters"):
            del facts[label]
    if stage == "train":
        facts["training"] = study.config.training.get(model.reference.split(":", 1)[1], {})
    return facts


def _checkpoint_facts(checkpoint: Checkpoint, stage: str) -> dict[str, Any]:
    facts = asdict(checkpoint)
    del facts["same_as"]  # permits what is found, and changes nothing that is computed
    if stage in ("extract", "fit", "weights"):
        del facts["step"], facts["final"]
    return facts

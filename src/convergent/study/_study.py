"""Which (model, checkpoint, layer, subject) a study has, and what each depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from convergent.errors import (
    ConfigError,
    ConvergentError,
    TableError,
    UnknownKeyError,
    did_you_mean,
)
from convergent.paths import Paths
from convergent.study import _rows as rows
from convergent.study._config import DatasetConfig, StudyConfig, read_config
from convergent.study._tables import Row, read_rows
from convergent.study._types import Checkpoint, Layer, Model, Performance, Unit

# Raise a stage's number when its code changes what it writes: stores of the old
# version are then recomputed instead of being mixed with new ones.
STAGE_VERSIONS = {
    "stimuli": 1, "responses": 1, "train": 1, "weights": 1, "extract": 1, "evaluate": 1, "fit": 1,
    "measure": 1,
}  # fmt: skip

# Options that say where something lies, not what it is: moving data is no reason to recompute.
_LOCATION_OPTIONS = frozenset({"data"})


@dataclass(frozen=True)
class Study:
    """A study as data.

    Attributes
    ----------
    config : StudyConfig
    file : str
        The configuration file.
    models : dict of str to Model
        Selected models, by key, in table order.
    published : tuple of Performance
        Scores from the performance tables.
    """

    config: StudyConfig
    file: str
    models: dict[str, Model]
    published: tuple[Performance, ...]

    @classmethod
    def load(cls, path: str | Path, overrides: dict[str, Any] | None = None) -> Study:
        """Read a study; the first mistake is raised, with the number of further ones.

        Raises
        ------
        ConfigError, TableError
        """
        study, errors = cls._read(path, overrides)
        if study is None or errors:
            first = errors[0]
            if len(errors) > 1:
                more = f"{len(errors) - 1} more mistakes: run `convergent validate --study {path}`"
                fix = f"{first.fix} ({more})" if first.fix else more
                raise type(first)(first.what, where=first.where, fix=fix)
            raise first
        return study

    @classmethod
    def mistakes(
        cls, path: str | Path, overrides: dict[str, Any] | None = None
    ) -> list[ConvergentError]:
        """Find every mistake in a study's configuration and tables."""
        return cls._read(path, overrides)[1]

    @classmethod
    def _read(
        cls, path: str | Path, overrides: dict[str, Any] | None
    ) -> tuple[Study | None, list[ConvergentError]]:
        try:
            config = read_config(path, overrides)
        except ConfigError as error:
            return None, [error]
        errors: list[TableError] = []
        base = Path(path).parent
        tables = config.tables
        models = _read_models(base, tables.models, tables.checkpoints, errors)
        published = _read_performance(base, tables.performance, models, errors)
        everything: list[ConvergentError] = list(errors)
        everything += _selection_mistakes(config, models, str(path))
        selected = {key: model for key, model in models.items() if _selected(config, model)}
        if not everything:
            everything += _dataset_mistakes(config, selected, str(path))
        study = cls(
            config=config,
            file=str(path),
            models=selected,
            published=tuple(score for score in published if score.model in selected),
        )
        return study, everything

    # ---- what exists -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Key of the study."""
        return self.config.study

    @property
    def paths(self) -> Paths:
        """File names of this study."""
        return Paths(f"{self.config.results}/{self.config.study}")

    @property
    def families(self) -> dict[str, list[str]]:
        """Model keys by family."""
        families: dict[str, list[str]] = {}
        for model in self.models.values():
            families.setdefault(model.family, []).append(model.key)
        return families

    def model(self, key: str) -> Model:
        """Look a model up.

        Raises
        ------
        UnknownKeyError
        """
        if key not in self.models:
            raise UnknownKeyError(
                f"unknown model '{key}'", where=self.file, fix=did_you_mean(key, self.models)
            )
        return self.models[key]

    def checkpoint(self, model: str, name: str) -> Checkpoint:
        """Look a checkpoint up."""
        known = {checkpoint.name: checkpoint for checkpoint in self.model(model).checkpoints}
        if name not in known:
            raise UnknownKeyError(
                f"model '{model}' has no checkpoint '{name}'",
                where=self.file,
                fix=did_you_mean(name, known),
            )
        return known[name]

    def layer(self, model: str, name: str) -> Layer:
        """Look a layer up."""
        known = {layer.name: layer for layer in self.model(model).layers}
        if name not in known:
            raise UnknownKeyError(
                f"model '{model}' has no layer '{name}'",
                where=self.file,
                fix=did_you_mean(name, known),
            )
        return known[name]

    def dataset(self, name: str) -> DatasetConfig:
        """Look a data set up."""
        if name not in self.config.datasets:
            raise UnknownKeyError(
                f"unknown data set '{name}'",
                where=self.file,
                fix=did_you_mean(name, self.config.datasets),
            )
        return self.config.datasets[name]

    def datasets_of(self, model: str) -> list[str]:
        """Data sets of a model's modality, in the configuration's order."""
        modality = self.model(model).modality
        return [name for name, data in self.config.datasets.items() if data.modality == modality]

    def family(self, name: str) -> list[str]:
        """Model keys of one family."""
        families = self.families
        if name not in families:
            raise UnknownKeyError(
                f"unknown family '{name}'", where=self.file, fix=did_you_mean(name, families)
            )
        return families[name]

    # ---- units of work -----------------------------------------------------------------------

    def units(self) -> list[Unit]:
        """Jobs at the study's granularity, when that is coarser than a layer."""
        return [
            Unit(key, checkpoint)
            for key, model in self.models.items()
            for checkpoint in (
                [None]
                if self.config.granularity == "model"
                else [checkpoint.name for checkpoint in model.checkpoints]
            )
        ]

    def members(self, unit: Unit) -> Iterator[tuple[str, str, str, str]]:
        """(data set, model, checkpoint, layer) of a unit."""
        model = self.model(unit.model)
        checkpoints = (
            [self.checkpoint(unit.model, unit.checkpoint).name]
            if unit.checkpoint
            else [checkpoint.name for checkpoint in model.checkpoints]
        )
        layers = (
            [self.layer(unit.model, unit.layer).name]
            if unit.layer
            else [layer.name for layer in model.layers]
        )
        for dataset in self.datasets_of(unit.model):
            for checkpoint in checkpoints:
                for layer in layers:
                    yield dataset, unit.model, checkpoint, layer

    def feature_files(self, unit: Unit) -> list[str]:
        """Feature stores of a unit."""
        return [self.paths.features(*member) for member in self.members(unit)]

    def alignment_files(self, unit: Unit) -> list[str]:
        """Alignment stores of a unit: one a feature store and subject."""
        return [
            self.paths.alignment(*member, subject)
            for member in self.members(unit)
            for subject in self.dataset(member[0]).subjects
        ]

    def weights_files(self, unit: Unit) -> list[str]:
        """Weight manifests of a unit; none for baselines."""
        model = self.model(unit.model)
        if model.is_control:
            return []
        return [
            self.paths.weights(model.key, checkpoint.name)
            for checkpoint in model.checkpoints
            if unit.checkpoint in (None, checkpoint.name)
        ]

    def trains(self, model: str) -> bool:
        """Whether the workflow trains this model itself."""
        return self.model(model).reference.startswith("trained:")

    # ---- identity ----------------------------------------------------------------------------

    def identity(self, stage: str, **keys: str | None) -> str:
        """Fingerprint of everything in the tables and configuration that a file depends on.

        Parameters
        ----------
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
        do not count either: each has a file of its own.
        """
        facts: dict[str, Any] = {"stage": stage, "version": STAGE_VERSIONS[stage], "keys": keys}
        if keys.get("dataset"):
            data = self.dataset(str(keys["dataset"]))
            options = {k: v for k, v in data.options.items() if k not in _LOCATION_OPTIONS}
            facts["dataset"] = [data.reader, data.modality, data.design, options]
        if keys.get("model"):
            facts["model"] = self._model_facts(stage, keys)
        if stage == "extract":
            facts["extraction"] = self.config.extraction.model_dump(
                exclude={"device", "batch_size"}
            )
        if stage in ("fit", "measure"):
            facts["fit"] = self.config.fit.model_dump(exclude={"device"})
        if stage == "evaluate":
            facts["evaluations"] = list(self.config.performance.evaluations)
            facts["datasets"] = [
                [name, data.reader, data.options] for name, data in self.config.datasets.items()
            ]
        if stage == "measure":
            facts["threshold"] = self.config.statistics.ceiling_threshold
        text = json.dumps(facts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def unit_identity(self, stage: str, unit: Unit) -> str:
        """Fingerprint of a job of several files: that of its parts."""
        parts = [
            self.identity(stage, dataset=dataset, model=model, checkpoint=checkpoint, layer=layer)
            for dataset, model, checkpoint, layer in self.members(unit)
        ]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]

    def _model_facts(self, stage: str, keys: dict[str, str | None]) -> dict[str, Any]:
        model = self.model(str(keys["model"]))
        facts = asdict(replace(model, checkpoints=(), layers=()))
        del facts["checkpoints"], facts["layers"], facts["source_location"]
        if stage != "measure":
            # labels for the statistics, of no consequence to activations
            for label in ("family", "tags", "parameters"):
                del facts[label]
        if keys.get("layer"):
            layer = asdict(self.layer(model.key, str(keys["layer"])))
            facts["layer"] = layer if stage == "measure" else [layer["name"], layer["width"]]
        elif stage in ("measure", "evaluate"):
            facts["layers"] = [asdict(layer) for layer in model.layers]
        if keys.get("checkpoint"):
            checkpoint = asdict(self.checkpoint(model.key, str(keys["checkpoint"])))
            if stage in ("extract", "fit", "weights"):
                del checkpoint["step"], checkpoint["final"]
            facts["checkpoint"] = checkpoint
        elif stage in ("measure", "evaluate", "train"):
            facts["checkpoints"] = [asdict(checkpoint) for checkpoint in model.checkpoints]
        if stage == "train":
            facts["training"] = self.config.training.get(model.reference.split(":", 1)[1], {})
        return facts


def _read_models(
    base: Path, files: tuple[str, ...], checkpoint_files: tuple[str, ...], errors: list[TableError]
) -> dict[str, Model]:
    table = _read(base, files, rows.MODEL_COLUMNS, rows.MODEL_OPTIONAL, errors)
    good: list[tuple[Row, Model]] = []
    for row in table:
        good += [(row, model) for model in rows.collect([row], rows.build_model, errors)]
    errors += rows.no_duplicates(
        [model for _, model in good], lambda m: m.key, [row for row, _ in good], "model", "model"
    )
    models = {model.key: model for _, model in good}
    checkpoints: dict[str, list[Checkpoint]] = {}
    seen: list[tuple[tuple[str, str], Row]] = []
    table = _read(base, checkpoint_files, rows.CHECKPOINT_COLUMNS, rows.CHECKPOINT_OPTIONAL, errors)
    for row in table:
        for key, checkpoint in rows.collect(
            [row], lambda r: rows.build_checkpoint(r, models), errors
        ):
            checkpoints.setdefault(key, []).append(checkpoint)
            seen.append(((key, checkpoint.name), row))
    errors += rows.no_duplicates(
        seen, lambda s: s[0], [row for _, row in seen], "checkpoint", "checkpoint"
    )
    for key, model in models.items():
        own = checkpoints.get(key) or [rows.default_checkpoint(model)]
        if sum(checkpoint.final for checkpoint in own) != 1:
            errors.append(
                TableError(
                    f"model '{key}' has {sum(c.final for c in own)} final checkpoints",
                    where=model.source_location,
                    fix="set final to 'yes' in exactly one of its checkpoint rows",
                )
            )
        models[key] = replace(model, checkpoints=tuple(own))
    return models


def _read_performance(
    base: Path, files: tuple[str, ...], models: dict[str, Model], errors: list[TableError]
) -> list[Performance]:
    scores: list[Performance] = []
    kept: list[Row] = []
    for row in _read(base, files, rows.PERFORMANCE_COLUMNS, (), errors):
        built = rows.collect([row], lambda r: rows.build_performance(r, models), errors)
        scores += built
        kept += [row] * len(built)
    errors += rows.no_duplicates(
        scores, lambda s: (s.model, s.checkpoint, s.benchmark), kept, "benchmark", "score"
    )
    return scores


def _read(
    base: Path,
    files: tuple[str, ...],
    required: tuple[str, ...],
    optional: tuple[str, ...],
    errors: list[TableError],
) -> list[Row]:
    table = []
    for file in files:
        try:
            table += read_rows(base / file, required, optional)
        except TableError as error:
            errors.append(error)
    return table


def _selected(config: StudyConfig, model: Model) -> bool:
    select = config.select
    return (
        (not select.families or model.family in select.families)
        and (not select.models or model.key in select.models)
        and model.key not in select.exclude
    )


def _selection_mistakes(
    config: StudyConfig, models: dict[str, Model], where: str
) -> list[ConvergentError]:
    families = {model.family for model in models.values()}
    errors: list[ConvergentError] = []
    for label, names, known in (
        ("select.families", config.select.families, families),
        ("select.models", config.select.models, set(models)),
        ("select.exclude", config.select.exclude, set(models)),
    ):
        errors += [
            UnknownKeyError(f"'{label}' names unknown '{name}'", where=where,
                            fix=did_you_mean(name, known))
            for name in names
            if name not in known
        ]  # fmt: skip
    return errors


def _dataset_mistakes(
    config: StudyConfig, models: dict[str, Model], where: str
) -> list[ConvergentError]:
    if not models:
        return [ConfigError("the study has no model", where=where, fix="widen 'select'")]
    have = {data.modality for data in config.datasets.values()}
    return [
        ConfigError(
            f"model '{model.key}' is a {model.modality} model, and no data set is",
            where=where,
            fix=f"add a {model.modality} data set or exclude the model",
        )
        for model in models.values()
        if model.modality not in have
    ]

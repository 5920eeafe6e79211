"""Which (model, checkpoint, layer, subject) a study has, and what each depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from convergent.errors import (
    ConfigError,
    ConvergentError,
    TableError,
    UnknownKeyError,
    did_you_mean,
)
from convergent.registry import CLAIMS, GATHERED
from convergent.study import rows as load
from convergent.study.checkpoints import add_twins
from convergent.study.config import DatasetConfig, StudyConfig, build_config, read_files
from convergent.study.environment import scratch_folder
from convergent.study.graph import Graph
from convergent.study.identity import identity, metric_identity
from convergent.study.paths import Paths
from convergent.study.types import Checkpoint, Layer, Model, Performance, Unit


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
        """Read a study from its file, or from several that are separated by ``:``.

        Raises
        ------
        ConfigError, TableError
            The first error, with the number of further ones.
        """
        raw, base = read_files(path)
        return cls.of(raw, file=str(path), base=base, overrides=overrides)

    @classmethod
    def of(
        cls,
        raw: Mapping[str, Any],
        *,
        file: str,
        base: Path,
        overrides: dict[str, Any] | None = None,
    ) -> Study:
        """Make a study of a configuration that is merged already, such as Snakemake's.

        Parameters
        ----------
        raw : mapping
        file : str
            Where it comes from, for messages.
        base : Path
            Folder that its tables are relative to.
        overrides : dict, optional
            As of `build_config`.

        Raises
        ------
        ConfigError, TableError
            The first error, with the number of further ones.
        """
        study, errors = cls._read(raw, file, base, overrides)
        if study is None or errors:
            first = errors[0]
            if len(errors) > 1:
                more = f"{len(errors) - 1} more errors: run `convergent validate --study {file}`"
                fix = f"{first.fix} ({more})" if first.fix else more
                raise type(first)(first.what, where=first.where, fix=fix)
            raise first
        return study

    @classmethod
    def mistakes(
        cls, path: str | Path, overrides: dict[str, Any] | None = None
    ) -> list[ConvergentError]:
        """Find every error in a study's configuration and tables."""
        try:
            raw, base = read_files(path)
        except ConfigError as error:
            return [error]
        return cls._read(raw, str(path), base, overrides)[1]

    @classmethod
    def _read(
        cls, raw: Mapping[str, Any], path: str, base: Path, overrides: dict[str, Any] | None
    ) -> tuple[Study | None, list[ConvergentError]]:
        try:
            config = build_config(raw, overrides, where=path)
        except ConfigError as error:
            return None, [error]
        errors: list[TableError] = []
        tables = config.tables
        models, wrong = load.read_models(base, tables.models, tables.checkpoints, errors)
        asked: list[ConvergentError] = []
        models = add_twins(config.twins, models, path, asked)
        published = load.read_performance(base, tables.performance, models, wrong, errors)
        everything: list[ConvergentError] = [*errors, *asked]
        everything += load.selection_mistakes(config, models, path)
        selected = {key: model for key, model in models.items() if load.selected(config, model)}
        if not everything:
            everything += load.dataset_mistakes(config, selected, path)
            everything += load.unique_mistakes(config, selected, path)
            everything += load.convergence_mistakes(config, path)
        study = cls(
            config=config,
            file=path,
            models=selected,
            published=tuple(score for score in published if score.model in selected),
        )
        return study, everything

    # ---- what exists -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Key of the study."""
        return self.config.study

    @cached_property
    def paths(self) -> Paths:
        """File names of this study."""
        return Paths(f"{self.config.results}/{self.config.study}")

    def scratch(self) -> Path | None:
        """Folder on this machine for rows that wait for their store; None: beside the results.

        Raises
        ------
        ConfigError
            ``resources.scratch`` cannot be used here.
        """
        setting = self.config.resources.scratch
        return None if setting is None else scratch_folder(setting)

    @cached_property
    def graph(self) -> Graph:
        """Jobs of this study and their files."""
        return Graph(self)

    @cached_property
    def families(self) -> Mapping[str, Sequence[str]]:
        """Model keys by family."""
        families: dict[str, list[str]] = {}
        for model in self.models.values():
            families.setdefault(model.family, []).append(model.key)
        return families

    @cached_property
    def remembered(self) -> dict[tuple[str, ...], dict[str, Any]]:
        """What jobs have in common and is made once: see `convergent.study.identity`."""
        return {}

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
        known = self.model(model).checkpoint_by_name
        if name not in known:
            raise UnknownKeyError(
                f"model '{model}' has no checkpoint '{name}'",
                where=self.file,
                fix=did_you_mean(name, known),
            )
        return known[name]

    def layer(self, model: str, name: str) -> Layer:
        """Look a layer up."""
        known = self.model(model).layer_by_name
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

    def subject(self, dataset: str, name: str) -> str:
        """Look a subject up."""
        known = self.dataset(dataset).subjects
        if name not in known:
            raise UnknownKeyError(
                f"data set '{dataset}' has no subject '{name}'",
                where=self.file,
                fix=did_you_mean(name, known),
            )
        return name

    def datasets_of(self, model: str) -> list[str]:
        """Data sets of a model's modality, by name."""
        modality = self.model(model).modality
        datasets = self.config.datasets
        return sorted(name for name in datasets if datasets[name].modality == modality)

    def family(self, name: str) -> Sequence[str]:
        """Model keys of one family."""
        families = self.families
        if name not in families:
            raise UnknownKeyError(
                f"unknown family '{name}'", where=self.file, fix=did_you_mean(name, families)
            )
        return families[name]

    # ---- units of work -----------------------------------------------------------------------

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

    def nuisance_baselines(self, dataset: str) -> list[tuple[str, str, str]]:
        """(model, checkpoint, layer) whose features ``unique`` counts as nuisance for a data set.

        Names that are no baselines of the study are left to `unique_mistakes`.
        """
        unique = self.config.fit.unique
        modality = self.dataset(dataset).modality
        return [
            (key, checkpoint.name, layer.name)
            for key in (unique.baselines if unique else ())
            if (model := self.models.get(key)) is not None
            and model.is_control
            and model.modality == modality
            for checkpoint in model.checkpoints
            for layer in model.layers
        ]

    def nuisance_files(self, dataset: str) -> list[str]:
        """Feature stores that fits of ``unique`` read besides those of their own layer."""
        return [self.paths.features(dataset, *key) for key in self.nuisance_baselines(dataset)]

    def responses_files(self, dataset: str) -> list[str]:
        """Responses of a data set's subjects."""
        return [self.paths.responses(dataset, one) for one in self.dataset(dataset).subjects]

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
        names = model.checkpoint_by_name
        if unit.checkpoint is not None:
            names = {unit.checkpoint: names[unit.checkpoint]} if unit.checkpoint in names else {}
        return [self.paths.weights(model.key, name) for name in names]

    def trains(self, model: str) -> bool:
        """Whether the workflow trains this model itself."""
        return self.model(model).reference.startswith("trained:")

    def evaluated_models(self) -> list[str]:
        """Models whose performance the workflow measures: all with weights, if it measures any."""
        if not self.config.performance.evaluations:
            return []
        return [key for key, model in self.models.items() if not model.is_control]

    def resampled(self, model: str, checkpoint: str) -> bool:
        """Whether scores of a checkpoint over resampled stimuli are kept: it is part of a training.

        That is so for checkpoints with a step, of models that have several.
        """
        if not self.config.fit.bootstraps or self.checkpoint(model, checkpoint).step is None:
            return False
        return self.model(model).has_trajectory

    def performance_files(self) -> list[str]:
        """Files that performance is measured on; a changed one is measured again."""
        settings = self.config.performance
        return [name for name in (settings.text, settings.classes) if name]

    def tables(self) -> list[str]:
        """Study-wide tables: what was gathered, then what the claims make of it."""
        return [*GATHERED, *CLAIMS.names()]

    # ---- identity ----------------------------------------------------------------------------

    def identity(self, stage: str, **keys: str | None) -> str:
        """Fingerprint of what a file depends on; see `convergent.study.identity`."""
        return identity(self, stage, **keys)

    def metric_identities(self, **keys: str | None) -> dict[str, str]:
        """Fingerprint of each metric of a fit; see `convergent.study.metric_identity`."""
        return {name: metric_identity(self, name, **keys) for name in self.config.fit.metrics}

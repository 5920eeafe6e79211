"""The study's configuration: a YAML file, checked key by key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator

from convergent.errors import ConfigError, did_you_mean
from convergent.study._sections import (
    AggregationConfig,
    ConvergenceConfig,
    Key,
    Names,
    PerformanceConfig,
    ResourcesConfig,
    Section,
    Twins,
    UniqueConfig,
    WeightsConfig,
)


class Tables(Section):
    """Tables of the study, relative to the configuration file."""

    models: Names = Field(min_length=1)
    checkpoints: Names = ()
    performance: Names = ()


class DatasetConfig(Section):
    """One data set: who saw or heard what.

    ``stimuli`` is about how many there are: time limits of jobs grow with it.
    """

    reader: str
    modality: Literal["vision", "language"]
    design: Literal["items", "story"]
    subjects: tuple[Key, ...] = Field(min_length=1)
    stimuli: int = Field(default=10_000, ge=1)
    options: dict[str, Any] = Field(default={})

    @field_validator("subjects")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a subject is listed twice")
        return value


class Select(Section):
    """Which rows of the models table take part; empty means all."""

    families: Names = ()
    models: Names = ()
    exclude: Names = ()


class ExtractionConfig(Section):
    """How activations are computed."""

    device: str = "cpu"
    offload: Literal["none", "cpu"] = "none"
    batch_size: int | Literal["auto"] = "auto"
    memory_gb: float | None = Field(default=None, gt=0)
    precision: Literal["float32", "bfloat16", "float16"] | None = None
    store: Literal["float32", "float16"] = "float32"
    projection: int | None = Field(default=None, ge=1)
    projection_seed: int = 0
    context_words: int = Field(default=64, ge=1)

    @field_validator("batch_size", mode="before")
    @classmethod
    def _number_or_auto(cls, value: Any) -> int | str:
        text = str(value)
        if text == "auto":
            return text
        if not text.isdigit() or int(text) < 1:
            raise ValueError("a number of at least 1, or auto")
        return int(text)

    @property
    def fixed_batch_size(self) -> int:
        """Items a pass where passes are not planned by their cost."""
        return 64 if self.batch_size == "auto" else self.batch_size

    def facts(self) -> dict[str, Any]:
        """What of this decides the features; keys that came later count once they are used."""
        always = {"projection", "projection_seed", "context_words"}
        later = self.model_dump(include={"precision", "store"}, exclude_defaults=True)
        return self.model_dump(include=always) | later


class Alphas(Section):
    """Logarithmic grid of ridge penalties, as powers of ten."""

    low: float = -1.0
    high: float = 8.0
    number: int = Field(default=19, ge=2)


# Metrics that are fitted, and do not compare pairs of stimuli.
ENCODING = ("ridge", "unique")


class FitConfig(Section):
    """Which metrics compare layers with brains, and how they are computed.

    The first metric is the primary one: the headline, the trajectories and the region profiles
    are of it, and the others are reported beside it. ``bootstraps`` resamples of the test stimuli
    are kept of the ridge scores of training's checkpoints, for the intervals of trajectories.
    """

    metrics: dict[str, dict[str, Any] | None] = Field(
        default={"ridge": None, "cka": None, "cka_rbf": None, "rsa_spearman": None, "knn": None},
        min_length=1,
    )
    device: str = "cpu"
    dtype: Literal["float64", "float32"] = "float32"
    alphas: Alphas = Alphas()
    folds: int = Field(default=5, ge=2)
    inner_folds: int = Field(default=5, ge=2)
    selection: Literal["gcv", "loo", "folds"] = "gcv"
    standardize: bool = True
    pca: int | None = Field(default=None, ge=1)
    seed: int = 0
    delays: tuple[int, ...] = (1, 2, 3, 4)
    trim: int = Field(default=5, ge=0)
    permutations: int = Field(default=100, ge=0)
    bootstraps: int = Field(default=0, ge=0)
    shifts: bool = True
    block: int = Field(default=20, ge=1)
    similarity_stimuli: int | None = Field(default=None, ge=8)
    fixed_depth: float = Field(default=0.5, ge=0.0, le=1.0)

    def facts(self) -> dict[str, Any]:
        """All that decides the scores; keys that came later count once they are used."""
        # resamples count for the checkpoints that have them: see `identity`
        left_out = {"device", "bootstraps"} | ({"pca"} if self.pca is None else set())
        return self.model_dump(mode="json", exclude=left_out)

    @property
    def primary(self) -> str:
        """Name, in tables, of the metric that stands for alignment."""
        name = next(iter(self.metrics))
        return "ridge_r" if name == "ridge" else name

    @property
    def similarities(self) -> dict[str, dict[str, Any] | None]:
        """The metrics that compare pairs of stimuli, with their options."""
        return {name: options for name, options in self.metrics.items() if name not in ENCODING}

    @property
    def unique(self) -> UniqueConfig | None:
        """What a model must add to, where the metric ``unique`` is listed."""
        if "unique" not in self.metrics:
            return None
        return UniqueConfig.model_validate(self.metrics["unique"] or {})

    @field_validator("metrics")
    @classmethod
    def _ridge_is_configured_here(
        cls, value: dict[str, dict[str, Any] | None]
    ) -> dict[str, dict[str, Any] | None]:
        if value.get("ridge"):
            raise ValueError("ridge has no options of its own: its keys are those of 'fit'")
        if next(iter(value)).endswith(("_rbf", "_rbf_biased")):
            raise ValueError("the first metric is the primary one and must be a single number")
        if "unique" in value:
            try:
                UniqueConfig.model_validate(value["unique"] or {})
            except ValidationError as error:
                raise ValueError("unique: " + "; ".join(_explain(error))) from None
        return value


class StatisticsConfig(Section):
    """How the study's claims are tested."""

    bootstraps: int = Field(default=2000, ge=100)
    permutations: int = Field(default=2000, ge=100)
    seed: int = 0
    ceiling_threshold: float = Field(default=0.05, ge=0.0, lt=1.0)


class CoverageConfig(Section):
    """How much of the study must be there before a headline is printed."""

    minimum: float = Field(default=1.0, gt=0.0, le=1.0)


Granularity = Literal["layer", "checkpoint", "model"]


class StudyConfig(Section):
    """A whole study."""

    study: Key
    title: str
    description: str = ""
    results: str = "results"
    tables: Tables
    datasets: dict[Key, DatasetConfig] = Field(min_length=1)
    select: Select = Select()
    twins: Twins = Twins()
    weights: WeightsConfig = WeightsConfig()
    resources: ResourcesConfig = ResourcesConfig()
    extraction: ExtractionConfig = ExtractionConfig()
    fit: FitConfig = FitConfig()
    aggregation: AggregationConfig = AggregationConfig()
    performance: PerformanceConfig = PerformanceConfig()
    statistics: StatisticsConfig = StatisticsConfig()
    convergence: ConvergenceConfig | None = None
    coverage: CoverageConfig = CoverageConfig()
    training: dict[str, dict[str, Any]] = Field(default={})
    granularity: Granularity = "layer"
    # how jobs get their software, of no consequence to what they compute
    container: str | None = Field(default=None, min_length=1)
    fits: Literal["layer", "subject"] = "layer"


def read_config(path: str | Path, overrides: dict[str, Any] | None = None) -> StudyConfig:
    """Read and check a study's configuration.

    Parameters
    ----------
    path : str or Path
        YAML file.
    overrides : dict, optional
        Dotted keys and values that replace or add to the file's
        (``{"extraction.device": "cuda"}``), or a nested mapping.

    Returns
    -------
    StudyConfig

    Raises
    ------
    ConfigError
        The file is missing, not YAML, or has unknown keys or wrong values; one line names all.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            "no such configuration file", where=str(path), fix="give the path of a study's YAML"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {error}", where=str(path)) from None
    if not isinstance(raw, dict):
        raise ConfigError("the file holds no mapping", where=str(path), fix="start from demo.yaml")
    for key, value in (overrides or {}).items():
        _override(raw, key, value)
    try:
        return StudyConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(error)), where=str(path)) from None


def _override(raw: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _override(raw, f"{key}.{name}", inner)
        return
    if value in ("null", "None"):  # Snakemake's --config gives nested values as text
        value = None
    *parents, last = key.split(".")
    node = raw
    for name in parents:
        if node.get(name) is None:  # an empty section is null in YAML
            node[name] = {}
        node = node[name]
        if not isinstance(node, dict):
            raise ConfigError(f"'{key}': '{name}' holds a value, not a section", where="override")
    node[last] = value


def _explain(error: ValidationError) -> list[str]:
    """One sentence a mistake, naming the key and, for unknown ones, the closest known."""
    sentences = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            hint = did_you_mean(str(item["loc"][-1]), _known_keys(item["loc"][:-1]))
            sentences.append(f"unknown key '{key}' ({hint})")
        elif item["type"] == "missing":
            sentences.append(f"key '{key}' is missing")
        else:
            reason = item["msg"].removeprefix("Value error, ")
            sentences.append(f"'{key}': {reason} (given: {item['input']!r})")
    return sentences


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    section: Any = StudyConfig
    for part in location:
        if isinstance(section, type) and issubclass(section, BaseModel):
            section = section.model_fields[str(part)].annotation
        else:  # a mapping of sections: its values' type
            section = get_args(section)[-1]
    if isinstance(section, type) and issubclass(section, BaseModel):
        return list(section.model_fields)
    return []


def parse_overrides(assignments: list[str]) -> dict[str, Any]:
    """Turn ``key=value`` texts into overrides; values are YAML.

    Raises
    ------
    ConfigError
        A text without ``=``.
    """
    overrides: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(
                f"'{text}' is no key=value", where="--set", fix="for example fit.folds=5"
            )
        overrides[key] = yaml.safe_load(value)
    return overrides

"""The study's configuration: a YAML file, checked key by key."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from convergent.errors import ConfigError, ConvergentError
from convergent.names import Folder, Key, Location, location_error, same_but_case, shown
from convergent.registry import FITTED, has_scales
from convergent.sections import Count, Device, Different, Real, Section, Seed, Whole, explain
from convergent.text_files import merge, parse_yaml, read_yaml

Names = tuple[str, ...]


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_ONE_OR_MORE = BeforeValidator(_one_or_more, json_schema_input_type=Key | tuple[Key, ...])


class Twins(Section):
    """Random-weight twins: checkpoints ``random-<seed>`` of models, without rows of their own.

    Families and models say which; all with weights if neither does.
    """

    seeds: Annotated[tuple[Seed, ...], Different] = ()
    families: Annotated[Names, Different] = ()
    models: Annotated[Names, Different] = ()


class ConvergenceConfig(Section):
    """Whether models of two modalities represent the same stimuli alike.

    Attributes
    ----------
    datasets : tuple of str
        A data set of vision and one of language whose items are the same, by id.
    models : int
        At most so many final trained models of each: first one of each family, by name,
        then a second one, and so on. Performance plays no part.
    stimuli : int
        At most so many of the common items, drawn at random.
    """

    datasets: Annotated[tuple[str, str], Different]
    models: Whole = Field(default=24, ge=2)
    stimuli: Whole = Field(default=1000, ge=16)


class UniqueConfig(Section):
    """What the metric ``unique`` asks a model to add to.

    Attributes
    ----------
    nuisance : tuple of str
        Regressors that come with the responses.
    baselines : tuple of str
        Models of the study with source ``baseline``, whose features count as nuisance.
    """

    nuisance: Annotated[Names, Different] = ()
    baselines: Annotated[Names, Different] = ()

    @model_validator(mode="after")
    def _something(self) -> UniqueConfig:
        if not self.nuisance and not self.baselines:
            raise ValueError("unique names neither nuisance regressors nor baselines to add to")
        return self


class WeightsConfig(Section):
    """Where downloaded weights lie, and how they are checked in each job.

    Attributes
    ----------
    cache : str or None
        Cache of Hugging Face, relative to the working directory; that of the environment
        (``HF_HOME``) unless given.
    check : {"quick", "full"}
        Whether each job hashes every file again.
    """

    cache: Location | None = None
    check: Literal["quick", "full"] = "quick"


class ResourcesConfig(Section):
    """The machine that jobs run on: what they ask of it, and what cannot fit.

    Attributes
    ----------
    gpu_mb : int
        Memory of one GPU, MB.
    gpus : int
        GPUs of one node.
    node_mb : int or None
        Memory of one node, MB; not checked unless given.
    max_minutes : int or None
        The longest time limit that the site gives a job. Later attempts, and the spare time of the
        first, stop there; unless given nothing limits what jobs ask for.
    teraflops : float
        Sustained rate of one GPU in float32; half precision counts four times as much.
    read_mb_s : float
        Rate at which weights are read, MB a second.
    fit_seconds : float
        Processor seconds of the fits of one layer for one subject, for estimates only.
    alignment_mb : float
        Size of one alignment store, MB, for estimates only: stores that are there are measured.
    scratch : str or None
        Folder on the node's own disk for rows that are waiting for their store, as a path with
        variables of the job's environment (``$TMPDIR``); beside the results unless given.
    """

    gpu_mb: Count = Field(default=80_000, ge=1000)
    gpus: Whole = Field(default=8, ge=1)
    node_mb: Count | None = Field(default=None, ge=1000)
    max_minutes: Count | None = Field(default=None, ge=60)
    teraflops: Real = Field(default=10.0, gt=0)
    read_mb_s: Real = Field(default=200.0, gt=0)
    fit_seconds: Real = Field(default=60.0, gt=0)
    alignment_mb: Real = Field(default=0.5, gt=0)
    scratch: Location | None = None

    @field_validator("scratch")
    @classmethod
    def _lies_on_the_node(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("/", "$", "~")):
            raise ValueError("a folder of the node: an absolute path, or one that begins with $")
        return value


class AggregationConfig(Section):
    """Who reads stores while tables and maps are made from them.

    Attributes
    ----------
    scheduler : str
        ``threads`` of the job itself, ``slurm`` for jobs of their own (dask-jobqueue), or the
        address of a dask scheduler.
    workers : int
        Threads, or jobs of SLURM.
    slurm : dict
        Keywords of ``dask_jobqueue.SLURMCluster``, such as ``queue``, ``account``, ``walltime``.
    wait_minutes : float
        How long workers elsewhere may take to start.
    """

    scheduler: str = Field(default="threads", pattern=r"^(threads|slurm|[a-z]+://\S+)$")
    workers: Whole = Field(default=4, ge=1)
    slurm: dict[str, Any] = Field(default={})
    wait_minutes: Real = Field(default=15, gt=0)

    @property
    def threads(self) -> int:
        """Processors that the job itself uses."""
        return self.workers if self.scheduler == "threads" else 1

    @model_validator(mode="after")
    def _of_slurm(self) -> AggregationConfig:
        if self.slurm and self.scheduler != "slurm":
            raise ValueError("options of slurm are given, and the scheduler is another")
        return self


class PerformanceConfig(Section):
    """Which scores stand for performance, and which are measured here.

    Attributes
    ----------
    benchmarks : dict
        The benchmark that stands for performance, by modality, or several: each is asked, and the
        first is the one that planted truth is compared with.
    evaluations : tuple of str
        Scores to measure here.
    text : str or None
        UTF-8 file for causal language models; relative to the working directory.
    images : str or None
        Folder of one folder of images a class.
    classes : str or None
        Table of those folders: index of the class, and its names.
    templates : tuple of str
        Sentences around a class name for zero-shot classification.
    window, stride : int
        Tokens of a window of ``text``, and by how many it moves on.
    """

    benchmarks: dict[
        Literal["vision", "language"],
        Annotated[tuple[Key, ...], Field(min_length=1), Different, _ONE_OR_MORE],
    ] = Field(default={})
    evaluations: Annotated[Names, Different] = ()
    text: Location | None = None
    images: Location | None = None
    classes: Location | None = None
    templates: Names = ("a photo of a {}.",)
    window: Whole = Field(default=1024, ge=2)
    stride: Whole = Field(default=512, ge=1)

    @field_validator("templates")
    @classmethod
    def _have_a_place(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or any(text.count("{}") != 1 for text in value):
            raise ValueError("each template has one {} for the name of a class")
        return value

    @model_validator(mode="after")
    def _classes_are_of_images(self) -> PerformanceConfig:
        if self.classes is not None and self.images is None:
            raise ValueError("classes names the folders of 'images', which is not given")
        return self

    @model_validator(mode="after")
    def _windows_overlap(self) -> PerformanceConfig:
        if self.stride > self.window - 1:
            raise ValueError("stride must be smaller than window, or tokens would be left out")
        return self

    def measured(self) -> dict[str, object]:
        """What decides the scores measured here; keys count once they are used."""
        facts: dict[str, object] = {}
        if self.text:
            facts["text"] = [self.text, self.window, self.stride]
        if self.images:
            facts["images"] = [self.images, self.classes, list(self.templates)]
        return facts


class Tables(Section):
    """Tables of the study, relative to the configuration file."""

    models: Annotated[tuple[Location, ...], Field(min_length=1), Different]
    checkpoints: Annotated[tuple[Location, ...], Different] = ()
    performance: Annotated[tuple[Location, ...], Different] = ()


class DatasetConfig(Section):
    """One data set: who saw or heard what.

    ``stimuli`` is about how many there are: time limits of jobs grow with it.
    """

    reader: str
    modality: Literal["vision", "language"]
    design: Literal["items", "story"]
    subjects: Annotated[tuple[Key, ...], Field(min_length=1), Different]
    stimuli: Count = Field(default=10_000, ge=1)
    options: dict[str, Any] = Field(default={})

    @field_validator("subjects")
    @classmethod
    def _differ_in_more_than_case(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one, other in same_but_case(value):
            raise ValueError(f"'{one}' and '{other}' differ in case only")
        return value

    @field_validator("options")
    @classmethod
    def _can_be_paths(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key, given in value.items():
            if isinstance(given, str) and given and (reason := location_error(given)) is not None:
                raise ValueError(f"'{key}': {reason}")
        return value


class Select(Section):
    """Which rows of the models table take part; empty means all."""

    families: Annotated[Names, Different] = ()
    models: Annotated[Names, Different] = ()
    exclude: Annotated[Names, Different] = ()


Share = Annotated[Real, Field(ge=0.0, le=1.0)]


class ExtractionLimits(Section):
    """Shares that may be found wanting; a layer with more has the status ``failed``.

    Attributes
    ----------
    unknown : float
        Stimuli with characters that the model's vocabulary does not have.
    truncated : float
        Texts that are longer than the model reads.
    blank : float
        Images of one value.
    saturated : float
        Images with 95 % of their values at 0 or 255.
    constant : float
        Features that are the same for all stimuli.
    identical : float
        Stimuli with the very features of another, different one.
    """

    unknown: Share = 0.1
    truncated: Share = 0.1
    blank: Share = 0.1
    saturated: Share = 0.5
    constant: Share = 0.99
    identical: Share = 0.5


class ExtractionConfig(Section):
    """How activations are computed."""

    device: Device = "cpu"
    offload: Literal["none", "cpu"] = "none"
    batch_size: int | Literal["auto"] = "auto"
    memory_gb: Real | None = Field(default=None, gt=0)
    precision: Literal["float32", "bfloat16", "float16"] | None = None
    store: Literal["float32", "float16"] = "float32"
    projection: Whole | None = Field(default=None, ge=1)
    projection_seed: Seed = 0
    context_words: Whole = Field(default=64, ge=1)
    limits: ExtractionLimits = ExtractionLimits()

    @field_validator("batch_size", mode="before")
    @classmethod
    def _number_or_auto(cls, value: Any) -> int | str:
        text = str(value)
        if text == "auto":
            return text
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= 1_000_000):
            raise ValueError("give a number from 1 to 1,000,000, or auto")
        return int(text)

    @property
    def fixed_batch_size(self) -> int:
        """Items a pass where passes are not planned by their cost."""
        return 64 if self.batch_size == "auto" else self.batch_size

    def facts(self) -> dict[str, Any]:
        """What of this decides the features; keys that came later count once they are used."""
        always = {"projection", "projection_seed", "context_words"}
        later = self.model_dump(include={"precision", "store", "limits"}, exclude_defaults=True)
        return self.model_dump(include=always) | later


class Alphas(Section):
    """Logarithmic grid of ridge penalties, as powers of ten."""

    low: Real = Field(default=-1.0, ge=-30, le=30)
    high: Real = Field(default=8.0, ge=-30, le=30)
    number: Whole = Field(default=19, ge=2, le=1000)

    @model_validator(mode="after")
    def _rise(self) -> Alphas:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be smaller than high ({self.high:g})")
        return self


class FitConfig(Section):
    """Which metrics compare layers with brains, and how they are computed.

    ``primary`` names the metric that stands for alignment: the headline, the trajectories and the
    region profiles are of it, and the others are reported beside it. It is ``ridge`` where that is
    fitted, or the only metric that is a single number. ``bootstraps`` resamples of the test stimuli
    are kept of the ridge scores of training's checkpoints, for the intervals of trajectories.
    """

    metrics: dict[str, dict[str, Any] | None] = Field(
        default={"ridge": None, "cka": None, "cka_rbf": None, "rsa_spearman": None, "knn": None},
        min_length=1,
    )
    primary: str | None = None
    device: Device = "cpu"
    dtype: Literal["float64", "float32"] = "float32"
    alphas: Alphas = Alphas()
    folds: Whole = Field(default=5, ge=2)
    inner_folds: Whole = Field(default=5, ge=2)
    selection: Literal["gcv", "loo", "folds"] = "gcv"
    standardize: bool = True
    pca: Whole | None = Field(default=None, ge=1)
    seed: Seed = 0
    delays: Annotated[
        tuple[Annotated[Whole, Field(ge=0, le=1000)], ...], Field(min_length=1), Different
    ] = (1, 2, 3, 4)
    trim_volumes: Whole = Field(default=5, ge=0)
    permutations: Whole = Field(default=100, ge=0)
    bootstraps: Whole = Field(default=0, ge=0)
    shifts: bool = True
    block: Whole = Field(default=20, ge=1)
    similarity_stimuli: Whole | None = Field(default=None, ge=8)
    fixed_depth: Real = Field(default=0.5, ge=0.0, le=1.0)

    def facts(self) -> dict[str, Any]:
        """All that decides the scores; keys that came later count once they are used."""
        # resamples count for the checkpoints that have them: see `identity`
        left_out = {"device", "bootstraps", "primary"} | ({"pca"} if self.pca is None else set())
        return self.model_dump(mode="json", exclude=left_out)

    @property
    def primary_metric(self) -> str:
        """Name, in tables, of the metric that stands for alignment."""
        name = self.primary or self._default_primary()
        return "ridge_r" if name == "ridge" else name

    def _default_primary(self) -> str:
        if "ridge" in self.metrics:
            return "ridge"
        return next(name for name in self.metrics if not has_scales(name))

    @model_validator(mode="after")
    def _one_is_primary(self) -> FitConfig:
        if self.primary is None and "ridge" in self.metrics:
            return self
        single = [name for name in self.metrics if not has_scales(name)]
        if self.primary is None and len(single) != 1:
            raise ValueError(
                "primary: name the metric that stands for alignment, a single number: "
                + (", ".join(sorted(single)) or "none of these is")
            )
        if self.primary is not None and self.primary not in single:
            raise ValueError(
                f"primary: '{self.primary}' is not a metric of this study that is a single number "
                f"({', '.join(sorted(single)) or 'none is'})"
            )
        return self

    @property
    def similarities(self) -> dict[str, dict[str, Any] | None]:
        """The metrics that compare pairs of stimuli, with their options."""
        return {name: options for name, options in self.metrics.items() if name not in FITTED}

    @property
    def unique(self) -> UniqueConfig | None:
        """What a model must add to, where the metric ``unique`` is listed."""
        if "unique" not in self.metrics:
            return None
        return UniqueConfig.model_validate(self.metrics["unique"] or {})

    @field_validator("metrics")
    @classmethod
    def _exist_and_have_options(
        cls, value: dict[str, dict[str, Any] | None]
    ) -> dict[str, dict[str, Any] | None]:
        for name in value:
            try:
                has_scales(name)
            except ConvergentError as error:
                raise ValueError(str(error)) from None
        if value.get("ridge"):
            raise ValueError("ridge has no options of its own: its keys are those of 'fit'")
        if "unique" in value:
            try:
                UniqueConfig.model_validate(value["unique"] or {})
            except ValidationError as error:
                raise ValueError("unique: " + "; ".join(explain(error, UniqueConfig))) from None
        return value


class StatisticsConfig(Section):
    """How the study's claims are tested."""

    bootstraps: Whole = Field(default=2000, ge=100)
    permutations: Whole = Field(default=2000, ge=100)
    seed: Seed = 0
    ceiling_threshold: Real = Field(default=0.05, ge=0.0, lt=1.0)


class CoverageConfig(Section):
    """How much of the study must be there before a headline is printed."""

    minimum: Real = Field(default=1.0, gt=0.0, le=1.0)


Granularity = Literal["layer", "checkpoint", "model"]


class StudyConfig(Section):
    """A whole study."""

    study: Key
    title: str = Field(min_length=1, max_length=1000)
    description: str = ""
    results: Folder = "results"
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
    container: Location | None = None
    fit_granularity: Literal["layer", "subject"] = "layer"

    @field_validator("datasets")
    @classmethod
    def _differ_in_more_than_case(cls, value: dict[str, DatasetConfig]) -> dict[str, DatasetConfig]:
        for one, other in same_but_case(value):
            raise ValueError(f"'{one}' and '{other}' differ in case only")
        return value


# Keys of earlier versions, and what they are called now.
RENAMED = {"fits": "fit_granularity", "fit.trim": "fit.trim_volumes"}


def read_config(path: str | Path, overrides: dict[str, Any] | None = None) -> StudyConfig:
    """Read and check a study's configuration: `read_files`, then `build_config`."""
    return build_config(read_files(path)[0], overrides, where=str(path))


def read_files(paths: str | Path) -> tuple[dict[str, Any], Path]:
    """Read configuration files as ``--configfile a b`` does: later ones add and replace.

    Parameters
    ----------
    paths : str or Path
        A YAML file, or several that are separated by ``:``.

    Returns
    -------
    raw : dict
        The merged mapping.
    base : Path
        Folder that the tables are relative to: that of the last file that names any.

    Raises
    ------
    ConfigError
        A file is missing, not YAML, or holds no mapping.
    """
    raw: dict[str, Any] = {}
    files = [Path(name) for name in str(paths).split(os.pathsep)]
    base = files[0].parent
    for file in files:
        content = read_yaml(file, fix="start from config/demo.yaml")
        if "tables" in content:
            base = file.parent
        merge(raw, content)
    return raw, base


def build_config(
    raw: Mapping[str, Any], overrides: dict[str, Any] | None = None, *, where: str
) -> StudyConfig:
    """Check a study's configuration.

    Parameters
    ----------
    raw : mapping
        As YAML gives it.
    overrides : dict, optional
        Dotted keys and values that replace or add to it (``{"extraction.device": "cuda"}``), or a
        nested mapping.
    where : str
        For messages.

    Returns
    -------
    StudyConfig

    Raises
    ------
    ConfigError
        Unknown keys or wrong values; one line names all.
    """
    content = copy.deepcopy(dict(raw))
    for key, value in (overrides or {}).items():
        _override(content, key, value)
    try:
        return StudyConfig.model_validate(content)
    except ValidationError as error:
        sentences = explain(error, StudyConfig, RENAMED)
        raise ConfigError("; ".join(sentences), where=where) from None


def json_schema() -> dict[str, Any]:
    """Schema of a study's configuration, for editors and `snakemake.utils.validate`."""
    schema = StudyConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


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


def parse_overrides(assignments: list[str]) -> dict[str, Any]:
    """Turn ``key=value`` texts into overrides; values are YAML.

    Raises
    ------
    ConfigError
        A text without ``=``, or a value that is not YAML.
    """
    overrides: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(
                f"'{shown(text)}' is not key=value", where="--set", fix="for example fit.folds=5"
            )
        overrides[key] = parse_yaml(value, where=f"--set {shown(key)}")
    return overrides

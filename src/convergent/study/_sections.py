"""Sections of the configuration about weights, machines and performance."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Names = tuple[str, ...]


class Section(BaseModel):
    """A section: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Twins(Section):
    """Random-weight twins: checkpoints ``random-<seed>`` of models, without rows of their own.

    Families and models say which; all with weights if neither does.
    """

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = ()
    families: Names = ()
    models: Names = ()

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a seed is listed twice")
        return value


class ConvergenceConfig(Section):
    """Whether models of two modalities represent the same stimuli alike.

    Attributes
    ----------
    datasets : tuple of str
        A data set of vision and one of language whose items are the same, by id.
    models : int
        At most so many final trained models of each: first one a family, in the order of the table,
        then a second one, and so on. Performance plays no part.
    stimuli : int
        At most so many of the common items, drawn at random.
    """

    datasets: tuple[str, str]
    models: int = Field(default=24, ge=2)
    stimuli: int = Field(default=1000, ge=16)


class UniqueConfig(Section):
    """What the metric ``unique`` asks a model to add to.

    Attributes
    ----------
    nuisance : tuple of str
        Regressors that come with the responses.
    baselines : tuple of str
        Models of the study with source ``baseline``, whose features count as nuisance.
    """

    nuisance: Names = ()
    baselines: Names = ()

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

    cache: str | None = None
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

    gpu_mb: int = Field(default=80_000, ge=1000)
    gpus: int = Field(default=8, ge=1)
    node_mb: int | None = Field(default=None, ge=1000)
    teraflops: float = Field(default=10.0, gt=0)
    read_mb_s: float = Field(default=200.0, gt=0)
    fit_seconds: float = Field(default=60.0, gt=0)
    alignment_mb: float = Field(default=0.5, gt=0)
    scratch: str | None = None

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
    workers: int = Field(default=4, ge=1)
    slurm: dict[str, Any] = {}
    wait_minutes: float = Field(default=15, gt=0)

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

    benchmarks: dict[Literal["vision", "language"], str | Names] = {}
    evaluations: Names = ()
    text: str | None = None
    images: str | None = None
    classes: str | None = None
    templates: Names = ("a photo of a {}.",)
    window: int = Field(default=1024, ge=2)
    stride: int = Field(default=512, ge=1)

    @field_validator("templates")
    @classmethod
    def _have_a_place(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or any(text.count("{}") != 1 for text in value):
            raise ValueError("each template has one {} for the name of a class")
        return value

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

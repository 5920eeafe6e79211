"""What a study can name: model sources, readers, metrics, baselines, evaluations, and so on.

Each kind has one `Registry`: a table from names to ``module:object``. An object is imported when
it is asked for, never before. Packages outside add to a registry by entry points of its group,
for example in their ``pyproject.toml``::

    [project.entry-points."convergent.readers"]
    my-data = "my_package.data:MyReader"
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from convergent.errors import ConfigError, ConvergentError, UnknownKeyError, did_you_mean

T = TypeVar("T")

log = logging.getLogger(__name__)


class PluginError(ConfigError):
    """A package outside adds something that cannot be used."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that has a name, before it is imported.

    Attributes
    ----------
    target : str
        ``module:object``.
    package : str
        Name and version of the package that adds it; empty for what is built in, or was added by
        `Registry.register`.
    """

    target: str
    package: str = ""

    def __str__(self) -> str:
        return f"{self.target} of package {self.package}" if self.package else self.target


class Registry:
    """Names of one kind of things, and where their objects are.

    Parameters
    ----------
    kind : str
        What one of them is called in messages: ``reader``.
    group : str
        Group of entry points: ``convergent.readers``.
    needs : tuple of str
        Attributes that every object must have.
    built_in : mapping of str to str
        ``module:object`` by name.
    taken : tuple of str
        Names that no object can have.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        needs: tuple[str, ...],
        built_in: Mapping[str, str],
        taken: tuple[str, ...] = (),
    ) -> None:
        self.kind, self.group, self.needs, self.taken = kind, group, needs, taken
        self._built_in = {name: Entry(target) for name, target in built_in.items()}
        self._registered: dict[str, Entry] = {}
        self._objects: dict[Entry, Any] = {}

    def names(self) -> tuple[str, ...]:
        """All names: those that are built in, in their order, then the others, sorted.

        Nothing is imported, so that a broken package does not hide the names of the others.
        """
        added = {*self._registered, *self._outside}.difference(self._built_in, self.taken)
        return (*self._built_in, *sorted(added))

    def __contains__(self, name: object) -> bool:
        return name in self._built_in or name in self._registered or name in self._outside

    def entry(self, name: str, where: str | None = None) -> Entry:
        """Where the object of a name is.

        Parameters
        ----------
        name : str
        where : str, optional
            Who asks for it, for messages.

        Raises
        ------
        UnknownKeyError
            There is no such name.
        PluginError
            Several objects have the name, or none can have it.
        """
        if name not in self:
            raise UnknownKeyError(
                f"unknown {self.kind} '{name}'", where=where, fix=did_you_mean(name, self.names())
            )
        own = [known[name] for known in (self._built_in, self._registered) if name in known]
        found: list[Entry] = [*own, *self._outside.get(name, ())]
        if len(found) > 1 or name in self.taken:
            also = ["this name is reserved"] if name in self.taken else []
            raise PluginError(
                f"{self.kind} '{name}' is defined twice: {'; '.join([*map(str, found), *also])}",
                where=where,
                fix="rename it, or uninstall its package",
            )
        return found[0]

    def load(self, name: str, where: str | None = None) -> Any:
        """Import the object of a name.

        Raises
        ------
        UnknownKeyError
            There is no such name.
        PluginError
            Several objects have the name, or that of a package outside cannot be imported or
            lacks an attribute.
        """
        entry = self.entry(name, where)
        if entry not in self._objects:
            self._objects[entry] = self._import(name, entry, where)
        return self._objects[entry]

    def register(self, name: str) -> Callable[[T], T]:
        """Add an object of this process, for example in a notebook or a test; a decorator.

        Packages use entry points instead, which every job of a study sees.

        Raises
        ------
        ConfigError
            Another object has the name.
        """

        def add(thing: T) -> T:
            module = getattr(thing, "__module__", __name__)
            entry = Entry(f"{module}:{getattr(thing, '__qualname__', name)}")
            if name in self.taken or (name in self and self.entry(name) != entry):
                known = "a reserved name" if name in self.taken else self.entry(name)
                raise ConfigError(
                    f"{self.kind} '{name}' is defined twice: {known}; {entry}",
                    fix="give the new one another name",
                )
            self._check(name, entry, thing, None)
            if name not in self._built_in:
                self._registered[name] = entry
            self._objects[entry] = thing
            return thing

        return add

    def errors(self) -> Iterator[ConvergentError]:
        """What is wrong with the objects of packages outside: each is imported."""
        for name in self._outside:
            try:
                self.load(name)
            except ConvergentError as error:
                yield error

    @functools.cached_property
    def _outside(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for point in importlib.metadata.entry_points(group=self.group):
            package = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
            found.setdefault(point.name, []).append(Entry(point.value, package))
        return found

    def load_part(self, name: str, target: str) -> Any:
        """Import what an object names in turn as ``module:object``.

        Raises
        ------
        PluginError
            It is one of a package outside, and cannot be imported.
        """
        with self.running(name):
            return _import(target)

    @contextlib.contextmanager
    def running(self, name: str, where: str | None = None) -> Iterator[None]:
        """Turn what the code of a package outside raises into an error that names the package.

        Errors that are one line already, and all of what is built in, pass.
        """
        entry = self.entry(name, where)
        try:
            yield
        except ConvergentError:
            raise
        except Exception as error:
            if not entry.package:
                raise
            log.debug("%s '%s'", self.kind, name, exc_info=True)
            raise self._broken(name, entry, f"{type(error).__name__}: {error}", where) from error

    def _import(self, name: str, entry: Entry, where: str | None) -> Any:
        with self.running(name, where):
            thing = _import(entry.target)
        self._check(name, entry, thing, where)
        return thing

    def _check(self, name: str, entry: Entry, thing: Any, where: str | None) -> None:
        absent = [attribute for attribute in self.needs if not hasattr(thing, attribute)]
        if absent:
            raise self._broken(name, entry, f"it has no {', '.join(absent)}", where)

    def _broken(self, name: str, entry: Entry, why: str, where: str | None) -> PluginError:
        package = entry.package.partition(" ")[0]
        return PluginError(
            f"{self.kind} '{name}' ({entry}) cannot be used: {why}",
            where=where,
            fix=f"repair, update or uninstall {package}" if package else "correct the object",
        )


def _import(target: str) -> Any:
    module, _, path = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in filter(None, path.split(".")):
        found = getattr(found, part)
    return found


SOURCES = Registry(
    "model source",
    "convergent.sources",
    ("options", "weight_names", "config_patterns", "hub_id", "load"),
    {
        "transformers": "convergent.models.transformers:TransformersSource",
        "open_clip": "convergent.models.open_clip:OpenClipSource",
        "timm": "convergent.models.timm:TimmSource",
        "baseline": "convergent.models.baselines:BaselineSource",
    },
)

READERS = Registry(
    "reader",
    "convergent.readers",
    (
        *("subjects", "stimuli", "responses", "regions"),
        *("location_options", "file_options", "stimuli_of_subjects"),
    ),
    {
        "alice": "convergent.brains.alice.reader:AliceReader",
        "nsd": "convergent.brains.nsd.reader:NsdReader",
        "own": "convergent.brains.custom.reader:OwnData",
        "rsa92": "convergent.brains.rsa92.reader:Rsa92Reader",
        "simulated-scenes": "convergent.brains.simulated.reader:SimulatedScenes",
        "simulated-sentences": "convergent.brains.simulated.reader:SimulatedSentences",
    },
)

# Metrics that are fitted; the others compare pairs of stimuli.
FITTED = ("ridge", "unique")

_SIMILARITIES = "convergent.alignment.metrics"
METRICS = Registry(
    "metric",
    "convergent.metrics",
    ("function", "options", "minimum", "averages", "dissimilarities", "has_scales"),
    {
        "ridge": "convergent.pipeline.metrics:ridge",
        "unique": "convergent.pipeline.metrics:unique",
        "cka": f"{_SIMILARITIES}:CKA",
        "cka_biased": f"{_SIMILARITIES}:CKA_BIASED",
        "cka_rbf": f"{_SIMILARITIES}:CKA_RBF",
        "cka_rbf_biased": f"{_SIMILARITIES}:CKA_RBF_BIASED",
        "knn": f"{_SIMILARITIES}:KNN",
        "rsa_cosine": f"{_SIMILARITIES}:RSA_COSINE",
        "rsa_pearson": f"{_SIMILARITIES}:RSA_PEARSON",
        "rsa_spearman": f"{_SIMILARITIES}:RSA_SPEARMAN",
        "rsa_whitened": f"{_SIMILARITIES}:RSA_WHITENED",
    },
)

BASELINES = Registry(
    "baseline",
    "convergent.baselines",
    ("compute", "modality", "design", "options"),
    {
        "pixels": "convergent.models.baselines:pixels",
        "gabor": "convergent.models.baselines:gabor",
        "text-length": "convergent.models.baselines:text_length",
        "character-ngrams": "convergent.models.baselines:character_ngrams",
        "word-rate": "convergent.models.baselines:word_rate",
        "word-length": "convergent.models.baselines:word_length",
        "position": "convergent.models.baselines:position",
    },
)

EVALUATIONS = Registry(
    "evaluation",
    "convergent.evaluations",
    ("measure", "applies", "needs"),
    {
        "probe_top1": "convergent.evaluation.probing:probe_top1",
        "probe_logloss": "convergent.evaluation.probing:probe_logloss",
        "bits_per_byte": "convergent.evaluation.language_modelling:bits_per_byte",
        "next_token_accuracy": "convergent.evaluation.language_modelling:next_token_accuracy",
        "top1": "convergent.evaluation.classification:top1",
        "zero_shot_top1": "convergent.evaluation.classification:zero_shot_top1",
    },
)

RECIPES = Registry(
    "recipe",
    "convergent.recipes",
    ("options", "start"),
    {
        "scenes-cnn": "convergent.training.vision:ScenesCnn",
        "scenes-vit": "convergent.training.vision:ScenesViT",
        "topics-gpt": "convergent.training.language:TopicsGpt",
        "topics-llama": "convergent.training.language:TopicsLlama",
        "topics-neox": "convergent.training.language:TopicsNeoX",
    },
)

FIGURES = Registry(
    "figure",
    "convergent.figures",
    ("draw", "requires"),
    {
        "region-bars": "convergent.figures.bars:region_bars",
        "cortical-surface": "convergent.figures.brain:cortical_surface",
        "controls": "convergent.figures.controls:controls",
        "depth": "convergent.figures.depth:depth",
        "convergence": "convergent.figures.depth:convergence",
        "representations": "convergent.figures.depth:representations",
        "gradient": "convergent.figures.regions:gradient",
        "networks": "convergent.figures.regions:networks",
        "layer-region": "convergent.figures.metrics:layer_region",
        "leads": "convergent.figures.leads:training_leads",
        "metrics": "convergent.figures.metrics:metrics",
        "scales": "convergent.figures.metrics:scales",
        "planted-recovered": "convergent.figures.planted:planted_recovered",
        "region-dots": "convergent.figures.regions:region_dots",
        "scale-peaks": "convergent.figures.scale_peaks:scale_peaks",
        "performance-alignment": "convergent.figures.scatter:performance_scatter",
        "trajectories": "convergent.figures.trajectories:training_trajectories",
    },
)

# Tables that are gathered from the jobs, and made by no claim.
GATHERED = ("coverage", "resampled", "ceilings", "performance", "models", "simulation_truth")


def _claim(function: str, *tables: str) -> dict[str, str]:
    return dict.fromkeys(tables, f"convergent.pipeline.claims.claims:{function}")


# The names are those of tables, so that they are known before anything is imported: a claim that
# makes several tables stands under each of them.
CLAIMS = Registry(
    "claim's table",
    "convergent.claims",
    ("__call__",),
    {
        **_claim(
            *("alignment", "model_alignment"),
            *("region_profile", "modality_profile", "subject_profile"),
        ),
        **_claim("every_metric", "scores", "ceiling_summary", "scale_profile"),
        **_claim("study_size", "study_size"),
        **_claim("performance", "correlations", "metric_correlations"),
        **_claim("adjusted", "mixed", "contamination"),
        **_claim("regions", "region_tests", "gradient"),
        **_claim(
            *("depth", "layers", "depth_profile", "depth_tests"),
            *("convergence", "convergence_trend"),
        ),
        **_claim("representations", "representation_depth", "representation_trend"),
        **_claim("scale", "scale_peaks", "scale_shift"),
        **_claim("training", "trajectories", "onsets", "leads"),
        **_claim("planted", "recovery_regions", "recovery_checks"),
    },
    taken=(*GATHERED, "measurements", "alignment"),
)

ALL = (SOURCES, READERS, METRICS, BASELINES, EVALUATIONS, RECIPES, FIGURES, CLAIMS)


def has_scales(metric: str) -> bool:
    """Whether a metric is a curve over scales, and no single number.

    Raises
    ------
    UnknownKeyError, PluginError
        There is no such metric, or it cannot be used.
    """
    return metric not in FITTED and bool(METRICS.load(metric).has_scales)


@dataclass(frozen=True, slots=True)
class ReaderFacts:
    """What a reader class says of itself to those who decide what has to be computed again.

    Attributes
    ----------
    location_options : frozenset of str
        Options that say where something lies, not what it is: moving data recomputes nothing.
    file_options : frozenset of str
        Options that name a file which describes the data set: its content counts, not its name.
    stimuli_of_subjects : bool
        Whether the stimuli are those that the study's subjects saw, so that another subject makes
        other stimuli.
    """

    location_options: frozenset[str]
    file_options: frozenset[str]
    stimuli_of_subjects: bool


def reader_facts(name: str, where: str | None = None) -> ReaderFacts:
    """Read the class attributes of a reader.

    Raises
    ------
    UnknownKeyError
        There is no such reader.
    PluginError
        The reader cannot be used, or its attributes name an option that it does not have.
    """
    reader = READERS.load(name, where)
    facts = ReaderFacts(
        frozenset(reader.location_options),
        frozenset(reader.file_options),
        bool(reader.stimuli_of_subjects),
    )
    options = inspect.signature(reader).parameters
    unknown = sorted((facts.location_options | facts.file_options).difference(options))
    if unknown:
        raise PluginError(
            f"reader '{name}' ({READERS.entry(name)}) has no option '{unknown[0]}', which its "
            "location_options or file_options name",
            where=where,
            fix=did_you_mean(unknown[0], options),
        )
    return facts

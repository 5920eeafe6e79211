"""Evaluations by name, and how one is run on a checkpoint."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from convergent.brains.pictures import read_picture
from convergent.brains.simulated import Benchmark
from convergent.brains.types import DatasetReader
from convergent.errors import ConfigError, DataError, NumericalError
from convergent.evaluation.probe import Probe, linear_probe
from convergent.extraction import extract
from convergent.models import LoadedModel
from convergent.names import shown
from convergent.registry import EVALUATIONS
from convergent.study.types import Checkpoint, Model, Performance
from convergent.text_files import MB, read_cells, read_text

log = logging.getLogger(__name__)


_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})
_COLUMNS = ("folder", "index", "name")


@dataclass(frozen=True)
class Material:
    """Files that evaluations read.

    Attributes
    ----------
    text : Path, optional
        UTF-8, for causal language models.
    images : Path, optional
        One folder of images a class.
    classes : Path, optional
        Table (folder, index, name) of those folders: index of the class among a classifier's
        outputs, and its name in words.
    templates : tuple of str
        Sentences with ``{}`` for the name of a class.
    window, stride : int
        Tokens of a window of the text, and by how many it moves on.
    """

    text: Path | None = None
    images: Path | None = None
    classes: Path | None = None
    templates: tuple[str, ...] = ("a photo of a {}.",)
    window: int = 1024
    stride: int = 512


@dataclass(frozen=True)
class ImageFolder:
    """Labelled images.

    Attributes
    ----------
    files : tuple of Path
        Sorted by class, then by name.
    labels : ndarray of int64, shape (image,)
        Index into ``folders``.
    folders, names : tuple of str
        Of each class: its folder and its name in words.
    outputs : tuple of int
        Of each class: its index among a classifier's outputs.
    listed : bool
        Whether a table gave these indices; they count the folders otherwise.
    """

    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    folders: tuple[str, ...]
    names: tuple[str, ...]
    outputs: tuple[int, ...]
    listed: bool

    def batches(self, size: int) -> Iterator[tuple[NDArray[np.int64], list[NDArray[np.uint8]]]]:
        """Labels and images (y, x, 3) of ``size`` images at a time.

        Raises
        ------
        DataError
            If a file is no image.
        """
        for first in range(0, len(self.files), size):
            chosen = slice(first, first + size)
            yield self.labels[chosen], [read_picture(path).pixels for path in self.files[chosen]]


def read_evaluated(path: Path) -> str:
    """Read the text that language models are measured on, as it is.

    Raises
    ------
    DataError
        No such file, not UTF-8, or larger than 1 GB.
    """
    return read_text(path, error=DataError, largest=1024 * MB, as_is=True)


def image_folder(folder: Path, classes: Path | None) -> ImageFolder:
    """List a folder of one folder of images a class.

    Parameters
    ----------
    folder : Path
    classes : Path, optional
        Table of the folders; without one they are classes 0, 1, ... in alphabetical order, and
        their names in words are those of the folders.

    Raises
    ------
    DataError
        If there is no such folder or no image in it, or table and folders do not agree.
    """
    if not folder.is_dir():
        raise DataError("no such folder of images", where=str(folder), fix="see performance.images")
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    rows = _table(classes) if classes else [(name, i, name) for i, name in enumerate(found)]
    unknown = sorted(set(found) - {name for name, _, _ in rows})
    if unknown:
        raise DataError(
            f"folder '{unknown[0]}' is not in '{classes}'",
            where=str(folder),
            fix="add its row, or remove the folder",
        )
    rows = [row for row in rows if row[0] in found]
    files, labels = [], []
    for label, (name, _, _) in enumerate(rows):
        own = sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in _SUFFIXES)
        if not own:
            raise DataError(
                f"no image in class '{name}'", where=str(folder), fix="remove the folder"
            )
        files += own
        labels += [label] * len(own)
    if not files:
        raise DataError(
            "no image in it", where=str(folder), fix="put the images of each class into a folder"
        )
    return ImageFolder(
        files=tuple(files),
        labels=np.array(labels, dtype=np.int64),
        folders=tuple(name for name, _, _ in rows),
        names=tuple(words.replace("_", " ") for _, _, words in rows),
        outputs=tuple(index for _, index, _ in rows),
        listed=classes is not None,
    )


def _table(path: Path) -> list[tuple[str, int, str]]:
    header: list[str] = []
    found = []
    for number, cells in read_cells(path, error=DataError):
        if not header:
            header = cells
            missing = [name for name in _COLUMNS if name not in header]
            if missing:
                raise DataError(
                    f"column '{missing[0]}' is missing",
                    where=str(path),
                    fix=f"columns {', '.join(_COLUMNS)}, separated by tabs",
                )
            continue
        row = dict(zip(header, cells, strict=False))
        if len(cells) != len(header) or not re.fullmatch(r"[0-9]{1,9}", row["index"]):
            raise DataError(
                f"{len(cells)} cells for {len(header)} columns"
                if len(cells) != len(header)
                else f"index '{shown(row['index'])}' is no whole number",
                where=f"{path}, line {number}",
                fix=f"columns {', '.join(_COLUMNS)}, separated by tabs",
            )
        found.append((row["folder"], int(row["index"]), row["name"]))
    if not found:
        raise DataError("the table has no rows", where=str(path), fix="give one per folder")
    for column, number in (("folder", 0), ("index", 1)):
        values = [str(row[number]) for row in found]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise DataError(f"{column} '{twice}' occurs twice", where=str(path))
    return found


T = TypeVar("T")
OpenNetwork = Callable[[bool], LoadedModel]


class Subject:
    """What is evaluated, and on what.

    Parameters
    ----------
    model, checkpoint : Model, Checkpoint
    open_network : callable
        ``open_network(head)``: the network as for extraction, or a language model with the
        head that predicts the next token.
    reader : DatasetReader or None
        A data set of the model's modality with a ``benchmark()``, if the study has one.
    material : Material
    batch_size : int
    """

    def __init__(
        self,
        model: Model,
        checkpoint: Checkpoint,
        open_network: OpenNetwork,
        reader: DatasetReader | None,
        material: Material,
        batch_size: int,
    ) -> None:
        self.model, self.checkpoint = model, checkpoint
        self.material, self.batch_size = material, batch_size
        self._reader, self._open = reader, open_network
        self._network: tuple[bool, LoadedModel] | None = None
        self._cache: dict[str, Any] = {}

    @property
    def where(self) -> str:
        """For messages."""
        return f"model '{self.model.key}', checkpoint '{self.checkpoint.name}'"

    def network(self, *, head: bool = False) -> LoadedModel:
        """Give the network; at most one is in memory at a time."""
        if self._network is None or self._network[0] != head:
            self._network = None
            self._network = (head, self._open(head))
        return self._network[1]

    def cached(self, name: str, compute: Callable[[], T]) -> T:
        """Compute something once for all evaluations."""
        if name not in self._cache:
            self._cache[name] = compute()
        found: T = self._cache[name]
        return found

    @property
    def benchmark(self) -> Benchmark:
        """Labelled stimuli of the data set.

        Raises
        ------
        DataError
            The study has none of the model's modality.
        """
        return self.cached("benchmark", lambda: _benchmark(self._reader, self.model))

    @property
    def last_layer(self) -> NDArray[np.float32]:
        """Features of the last listed layer for the benchmark, (stimulus, feature); read once.

        Raises
        ------
        NumericalError
            They are not finite.
        """
        return self.cached("last layer", self._last_layer)

    @property
    def probe(self) -> Probe:
        """Linear probe of the last listed layer; fitted once for all evaluations."""
        return self.cached(
            "probe",
            lambda: linear_probe(self.last_layer, self.benchmark.labels, self.benchmark.half),
        )

    def _last_layer(self) -> NDArray[np.float32]:
        layer = self.model.layers[-1]
        stimuli = self.benchmark.stimuli
        found = extract(
            self.model,
            self.checkpoint,
            [layer],
            stimuli,
            loaded=self.network(),
            batch_size=self.batch_size,
        )[layer.name]
        if found.status != "ok":
            raise NumericalError(
                f"layer '{layer.name}' cannot be probed: {found.reason}",
                where=self.where,
                fix="list another layer last, or leave the model out",
            )
        return found.features


def _benchmark(reader: DatasetReader | None, model: Model) -> Benchmark:
    make = getattr(reader, "benchmark", None)
    if reader is None or make is None or reader.modality != model.modality:
        having = "no data set" if reader is None else type(reader).__name__
        raise DataError(
            f"no benchmark for {model.modality} in {having}",
            where=f"model '{model.key}'",
            fix="evaluate on a data set of this modality whose reader has benchmark(), on files "
            "of your own (performance.text, performance.images), or give published scores",
        )
    found: Benchmark = make()
    return found


@dataclass(frozen=True, slots=True)
class Needs:
    """What an evaluation is measured on: files of the study, or a data set's benchmark.

    Attributes
    ----------
    text : bool
        The study's text; without one, the benchmark's texts.
    images : bool
        The study's labelled images; there is nothing else.
    """

    text: bool = False
    images: bool = False


Measure = Callable[[Subject], tuple[float, str] | None]


@dataclass(frozen=True)
class Evaluation:
    """A way to measure performance.

    Attributes
    ----------
    measure : callable
        ``measure(subject)``: (score, source), the source saying how it was measured; None if
        the network turns out to have nothing to measure.
    applies : callable
        Whether a model can be measured so at all.
    needs : Needs
    """

    measure: Measure
    applies: Callable[[Model], bool]
    needs: Needs

    def __call__(self, subject: Subject) -> tuple[float, str] | None:
        """Measure a checkpoint."""
        return self.measure(subject)


def _has_weights(model: Model) -> bool:
    return not model.is_control


def evaluation(
    applies: Callable[[Model], bool] = _has_weights, *, needs: Needs = Needs()
) -> Callable[[Measure], Evaluation]:
    """Make an evaluation of a function; its name is that in `convergent.registry.EVALUATIONS`.

    Parameters
    ----------
    applies : callable
        ``applies(model)``; all models with weights unless given.
    needs : Needs
        A data set's benchmark unless given.
    """
    return lambda measure: Evaluation(measure, applies, needs)


def check_evaluations(
    names: Sequence[str],
    material: Material,
    *,
    models: Iterable[Model] = (),
    benchmarks: Container[str] = (),
) -> None:
    """Check names, and that what they are measured on is there, before anything runs.

    Parameters
    ----------
    names : sequence of str
    material : Material
    models : iterable of Model
        That are evaluated.
    benchmarks : container of str
        Modalities for which a data set of the study has a ``benchmark()``.

    Raises
    ------
    UnknownKeyError
        There is no such evaluation.
    ConfigError, DataError
        A file is not named or not there, or a model has nothing to be measured on.
    """
    for name in names:
        one: Evaluation = EVALUATIONS.load(name)
        if one.needs.images:
            if material.images is None:
                raise ConfigError(
                    f"evaluation '{name}' needs labelled images",
                    fix="set performance.images to a folder of one folder a class",
                )
            continue
        if one.needs.text and material.text is not None:
            continue
        for model in models:
            if one.applies(model) and model.modality not in benchmarks:
                raise ConfigError(
                    f"evaluation '{name}' has nothing to measure model '{model.key}' on: no "
                    f"{model.modality} data set of the study has a benchmark",
                    where="performance.evaluations",
                    fix="leave the evaluation out, or set performance.text for evaluations of text",
                )
    if material.images is not None:
        image_folder(material.images, material.classes)
    if material.text is not None:
        read_evaluated(material.text)


def evaluate(
    names: Sequence[str],
    model: Model,
    checkpoint: Checkpoint,
    *,
    open_network: OpenNetwork,
    reader: DatasetReader | None = None,
    material: Material | None = None,
    batch_size: int = 64,
) -> list[Performance]:
    """Measure a checkpoint.

    Parameters
    ----------
    names : sequence of str
        Evaluations; those that do not apply to the model are left out.
    model, checkpoint : Model, Checkpoint
    open_network : callable
        ``open_network(head)``: what `convergent.models.load` returns for that ``head``.
    reader : DatasetReader, optional
        A data set of the model's modality with a ``benchmark()``.
    material : Material, optional
        The study's own text and images.
    batch_size : int

    Returns
    -------
    list of Performance
        In the order of ``names``; higher is better for accuracies, lower for losses and bits.

    Raises
    ------
    UnknownKeyError
        There is no such evaluation.
    DataError
        There is nothing to measure it on.
    NumericalError
        A score is NaN or infinite.
    """
    wanted: dict[str, Evaluation] = {name: EVALUATIONS.load(name) for name in names}
    material = material or Material()
    subject = Subject(model, checkpoint, open_network, reader, material, batch_size)
    scores = []
    for name, one in wanted.items():
        found = one(subject) if one.applies(model) else None
        if found is None:
            log.info("%s: evaluation '%s' does not apply", subject.where, name)
            continue
        score, source = found
        if not abs(score) < float("inf"):
            raise NumericalError(
                f"evaluation '{name}' gave {score}",
                where=subject.where,
                fix="check the layer's features: they may be constant or not finite",
            )
        scores.append(Performance(model.key, checkpoint.name, name, score, source))
    return scores

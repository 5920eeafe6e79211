"""What a data set gives: stimuli and, per subject, responses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from convergent.errors import DataError, IdError, NumericalError


def check_dissimilarities(matrix: np.ndarray, where: str, design: str = "items") -> None:
    """Refuse what is no dissimilarity matrix of items.

    Raises
    ------
    DataError
        Not square, not symmetric, negative or of non-zero diagonal; or of a story, whose volumes
        are not items.
    """
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if design != "items" or not square:
        raise DataError(
            f"dissimilarities of shape {matrix.shape} and design '{design}'",
            where=where,
            fix="give a square matrix (item, item) for each region",
        )
    faults = {
        "not symmetric": not np.array_equal(matrix, matrix.T),
        "not zero on the diagonal": bool(np.diagonal(matrix).any()),
        "negative": bool((matrix < 0).any()),
    }
    found = [fault for fault, there in faults.items() if there]
    if found:
        raise DataError(
            f"dissimilarities that are {' and '.join(found)}",
            where=where,
            fix="give distances between items, each with itself 0",
        )


@dataclass(frozen=True)
class Nuisance:
    """Nuisance regressors of one subject, a row for each sample of the responses.

    Attributes
    ----------
    values : ndarray of float64, shape (sample, column)
        As recorded; they are standardised on training samples by the fit.
    name : ndarray of str, shape (column,)
        What a column belongs to (``motion`` has six). Studies ask for regressors by name.
    delayed : ndarray of bool, shape (column,)
        Story: whether a column is in the time of the stimulus and is delayed as features are, with
        its mean where a delay reaches back before the first volume.
        False for what is in the time of the responses: head motion, and regressors that were
        convolved with a haemodynamic response already.
    """

    values: NDArray[np.float64]
    name: NDArray[np.str_]
    delayed: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = self.values.shape
        if len(shape) != 2 or self.name.shape != shape[1:] or self.delayed.shape != shape[1:]:
            raise DataError(
                f"nuisance of shape {shape} with {self.name.size} names and "
                f"{self.delayed.size} marks of delay",
                where="nuisance regressors",
                fix="give values (sample, column), and a name and a mark for each column",
            )
        bad = ~np.isfinite(self.values).all(axis=0)
        if bad.any():
            raise NumericalError(
                f"NaN or infinity in {', '.join(dict.fromkeys(self.name[bad].tolist()))}",
                where="nuisance regressors",
                fix="leave the regressor out, or mend its file",
            )

    @classmethod
    def of(
        cls, columns: dict[str, NDArray[np.float64]], *, delayed: frozenset[str] = frozenset()
    ) -> Nuisance:
        """Put named regressors side by side.

        Parameters
        ----------
        columns : dict of str to ndarray, shape (sample,) or (sample, column)
        delayed : frozenset of str
            The names that are in the time of the stimulus.

        Raises
        ------
        DataError
            Regressors of different lengths.
        """
        blocks = {name: np.asarray(v, dtype=np.float64) for name, v in columns.items()}
        blocks = {name: v[:, None] if v.ndim == 1 else v for name, v in blocks.items()}
        lengths = {len(values) for values in blocks.values()}
        if len(lengths) != 1:
            told = ", ".join(f"{name} {len(values)}" for name, values in blocks.items())
            raise DataError(
                f"regressors of different lengths: {told or 'none'}",
                where="nuisance regressors",
                fix="give each a value for every sample",
            )
        name = np.repeat(list(blocks), [values.shape[1] for values in blocks.values()])
        return cls(np.hstack(list(blocks.values())), name, np.isin(name, sorted(delayed)))

    def only(self, names: tuple[str, ...]) -> Nuisance:
        """Return the columns of the given names."""
        kept = np.isin(self.name, names)
        return Nuisance(self.values[:, kept], self.name[kept], self.delayed[kept])


Design = Literal["items", "story"]
Kind = Literal["patterns", "dissimilarities"]
SIDES = ("train", "test")


@dataclass(frozen=True)
class StimulusSet:
    """Stimuli that people saw or heard, each with its own id.

    Attributes
    ----------
    name : str
        Data set name.
    modality : {"vision", "language"}
    design : {"items", "story"}
        Independent stimuli, or words of one continuous story.
    ids : ndarray of str, shape (stimulus,)
        Unique ids; everything is joined by them, never by position.
    images : ndarray of uint8, shape (stimulus, y, x, 3), optional
        Or an array on disk with ``pieces()`` and ``read(start, stop)``, such as a `StoredArray`,
        whose images are read when they are asked for.
    texts : tuple of str, optional
        Sentences (items) or words (story), one a stimulus.
    onset, offset : ndarray of float64, shape (stimulus,), optional
        Word times in seconds of story time.
    group : ndarray of str, shape (stimulus,), optional
        Stimuli of one group stay on one side of every split.
    split : ndarray of str, shape (stimulus,), optional
        ``train`` or ``test`` where the data set fixes the division: fits then have this one outer
        split instead of folds. It is no part of the stimuli's identity (``digest``).
    item : ndarray of str, shape (stimulus,), optional
        What responses answer, where it is several stimuli: the image that captions describe.
        Features of the stimuli of one item are averaged.
    conversions : mapping of str to int
        How many image files were brought to 8-bit sRGB in which way
        (`convergent.brains.pictures`), of those that have been read; empty where images do not
        come from such files.
    known_digest : str
        What `digest` is, where it was computed when the stimuli were stored and hashing them
        again would take long; their chunks are still checked as they are read.
    """

    name: str
    modality: str
    design: Design
    ids: np.ndarray
    images: np.ndarray | None = None
    texts: tuple[str, ...] | None = None
    onset: np.ndarray | None = None
    offset: np.ndarray | None = None
    group: np.ndarray | None = None
    known_digest: str = ""
    split: np.ndarray | None = None
    item: np.ndarray | None = None
    conversions: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unique, counts = np.unique(self.ids, return_counts=True)
        if unique.size != self.ids.size:
            twice = ", ".join(map(str, unique[counts > 1][:3]))
            raise IdError(
                f"stimulus ids occur more than once: {twice}",
                where=f"data set '{self.name}'",
                fix="give every stimulus an id of its own",
            )
        for label in ("images", "texts", "onset", "offset", "group", "split", "item"):
            value = getattr(self, label)
            if value is not None and len(value) != self.ids.size:
                raise IdError(
                    f"{len(value)} {label} for {self.ids.size} stimulus ids",
                    where=f"data set '{self.name}'",
                    fix="one entry a stimulus",
                )
        if self.split is not None:
            self._check_split(self.split)

    def _check_split(self, split: np.ndarray) -> None:
        where = f"data set '{self.name}'"
        if self.design == "story":
            raise DataError(
                "a fixed split of the words of a story", where=where, fix="leave `split` out"
            )
        wrong = sorted(set(split.tolist()) - set(SIDES))
        if wrong:
            raise DataError(
                f"split '{wrong[0]}' of a stimulus", where=where, fix="use train and test"
            )
        for label in ("group", "item"):
            members = getattr(self, label)
            if members is None:
                continue
            both = np.intersect1d(members[split == "train"], members[split == "test"])
            if both.size:
                raise IdError(
                    f"{label} '{both[0]}' has stimuli on both sides of the split",
                    where=where,
                    fix=f"put each {label} on one side",
                )

    @property
    def answered(self) -> np.ndarray:
        """Ids that responses answer to: of the items, or else of the stimuli."""
        if self.item is None:
            return self.ids
        _, first = np.unique(self.item, return_index=True)
        return np.asarray(self.item[np.sort(first)])

    def __len__(self) -> int:
        return int(self.ids.size)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, contents and times: the identity of the stimulus set."""
        if self.known_digest:
            return self.known_digest
        sha = hashlib.sha256(f"{self.modality} {self.design}".encode())
        values: list[Any] = [self.ids, self.images, self.texts, self.onset, self.offset, self.group]
        if self.item is not None:  # stimuli without items keep the digests that stores carry
            values.append(self.item)
        for value in values:
            if value is None:
                sha.update(b"\0none")
            elif hasattr(value, "dtype") and value.dtype.kind in "iuf":
                sha.update(f"\0{value.dtype.str}{value.shape}".encode())
                for piece in _pieces(value):
                    sha.update(np.ascontiguousarray(piece).tobytes())
            else:
                for text in value:
                    sha.update(b"\0" + str(text).encode())
        return sha.hexdigest()


@dataclass(frozen=True)
class Responses:
    """One subject's brain responses.

    Attributes
    ----------
    dataset, subject : str
    design : {"items", "story"}
    data : ndarray of float32, shape (sample, target)
        Samples are stimuli (items) or volumes (story). Or an array on disk, as `images`.
    stimulus_id : ndarray of str, shape (sample,), optional
        For items: which stimulus each sample answers. Repeats are averaged by the reader, unless
        `sample_id` tells them apart; every split then keeps those of a stimulus together.
    sample_id : ndarray of str, shape (sample,), optional
        Unique ids of samples, where several of them (single trials) answer one stimulus.
    region : ndarray of str, shape (target,)
        Region of each target (voxel, vertex or region mean).
    noise_ceiling : ndarray of float64, shape (target,)
        Explainable variance in r^2 units; NaN where the data allow no estimate.
    tr : float, optional
        Seconds between volumes (story).
    start : float, optional
        Story time of sample 0 in seconds (story).
    attrs : dict
        Further provenance (licence, citation, files).
    kind : {"patterns", "dissimilarities"}
        What ``data`` holds. Dissimilarities are of items: each region has one target a sample, in
        the order of the samples, so that its columns are a symmetric matrix (sample, sample) of
        zero diagonal. They can be compared with those of a layer (RSA) and in no other way.
    nuisance : Nuisance, optional
        Regressors that a model must beat, one row a sample.
    """

    dataset: str
    subject: str
    design: Design
    data: np.ndarray
    region: np.ndarray
    noise_ceiling: np.ndarray
    stimulus_id: np.ndarray | None = None
    tr: float | None = None
    start: float | None = None
    sample_id: np.ndarray | None = None
    attrs: dict[str, object] = field(default_factory=dict)
    kind: Kind = "patterns"
    nuisance: Nuisance | None = None

    def __post_init__(self) -> None:
        where = f"data set '{self.dataset}', subject '{self.subject}'"
        if self.data.ndim != 2:
            raise DataError(
                f"responses of shape {self.data.shape}", where=where, fix="give (sample, target)"
            )
        samples, targets = self.data.shape
        lengths = {
            "region": (self.region, targets),
            "noise_ceiling": (self.noise_ceiling, targets),
            "stimulus_id": (self.stimulus_id, samples),
            "sample_id": (self.sample_id, samples),
        }
        for label, (value, expected) in lengths.items():
            if value is not None and value.shape != (expected,):
                raise DataError(
                    f"{label} has shape {value.shape}, the responses have shape {self.data.shape}",
                    where=where,
                    fix=f"give {expected} values",
                )
        if self.design == "story" and (self.tr is None or self.tr <= 0 or self.start is None):
            raise DataError(
                f"a story with tr {self.tr} and start {self.start}",
                where=where,
                fix="give the seconds between volumes and the story time of the first",
            )
        if self.design == "items" and self.stimulus_id is None:
            raise DataError(
                "responses to items without stimulus_id", where=where, fix="give one id a sample"
            )
        if self.sample_id is not None and np.unique(self.sample_id).size != samples:
            raise IdError(
                "sample ids occur more than once", where=where, fix="give each sample its own id"
            )
        finite = np.ones(targets, dtype=bool)
        for piece in _pieces(self.data):
            finite &= np.isfinite(piece).all(axis=0)
        if not finite.all():
            regions = ", ".join(dict.fromkeys(map(str, self.region[~finite])))
            raise NumericalError(
                f"NaN or infinite responses in {np.sum(~finite)} targets (regions {regions})",
                where=where,
                fix="leave those targets or the subject out",
            )
        if self.nuisance is not None and len(self.nuisance.values) != samples:
            raise DataError(
                f"{len(self.nuisance.values)} rows of nuisance for {samples} samples",
                where=where,
                fix="give each regressor a value for every sample",
            )
        if self.kind == "dissimilarities":
            for name in dict.fromkeys(self.region.tolist()):
                check_dissimilarities(
                    np.asarray(self.data)[:, self.region == name],
                    f"{where}, region '{name}'",
                    self.design,
                )


def _pieces(values: Any) -> Iterable[np.ndarray]:
    """The values at once, or a few rows at a time where they lie on disk."""
    return (values,) if isinstance(values, np.ndarray) else values.pieces()


@dataclass(frozen=True)
class Region:
    """One region of a data set's atlas.

    Attributes
    ----------
    name : str
        As in ``Responses.region``.
    hemisphere : {"L", "R", ""}
    network : str
        Functional network or other grouping; empty when the data name none.
    order : float
        Position from sensory (0) to associative (1); NaN when unknown.
    """

    name: str
    hemisphere: str
    network: str
    order: float


class DatasetReader(Protocol):
    """A registered data set.

    Its class says which options say where something lies (``location_options``), which name a file
    whose content counts (``file_options``), and whether the stimuli are those that the study's
    subjects saw (``stimuli_of_subjects``): see `convergent.registry.ReaderFacts`. The class is
    imported when a study is read, so what takes long to import is imported in its methods.

    Some attributes are optional: ``unusable`` (mapping of subject to the reason why its data cannot
    be used), ``aggregates`` (names that ``responses`` takes although they are no subjects, such
    as ``group``, the average of all), ``kind`` (that of the responses; patterns unless given),
    ``nuisance_names`` (names of the regressors that come with the responses; none unless given),
    ``benchmark()`` (a `Benchmark`, on which performance is measured) and ``truth()`` (what a
    simulated data set planted, one `RegionTruth` per region).
    """

    location_options: ClassVar[frozenset[str]]
    file_options: ClassVar[frozenset[str]]
    stimuli_of_subjects: ClassVar[bool]

    modality: str
    design: Design
    simulated: bool

    def stimuli(self) -> StimulusSet:
        """Read the stimuli."""
        ...

    def subjects(self) -> tuple[str, ...]:
        """Subjects that the data have."""
        ...

    def responses(self, subject: str) -> Responses:
        """Read one subject's responses."""
        ...

    def regions(self) -> tuple[Region, ...]:
        """Describe the regions."""
        ...

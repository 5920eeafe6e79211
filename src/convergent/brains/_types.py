"""What a data set gives: stimuli and, per subject, responses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from convergent.brains._nuisance import Nuisance
from convergent.errors import DataError, IdError, NumericalError
from convergent.store import StoredArray

Design = Literal["items", "story"]
Kind = Literal["patterns", "dissimilarities"]


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
        Or a `StoredArray`, whose images are read from disk when they are asked for.
    texts : tuple of str, optional
        Sentences (items) or words (story), one a stimulus.
    onset, offset : ndarray of float64, shape (stimulus,), optional
        Word times in seconds of story time.
    group : ndarray of str, shape (stimulus,), optional
        Stimuli of one group stay on one side of every split.
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

    def __post_init__(self) -> None:
        unique, counts = np.unique(self.ids, return_counts=True)
        if unique.size != self.ids.size:
            twice = ", ".join(map(str, unique[counts > 1][:3]))
            raise IdError(
                f"stimulus ids occur more than once: {twice}",
                where=f"data set '{self.name}'",
                fix="give every stimulus an id of its own",
            )
        for label in ("images", "texts", "onset", "offset", "group"):
            value = getattr(self, label)
            if value is not None and len(value) != self.ids.size:
                raise IdError(
                    f"{len(value)} {label} for {self.ids.size} stimulus ids",
                    where=f"data set '{self.name}'",
                    fix="one entry a stimulus",
                )

    def __len__(self) -> int:
        return int(self.ids.size)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, contents and times: the identity of the stimulus set."""
        if self.known_digest:
            return self.known_digest
        sha = hashlib.sha256(f"{self.modality} {self.design}".encode())
        for value in (self.ids, self.images, self.texts, self.onset, self.offset, self.group):
            if value is None:
                sha.update(b"\0none")
            elif isinstance(value, np.ndarray | StoredArray) and value.dtype.kind in "iuf":
                sha.update(f"\0{value.dtype.str}{value.shape}".encode())
                pieces = value.pieces() if isinstance(value, StoredArray) else (value,)
                for piece in pieces:
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
        Samples are stimuli (items) or volumes (story).
    stimulus_id : ndarray of str, shape (sample,), optional
        For items: which stimulus each sample answers; repeats are averaged by the reader.
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
        finite = np.isfinite(self.data).all(axis=0)
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
                    self.data[:, self.region == name], f"{where}, region '{name}'", self.design
                )


def check_dissimilarities(matrix: np.ndarray, where: str, design: Design = "items") -> None:
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

    Some attributes are optional: ``unusable`` (mapping of subject to the reason why its data cannot
    be used), ``aggregates`` (names that ``responses`` takes although they are no subjects, such
    as ``group``, the average of all), ``kind`` (that of the responses; patterns unless given) and
    ``nuisance_names`` (names of the regressors that come with the responses; none unless given).
    """

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

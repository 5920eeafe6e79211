"""Reader of the 92 objects: pictures, and dissimilarities in human inferior temporal cortex."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from convergent.brains.types import Design, Kind, Region, Responses, StimulusSet
from convergent.errors import DataError, UnknownKeyError, did_you_mean

RDMS = "92_brainRDMs.mat"
SUPPLEMENT = "Kriegeskorte_Neuron2008_supplementalData.mat"
SHA256 = {
    RDMS: "1743f90a15e895798a94318649e80e1123a7e5943a1703fa1dd7c31ea5780b7c",
    SUPPLEMENT: "06f21214399a5d43dc264eed19a7f4b8daf11c8622a59eec3e106064ce5e3504",
}
LICENSE = "MIT (rsatoolbox, demos/92imageData); pictures and matrices: cite the paper"
CITATION = (
    "Kriegeskorte, Mur, Ruff, Kiani, Bodurka, Esteky, Tanaka & Bandettini (2008). Matching "
    "categorical object representations in inferior temporal cortex of man and monkey. Neuron 60, "
    "1126-1141."
)
OBJECTS = 92
SIDE = 175  # pixels
_HOW = "take it from github.com/rsagroup/rsatoolbox, folder demos/92imageData"


@dataclass(frozen=True)
class Session:
    """One subject's dissimilarities of one session, (object, object)."""

    subject: str
    session: str
    matrix: NDArray[np.float64]


@dataclass(frozen=True)
class Pictures:
    """The objects in their published order.

    Attributes
    ----------
    images : ndarray of uint8, shape (object, y, x, 3)
    category : tuple of str
    human_it : ndarray of float64, shape (pair i < j,)
        Mean human dissimilarities, published with the pictures.
    """

    images: NDArray[np.uint8]
    category: tuple[str, ...]
    human_it: NDArray[np.float64]


def read_sessions(folder: str, *, verify: bool) -> list[Session]:
    """Read the dissimilarities of every subject and session.

    Raises
    ------
    DataError
        The file is missing, another one, or not of this form.
    """
    path, content = _load(folder, RDMS, verify)
    found = []
    for entry in _field(content, "RDMs", path).ravel():
        words = [part.strip() for part in str(_field(entry, "name", path).item()).split("|")]
        matrix = np.asarray(_field(entry, "RDM", path), dtype=np.float64)
        if len(words) != 3 or matrix.shape != (OBJECTS, OBJECTS):
            raise DataError(
                f"an entry '{' | '.join(words)}' of shape {matrix.shape}",
                where=str(path),
                fix=f"expected 'region | subject | session' and {OBJECTS} x {OBJECTS}; {_HOW}",
            )
        found.append(Session(words[1], words[2], matrix))
    return found


def read_pictures(folder: str, *, verify: bool) -> Pictures:
    """Read the pictures, their categories and the mean human dissimilarities.

    Raises
    ------
    DataError
        As in `read_sessions`.
    """
    path, content = _load(folder, SUPPLEMENT, verify)
    entries = _field(content, "stimuli_92objs", path).ravel()
    images = [np.asarray(_field(entry, "image", path)) for entry in entries]
    kinds = {(image.shape, image.dtype.str) for image in images}
    if len(images) != OBJECTS or kinds != {((SIDE, SIDE, 3), "|u1")}:
        raise DataError(
            f"{len(images)} pictures of shapes and types {sorted(kinds)}",
            where=str(path),
            fix=f"expected {OBJECTS} of {SIDE} x {SIDE} x 3 bytes; {_HOW}",
        )
    category = tuple(str(_field(entry, "category", path).item()) for entry in entries)
    published = {
        str(_field(entry, "name", path).item()): np.asarray(_field(entry, "RDM", path))
        for entry in _field(content, "RDMs_mIT_hIT_fig1", path).ravel()
    }
    human = [matrix for name, matrix in published.items() if name.startswith("hIT")]
    if len(human) != 1 or human[0].size != OBJECTS * (OBJECTS - 1) // 2:
        raise DataError(f"matrices {sorted(published)}", where=str(path), fix=_HOW)
    return Pictures(np.stack(images), category, human[0].ravel().astype(np.float64))


def _load(folder: str, name: str, verify: bool) -> tuple[Path, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = Path(os.path.expandvars(folder)).expanduser() / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"file cannot be read: {error.strerror}",
            where=str(path),
            fix=f"give the folder with `--set datasets.<name>.options.data=DIR`; {_HOW}",
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if verify and digest != SHA256[name]:
        raise DataError(
            f"not the published file: SHA-256 {digest[:12]}, expected {SHA256[name][:12]}",
            where=str(path),
            fix=_HOW,
        )
    try:
        return path, loadmat(path)
    except (MatReadError, ValueError, NotImplementedError, TypeError) as error:
        raise DataError(f"no MATLAB 5 file ({error})", where=str(path), fix=_HOW) from None


def _field(value: Any, name: str, path: Path) -> Any:
    names = value if isinstance(value, dict) else (value.dtype.names or ())
    if name not in names:
        raise DataError(f"no field '{name}'", where=str(path), fix=_HOW)
    return value[name]


SUBJECTS = ("BE", "KO", "SN", "TI")
REGION = "IT"
_TOLERANCE = 1e-5  # single precision


@dataclass(frozen=True, kw_only=True)
class Rsa92Reader:
    """92 pictures of objects, 4 people, dissimilarities (1 - Pearson r) of bilateral IT.

    There are no responses: each subject has a matrix (object, object), the mean of two sessions,
    and the metrics are those of representational similarity analysis.

    Parameters
    ----------
    name : str
        Name of the data set in the study.
    data : str
        Directory of the two files; ``~`` and environment variables are expanded.
    verify : bool
        Compare each file with its published SHA-256.

    References
    ----------
    Kriegeskorte et al., Neuron 60 (2008) 1126-1141.
    """

    name: str = "rsa92"
    data: str = "data/rsa92"
    verify: bool = True

    modality: ClassVar[str] = "vision"
    design: ClassVar[Design] = "items"
    kind: ClassVar[Kind] = "dissimilarities"
    simulated: ClassVar[bool] = False
    location_options: ClassVar[frozenset[str]] = frozenset({"data"})
    file_options: ClassVar[frozenset[str]] = frozenset()
    stimuli_of_subjects: ClassVar[bool] = False

    def stimuli(self) -> StimulusSet:
        """Read the pictures.

        Returns
        -------
        StimulusSet
            Ids ``object01`` to ``object92``, the published order, on a grey background.

        Raises
        ------
        DataError
            The file is missing or another one.
        """
        return StimulusSet(
            name=self.name,
            modality=self.modality,
            design="items",
            ids=_ids(),
            images=self._pictures.images,
        )

    def subjects(self) -> tuple[str, ...]:
        """The four people."""
        return SUBJECTS

    def regions(self) -> tuple[Region, ...]:
        """Inferior temporal cortex of both hemispheres together."""
        return (Region(REGION, "", "", float("nan")),)

    def responses(self, subject: str) -> Responses:
        """Read a subject's dissimilarities, the mean of the sessions.

        Parameters
        ----------
        subject : str
            ``BE``, ``KO``, ``SN`` or ``TI``.

        Returns
        -------
        Responses
            Of kind ``dissimilarities``. Ceilings in r^2 units are those of responses, and NaN
            here: what a model can reach is bounded by the agreement of subjects.

        Raises
        ------
        UnknownKeyError
            No such subject.
        DataError
            A file is missing, another one or malformed, a session is missing, or the matrices
            are not of the pictures.
        """
        if subject not in SUBJECTS:
            raise UnknownKeyError(
                f"unknown subject '{subject}'",
                where=f"data set '{self.name}'",
                fix=did_you_mean(subject, SUBJECTS),
            )
        matrix = np.mean([one.matrix for one in self._sessions if one.subject == subject], axis=0)
        return Responses(
            dataset=self.name,
            subject=subject,
            design="items",
            data=matrix.astype(np.float32),
            region=np.full(OBJECTS, REGION),
            noise_ceiling=np.full(OBJECTS, np.nan),
            stimulus_id=_ids(),
            kind="dissimilarities",
            attrs={
                "license": LICENSE,
                "citation": CITATION,
                "dissimilarity": "1 - Pearson r",
                "sessions": sum(one.subject == subject for one in self._sessions),
                "description": "Dissimilarities of bilateral IT, mean of two sessions.",
            },
        )

    @cached_property
    def _pictures(self) -> Pictures:
        return read_pictures(self.data, verify=self.verify)

    @cached_property
    def _sessions(self) -> list[Session]:
        sessions = read_sessions(self.data, verify=self.verify)
        where = f"data set '{self.name}'"
        counts = {who: sum(one.subject == who for one in sessions) for who in SUBJECTS}
        if len(set(counts.values())) != 1 or sum(counts.values()) != len(sessions):
            told = ", ".join(f"{who} {number}" for who, number in counts.items())
            raise DataError(
                f"subjects with unequal or unknown sessions ({told}; {len(sessions)} in all)",
                where=where,
                fix="use the published file: means over more sessions are less noisy",
            )
        self._check_order(sessions, where)
        return sessions

    def _check_order(self, sessions: list[Session], where: str) -> None:
        """Refuse matrices of other pictures, or of another order.

        The files share no ids. The mean of all matrices is published with the pictures, in their
        order: only the right join reproduces it.
        """
        pairs = np.triu_indices(OBJECTS, 1)
        mean: NDArray[np.float64] = np.mean([one.matrix for one in sessions], axis=0)[pairs]
        published = self._pictures.human_it
        apart = np.abs(np.corrcoef(mean, published)[0, 1] - 1.0)
        if not apart < _TOLERANCE:
            raise DataError(
                "the mean of the matrices is not the one that is published with the pictures "
                f"(r = {1 - apart:.3f})",
                where=where,
                fix="matrices and pictures must be of the same objects in the same order",
            )


def _ids() -> NDArray[np.str_]:
    return np.array([f"object{number:02d}" for number in range(1, OBJECTS + 1)])

"""Reader of the 92 objects: pictures, and dissimilarities in human inferior temporal cortex."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from convergent.brains._types import Design, Kind, Region, Responses, StimulusSet
from convergent.brains.rsa92._files import (
    CITATION,
    LICENSE,
    OBJECTS,
    Pictures,
    Session,
    read_pictures,
    read_sessions,
)
from convergent.errors import DataError, UnknownKeyError, did_you_mean

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

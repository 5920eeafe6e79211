"""Reader of the Alice data set: words in time, and region time courses of each listener."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray
from pydantic import Field

from convergent.brains.alice import files as _signal
from convergent.brains.alice.files import (
    CITATION,
    COMMIT,
    LICENSE,
    TEXTGRID,
    Folder,
    motion_file,
)
from convergent.brains.noise import leave_one_subject_out_ceiling, split_half_ceiling
from convergent.brains.textgrid import read_textgrid
from convergent.brains.types import Design, Nuisance, Region, Responses, StimulusSet
from convergent.errors import DataError, UnknownKeyError, did_you_mean

VOLUMES = 362
DROPPED = 10  # initial volumes missing from the time courses but present in the motion files
TR = 2.0
START = DROPPED * TR
WORDS = 2127
REGIONS = ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG")
SUBJECTS = tuple(f"s{number}" for number in (18, 22, 23, 24, 26, 28, 30, 31, *range(35, 54)))
UNUSABLE = {"s33": "its published time courses are zero everywhere"}
GROUP = "group"
HALVES = 200  # random halvings of the listeners, for the reliability of their average
NUISANCE = ("word_rate", "sound_power", "motion", "position")
_PAUSES = ("", "sp")  # labels of the TextGrid that are no words

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AliceReader:
    """Chapter 1 of Alice in Wonderland: 2,127 words, 27 listeners, 6 regions, 362 volumes.

    Each time course is filtered and standardised over the run. Standardising moves and scales a
    target as a whole, to which correlation and R^2 of a ridge with intercept are blind, so it
    carries nothing from test to training volumes; the filter's cosines are fixed in advance.

    Words are given as the TextGrid spells them: with their capitals, without punctuation, and with
    clitics as words of their own (``what``, ``'s``). They are not lowered: lower case would be
    unnatural for cased models (``i``), and uncased models lower their input themselves.

    Parameters
    ----------
    name : str
        Name of the data set in the study.
    data : str
        Directory with ``alice_data_shared`` and ``alice_stim_shared``; ``~`` and environment
        variables are expanded.
    roi_radius : {"6mm", "10mm"}
        Radius of the spheres. 6 mm is the default: listeners agree better there in every
        region (leave-one-out r .21 to .41, against .18 to .38 for 10 mm).
    high_pass : float or None
        Longest period kept, in seconds (cosine filter as in SPM); None removes the mean alone.
    regress : tuple of {"motion"}
        Nuisance removed in the same fit as the slow drifts.
    standardise : bool
        Scale each time course to unit variance over the run.
    verify : bool
        Compare each file with its published SHA-256.

    References
    ----------
    Brennan et al. (2016), Brain and Language 157-158, 81-94. Data: CC BY 4.0.
    """

    name: str = "alice"
    data: str = "data/alice"
    roi_radius: Literal["6mm", "10mm"] = "6mm"
    high_pass: Annotated[float, Field(ge=4 * TR)] | None = 128.0
    regress: tuple[Literal["motion"], ...] = ()
    standardise: bool = True
    verify: bool = True

    modality: ClassVar[str] = "language"
    design: ClassVar[Design] = "story"
    simulated: ClassVar[bool] = False
    location_options: ClassVar[frozenset[str]] = frozenset({"data"})
    file_options: ClassVar[frozenset[str]] = frozenset()
    stimuli_of_subjects: ClassVar[bool] = False
    unusable: ClassVar[dict[str, str]] = UNUSABLE
    aggregates: ClassVar[tuple[str, ...]] = (GROUP,)
    nuisance_names: ClassVar[tuple[str, ...]] = NUISANCE

    def stimuli(self) -> StimulusSet:
        """Read the words.

        Returns
        -------
        StimulusSet
            Ids ``w0001`` to ``w2127`` in order of time; times in seconds of the recording, of
            which the first 20 are silent.

        Raises
        ------
        DataError
            The TextGrid is missing, malformed, changed or has another number of words.
        """
        path = self._folder.file(TEXTGRID)
        spoken = [
            label
            for label in read_textgrid(path).tier("word").intervals
            if label.text.strip() not in _PAUSES
        ]
        if len(spoken) != WORDS:
            raise DataError(
                f"{len(spoken)} words, expected {WORDS}",
                where=str(path),
                fix="use the published TextGrid",
            )
        return StimulusSet(
            name=self.name,
            modality=self.modality,
            design="story",
            ids=np.array([f"w{number:04d}" for number in range(1, len(spoken) + 1)]),
            texts=tuple(label.text.strip() for label in spoken),
            onset=np.array([label.start for label in spoken]),
            offset=np.array([label.end for label in spoken]),
        )

    def subjects(self) -> tuple[str, ...]:
        """The 27 usable listeners; ``group``, their average, is no subject and not among them."""
        return SUBJECTS

    def regions(self) -> tuple[Region, ...]:
        """The six spheres.

        The authors name no networks, and all six are associative: ``order`` is unknown (NaN).
        """
        return tuple(Region(name, name[0], "", float("nan")) for name in REGIONS)

    def responses(self, subject: str) -> Responses:
        """Read the time courses of a listener, or the average of all.

        Parameters
        ----------
        subject : str
            ``s18`` ... ``s53``, or ``group``: the mean of all 27 standardised listeners.

        Returns
        -------
        Responses
            362 volumes of 6 regions; volume 0 begins at 20 s of the recording. The noise ceiling
            of a listener is the squared correlation with the mean of all others (0 when negative):
            a lower bound, as it counts only what people share. That of ``group`` is its split-half
            reliability. `nuisance` comes with them.

        Raises
        ------
        UnknownKeyError
            No such listener.
        DataError
            The listener is unusable, or a file is missing, malformed, changed or not finite.
        """
        if subject == GROUP:
            data = self._standardised.mean(axis=0)
            ceiling = split_half_ceiling(self._standardised, halves=HALVES)
            if self.standardise:
                data = _signal.standardise(data)
        else:
            self._check(subject)
            data = self._time_courses(subject)
            others = leave_one_subject_out_ceiling(self._standardised)
            ceiling = others[SUBJECTS.index(subject)]
        return Responses(
            dataset=self.name,
            subject=subject,
            design="story",
            data=data.astype(np.float32),
            region=np.array(REGIONS),
            noise_ceiling=ceiling,
            tr=TR,
            start=START,
            nuisance=self.nuisance(subject),
            attrs={
                "license": LICENSE,
                "citation": CITATION,
                "source_commit": COMMIT,
                "roi_radius": self.roi_radius,
                "high_pass_s": self.high_pass,
                "regress": list(self.regress),
                "standardise": self.standardise,
                "noise_ceiling": "split-half" if subject == GROUP else "leave-one-subject-out",
            },
        )

    def nuisance(self, subject: str) -> Nuisance:
        """Read what else goes on during the scan, filtered as the time courses are.

        Parameters
        ----------
        subject : str
            ``s18`` ... ``s53``, or ``group``: the mean of all listeners' standardised regressors.
            Their average response holds the motion that they share, which is what is locked to
            the story.

        Returns
        -------
        Nuisance
            ``word_rate`` and ``sound_power``, as published, convolved with a haemodynamic
            response; ``motion``, six parameters; ``position``, three Legendre polynomials of
            story time. All are in the time of the responses, and none is delayed.

        Raises
        ------
        UnknownKeyError
            No such listener.
        DataError
            As in `responses`.
        """
        if subject == GROUP:
            columns = np.mean([_signal.standardise(self._nuisance(who)) for who in SUBJECTS], 0)
        else:
            self._check(subject)
            columns = self._nuisance(subject)
        drifts = _signal.cosine_drifts(VOLUMES, TR, self.high_pass)
        rate, power, motion = np.split(_signal.remove(drifts, columns), [1, 2], axis=1)
        # not filtered: they are what is left of slow drifts, if anything is
        time = legvander(np.linspace(-1, 1, VOLUMES), 3)[:, 1:].astype(np.float64)
        blocks: tuple[Array, ...] = (rate, power, motion, time)
        return Nuisance.of(dict(zip(NUISANCE, blocks, strict=True)))

    def _nuisance(self, subject: str) -> Array:
        """Word rate, sound power and six of motion, as published, (sample, 8)."""
        prefix = f"alice_data_shared/{subject}"
        return np.hstack(
            [
                self._folder.matrix(f"{prefix}-rate.txt", (VOLUMES, 1)),
                self._folder.matrix(f"{prefix}-sndpwr.txt", (VOLUMES, 1)),
                self._motion(subject),
            ]
        )

    def _motion(self, subject: str) -> Array:
        published: Array = self._folder.matrix(motion_file(subject), (DROPPED + VOLUMES, 6))
        return published[DROPPED:]

    @cached_property
    def _folder(self) -> Folder:
        return Folder(self.data, dataset=self.name, verify=self.verify)

    @cached_property
    def _standardised(self) -> Array:
        """All listeners, shape (subject, sample, target); a person's scale must not be a weight."""
        return np.stack([_signal.standardise(self._time_courses(subject)) for subject in SUBJECTS])

    def _time_courses(self, subject: str) -> Array:
        path = f"alice_data_shared/{self.roi_radius}/{subject}-timecourses.txt"
        raw = self._folder.matrix(path, (VOLUMES, len(REGIONS)))
        dead = ~np.isfinite(raw).all(axis=0) | (np.ptp(raw, axis=0) == 0)
        if dead.any():
            names = ", ".join(np.array(REGIONS)[dead])
            raise DataError(
                f"constant or non-finite time courses in {names}",
                where=f"{self._folder.path / path}, subject '{subject}'",
                fix="use the published file",
            )
        nuisance = _signal.cosine_drifts(VOLUMES, TR, self.high_pass)
        if "motion" in self.regress:
            nuisance = np.hstack([nuisance, self._motion(subject)])
        data = _signal.remove(nuisance, raw)
        return _signal.standardise(data) if self.standardise else data

    def _check(self, subject: str) -> None:
        where = f"data set '{self.name}'"
        if subject in UNUSABLE:
            raise DataError(
                f"subject '{subject}' cannot be used: {UNUSABLE[subject]}",
                where=where,
                fix="leave the subject out",
            )
        if subject not in SUBJECTS:
            raise UnknownKeyError(
                f"unknown subject '{subject}'", where=where, fix=did_you_mean(subject, SUBJECTS)
            )

"""Reader of a data set that one file describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from convergent.brains.custom import ceilings as _ceilings
from convergent.brains.custom.arrays import (
    Samples,
    Structure,
    averaged,
    open_samples,
    standardised,
    wanted_targets,
)
from convergent.brains.custom.ceilings import (
    Shown,
    scored_items,
    shared_ceilings,
    usable_targets,
)
from convergent.brains.custom.config import OwnConfig, found, read_own
from convergent.brains.custom.regions import described, target_regions
from convergent.brains.custom.stimuli import Text, read_stimuli
from convergent.brains.items import align
from convergent.brains.types import Design, Region, Responses, StimulusSet
from convergent.errors import DataError, UnknownKeyError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class OwnData:
    """A data set of one's own: stimuli, responses, regions and ceilings as one YAML file says.

    Parameters
    ----------
    file : str
        The YAML file; paths in it are relative to it.
    name : str
        Name of the data set in the study.
    """

    file: str
    name: str = "own"

    simulated: ClassVar[bool] = False
    location_options: ClassVar[frozenset[str]] = frozenset()
    file_options: ClassVar[frozenset[str]] = frozenset({"file"})
    stimuli_of_subjects: ClassVar[bool] = False

    @property
    def modality(self) -> str:
        """As the file says."""
        return self.config.modality

    @property
    def design(self) -> Design:
        """As the file says."""
        return self.config.design

    @cached_property
    def config(self) -> OwnConfig:
        """The checked file."""
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[OwnConfig, Path]:
        return read_own(self.file)

    @property
    def _folder(self) -> Path:
        return self._read[1]

    def stimuli(self) -> StimulusSet:
        """Read the stimuli; see `read_stimuli`."""
        return self._stimuli

    @cached_property
    def _stimuli(self) -> StimulusSet:
        return read_stimuli(self.name, self.config, self._folder)

    def subjects(self) -> tuple[str, ...]:
        """Those that the file lists, or else those whose files are there.

        Raises
        ------
        DataError
            None is listed and no file is there.
        """
        listed = self.config.subjects or tuple(
            found(self._folder, self.config.responses.files, "subject")
        )
        if not listed:
            raise DataError(
                "no file of any subject",
                where=str(self._folder / self.config.responses.files),
                fix="check responses.files, with {subject} where the subject stands, or list "
                "subjects",
            )
        return listed

    def samples(self, subject: str) -> Samples:
        """Open a subject's files; nothing is averaged or left out."""
        if subject not in self.subjects():
            raise UnknownKeyError(
                f"unknown subject '{subject}'",
                where=f"data set '{self.name}'",
                fix=did_you_mean(subject, self.subjects()),
            )
        return open_samples(self.config, self._folder, subject)

    def target_regions(
        self, subject: str, targets: int, structures: Sequence[Structure] | None = None
    ) -> Text:
        """Region of each of a subject's targets; empty outside all.

        Where structures are given, labels must lie in the hemisphere that those say.

        Raises
        ------
        DataError
            Another number of labels than targets, or no target in any region.
        """
        names = target_regions(self.config, self._folder, subject, structures)
        if names is None:
            return np.full(targets, self.config.regions.whole)
        where = f"data set '{self.name}', subject '{subject}'"
        if names.size != targets:
            raise DataError(
                f"{names.size} region labels for {targets} targets",
                where=where,
                fix="give one label a target, in the order of the targets",
            )
        if not (names != "").any():
            raise DataError("no target lies in a region", where=where, fix="check regions")
        return names

    def regions(self) -> tuple[Region, ...]:
        """The regions of all subjects, with what is known of them."""
        names: dict[str, None] = {}
        for subject in self._labelled_subjects():
            labels = target_regions(self.config, self._folder, subject)
            whole = [str(self.config.regions.whole)]
            found_here = whole if labels is None else dict.fromkeys(labels.tolist())
            names |= dict.fromkeys(name for name in found_here if name)
        return described(self.config, self._folder, list(names))

    def _labelled_subjects(self) -> tuple[str, ...]:
        said = self.config.regions
        patterns = [text for text in (said.labels, said.image, self.config.responses.mask) if text]
        own = any("{subject}" in text for text in patterns)
        return self.subjects() if own else self.subjects()[:1]

    def responses(self, subject: str) -> Responses:
        """Read a subject's responses to the regions' targets; repeats are averaged.

        Returns
        -------
        Responses
            Items in order of their ids.

        Raises
        ------
        DataError, IdError, NumericalError
            The files are missing or do not belong together, ids are unknown, values are missing.
        UnknownKeyError
            No such subject.
        """
        samples = self.samples(subject)
        targets = samples.shape[1]
        region = self.target_regions(subject, targets, samples.structures)
        shown = self._shown(samples, subject)
        repeats, tested = shown.repeats, shown.repeats[shown.scored]
        said = self.config.responses
        rows = repeats.size
        data = np.empty((rows, targets), dtype=np.float32)
        ceiling = np.full(targets, np.nan)
        source = self.config.ceilings.source
        if source != "none" and not tested.size:
            raise DataError(
                "no noise ceiling without responses to stimuli of the test side of the split",
                where=f"data set '{self.name}', subject '{subject}'",
                fix="leave the subject out, or give 'ceilings: {from: none}'",
            )
        drift = np.full(targets, np.nan)
        kept = region != ""
        for start, stop in samples.blocks():
            block, usable = self._read_targets(samples, start, stop)
            kept[start:stop] &= wanted_targets(block, said.drop)
            usable &= kept[start:stop]
            if source in ("repeats", "split-half") and usable.any():
                assert samples.ids is not None
                drift[start:stop][usable] = _ceilings.between_sessions(
                    block[:, usable], samples.session
                )
                ceiling[start:stop][usable] = _ceilings.of_block(
                    source, block[:, usable], samples.ids, shown.scored[shown.member]
                )
            data[:, start:stop] = averaged(block, shown.member, repeats)
        if source == "file":
            ceiling = self._given(subject, targets, tested)
        if source == "subjects":
            ceiling = self._shared[subject]
        if not kept.any():
            raise DataError("no target is left", where=samples.where, fix="drop less")
        return Responses(
            dataset=self.name,
            subject=subject,
            design=self.design,
            data=data[:, kept],
            region=region[kept],
            noise_ceiling=ceiling[kept],
            stimulus_id=shown.items,
            tr=said.tr,
            start=said.start,
            attrs={
                "citation": self.config.citation,
                "license": self.config.license,
                "noise_ceiling": source,
                "repeats": [int(repeats.min()), int(repeats.max())],
                "repeats_scored": [int(tested.min()), int(tested.max())] if tested.size else None,
                "targets_left_out": int(targets - kept.sum()),
                "between_sessions": None if np.isnan(drift).all() else float(np.nanmedian(drift)),
            },
        )

    def _read_targets(
        self, samples: Samples, start: int, stop: int
    ) -> tuple[np.ndarray, NDArray[np.bool_]]:
        """Targets of all samples as they are scored, and which of them can have a ceiling."""
        block = samples.targets(start, stop)
        if self.config.responses.standardise != "session":
            return block, usable_targets(block, None)
        usable = usable_targets(block, samples.session)
        return standardised(block, samples.session), usable

    def _shown(self, samples: Samples, subject: str) -> Shown:
        """What the samples answer, and which of it is scored."""
        if samples.ids is None:
            count = samples.shape[0]
            once = np.ones(count, dtype=np.intp)
            return Shown(None, np.arange(count), once, once.astype(bool))
        items, member, repeats = np.unique(samples.ids, return_inverse=True, return_counts=True)
        where = f"data set '{self.name}', subject '{subject}'"
        stimuli = self.stimuli()
        align(stimuli.answered, items, require_all=False, where=where)
        return Shown(items, member, repeats, scored_items(items, stimuli))

    def _given(self, subject: str, targets: int, repeats: np.ndarray) -> np.ndarray:
        ceiling = _ceilings.given(self.config, self._folder, subject, repeats)
        if ceiling.shape != (targets,):
            raise DataError(
                f"{ceiling.size} ceilings for {targets} targets",
                where=f"data set '{self.name}', subject '{subject}'",
                fix="give one ceiling a target",
            )
        return ceiling

    @cached_property
    def _shared(self) -> dict[str, np.ndarray]:
        opened = {subject: self.samples(subject) for subject in self.subjects()}
        shown = {subject: self._shown(one, subject) for subject, one in opened.items()}

        def read(subject: str, start: int, stop: int) -> tuple[np.ndarray, NDArray[np.bool_]]:
            return self._read_targets(opened[subject], start, stop)

        where = f"data set '{self.name}'"
        return shared_ceilings(opened, shown, read, story=self.design == "story", where=where)

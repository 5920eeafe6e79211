"""Reader of NSD: images or their captions, and the responses of each subject."""

from __future__ import annotations

import tempfile
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from convergent.brains.nsd import files
from convergent.brains.nsd.design import (
    Design,
    check_behaviour,
    image_ids,
    read_design,
    read_stimulus_info,
)
from convergent.brains.nsd.prepare import prepare
from convergent.brains.nsd.regions import Labelling
from convergent.brains.nsd.responses import (
    Choice,
    assemble,
    compare,
    distributed,
    expected_of,
    find_sessions,
    trials_of,
)
from convergent.brains.nsd.stimuli import Captions, StimulusImages, caption_stimuli
from convergent.brains.types import Design as DesignName
from convergent.brains.types import Region, Responses, StimulusSet
from convergent.errors import ConfigError, DataError, UnknownKeyError, did_you_mean
from convergent.study import scratch_folder

Numbers = NDArray[np.int64]


class NsdReader:
    """NSD's images, and single-trial betas z-scored within sessions.

    Images are joined by their 73k id, ``nsd00001`` to ``nsd73000``. Those that all subjects saw
    are the test set, those of one subject alone train.

    Parameters
    ----------
    name : str
        Name of the data set in the study.
    subjects : tuple of str
        Subjects of the study: the stimuli are what they saw.
    data : str
        NSD's directory (``nsddata``, ``nsddata_betas``, ``nsddata_stimuli``); ``~`` and
        environment variables are expanded.
    agreement : str
        ``accepted`` by those who have signed NSD's data-use agreement.
    space : {"func1pt8mm", "fsaverage", "nativesurface"}
    betas : {"betas_fithrf_GLMdenoise_RR", "betas_fithrf", "betas_assumehrf"}
        Version 3, 2 or 1.
    betas_format : {"hdf5", "nii.gz", "mgh"}, optional
        Of those that NSD has in the space; in the volume ``hdf5`` unless said otherwise.
    atlas : str
        Whose regions are targets: ``HCP_MMP1``, ``streams``, ``nsdgeneral``, ``Kastner2015``,
        ``corticalsulc``; or what was drawn in each subject, which fsaverage has not:
        ``prf-visualrois``, ``prf-eccrois``, ``floc-faces``, ``floc-places``, ``floc-bodies``,
        ``floc-words``.
    mask : str, optional
        Another atlas, in which targets must lie as well.
    merge_hemispheres : bool
        One region of both hemispheres' areas.
    sessions : int, optional
        The first so many of each subject; all by default.
    allow_missing_sessions : bool
        Leave out sessions that are not there; the store says which.
    test : {"seen_three_times_by_all", "all_shared"}
        Shared images that test: those that every one of the eight subjects saw three times (515;
        the other shared images are then left out), or all that the subject saw.
    repeats : {"average", "single"}
        Mean over the trials of an image, or single trials.
    min_noise_ceiling : float
        Targets below are left out; never by how well a model does.
    captions : {"first", "mean", "all"}, optional
        A language data set: COCO's first caption of each image, the features' mean over its five
        captions, or all five as one text. COCO's files are in ``annotations`` of NSD's directory.
    scratch : str
        Directory for sums while sessions are read, up to 10 GB, which exists; variables such as
        ``$TMPDIR`` are those of the job. By default the study's ``resources.scratch``, or the
        system's.

    Raises
    ------
    ConfigError
        The agreement is not acknowledged, or options exclude each other.
    """

    modality: str = "vision"
    design: ClassVar[DesignName] = "items"
    simulated: ClassVar[bool] = False
    location_options: ClassVar[frozenset[str]] = frozenset({"data", "scratch"})
    file_options: ClassVar[frozenset[str]] = frozenset()
    stimuli_of_subjects: ClassVar[bool] = True

    def __init__(
        self,
        *,
        name: str = "nsd",
        subjects: tuple[str, ...] = files.SUBJECTS,
        data: str = "data/nsd",
        agreement: str = "",
        space: files.Space = "func1pt8mm",
        betas: files.Betas = "betas_fithrf_GLMdenoise_RR",
        betas_format: files.Format | None = None,
        atlas: files.Atlas = "HCP_MMP1",
        mask: files.Atlas | None = None,
        merge_hemispheres: bool = False,
        sessions: Annotated[int, Field(ge=1)] | None = None,
        allow_missing_sessions: bool = False,
        test: Literal["seen_three_times_by_all", "all_shared"] = "seen_three_times_by_all",
        repeats: Literal["average", "single"] = "average",
        min_noise_ceiling: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        captions: Captions | None = None,
        scratch: str = "",
    ) -> None:
        where = f"data set '{name}'"
        files.check_agreement(agreement, where)
        known = files.FORMATS[space]
        if betas_format is not None and betas_format not in known:
            raise ConfigError(
                f"NSD has no {betas_format} betas in {space}",
                where=where,
                fix=f"use {' or '.join(known)}, or leave options.betas_format out",
            )
        drawn = [one for one in (atlas, mask) if one in files.DRAWN]
        if drawn and space == "fsaverage":
            raise ConfigError(
                f"'{drawn[0]}' was drawn in each subject: NSD has it in func1pt8mm and "
                "nativesurface, and not on fsaverage",
                where=where,
                fix="set options.space: nativesurface, or another atlas such as streams",
            )
        self.modality = "vision" if captions is None else "language"
        self._name, self._seen_by, self._captions = name, subjects, captions
        self._folder = files.Folder(data, name)
        self._space, self._betas, self._format = space, betas, betas_format or known[0]
        self._labelling = Labelling(self._folder, space, atlas, mask, merge_hemispheres)
        self._sessions, self._allow_missing = sessions, allow_missing_sessions
        self._test, self._single = test, repeats == "single"
        self._minimum, self._scratch = min_noise_ceiling, scratch

    def subjects(self) -> tuple[str, ...]:
        """``subj01`` to ``subj08``."""
        return files.SUBJECTS

    def regions(self) -> tuple[Region, ...]:
        """Regions of the atlas, left before right."""
        return self._labelling.regions(self._seen_by[0])

    def stimuli(self) -> StimulusSet:
        """Images that the study's subjects saw, or their captions.

        Returns
        -------
        StimulusSet
            In the order of the 73k ids; images stay in NSD's file until they are asked for.

        Raises
        ------
        DataError, IdError
            The experiment's files are missing, damaged, or do not belong together.
        """
        plan = self._plan
        shown = [
            plan.shown(subject, number)
            for subject in self._seen_by
            for number in range(1, plan.completed(subject, self._sessions) + 1)
        ]
        numbers = np.unique(np.concatenate(shown))
        numbers = numbers[~np.isin(numbers, self._left_out)]
        info = read_stimulus_info(self._folder.file(files.STIMULUS_INFO), plan)
        split = np.where(np.isin(numbers, plan.shared), "test", "train")
        if self._captions is not None:
            paths = [self._folder.file(path) for path in files.CAPTIONS]
            return caption_stimuli(self._name, self._captions, paths, info, numbers, split)
        return StimulusSet(
            name=self._name,
            modality="vision",
            design="items",
            ids=image_ids(numbers),
            images=StimulusImages(self._folder.file(files.IMAGES), numbers),  # type: ignore[arg-type]
            split=split,
        )

    def responses(self, subject: str) -> Responses:
        """Read a subject's sessions in the order of their numbers.

        Parameters
        ----------
        subject : str
            ``subj01`` ... ``subj08``.

        Returns
        -------
        Responses
            Images in the order of their ids, and targets as they lie in the files (left before
            right). Large responses stay on disk. Noise ceilings are of the test images' repeats.

        Raises
        ------
        UnknownKeyError
            No such subject.
        DataError
            A file is missing, damaged, or not of this subject, space or hemisphere.
        """
        where = f"data set '{self._name}', subject '{subject}'"
        if subject not in files.SUBJECTS:
            raise UnknownKeyError(
                f"unknown subject '{subject}'",
                where=where,
                fix=did_you_mean(subject, files.SUBJECTS),
            )
        choice = Choice(self._left_out, self._single, self._minimum)
        relative = files.betas_folder(subject, self._space, self._betas)
        parts = self._labelling.parts(subject)
        hemispheres = tuple(part.hemisphere for part in parts)
        sessions = find_sessions(
            self._folder,
            relative,
            subject,
            self._plan,
            hemispheres=hemispheres,
            suffix=self._format,
            wanted=self._sessions,
            allow_missing=self._allow_missing,
        )
        trials = trials_of(self._plan, subject, sessions)
        answers = files.behaviour_file(subject)
        if self._folder.has(answers):
            check_behaviour(self._folder.file(answers), self._plan, subject)
        published = distributed(parts, self._folder, relative)
        key = f"options.scratch of data set '{self._name}'"
        scratch = scratch_folder(self._scratch, key=key) if self._scratch else tempfile.gettempdir()
        prepared = prepare(
            parts,
            trials,
            self._folder.path / relative,
            self._format,
            scratch=scratch,
            single=self._single,
            expected=None if published is None else expected_of(published, self._plan, subject),
            others=[
                self._folder.path / files.betas_folder(other, self._space, self._betas)
                for other in files.SUBJECTS
                if other != subject
            ],
        )
        attrs = {
            "license": f"NSD data-use agreement ({files.WEBSITE})",
            "citation": files.CITATION,
            "space": self._space,
            "betas": self._betas,
            "betas_format": self._format,
            "atlas": self._labelling.atlas,
            "mask": self._labelling.mask,
            "z_scored": "within sessions",
            "repeats": "single" if self._single else "average",
            "test": self._test,
            "sessions_missing": self._missing(subject, sessions),
            "ncsnr_against_distributed": compare(prepared, published, where),
        }
        return assemble(self._name, subject, self._plan, trials, prepared, parts, choice, attrs)

    def _missing(self, subject: str, sessions: tuple[int, ...]) -> list[int]:
        """Sessions that were asked for and are not there."""
        wanted = range(1, self._plan.completed(subject, self._sessions) + 1)
        return sorted(set(wanted) - set(sessions))

    @cached_property
    def _plan(self) -> Design:
        return read_design(self._folder.file(files.DESIGN))

    @cached_property
    def _left_out(self) -> Numbers:
        """Shared images that neither train nor test."""
        if self._test == "all_shared":
            return np.empty(0, dtype=np.int64)
        tested = self._plan.seen_three_times_by_all(self._sessions)
        if tested.size == 0:
            raise DataError(
                "no image was seen three times by all subjects in these sessions",
                where=f"data set '{self._name}'",
                fix="set options.test: all_shared, or read more sessions",
            )
        return np.setdiff1d(self._plan.shared, tested)

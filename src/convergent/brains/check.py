"""What a data set holds, and what is wrong with it, told all at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convergent.brains.types import DatasetReader, Region, Responses, StimulusSet
from convergent.errors import ConvergentError

_FEW = 10  # stimuli: fewer say nothing
_CLIPPED = 0.5  # share of a picture's values at the ends of their range
_DIM = 32  # of 255: an eighth of the range


@dataclass(frozen=True)
class Finding:
    """One thing to mend (error) or to know (warning)."""

    level: Literal["error", "warning"]
    text: str


@dataclass
class SubjectReport:
    """One subject's responses in numbers; what could not be counted is None.

    Attributes
    ----------
    subject : str
    samples, targets : int
        As the files have them.
    matched, unanswered, unknown : int
        Stimuli with a response, stimuli without, and ids that are no stimulus's.
    repeats : (int, int)
        Fewest and most samples of a stimulus.
    missing, constant, outside : int
        Targets with NaN or infinity, targets of one value, targets in no region.
    responses : Responses
    """

    subject: str
    samples: int | None = None
    targets: int | None = None
    matched: int | None = None
    unanswered: int | None = None
    unknown: int | None = None
    repeats: tuple[int, int] | None = None
    missing: int | None = None
    constant: int | None = None
    outside: int | None = None
    responses: Responses | None = None


@dataclass(frozen=True)
class PictureReport:
    """All pictures of a data set in numbers.

    Attributes
    ----------
    size : (int, int)
        Height and width in pixels.
    conversions : mapping of str to int
        Pictures by what was done to make them 8-bit sRGB (`convergent.brains.pictures`); empty
        where they do not come from files of their own.
    ends : (float, float)
        Share of all values that are 0, and that are 255.
    constant : tuple of str
        Pictures of one colour.
    clipped : tuple of str
        Pictures of which more than half of the values are 0 or 255, but not all: line drawings
        are so by nature, photographs that were scaled wrongly are not.
    dim : tuple of str
        Pictures whose brightest value is below 32: of few bits in files of many.
    same : tuple of tuple of str
        Ids of pictures with the same pixels.
    """

    size: tuple[int, int]
    conversions: Mapping[str, int]
    ends: tuple[float, float]
    constant: tuple[str, ...]
    clipped: tuple[str, ...]
    dim: tuple[str, ...]
    same: tuple[tuple[str, ...], ...]


@dataclass
class DatasetReport:
    """What `check_dataset` found."""

    name: str
    stimuli: StimulusSet | None = None
    pictures: PictureReport | None = None
    regions: tuple[Region, ...] = ()
    subjects: list[SubjectReport] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """What has to be mended."""
        return [finding.text for finding in self.findings if finding.level == "error"]

    @property
    def split(self) -> dict[str, int]:
        """Stimuli on each side of a fixed split; empty where there is none."""
        if self.stimuli is None or self.stimuli.split is None:
            return {}
        sides, counts = np.unique(self.stimuli.split, return_counts=True)
        return dict(zip(sides.tolist(), counts.tolist(), strict=True))

    def error(self, text: str) -> None:
        """Add something to mend, once."""
        if text not in self.errors:
            self.findings.append(Finding("error", text))

    def warn(self, text: str) -> None:
        """Add something to know."""
        self.findings.append(Finding("warning", text))


def check_dataset(
    name: str, reader: DatasetReader, subjects: Sequence[str] | None = None
) -> DatasetReport:
    """Read everything of a data set, and go on after mistakes.

    Parameters
    ----------
    name : str
        For messages.
    reader : DatasetReader
        Where it has ``samples(subject)`` (of files, before averaging), those are counted too.
    subjects : sequence of str, optional
        All that the reader has by default.

    Returns
    -------
    DatasetReport
    """
    report = DatasetReport(name)
    try:
        report.stimuli = reader.stimuli()
        if len(report.stimuli) < _FEW and report.stimuli.design == "items":
            report.warn(f"{len(report.stimuli)} stimuli only")
    except ConvergentError as error:
        report.error(str(error))
    if report.stimuli is not None and report.stimuli.images is not None:
        try:
            report.pictures = _pictures(report.stimuli)
            _judge_pictures(report, report.stimuli, report.pictures)
        except ConvergentError as error:
            report.error(str(error))
    try:
        report.regions = reader.regions()
    except ConvergentError as error:
        report.error(str(error))
    try:
        chosen = reader.subjects() if subjects is None else tuple(subjects)
    except ConvergentError as error:
        report.error(str(error))
        return report
    for subject in chosen:
        report.subjects.append(_subject(report, reader, subject))
    _between_subjects(report)
    return report


def _pictures(stimuli: StimulusSet) -> PictureReport:
    images = stimuli.images
    assert images is not None
    pieces = (images,) if isinstance(images, np.ndarray) else images.pieces()
    ids = stimuli.ids.tolist()
    seen: dict[bytes, list[str]] = {}
    ends = np.zeros(2)
    named: dict[str, list[str]] = {"constant": [], "clipped": [], "dim": []}
    number = 0
    for piece in pieces:
        for image in piece:
            name, number = ids[number], number + 1
            seen.setdefault(hashlib.sha256(image.tobytes()).digest(), []).append(name)
            share = np.array([(image == 0).mean(), (image == 255).mean()])
            ends += share
            if (image == image[0, 0]).all():
                named["constant"].append(name)
            elif _CLIPPED < share.sum() < 1:
                named["clipped"].append(name)
            if 0 < image.max() < _DIM:
                named["dim"].append(name)
    same = tuple(tuple(names) for names in seen.values() if len(names) > 1)
    return PictureReport(
        size=(images.shape[1], images.shape[2]),
        conversions=dict(stimuli.conversions),
        ends=(float(ends[0] / max(number, 1)), float(ends[1] / max(number, 1))),
        **{kind: tuple(names) for kind, names in named.items()},
        same=same,
    )


def _judge_pictures(report: DatasetReport, stimuli: StimulusSet, found: PictureReport) -> None:
    for names, what in (
        (found.constant, "are of one colour"),
        (found.clipped, "are black or white in more than half of their values"),
        (found.dim, f"have no value of {_DIM} or more: were they scaled by the wrong range?"),
    ):
        if names:
            report.warn(f"{len(names)} pictures {what}, such as '{names[0]}'")
    groups = None
    if stimuli.group is not None:
        groups = dict(zip(stimuli.ids.tolist(), stimuli.group.tolist(), strict=True))
    apart = [
        names for names in found.same if groups is None or len({groups[name] for name in names}) > 1
    ]
    if apart:
        report.warn(
            f"{sum(map(len, apart)) - len(apart)} stimuli have the picture of another, such as "
            f"{', '.join(apart[0][:3])}: give a picture one id, or its stimuli one stimuli.group, "
            "so that no split parts them"
        )


def _subject(report: DatasetReport, reader: DatasetReader, subject: str) -> SubjectReport:
    found = SubjectReport(subject)
    where = f"subject '{subject}'"
    try:
        if hasattr(reader, "samples"):
            _count_samples(report, reader, found)
        brain = reader.responses(subject)
    except ConvergentError as error:
        report.error(str(error))
        return found
    found.responses = brain
    if found.samples is None:
        found.samples, found.targets = brain.data.shape
        found.missing, found.outside = 0, 0
        found.constant = _constant(brain.data)
        if brain.stimulus_id is not None:
            _join(report, found, brain.stimulus_id)
    if found.constant:
        report.warn(
            f"{where}: {found.constant} targets are constant: they have no score (drop them)"
        )
    if found.unanswered:
        report.warn(f"{where}: {found.unanswered} stimuli have no response")
    undescribed = sorted(set(brain.region.tolist()) - {region.name for region in report.regions})
    if undescribed:
        report.error(f"{where}: region '{undescribed[0]}' is not among the data set's regions")
    ceiling = brain.noise_ceiling
    if np.isnan(ceiling).all():
        report.warn(f"{where}: no noise ceiling: scores will not be normalised")
    elif (ceiling[~np.isnan(ceiling)] < 0).any() or (ceiling[~np.isnan(ceiling)] > 1).any():
        report.error(f"{where}: noise ceilings outside 0 to 1: they are in r^2 units")
    elif np.nanmedian(ceiling) == 0:
        report.warn(f"{where}: half of the targets and more have a noise ceiling of 0")
    _sides(report, brain, where)
    return found


def _count_samples(report: DatasetReport, reader: Any, found: SubjectReport) -> None:
    """Count what the files have, before ids and values are refused."""
    samples = reader.samples(found.subject)
    found.samples, found.targets = samples.shape
    if samples.ids is not None:
        _join(report, found, samples.ids)
    found.missing = found.constant = 0
    for start, stop in samples.blocks():
        block = samples.targets(start, stop)
        finite = np.isfinite(block).all(axis=0)
        found.missing += int((~finite).sum())
        found.constant += int((block[:, finite].max(axis=0) == block[:, finite].min(axis=0)).sum())
    found.outside = int((reader.target_regions(found.subject, found.targets) == "").sum())


def _join(report: DatasetReport, found: SubjectReport, ids: NDArray[np.str_]) -> None:
    if report.stimuli is None:
        return
    shown, counts = np.unique(ids, return_counts=True)
    known = np.isin(shown, report.stimuli.answered)
    found.matched, found.unknown = int(known.sum()), int((~known).sum())
    found.unanswered = len(report.stimuli.answered) - found.matched
    found.repeats = int(counts.min()), int(counts.max())


def _constant(data: Any) -> int:
    low = high = None
    for piece in (data,) if isinstance(data, np.ndarray) else data.pieces():
        least, most = piece.min(axis=0), piece.max(axis=0)
        low = least if low is None else np.minimum(low, least)
        high = most if high is None else np.maximum(high, most)
    return int(np.count_nonzero(low == high))


def _sides(report: DatasetReport, brain: Responses, where: str) -> None:
    stimuli = report.stimuli
    if stimuli is None or stimuli.split is None or brain.stimulus_id is None:
        return
    names = stimuli.ids if stimuli.item is None else stimuli.item
    side_seen = np.asarray(stimuli.split)[np.isin(names, brain.stimulus_id)]
    for side in ("train", "test"):
        number = int(np.count_nonzero(side_seen == side))
        if number < 2:
            report.error(f"{where}: {number} stimuli on side '{side}' of the split")


def _between_subjects(report: DatasetReport) -> None:
    shapes = {len(found.responses.data) for found in report.subjects if found.responses is not None}
    if report.stimuli is not None and report.stimuli.design == "story" and len(shapes) > 1:
        report.warn(f"subjects have different numbers of volumes: {sorted(shapes)}")

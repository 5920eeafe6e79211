"""What a data set holds, and what is wrong with it, told all at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convergent.brains.types import DatasetReader, Region, Responses, StimulusSet
from convergent.errors import ConvergentError, DataError

_FEW = 10  # stimuli: fewer say nothing
_CLIPPED = 0.5  # share of a picture's values at the ends of their range
_DIM = 32  # of 255: an eighth of the range

# What no story is: words outside the scan, volumes that no word reaches (shares), words a second.
_OUTSIDE, _SILENT, _RATES = 0.10, 0.25, (0.5, 10.0)
# What may be so, and should be known.
_SOME_OUTSIDE, _SOME_SILENT = 0.01, 0.05
_DRIFT = 0.05  # share of the variance between sessions
_DELAYS = (1, 2, 3, 4)  # volumes, as fits have them by default


@dataclass(frozen=True)
class Finding:
    """One thing to mend (error) or to know (warning)."""

    level: Literal["error", "warning"]
    text: str


@dataclass(frozen=True)
class StoryTime:
    """How the words of a story and the volumes of a scan lie in time.

    Attributes
    ----------
    words, volumes : int
    span : (float, float)
        Story time in seconds of the first word's onset and the last one's offset.
    scan : (float, float)
        Story time in seconds at which the first volume begins and the last one ends.
    before : float
        Share of words (by their midpoints) before the scan; they reach it through the delays.
    lost : float
        Share of words so long before the scan that no delay reaches them.
    after : float
        Share of words after the scan.
    silent : float
        Share of volumes that no word reaches at any of the delays.
    rate : float
        Words a second, as one over the median time from onset to onset; infinite if that is 0.
    """

    words: int
    volumes: int
    span: tuple[float, float]
    scan: tuple[float, float]
    before: float
    lost: float
    after: float
    silent: float
    rate: float

    @classmethod
    def of(
        cls,
        onset: NDArray[np.float64],
        offset: NDArray[np.float64],
        *,
        n_volumes: int,
        tr: float,
        start: float,
        delays: Sequence[int] = _DELAYS,
    ) -> StoryTime:
        """Compare words, (word,) in seconds of story time, with volumes.

        Parameters
        ----------
        onset, offset : ndarray of float64, shape (word,)
        n_volumes : int
        tr, start : float
            Seconds between volumes, and story time in seconds of the first.
        delays : sequence of int
            Volumes by which fits delay the words' features.
        """
        volume = np.floor(((onset + offset) / 2 - start) / tr)
        heard = np.zeros(n_volumes, dtype=bool)
        for delay in delays:
            late = volume + delay
            heard[late[(late >= 0) & (late < n_volumes)].astype(np.intp)] = True
        return cls(
            words=int(onset.size),
            volumes=n_volumes,
            span=(float(onset.min()), float(offset.max())),
            scan=(start, start + n_volumes * tr),
            before=float((volume < 0).mean()),
            lost=float((volume < -max(delays)).mean()),
            after=float((volume >= n_volumes).mean()),
            silent=float(1.0 - heard.mean()),
            rate=word_rate(onset),
        )

    @property
    def mistakes(self) -> list[str]:
        """What cannot be: word times in other units than seconds, or from another zero."""
        found = _rate_mistakes(self.rate)
        outside = self.lost + self.after
        if outside > _OUTSIDE:
            found.append(
                f"{outside:.0%} of {self.words} words are outside the scan ({self.lost:.0%} too "
                f"early for its first volume, {self.after:.0%} after its last)"
            )
        if self.silent > _SILENT:
            found.append(f"no word reaches {self.silent:.0%} of {self.volumes} volumes")
        return found

    @property
    def doubts(self) -> list[str]:
        """What may be so, and should be known."""
        found = []
        if self.lost + self.after > _SOME_OUTSIDE:
            found.append(
                f"{self.lost:.1%} of the words are too early for the first volume and "
                f"{self.after:.1%} after the last"
            )
        if self.silent > _SOME_SILENT:
            found.append(f"no word reaches {self.silent:.1%} of the volumes")
        return found

    @property
    def times(self) -> str:
        """Both spans, for messages."""
        words, scan = (f"{low:.6g} to {high:.6g} s" for low, high in (self.span, self.scan))
        return f"words {words}, scan {scan}"


def word_rate(onset: NDArray[np.float64]) -> float:
    """Words a second: one over the median time from onset to onset; infinite if that is 0."""
    gap = float(np.median(np.diff(np.sort(onset)))) if onset.size > 1 else np.inf
    return 1.0 / gap if gap > 0 else np.inf


def _rate_mistakes(rate: float) -> list[str]:
    if _RATES[0] <= rate <= _RATES[1]:
        return []
    least, most = _RATES
    return [f"words come at a median rate of {rate:.3g} a second, not {least:g} to {most:g}"]


def refuse_word_rate(stimuli: StimulusSet) -> None:
    """Refuse words that come at a rate that no speech has, before there are any responses.

    Raises
    ------
    DataError
        Onsets in milliseconds, samples or minutes.
    """
    if stimuli.design != "story" or stimuli.onset is None or not len(stimuli):
        return
    mistakes = _rate_mistakes(word_rate(np.asarray(stimuli.onset, dtype=np.float64)))
    if mistakes:
        raise DataError(
            mistakes[0],
            where=f"data set '{stimuli.name}', story time",
            fix="give onsets and offsets in seconds",
        )


def story_time(
    stimuli: StimulusSet, brain: Responses, delays: Sequence[int] = _DELAYS
) -> StoryTime | None:
    """Compare a story's words with a subject's volumes; None for items.

    Raises
    ------
    DataError
        Words without times.
    """
    if brain.design != "story":
        return None
    if stimuli.onset is None or stimuli.offset is None or not len(stimuli):
        raise DataError(
            "words of a story without times", where=f"data set '{stimuli.name}'",
            fix="give onset and offset in seconds",
        )  # fmt: skip
    assert brain.tr is not None and brain.start is not None
    return StoryTime.of(
        np.asarray(stimuli.onset, dtype=np.float64),
        np.asarray(stimuli.offset, dtype=np.float64),
        n_volumes=len(brain.data),
        tr=brain.tr,
        start=brain.start,
        delays=delays,
    )


def refuse_story_time(found: StoryTime | None, where: str) -> None:
    """Refuse words and volumes that cannot belong together.

    Raises
    ------
    DataError
        Word times in other units than seconds or from another zero, or volumes without words.
    """
    if found is not None and found.mistakes:
        raise DataError(
            f"{'; '.join(found.mistakes)}; {found.times}",
            where=where,
            fix="give onsets and offsets in seconds, and as start the same clock's time of the "
            "first volume; leave out words and volumes of other runs",
        )


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
    story : StoryTime
        How words and volumes lie in time.
    responses : Responses
    """

    subject: str
    samples: int | None = None
    targets: int | None = None
    matched: int | None = None
    unanswered: int | None = None
    unknown: int | None = None
    repeats: tuple[int, int] | None = None
    story: StoryTime | None = None
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
    name: str,
    reader: DatasetReader,
    subjects: Sequence[str] | None = None,
    *,
    delays: Sequence[int] = _DELAYS,
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
    delays : sequence of int
        Volumes by which fits delay a story's words.

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
        _time(report, report.subjects[-1], delays)
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
    drift = brain.attrs.get("between_sessions")
    if isinstance(drift, float) and drift > _DRIFT:
        report.warn(
            f"{where}: {drift:.0%} of the variance is between sessions (median target), which the "
            "noise ceiling takes for noise or for signal: set responses.standardise: session"
        )
    _sides(report, brain, where)
    return found


def _time(report: DatasetReport, found: SubjectReport, delays: Sequence[int]) -> None:
    """Tell how words and volumes lie in time: once where it is the same for all subjects."""
    if report.stimuli is None or found.responses is None:
        return
    try:
        here = story_time(report.stimuli, found.responses, delays)
        known = {other.story for other in report.subjects}
        found.story = here
        refuse_story_time(here, f"data set '{report.name}', story time")
    except ConvergentError as error:
        report.error(str(error))
        return
    if here is not None and here not in known:
        for doubt in here.doubts:
            report.warn(f"{doubt} ({here.times})")


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

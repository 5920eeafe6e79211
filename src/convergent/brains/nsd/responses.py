"""From prepared sums to a subject's responses: which images, which targets, and what is said."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convergent.brains.nsd.design import Design, image_ids
from convergent.brains.nsd.files import Folder, Format, session_file
from convergent.brains.nsd.prepare import Agreement, Means, Prepared, Trials
from convergent.brains.nsd.regions import Part, read_map
from convergent.brains.types import Responses
from convergent.errors import DataError

log = logging.getLogger(__name__)


# Median difference that estimators and sampling alone do not make
_TOLERANCE = 0.1
# Agreement of trials with NSD's ncsnr, which is 1 in the design's order and 0 in another: the least
# of all, the least of a session as a share of all's (people tire), and what is remarked on. Surely
# below is by so many standard errors.
_LEAST, _LEAST_SESSION, _FAR, _SURE = 0.5, 1 / 3, 0.25, 4.0

Floats = NDArray[np.float64]


def ncsnr_of(noise: Floats) -> Floats:
    """sqrt(max(0, 1 - v^2)) / v of responses that are z-scored within sessions.

    Parameters
    ----------
    noise : ndarray, shape (target,)
        v^2, the mean variance within images.
    """
    with np.errstate(divide="ignore"):
        ratio: Floats = np.sqrt(np.maximum(0.0, 1.0 - noise)) / np.sqrt(noise)
    return ratio


def ceiling_of(noise: Floats, repeats: NDArray[np.intp]) -> Floats:
    """Explainable variance (r^2 units) of responses averaged over repeats.

    NC = ncsnr^2 / (ncsnr^2 + a), a = (sum_k n_k / k) / sum_k n_k, where n_k of the images that
    are scored have k trials; multiplied through by v^2, so that v = 0 needs no division.

    Parameters
    ----------
    noise : ndarray of float64, shape (target,)
        v^2.
    repeats : ndarray of int, shape (image,)
        Trials of each image that scores are computed on.

    References
    ----------
    Allen et al. (2022), Nature Neuroscience 25, 116-126, Methods ("noise ceiling estimation").
    """
    signal = np.maximum(0.0, 1.0 - noise)
    ceiling: Floats = signal / (signal + (1.0 / repeats).mean() * noise)
    return ceiling


def distributed(parts: Sequence[Part], folder: Folder, relative: str) -> Floats | None:
    """The ncsnr that NSD distributes of the targets; None without its files.

    Raises
    ------
    DataError
        A file has other targets.
    """
    theirs = []
    for part in parts:
        name = f"{part.hemisphere}.ncsnr.mgh" if part.hemisphere else "ncsnr.nii.gz"
        if not folder.has(f"{relative}/{name}"):
            return None
        values = read_map(folder.file(f"{relative}/{name}"))
        if values.shape != part.shape:
            raise DataError(
                f"ncsnr has shape {values.shape}, the labels {part.shape}",
                where=str(folder.path / relative / name),
                fix="download the file again",
            )
        theirs.append(values.ravel(order="F")[part.places])
    return np.concatenate(theirs)


def expected_of(published: Floats, design: Design, subject: str) -> Floats:
    """Explainable share of a trial's variance, of the targets that can be told from noise.

    NSD's ncsnr is of K images that were seen three times, and so its share has, where the image
    explains nothing, a standard error of 1 / sqrt(K): targets below four of them are given 0, so
    that what is left is their signal, and not the noise that made them large.

    Parameters
    ----------
    published : ndarray of float64, shape (target,)
        NSD's ncsnr; not finite where it has none.
    design : Design
    subject : str

    Returns
    -------
    ndarray of float64, shape (target,)
    """
    shown = [design.shown(subject, n) for n in range(1, design.completed(subject) + 1)]
    three = np.unique(np.concatenate(shown), return_counts=True)[1] >= 3
    squared = np.square(np.where(np.isfinite(published), published, 0.0))
    share = squared / (1 + squared)
    least = 4 / np.sqrt(max(1, int(three.sum())))
    known: Floats = np.where(share > least, share, 0.0)
    return known


def compare(
    prepared: Prepared, published: Floats | None, where: str
) -> dict[str, float | int] | None:
    """Compare with the ncsnr that NSD distributes, and refuse trials that are not the design's.

    Trials in another order than the design's, or of another subject, do not repeat: whether they
    do is tested on all trials whose image was shown in an earlier session (`Agreement`). What NSD
    distributes is a slightly different estimate from the same trials; it agrees closely, not
    exactly.

    Returns
    -------
    dict or None
        Median difference (here less NSD's) and correlation over targets, and the agreement of
        trials with its standard error and the number of trials, where there are such; None
        without NSD's ncsnr.

    Raises
    ------
    DataError
        The trials of all sessions, or of one, do not repeat as they must.
    """
    if published is None:
        return None
    found: dict[str, float | int] = {}
    ours = ncsnr_of(prepared.noise)
    both = np.isfinite(published) & np.isfinite(ours)
    if both.sum() >= 2:
        difference = float(np.median(ours[both] - published[both]))
        spread = ours[both].std() * published[both].std()
        covariance = np.cov(ours[both], published[both], ddof=0)[0, 1]
        r = float(covariance / spread) if spread > 0 else float("nan")
        found |= {"median_difference": difference, "correlation": r}
        if abs(difference) > _TOLERANCE:
            log.warning(
                "%s: ncsnr from the trials is %+.3f from NSD's own (median; correlation %.2f): "
                "fewer sessions, or other betas than it was made from?",
                where,
                difference,
                r,
            )
    if prepared.agreement:
        whole = Agreement(0, np.concatenate([one.trial for one in prepared.agreement]))
        found |= {
            "agreement": whole.share,
            "agreement_error": whole.error,
            "agreement_trials": whole.trial.size,
        }
        try:
            _check_agreement(whole, prepared.agreement, where)
        except DataError:
            prepared.rows.close()
            raise
    return found or None


def _check_agreement(whole: Agreement, sessions: Sequence[Agreement], where: str) -> None:
    """Refuse what agrees too little, surely: four standard errors from all or one session."""
    fix = (
        "the betas are not of this subject's design: check that the files are the subject's, the "
        "sessions bear their own numbers, and the experiment is of the same release"
    )
    if whole.share + _SURE * whole.error < _LEAST:
        raise DataError(
            f"trials of one image agree {whole.share:.2f} times (± {whole.error:.2f}) as much as "
            "NSD's ncsnr says",
            where=where,
            fix=fix,
        )
    for one in sessions:
        if one.share + _SURE * one.error < _LEAST_SESSION * whole.share:
            raise DataError(
                f"trials of session {one.session} agree with earlier ones of their images "
                f"{one.share:.2f} times (± {one.error:.2f}) as much as NSD's ncsnr says, and those "
                f"of all sessions {whole.share:.2f} times",
                where=where,
                fix=fix,
            )
    if abs(whole.share - 1) > max(_FAR, _SURE * whole.error):
        log.warning(
            "%s: trials of one image agree %.2f times (± %.2f) as much as NSD's ncsnr says: other "
            "betas than it was made from?",
            where,
            whole.share,
            whole.error,
        )


# Smaller responses are given in memory.
HELD_BYTES = 256 << 20


@dataclass(frozen=True)
class Choice:
    """Which images and targets a study uses.

    Attributes
    ----------
    left_out : ndarray of int
        73k ids of shared images that neither train nor test.
    single : bool
        Trials instead of means over an image's.
    minimum : float
        Noise ceiling (r^2 units) below which a target is left out.
    """

    left_out: NDArray[np.int64]
    single: bool
    minimum: float

    def repeats(self, design: Design, trials: Trials, where: str) -> NDArray[np.intp]:
        """Trials behind each response that scores are computed on.

        Raises
        ------
        DataError
            No image that tests was shown.
        """
        tested = np.isin(trials.images, np.setdiff1d(design.shared, self.left_out))
        if not tested.any():
            raise DataError(
                "no image of the test set was shown in these sessions",
                where=where,
                fix="read more sessions, or set options.test: all_shared",
            )
        repeats = trials.counts[tested]
        return np.ones_like(repeats) if self.single else repeats


def assemble(
    dataset: str,
    subject: str,
    design: Design,
    trials: Trials,
    prepared: Prepared,
    parts: Sequence[Part],
    choice: Choice,
    attrs: Mapping[str, object],
) -> Responses:
    """Choose images and targets, and give them their noise ceilings.

    The prepared rows are taken over.

    Raises
    ------
    DataError
        No target is valid and reliable enough, or no test image was shown.
    """
    where = f"data set '{dataset}', subject '{subject}'"
    try:
        ceiling = ceiling_of(prepared.noise, choice.repeats(design, trials, where))
        if np.isnan(prepared.noise).all():
            log.warning("%s: no image was repeated: there is no noise ceiling", where)
        reliable = prepared.valid.copy()
        if choice.minimum > 0:
            reliable &= ceiling >= choice.minimum  # False where it is not known
        if not reliable.any():
            raise DataError(
                f"none of {reliable.size} targets is valid in every session and has a noise "
                f"ceiling of at least {choice.minimum:g}",
                where=where,
                fix="lower options.min_noise_ceiling, or check space, atlas and betas",
            )
    except DataError:
        prepared.rows.close()
        raise
    region = np.concatenate([part.region for part in parts])
    invalid = int((~prepared.valid).sum())
    if invalid:
        names = np.unique(region[~prepared.valid]).tolist()
        log.warning(
            "%s: %d of %d targets are constant or not finite in a session, and left out (%s)",
            where, invalid, region.size, ", ".join(names[:8]) + (", ..." if names[8:] else ""),
        )  # fmt: skip
    number, counts = trials.images, trials.counts
    if choice.single:
        number = trials.number.ravel()
        counts = np.ones(number.size, dtype=np.intp)
    rows = np.flatnonzero(~np.isin(number, choice.left_out))
    means = Means(prepared.rows, counts, rows, reliable)
    data = means
    if means.nbytes <= HELD_BYTES:
        data = np.asarray(means)  # type: ignore[assignment]
        means.close()
    return Responses(
        dataset=dataset,
        subject=subject,
        design="items",
        data=data,  # type: ignore[arg-type]
        region=region[reliable],
        noise_ceiling=ceiling[reliable],
        stimulus_id=image_ids(number[rows]),
        sample_id=_trial_ids(trials)[rows] if choice.single else None,
        attrs={
            **attrs,
            "sessions": list(trials.sessions),
            "trials": int(trials.number.size),
            "trials_per_image": {
                str(k): int((trials.counts == k).sum()) for k in np.unique(trials.counts)
            },
            "targets_not_valid": invalid,
            "targets_below_noise_ceiling": int((prepared.valid & ~reliable).sum()),
            "targets": {part.hemisphere or "volume": int(part.places.size) for part in parts},
            "noise_ceiling": "ncsnr, of the test images' repeats",
        },
    )


def _trial_ids(trials: Trials) -> NDArray[np.str_]:
    """``s01t001``, by session and trial; in the order of the trials."""
    count = trials.number.shape[1]
    return np.array(
        [
            f"s{number:02d}t{trial:03d}"
            for number in trials.sessions
            for trial in range(1, count + 1)
        ]
    )


_NUMBER = re.compile(r"(?:[lr]h\.)?betas_session(\d+)\.(hdf5|nii\.gz|mgh)")


def find_sessions(
    folder: Folder,
    relative: str,
    subject: str,
    design: Design,
    *,
    hemispheres: tuple[str, ...],
    suffix: Format,
    wanted: int | None,
    allow_missing: bool,
) -> tuple[int, ...]:
    """Numbers of the sessions to read, increasing.

    Parameters
    ----------
    relative : str
        Folder of the betas.
    hemispheres : tuple of str
        ``lh`` and ``rh``, or one empty name for a volume.
    wanted : int or None
        The first so many; all that the subject completed if None.
    allow_missing : bool
        Read those that are there.

    Raises
    ------
    DataError
        A session is missing, or there are more than the subject completed.
    """
    where = str(folder.path / relative)
    needed = range(1, design.completed(subject, wanted) + 1)
    missing = [
        name
        for number in needed
        for hemisphere in hemispheres
        if not folder.has(f"{relative}/{(name := session_file(hemisphere, number, suffix))}")
    ]
    beyond = sorted(_listed(folder, relative) - set(range(1, design.completed(subject) + 1)))
    if beyond:
        raise DataError(
            f"session {beyond[0]} of {subject}, who completed {design.completed(subject)}",
            where=where,
            fix="check that the files are this subject's",
        )
    if missing and not allow_missing:
        shown = ", ".join(missing[:4]) + (", ..." if len(missing) > 4 else "")
        raise DataError(
            f"{len(missing)} files of the {len(needed)} sessions are missing: {shown}",
            where=where,
            fix="download them; or set options.sessions to read the first so many, or "
            "options.allow_missing_sessions: true",
        )
    absent = {int(_matched(name)) for name in missing}
    found = tuple(number for number in needed if number not in absent)
    if not found:
        raise DataError("there is no session", where=where, fix="check options.data")
    return found


def trials_of(design: Design, subject: str, sessions: tuple[int, ...]) -> Trials:
    """Images that sessions showed."""
    return Trials(sessions, np.stack([design.shown(subject, number) for number in sessions]))


def _listed(folder: Folder, relative: str) -> set[int]:
    """Numbers of all sessions whose files are there."""
    place = folder.path / relative
    names = [path.name for path in place.iterdir()] if place.is_dir() else []
    return {int(found[1]) for name in names if (found := _NUMBER.fullmatch(name))}


def _matched(name: str) -> str:
    found = _NUMBER.fullmatch(name)
    assert found is not None
    return found[1]

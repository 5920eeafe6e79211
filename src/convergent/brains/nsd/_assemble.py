"""From prepared sums to a subject's responses: which images, which targets, and what is said."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convergent.brains._types import Responses
from convergent.brains.nsd._ceiling import ceiling_of
from convergent.brains.nsd._design import Design, image_ids
from convergent.brains.nsd._labels import Part
from convergent.brains.nsd._prepare import Prepared, Trials
from convergent.brains.nsd._sums import Means
from convergent.errors import DataError

log = logging.getLogger(__name__)

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

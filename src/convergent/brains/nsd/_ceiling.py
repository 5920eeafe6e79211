"""Noise ceilings from repeats, and NSD's own numbers beside them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convergent.brains.nsd._files import Folder
from convergent.brains.nsd._labels import Part, read_map
from convergent.errors import DataError

log = logging.getLogger(__name__)

# Median difference that estimators and sampling alone do not make
_TOLERANCE = 0.1

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


def compare(
    noise: Floats, parts: Sequence[Part], folder: Folder, relative: str, where: str
) -> dict[str, float] | None:
    """Compare with the ncsnr that NSD distributes, and warn where they are not of the same data.

    NSD has them from images seen three times, by a slightly different estimator: they agree
    closely, not exactly.

    Returns
    -------
    dict or None
        Median difference (here less NSD's) and correlation over targets; None without a file.

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
    distributed, ours = np.concatenate(theirs), ncsnr_of(noise)
    both = np.isfinite(distributed) & np.isfinite(ours)
    if both.sum() < 2:
        return None
    difference = float(np.median(ours[both] - distributed[both]))
    spread = ours[both].std() * distributed[both].std()
    covariance = np.cov(ours[both], distributed[both], ddof=0)[0, 1]
    r = float(covariance / spread) if spread > 0 else float("nan")
    if abs(difference) > _TOLERANCE:
        log.warning(
            "%s: ncsnr from the trials is %+.3f from NSD's own (median; correlation %.2f): fewer "
            "sessions, or other betas than it was made from?",
            where,
            difference,
            r,
        )
    return {"median_difference": difference, "correlation": r}

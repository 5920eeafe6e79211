"""How each claim was tested, in words: only what this study has a table of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from convergent.statistics import MINIMUM_FAMILIES

Tables = Mapping[str, pl.DataFrame]


def claim_methods(
    statistics: Mapping[str, Any], fit: Mapping[str, Any], tables: Tables
) -> list[str]:
    """Write one paragraph a claim that the study could test.

    Parameters
    ----------
    statistics, fit : dict
        Sections of the configuration.
    tables : dict of str to DataFrame
        The study's tables; a claim without rows is left out.
    """
    draws = str(statistics.get("permutations", "?"))
    paragraphs = [_who(statistics)]
    for names, words in (
        (("correlations",), _performance(draws, str(statistics.get("bootstraps", "?")))),
        (("mixed",), _MIXED.format(draws=draws)),
        (("contamination",), _CONTAMINATION),
        (("leads",), _LEADS),
        (("region_profile",), _REGIONS.format(permutations=fit.get("permutations", "?"))),
        (("gradient",), _GRADIENT),
        (("scale_peaks", "scale_shift"), _SCALE),
        (("depth_tests",), _DEPTH),
        (("convergence",), _CONVERGENCE),
    ):
        if any(name in tables and tables[name].height for name in names):
            paragraphs.append(words)
    return [*paragraphs, f"Every draw starts from the seed {statistics.get('seed', '?')}."]


def _who(statistics: Mapping[str, Any]) -> str:
    return (
        f"Regions below a noise ceiling of {statistics.get('ceiling_threshold', '?')} (r squared) "
        "are left out. Claims are about final trained models: controls and random twins enter no "
        "correlation. Models of a family are not independent, so that families are the samples "
        "wherever an interval or a test is about models; regions, layers and scales never are."
    )


def _performance(draws: str, bootstraps: str) -> str:
    return (
        "Performance and alignment: Pearson's r over models. Its p (two-sided) and 95 % interval "
        "come from a parametric bootstrap in which performance and alignment are unrelated and "
        f"both run in families as strongly as they are seen to ({draws} draws; not tested with "
        f"fewer than {MINIMUM_FAMILIES} families). Given beside it: Spearman's rho; Fisher's "
        "interval and a permutation p as if models were independent; the interval when families "
        f"are resampled ({bootstraps} times); r given log10 parameters, given log10 width, and "
        "given both; r within families; and its range with one family left out. Networks and "
        "subjects are corrected by Benjamini-Hochberg."
    )


_MIXED = (
    "Mixed models: alignment from performance, log10 parameters and log10 width with a random "
    "intercept a family (restricted maximum likelihood), each effect tested by {draws} draws from "
    "the model without it."
)
_CONTAMINATION = (
    "Contamination: the correlation again without the models whose training data are known, or "
    "known or suspected, to hold images or captions of COCO, from which stimuli may come."
)
_LEADS = (
    "Order in training: the onset of a curve is the first log step at which a monotone fit covers "
    "10, 50 or 90 % of its own range; the lag is log10 of the onset of performance over that of "
    "alignment, positive where alignment comes first. It is compared with lags simulated from one "
    "course common to both curves, each with its own noise and checkpoints, so that unequal noise "
    "alone is not taken for a lead. Continuous measures of performance (losses, bits a byte) carry "
    "the claim; accuracies, which are thresholded, stand beside them. Granger tests and "
    "cross-correlations are shown for comparison only: they find leads where there are none."
)
_REGIONS = (
    "Regions: p values of a model come from {permutations} permutations of the stimuli a fit, of "
    "the mean over subjects, corrected over regions by Benjamini-Hochberg and by the largest "
    "region of each permutation. Intervals of regions and networks are over families."
)
_GRADIENT = (
    "Axis from the senses to association: Spearman's rho of the region profile with the regions' "
    "place on the axis. Neighbouring regions are alike in any map, so that p comes from random "
    "rotations of the axis on the sphere (spin test); intervals are jackknifed over families."
)
_SCALE = (
    "Scale: the bandwidth at which the kernel's alignment peaks, in each region, with an interval "
    "over families, and whether it can be told from a flat curve. Shift along the axis: covariance "
    "of a region's place with the centre of its curve, tested over families and against rotations "
    "of the axis; a shift needs both."
)
_DEPTH = (
    "Depth: every model's layers in 8 bins of relative depth (0 first, 1 last layer), the early "
    "half against the late half over families."
)
_CONVERGENCE = (
    "Convergence: correlation of the region profiles of two modalities at each depth, as it is and "
    "as a share of how alike the families of one modality are; trend from early to late layers by "
    "a jackknife over the families of both."
)

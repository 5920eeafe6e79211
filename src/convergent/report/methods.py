"""The methods paragraph, written from the configuration that was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from convergent.report.inputs import DatasetFacts, ReportInputs
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


def methods(inputs: ReportInputs) -> list[str]:
    """Write the methods, one paragraph a topic.

    Parameters
    ----------
    inputs : ReportInputs

    Returns
    -------
    list of str
        Plain text.
    """
    fit, statistics = inputs.section("fit"), inputs.section("statistics")
    return [
        *(_dataset(facts) for facts in inputs.datasets),
        _features(inputs.section("extraction")),
        *_metrics(inputs, fit),
        _layers(fit),
        *claim_methods(statistics, fit, inputs.tables),
    ]


def _dataset(facts: DatasetFacts) -> str:
    who = "simulated subjects" if facts.simulated else "subjects"
    what = {"items": "separate stimuli", "story": "a continuous story"}.get(
        facts.design, facts.design
    )
    stimuli = f"{facts.stimuli:,} stimuli, " if facts.stimuli else ""
    regions = f", {facts.regions} regions" if facts.regions else ""
    return (
        f"Data set {facts.name} ({facts.modality}, {what}): {stimuli}{len(facts.subjects)} {who}"
        f"{regions}. {facts.description}".strip()
    )


def _features(extraction: Mapping[str, Any]) -> str:
    projection = extraction.get("projection")
    text = (
        "Activations are read from the modules that the models table names, pooled as it says, and "
        "refused unless their width is the declared one."
    )
    if projection:
        text += (
            f" Every layer is projected to {projection} dimensions by a fixed random matrix (seed "
            f"{extraction.get('projection_seed', 0)}), so that wide layers have no advantage."
        )
    else:
        text += " Layers keep their own width; width and effective dimensionality are reported."
    return text


def _metrics(inputs: ReportInputs, fit: Mapping[str, Any]) -> list[str]:
    stories = [facts.design == "story" for facts in inputs.datasets]
    texts = [f"Alignment, where nothing else is said, is {inputs.primary}."]
    if "ridge" in (fit.get("metrics") or {"ridge": None}):
        texts.append(_encoding(fit, stories))
    return [*texts, *filter(None, [unique_words(fit), _similarities(fit, stories)])]


def unique_words(fit: Mapping[str, Any]) -> str:
    """Say what unique variance is unique beyond; empty where it was not asked for."""
    unique = (fit.get("metrics") or {}).get("unique")
    if not unique:
        return ""
    names = [*unique.get("nuisance", ()), *unique.get("baselines", ())]
    return (
        "Unique variance is the held-out R² of a ridge regression on nuisance and layer together "
        f"less that of the nuisance alone ({', '.join(names)}, as far as a data set has them): "
        "what both explain is the nuisance's. The nuisance's penalty is chosen first, by the "
        "nuisance alone, and both penalties over inner folds of the training samples. It is "
        "about 0 for a layer that adds nothing, and negative where a layer adds noise."
    )


_SELECTIONS = {
    "gcv": "generalised cross-validation on the training folds",
    "loo": "leave-one-out on the training folds",
    "folds": "{inner} inner folds (mean squared error)",
}
_METRICS = {
    "cka": "linear CKA with the unbiased HSIC estimator",
    "cka_rbf": "CKA with Gaussian kernels and the unbiased HSIC estimator, bandwidths relative to "
    "the median distance",
    "cka_biased": "linear CKA with the biased estimator, which is above 0 for unrelated data",
    "cka_rbf_biased": "CKA with Gaussian kernels and the biased estimator, which is above 0 for "
    "unrelated data",
    "rsa_pearson": "the Pearson correlation of RDMs (1 - Pearson r)",
    "rsa_spearman": "the Spearman correlation of RDMs (1 - Pearson r)",
    "rsa_cosine": "the cosine of RDMs (1 - Pearson r)",
    "rsa_whitened": "the whitened cosine of RDMs (1 - Pearson r)",
    "knn": "mutual k-nearest-neighbour alignment",
}


def _encoding(fit: Mapping[str, Any], stories: Sequence[bool]) -> str:
    grid = fit.get("alphas") or {}
    scaled = "standardisation" if fit.get("standardize", True) else "centring"
    text = (
        "Encoding models: the correlation of held-out with predicted responses of a ridge "
        f"regression per subject and target, over {fit.get('folds', '?')} folds; {scaled} and "
        "penalty are fitted on the training folds only. The penalty is chosen per target from "
        f"{grid.get('number', '?')} values between 10^{_short(grid.get('low'))} and "
        f"10^{_short(grid.get('high'))} by "
    )
    chosen = {"folds" if story else str(fit.get("selection")) for story in stories}
    inner = fit.get("inner_folds", "?")
    words = [_SELECTIONS.get(name, name).format(inner=inner) for name in sorted(chosen)]
    text += " (separate stimuli) or ".join(words) + (" (stories)." if len(words) > 1 else ".")
    if any(stories):
        delays = ", ".join(str(d) for d in fit.get("delays", ()))
        text += (
            f" For stories, features enter at delays of {delays} volumes (words heard before the "
            "first volume too), folds are contiguous, and "
            f"{fit.get('trim_volumes', '?')} volumes on each side of a test block are left out of "
            "training."
        )
    if fit.get("pca"):
        text += (
            f" Features are first reduced to {fit['pca']} principal components of each fold's "
            "training samples."
        )
    return text


def _similarities(fit: Mapping[str, Any], stories: Sequence[bool]) -> str:
    names = [name for name in fit.get("metrics") or {} if name not in ("ridge", "unique")]
    if not names:
        return ""
    listed = "; ".join(f"{name}: {_METRICS.get(name, 'a registered metric')}" for name in names)
    cut = fit.get("similarity_stimuli")
    null = f"{fit.get('permutations', '?')} permutations of the stimuli within halves"
    if any(stories):
        null += f" (of blocks of {fit.get('block', '?')} volumes for stories)"
    return (
        f"Similarity metrics: {listed}. "
        + (f"At most {cut} stimuli, drawn at random, are compared. " if cut else "")
        + "Layers are chosen on one half of the stimuli and scored on the other, and the two "
        f"scores averaged. The null are {null}, with the same choice inside each; calibrated "
        "scores are (score - mean of null) / (1 - mean of null). Their noise ceilings are the mean "
        "similarity of a subject with the mean of the others (lower) and of all (upper bound)."
    )


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else "?"


def _layers(fit: Mapping[str, Any]) -> str:
    return (
        "The best layer is chosen per model, subject and region by the training folds' own "
        "validation and scored on the held-out fold; alignment at a fixed relative depth of "
        f"{fit.get('fixed_depth', '?')} is reported beside it. Regions are masked by their noise "
        "ceiling, never by a model's score. A model's alignment is the mean over the regions kept, "
        "then over subjects."
    )

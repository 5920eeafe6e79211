"""The methods paragraph, written from the configuration that was run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._inputs import DatasetFacts, ReportInputs


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
        _encoding(fit, any(facts.design == "story" for facts in inputs.datasets)),
        _layers(fit),
        _tests(statistics, fit),
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


def _encoding(fit: Mapping[str, Any], story: bool) -> str:
    grid = fit.get("alphas") or {}
    text = (
        "Alignment is the correlation of held-out with predicted responses of a ridge encoding "
        f"model per subject and target, over {fit.get('folds', '?')} folds; standardisation and "
        "penalty are fitted on the training folds only. The penalty is chosen per target from "
        f"{grid.get('number', '?')} values between 10^{_short(grid.get('low'))} and "
        f"10^{_short(grid.get('high'))} by "
    )
    loo = fit.get("selection") == "loo"
    text += "leave-one-out" if loo else f"{fit.get('inner_folds', '?')} inner folds"
    text += "."
    if story:
        delays = ", ".join(str(d) for d in fit.get("delays", ()))
        text += (
            f" For stories, features enter at delays of {delays} volumes, folds are contiguous and "
            f"{fit.get('trim', '?')} volumes are left out at each border."
        )
    return text


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


def _tests(statistics: Mapping[str, Any], fit: Mapping[str, Any]) -> str:
    return (
        f"Regions below a noise ceiling of {statistics.get('ceiling_threshold', '?')} (r squared) "
        f"are left out. Performance and alignment are correlated over final trained models; "
        f"controls and random twins are left out. Intervals: Fisher's z, and a bootstrap of "
        f"{statistics.get('bootstraps', '?')} resamples of families; p from "
        f"{statistics.get('permutations', '?')} random orders, two-sided, counting the observed "
        f"one (seed {statistics.get('seed', '?')}). Region p values come from "
        f"{fit.get('permutations', '?')} permutations a fit, of the mean over subjects, and "
        "are corrected over regions by Benjamini-Hochberg."
    )

"""The models that stand for themselves: trained to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convergent.study._study import Study


def final_models(study: Study, dataset: str) -> list[tuple[str, str]]:
    """(model, checkpoint) of the final trained models that a data set has, sorted by key.

    Parameters
    ----------
    study : Study
    dataset : str

    Returns
    -------
    list of (str, str)
        Neither baselines nor twins with random weights; one checkpoint a model.
    """
    modality = study.dataset(dataset).modality
    return [
        (key, checkpoint.name)
        for key, model in sorted(study.models.items())
        if model.modality == modality and not model.is_control
        for checkpoint in model.checkpoints
        if checkpoint.final and checkpoint.role == "trained"
    ]


def final_scores(study: Study, dataset: str) -> list[str]:
    """Alignment stores of all layers of the final trained models."""
    return [
        study.paths.alignment(dataset, model, checkpoint, layer.name, subject)
        for model, checkpoint in final_models(study, dataset)
        for layer in study.model(model).layers
        for subject in study.dataset(dataset).subjects
    ]

"""What of a study is not there yet, and how much space it will take."""

from __future__ import annotations

from dataclasses import dataclass

from convergent.study import Study, resources
from convergent.study.estimate import estimate, features_bytes
from convergent.watch.files import Found, is_there


@dataclass(frozen=True)
class Needs:
    """Space that a study will still take.

    Attributes
    ----------
    bytes : float
        In the results folder, without stimuli and responses.
    inodes : int
        Files, folders and logs there.
    weights : float
        Bytes of weights that have no record yet.
    checkpoints : int
        That these are of.
    """

    bytes: float
    inodes: int
    weights: float
    checkpoints: int


def needs(study: Study, found: Found) -> Needs:
    """Add up what `convergent plan` counts as left, and the weights that have no record.

    Parameters
    ----------
    study : Study
    found : Found
        Files of the results folder.
    """
    left, weights, checkpoints = estimate(study).total, 0.0, 0
    for model in study.models.values():
        for checkpoint in model.checkpoints:
            path = study.paths.weights(model.key, checkpoint.name)
            if model.is_control or checkpoint.role == "random" or is_there(found, path):
                continue
            if not study.trains(model.key):
                weights += resources.weights_mb(study, model) * 1e6
                checkpoints += 1
    size = left.feature_bytes + left.alignment_bytes
    return Needs(size, left.inodes, weights, checkpoints)


def rows_of_a_job(study: Study) -> int:
    """Bytes of the rows that the largest extraction keeps in ``resources.scratch`` at a time."""
    by_layer = study.config.granularity == "layer"
    rows = (
        features_bytes(study, layers, study.dataset(dataset).stimuli)
        for model in study.models.values()
        for layers in ([[one] for one in model.layers] if by_layer else [model.layers])
        for dataset in study.datasets_of(model.key)
    )
    return max(rows, default=0)

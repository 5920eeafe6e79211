"""What of a study is not there yet, and how much space it will take."""

from __future__ import annotations

from dataclasses import dataclass

from convergent.study import Study, Unit, resources
from convergent.watch.files import Found, is_there

# An alignment store: a few hundred areas, scores, nulls and scales of some metrics. The demo's take
# 0.3 MB.
_ALIGNMENT = 300_000
_HALF = {"float16": 2, "float32": 4}


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
    """Add up what is missing: features from stimuli and widths, alignment at a flat rate.

    Notes
    -----
    A second name of an alignment store takes no space and no inode.
    """
    extraction, size, inodes, weights, checkpoints = study.config.extraction, 0.0, 0, 0.0, 0
    for model in study.models.values():
        widths = {layer.name: layer.width for layer in model.layers}
        for keys in study.members(Unit(model.key)):
            dataset = study.dataset(keys[0])
            if not is_there(found, study.paths.features(*keys)):
                width = min(widths[keys[3]], extraction.projection or widths[keys[3]])
                size += float(dataset.stimuli) * width * _HALF[extraction.store]
                inodes += 2  # and its log
            absent = sum(
                not is_there(found, study.paths.alignment(*keys, one)) for one in dataset.subjects
            )
            size += absent * _ALIGNMENT
            inodes += absent + 2 * bool(absent)  # its folder and its log
        for checkpoint in model.checkpoints:
            path = study.paths.weights(model.key, checkpoint.name)
            if model.is_control or checkpoint.role == "random" or is_there(found, path):
                continue
            if not study.trains(model.key):
                weights += resources.weights_mb(study, model) * 1e6
                checkpoints += 1
    return Needs(size, inodes, weights, checkpoints)


def rows_of_a_job(study: Study) -> float:
    """Bytes of the rows that the largest extraction keeps in ``resources.scratch`` at a time."""
    extraction, most = study.config.extraction, 0.0
    for model in study.models.values():
        widths = [min(one.width, extraction.projection or one.width) for one in model.layers]
        at_once = max(widths) if study.config.granularity == "layer" else sum(widths)
        for name in study.datasets_of(model.key):
            stimuli = study.dataset(name).stimuli
            most = max(most, float(stimuli) * at_once * _HALF[extraction.store])
    return most

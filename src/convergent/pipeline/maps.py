"""Alignment of each target (vertex, voxel) of a subject: mean and spread over models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convergent.alignment import choose_layers, mean_defined, normalise_by_ceiling
from convergent.errors import ConfigError, DataError, StoreError
from convergent.pipeline.scores import region_index
from convergent.pipeline.workers import Workers, workers
from convergent.store import Sources, Store, StoreRequest, read_store, write_store
from convergent.store.zarr_format import Arrays
from convergent.study import Study, final_models

_CHOICE = ("region_inner_r", "region_fold_r")


@dataclass(frozen=True)
class _Model:
    """One model's stores of one subject, a layer each in the order of depth."""

    model: str
    layers: tuple[StoreRequest, ...]


@dataclass(frozen=True, eq=False)
class Moments:
    """Number, mean and summed squared deviation of models' scores, by target.

    Attributes
    ----------
    models : tuple of str
        Those that are in it.
    responses : str
        Fingerprint of the responses that they were fitted to: the targets, in their order.
    described : StoreRequest
        A store that says what the targets are.
    n : ndarray of int64, shape (target,)
    mean, deviation : ndarray of float64, shape (target,)
        0 where there are none.
    """

    models: tuple[str, ...]
    responses: str
    described: StoreRequest
    n: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def write_maps(study: Study, dataset: str) -> str:
    """Write r of each target over the final trained models of a data set.

    A model's layer is chosen by training samples for each region and fold, as in the alignment
    table, and the targets of the region have the scores of that layer: the mean over a region's
    targets is the region's score in that table. Each subject has targets of their own, and an axis
    ``target_<subject>`` of ``<subject>.r_mean``, ``.r_sd`` (of a sample), ``.n``, the share of
    ``.noise_ceiling`` (``.share_mean``, ``.share_sd``), and ``.region``.

    Parameters
    ----------
    study : Study
    dataset : str

    Returns
    -------
    str
        Path of the store.

    Raises
    ------
    ConfigError
        The study fits no encoding models.
    DataError
        The data set has no final trained model, or none with scores.
    StoreError
        A store is missing, damaged, of other settings, or of other responses than the others'.
    """
    study.dataset(dataset)
    if "ridge" not in study.config.fit.metrics:
        raise ConfigError(
            "maps are of encoding models, and the study fits none",
            where=study.file,
            fix="list ridge in fit.metrics",
        )
    models = final_models(study, dataset)
    if not models:
        raise DataError("no final trained model", where=f"data set '{dataset}'")
    arrays: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "model": (("model",), np.array([model for model, _ in models]))
    }
    counted, sources = {}, Sources(study)
    with workers(study.config.aggregation, study.paths.worker_logs) as readers:
        for subject in study.dataset(dataset).subjects:
            asked = [_asked(study, sources, dataset, *model, subject) for model in models]
            found = _over_models(readers, asked, f"data set '{dataset}', subject '{subject}'")
            arrays |= _subject_arrays(study, subject, found)
            counted[subject] = list(found.models)
    request = StoreRequest.of(study, "maps", {"dataset": dataset})
    attrs = {
        **request.attrs,
        "modality": study.dataset(dataset).modality,
        "metric": "ridge_r",
        "choice": "best",
        "ceiling_threshold": study.config.statistics.ceiling_threshold,
        "models": counted,
    }
    write_store(request.path, "maps", arrays, attrs)
    return request.path


def _asked(
    study: Study, sources: Sources, dataset: str, model: str, checkpoint: str, subject: str
) -> _Model:
    keys = {"dataset": dataset, "model": model, "checkpoint": checkpoint}
    asked = [
        StoreRequest.alignments(study, {**keys, "layer": layer.name}, [subject], sources)[0]
        for layer in study.model(model).layers
    ]
    return _Model(model, tuple(one.absolute() for one in asked))


def _over_models(readers: Workers, asked: Sequence[_Model], where: str) -> Moments:
    found = readers.reduce(moments_of, asked, merge)
    if found is None:
        raise DataError("no model has scores", where=where, fix="see the coverage table")
    return found


def moments_of(asked: _Model) -> Moments | None:
    """One model's scores; None without a layer that has any."""
    read = [(one, read_store(one, wanted=lambda name, _: name in _CHOICE)) for one in asked.layers]
    layers = [(one, store) for one, store in read if store.attrs["status"] == "ok"]
    if not layers:
        return None
    made_from = {store.attrs["made_from"]["responses"]: one.where for one, store in layers}
    if len(made_from) > 1:
        raise _other_responses(*list(made_from.values())[:2])
    inner, outer = (np.stack([store[name] for _, store in layers]) for name in _CHOICE)
    score = _scores([one for one, _ in layers], choose_layers(inner, outer).layer)
    known = ~np.isnan(score)
    mean = np.where(known, score, 0.0)
    (responses,) = made_from
    return Moments(
        (asked.model,),
        responses,
        layers[0][0],
        known.astype(np.int64),
        mean,
        np.zeros_like(mean),
    )


def _scores(layers: Sequence[StoreRequest], chosen: np.ndarray) -> np.ndarray:
    """Score of each target, (target,), from the layers chosen for its region and fold."""
    needed = np.unique(chosen[chosen >= 0]).tolist()
    first = _per_target(layers[needed[0] if needed else 0])
    layer = chosen[:, region_index(first)]
    score = np.full(layer.shape, np.nan)
    for k in needed:
        store = read_store(layers[k], wanted=lambda name, _: name == "fold_r")
        mine = layer == k
        score[mine] = store["fold_r"][mine]
    return mean_defined(score, axis=0)


def _per_target(asked: StoreRequest) -> Store:
    names = ("region", "target_region", "noise_ceiling")
    return read_store(asked, wanted=lambda name, _: name in names)


def merge(parts: Sequence[Moments | None]) -> Moments | None:
    """Join moments in the order given.

    References
    ----------
    Chan, Golub & LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample
    variances, STAN-CS-79-773.
    """
    some = [part for part in parts if part is not None]
    if not some:
        return None
    total = some[0]
    for part in some[1:]:
        if part.responses != total.responses:
            raise _other_responses(f"model '{total.models[0]}'", f"model '{part.models[0]}'")
        n = total.n + part.n
        apart = part.mean - total.mean
        share = part.n / np.maximum(n, 1)
        total = Moments(
            total.models + part.models,
            total.responses,
            total.described,
            n,
            total.mean + apart * share,
            total.deviation + part.deviation + apart**2 * total.n * share,
        )
    return total


def _other_responses(one: str, other: str) -> StoreError:
    return StoreError(
        f"{one} and {other} were fitted to different responses",
        where="maps",
        fix="rerun the fits of the older one",
    )


def _subject_arrays(study: Study, subject: str, found: Moments) -> Arrays:
    described = _per_target(found.described)
    ceiling = described["noise_ceiling"]
    n = found.n
    mean = np.where(n > 0, found.mean, np.nan)
    sd = np.where(n > 1, np.sqrt(found.deviation / np.maximum(n - 1, 1)), np.nan)

    def share(values: np.ndarray) -> np.ndarray:
        # a target's ceiling is the same for all models: the mean of shares is the share of the mean
        threshold = study.config.statistics.ceiling_threshold
        return normalise_by_ceiling(values, ceiling, threshold=threshold).astype(np.float32)

    values = {
        "r_mean": mean.astype(np.float32),
        "r_sd": sd.astype(np.float32),
        "share_mean": share(mean),
        "share_sd": share(sd),
        "n": n.astype(np.int32),
        "noise_ceiling": ceiling.astype(np.float32),
        "region": described["target_region"],
    }
    return {f"{subject}.{name}": ((f"target_{subject}",), array) for name, array in values.items()}

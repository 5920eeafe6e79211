"""What the metric `unique` asks a model to add to: regressors of the data, and baselines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convergent.alignment import fir
from convergent.brains import Responses, StimulusSet, align
from convergent.errors import ConfigError, IdError
from convergent.stages.samples import Samples
from convergent.store import Store, read_store
from convergent.study import FitConfig, Study


def read_baselines(study: Study, dataset: str) -> list[Store]:
    """Feature stores of the baselines that count as nuisance for a data set.

    Raises
    ------
    StoreError
        Missing or damaged.
    """
    stores = []
    for key in study.nuisance_baselines(dataset):
        where = f"nuisance '{key[0]}' for '{dataset}'"
        stores.append(read_store(study.paths.features(dataset, *key), "features", where=where))
    return stores


def nuisance_of(
    samples: Samples,
    brain: Responses,
    stimuli: StimulusSet,
    baselines: Sequence[Store],
    config: FitConfig,
) -> np.ndarray:
    """Nuisance regressors of one subject's samples, side by side, (sample, column).

    Regressors of the data come by the rows of the responses, and are delayed where they are in
    the time of the stimulus. Baselines are joined as the features of a model are: by id, or by
    time with the same resampling and delays.

    Raises
    ------
    ConfigError
        Nothing of what `unique` names exists for this data set.
    IdError
        A baseline of another stimulus set, or without some of the items.
    """
    unique = config.unique
    assert unique is not None
    where = f"data set '{brain.dataset}', subject '{brain.subject}'"
    blocks = []
    if brain.nuisance is not None:
        chosen = brain.nuisance.only(unique.nuisance)
        values = chosen.values[samples.rows]
        blocks.append(values[:, ~chosen.delayed])
        if chosen.delayed.any():
            late = values[:, chosen.delayed]
            blocks.append(fir(late, config.delays) if samples.ids is None else late)
    for store in baselines:
        named = f"{where}, nuisance '{store.attrs['model']}'"
        if store.attrs["stimuli_sha256"] != stimuli.digest:
            raise IdError("features of another stimulus set", where=named, fix="rerun extraction")
        other = Samples.join(store, stimuli, brain, config)
        if samples.ids is None or other.ids is None:
            blocks.append(other.features)
        else:
            blocks.append(other.features[align(other.ids, samples.ids, where=named)])
    found = [block for block in blocks if block.shape[1]]
    if not found:
        raise ConfigError(
            "none of the nuisance that fit.metrics.unique names exists",
            where=where,
            fix="name regressors of the data set, or baselines of its modality",
        )
    return np.hstack(found)

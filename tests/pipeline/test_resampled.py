"""The table of resampled alignment: the choice of layers and regions of the alignment table."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from convergent.pipeline.measure import resampled
from convergent.pipeline.samples import Samples
from convergent.store import Store
from convergent.study import FitConfig

STUDY = SimpleNamespace(
    config=SimpleNamespace(
        fit=SimpleNamespace(fixed_depth=0.5), statistics=SimpleNamespace(ceiling_threshold=0.05)
    )
)
MODEL = SimpleNamespace(
    key="net",
    family="nets",
    layers=[SimpleNamespace(name=f"l{k}", depth=k / 2) for k in range(3)],
)


def stores(ceiling, boot=True):
    rng = np.random.default_rng(0)
    made = {}
    for layer in MODEL.layers:
        arrays = {
            "region_inner_r": rng.random((2, 3)),
            "region_fold_r": rng.random((2, 3)),
            "region_noise_ceiling": np.array(ceiling),
        }
        if boot:
            arrays["boot_fold_r"] = rng.random((4, 2, 3)).astype(np.float32)
        made["scenes", "step8", layer.name, "s1"] = Store("here", arrays, {}, {})
    return made


def test_resamples_use_the_layers_that_training_samples_choose_fold_by_fold():
    made = stores([0.5, 0.04, 0.3])
    best, fixed = resampled(STUDY, MODEL, made)
    layers = [made["scenes", "step8", f"l{k}", "s1"] for k in range(3)]
    expected = np.zeros(4)
    for fold in range(2):
        for region in (0, 2):  # the second is below the threshold
            k = int(np.argmax([s["region_inner_r"][fold, region] for s in layers]))
            expected += layers[k]["boot_fold_r"][:, fold, region] / 4
    np.testing.assert_allclose(best["alignment"].to_numpy(), expected, rtol=1e-6)
    middle = layers[1]["boot_fold_r"][:, :, [0, 2]].mean(axis=(1, 2))
    np.testing.assert_allclose(fixed["alignment"].to_numpy(), middle, rtol=1e-6)
    assert best["resample"].to_list() == [0, 1, 2, 3]
    assert set(best["choice"]) == {"best"} and set(fixed["choice"]) == {"fixed"}


def test_regions_without_any_ceiling_all_count_and_stores_without_resamples_give_nothing():
    made = stores([np.nan] * 3)
    assert resampled(STUDY, MODEL, made)[0]["alignment"].null_count() == 0
    assert resampled(STUDY, MODEL, stores([0.5] * 3, boot=False)) == []


@pytest.mark.parametrize("ids", [np.array(["a", "b", "c"]), None])
def test_samples_are_resampled_where_the_study_asks_for_it(ids):
    rows = np.arange(3)
    samples = Samples(np.eye(3), rows, "items" if ids is not None else "story", ids)
    assert samples.resamples(FitConfig()) is None
    found = samples.resamples(FitConfig(bootstraps=7))
    assert found is not None and found.shape == (7, 3) and (found.sum(axis=1) == 3).all()

"""Simulated data sets: the planted truth is there, roles are disjoint, everything is repeatable."""

from __future__ import annotations

import numpy as np
import pytest

from convergent.brains import DatasetReader, open_dataset
from convergent.brains.simulated import (
    SCENES,
    TOPICS,
    SimulatedScenes,
    SimulatedSentences,
    scene_tiles,
    topic_sentences,
)
from convergent.brains.simulated.low_level import gabor_energies, text_features
from convergent.brains.simulated.stimuli import ROLES
from convergent.brains.simulated.subjects import simulate, text_mixer, within_class
from convergent.errors import DataError, UnknownKeyError
from convergent.study.config import DatasetConfig

READERS = {"vision": SimulatedScenes(vertices=2), "language": SimulatedSentences(vertices=2)}
ITEMS = {"vision": scene_tiles, "language": topic_sentences}
modalities = pytest.mark.parametrize("modality", ["vision", "language"])


def share_explained(regressors: np.ndarray, data: np.ndarray) -> np.ndarray:
    """R^2 of each target, in sample, less what as many random regressors explain."""
    x = np.column_stack([np.ones(len(data)), regressors])
    residual = data - x @ np.linalg.lstsq(x, data, rcond=None)[0]
    rank = np.linalg.matrix_rank(x)
    return 1 - (residual.var(axis=0) / data.var(axis=0)) * (len(data) - 1) / (len(data) - rank)


@modalities
def test_each_region_is_driven_by_its_planted_levels(modality):
    reader, items = READERS[modality], ITEMS[modality]("stimulus")
    responses = reader.responses("sim01")
    low = within_class(
        gabor_energies(items.images).reshape(len(items), -1)
        if modality == "vision"
        else text_features(items.texts),
        items.labels,
    )
    high = np.eye(len(items.classes))[items.labels][:, 1:]
    truth = {row.region: row for row in reader.truth()}
    planted = np.array([truth[name].high_level for name in responses.region])
    ceiling, data = responses.noise_ceiling, responses.data.astype(np.float64)
    from_class = share_explained(high, data)
    from_low = share_explained(np.column_stack([high, low]), data) - from_class
    assert np.corrcoef(from_class, planted * ceiling)[0, 1] > 0.95
    driven = ceiling > 0
    assert np.abs(from_class - planted * ceiling)[driven].mean() < 0.05
    assert np.abs(from_low - (1 - planted) * ceiling)[driven].mean() < 0.07
    assert abs(from_class[~driven].mean()) < 0.02
    assert abs(from_low[~driven].mean()) < 0.02


@modalities
def test_noise_ceilings_are_the_planted_ones_up_to_the_subject(modality):
    reader = READERS[modality]
    code = np.random.default_rng(0).standard_normal((4000, 6))
    truths = [row for row in reader.truth() if row.driven][:5]
    kwargs = {"vertices": 20, "ceiling_scale": 1.0}
    mixer = text_mixer(np.random.default_rng(1).standard_normal((4000, 5)))
    data, ceiling = simulate(truths, code, mixer, seed=(0, 1), **kwargs)
    assert data.var(axis=0) == pytest.approx(np.ones(data.shape[1]), abs=0.15)
    planted = np.repeat([truth.noise_ceiling for truth in truths], 20)
    assert np.abs(ceiling / planted - 1).max() <= 0.151


@modalities
def test_low_level_signals_know_nothing_of_the_class(modality):
    items = ITEMS[modality]("stimulus")
    features = (
        gabor_energies(items.images).reshape(len(items), -1)
        if modality == "vision"
        else text_features(items.texts)
    )
    residual = within_class(features, items.labels)
    for label in range(len(items.classes)):
        assert np.allclose(residual[items.labels == label].mean(axis=0), 0, atol=1e-9)
    assert np.allclose(residual.std(axis=0), 1)


@modalities
def test_roles_share_no_stimulus(modality):
    parts = {role: ITEMS[modality](role) for role in ROLES}
    ids = [set(part.ids.tolist()) for part in parts.values()]
    assert not ids[0] & ids[1]
    assert not ids[0] & ids[2]
    assert not ids[1] & ids[2]
    contents = [
        {image.tobytes() for image in part.images} if part.images is not None else set(part.texts)
        for part in parts.values()
    ]
    assert not contents[0] & contents[1]
    assert not (contents[0] | contents[1]) & contents[2]


@modalities
def test_classes_are_balanced_where_it_counts(modality):
    number = len(SCENES) if modality == "vision" else len(TOPICS)
    for role in ("stimulus", "evaluate"):
        items = ITEMS[modality](role)
        counts = np.bincount(items.labels, minlength=number)
        assert counts.min() == counts.max()
    assert np.bincount(ITEMS[modality]("train").labels, minlength=number).min() >= 16


@modalities
def test_benchmark_halves_are_balanced_and_unseen_by_subjects(modality):
    reader = READERS[modality]
    benchmark = reader.benchmark()
    assert benchmark.stimuli.modality == modality
    for label in range(len(benchmark.classes)):
        assert benchmark.half[benchmark.labels == label].mean() == 0.5
    assert not set(benchmark.stimuli.ids) & set(reader.stimuli().ids)
    assert benchmark.chance == 1 / 16


@modalities
def test_same_seed_same_responses_and_subjects_differ(modality):
    reader = READERS[modality]
    first, again = reader.responses("sim01"), reader.responses("sim01")
    other = reader.responses("sim02")
    assert first.data.tobytes() == again.data.tobytes()
    assert reader.stimuli().digest == type(reader)().stimuli().digest
    assert (first.region == other.region).all()
    overlap = [np.corrcoef(a, b)[0, 1] for a, b in zip(first.data.T, other.data.T, strict=True)]
    assert 0.0 < np.abs(overlap).mean() < 0.5


def test_another_seed_plants_other_codes():
    one, two = SimulatedScenes(seed=1, vertices=1), SimulatedScenes(seed=2, vertices=1)
    assert not np.array_equal(one.responses("sim01").data, two.responses("sim01").data)


def test_regions_are_the_360_areas_with_networks_and_a_hierarchy():
    regions = {region.name: region for region in READERS["vision"].regions()}
    assert len(regions) == 360
    assert {region.hemisphere for region in regions.values()} == {"L", "R"}
    assert len({region.network for region in regions.values()}) == 7
    assert regions["L_V1"].network == "Visual"
    assert regions["L_TGd"].network == "Limbic"
    assert regions["L_V1"].order < regions["L_V4"].order < regions["L_TE1a"].order
    for modality in ("vision", "language"):
        assert {row.region for row in READERS[modality].truth()} == set(regions)


def test_tiles_have_one_brightness_and_contrast_and_no_colour():
    images = scene_tiles("stimulus").images.astype(float)
    assert images.shape[1:] == (48, 48, 3)
    assert (images[..., 0] == images[..., 1]).all()
    assert np.abs(images.mean(axis=(1, 2, 3)) - 127.5).max() < 15  # clipping shifts a few
    assert np.median(images[..., 0].std(axis=(1, 2))) == pytest.approx(45, abs=1)


def test_readers_are_data_set_readers_flagged_as_simulated():
    config = DatasetConfig(
        reader="simulated-scenes",
        modality="vision",
        design="items",
        subjects=("sim01",),
        options={"seed": 3, "vertices": 1},
    )
    reader: DatasetReader = open_dataset("tiles", config)
    assert reader.simulated
    assert reader.stimuli().name == "tiles"
    assert reader.responses("sim01").attrs["simulated"] is True


def test_unknown_subject_is_named():
    with pytest.raises(UnknownKeyError, match="sim99"):
        READERS["vision"].responses("sim99")


def test_missing_package_says_what_to_install():
    from convergent.brains.open import package_path

    with pytest.raises(DataError, match="pip install nowhere"):
        package_path("no_such_package", "data", "nowhere")
    with pytest.raises(DataError, match="lock file"):
        package_path("numpy", "no_such_file.bin", "numpy")

"""A division that the data set fixes is the only one; large responses are read by targets."""

from __future__ import annotations

import numpy as np
import pytest

from convergent.brains import Responses, StimulusSet
from convergent.errors import ConfigError, DataError, IdError, StoreError
from convergent.pipeline.samples import Samples
from convergent.store import Store, TargetBlocks, open_store, rows_of, write_store
from convergent.study import FitConfig

IDS = np.array([f"image{k:02d}" for k in range(20)])
SPLIT = np.where(np.arange(20) % 4 == 0, "test", "train")


def stimuli(**changed):
    given = {"images": np.zeros((20, 2, 2, 3), "u1"), "split": SPLIT}
    return StimulusSet("d", "vision", "items", IDS, **given | changed)


def join(ids, given=None, features=IDS):
    brain = Responses(
        "d", "s", "items", np.zeros((len(ids), 1)), np.array(["r"]), np.array([0.5]),
        stimulus_id=ids,
    )  # fmt: skip
    store = Store("f", {"features": np.zeros((20, 3)), "stimulus_id": features}, {}, {})
    return Samples.join(store, given or stimuli(), brain, FitConfig())


def test_there_is_one_fold_of_the_given_sides_whatever_the_row_order():
    rng = np.random.default_rng(0)
    expected = None
    for _ in range(3):
        samples = join(rng.permutation(IDS), features=rng.permutation(IDS))
        (split,) = samples.splits(FitConfig(folds=7))
        sides = samples.ids[split.train].tolist(), samples.ids[split.test].tolist()
        assert sides[1] == IDS[::4].tolist()
        assert expected in (None, sides)
        expected = sides
        inner = samples.inner_splits(FitConfig())(split.train)
        assert all(np.isin(one.test, split.train).all() for one in inner)


def test_permutations_and_drawn_parts_keep_the_sides():
    samples = join(IDS)
    for order in samples.orders(FitConfig(permutations=5)):
        np.testing.assert_array_equal(samples.side[order], samples.side)
        assert (order != np.arange(20)).any()
    some = samples.at_most(8, FitConfig())
    np.testing.assert_array_equal(some.side, SPLIT[np.searchsorted(IDS, some.ids)])


def test_splits_that_cannot_be_used_are_refused():
    with pytest.raises(ConfigError, match="15 training and 0 test samples"):
        join(IDS[SPLIT == "train"]).splits(FitConfig())
    with pytest.raises(DataError, match="split 'Test'"):
        stimuli(split=np.where(SPLIT == "test", "Test", "train"))
    with pytest.raises(IdError, match="group 'g' has stimuli on both sides"):
        stimuli(group=np.repeat("g", 20))
    with pytest.raises(IdError, match="19 split for 20"):
        stimuli(split=SPLIT[1:])
    with pytest.raises(DataError, match="split of the words of a story"):
        StimulusSet("d", "language", "story", IDS, split=SPLIT)


def test_the_split_is_no_part_of_the_stimuli():
    assert stimuli().digest == stimuli(split=None).digest


@pytest.fixture
def stored(tmp_path):
    values = np.random.default_rng(1).normal(size=(500, 9000)).astype(np.float32)
    path = tmp_path / "responses.zarr.zip"
    write_store(path, "responses", {"responses": (("stimulus", "target"), values)}, {})
    return values, open_store(path, "responses", lazy=("responses",))["responses"]


def test_blocks_of_targets_are_those_of_the_array(stored, monkeypatch):
    values, array = stored
    assert len(array.layout.members) > 1
    rows = np.random.default_rng(2).permutation(500)[:123]
    for held in (1, 1 << 20, 1 << 28):
        monkeypatch.setattr("convergent.store.on_disk._HELD_BYTES", held)
        blocks = rows_of(array, rows)
        assert isinstance(blocks, TargetBlocks) and blocks.shape == (123, 9000)
        for start, stop in ((0, 10), (10, 1034), (5, 6), (8990, 9500), (30, 30)):
            np.testing.assert_array_equal(blocks[:, start:stop], values[rows, start:stop])
    np.testing.assert_array_equal(rows_of(values, rows), values[rows])
    with pytest.raises(TypeError):
        blocks[3:5, 0:2]


def test_a_store_that_was_cut_after_it_was_opened_is_found(stored):
    _, array = stored
    blocks = rows_of(array, np.arange(500))
    content = array.path.read_bytes()
    array.path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match="shorter than when it was opened"):
        blocks[:, :10]

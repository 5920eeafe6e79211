"""Arrays larger than memory are written and read a piece at a time, and are the same arrays."""

from __future__ import annotations

import errno
import os
import tracemalloc

import numpy as np
import pytest

from convergent.brains import StimulusSet
from convergent.errors import StoreError
from convergent.store import RowFile, StoredArray, open_dataset, open_store, write_store


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("convergent.store.zarr_format._CHUNK_BYTES", 100)


def filled(folder, values, order, size=4):
    rows = RowFile(folder, values.shape, values.dtype)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        rows.write(chosen, values[chosen])
    return rows


@pytest.mark.parametrize("order", ["in order", "backwards", "shuffled"])
@pytest.mark.parametrize("shape", [(23, 7), (23, 2, 3), (1, 7), (23, 40)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_rows_written_in_any_order_give_the_bytes_of_the_array(
    tmp_path, small_chunks, order, shape, dtype
):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=shape) * 50).astype(dtype)
    orders = {"in order": np.arange(len(values)), "shuffled": rng.permutation(len(values))}
    orders["backwards"] = orders["in order"][::-1]
    dims, attrs = tuple("abc"[: len(shape)]), {"n": 1}
    write_store(tmp_path / "whole.zarr.zip", "features", {"x": (dims, values)}, attrs)
    with filled(tmp_path, values, orders[order]) as rows:
        write_store(tmp_path / "rows.zarr.zip", "features", {"x": (dims, rows)}, attrs)
        write_store(tmp_path / "again.zarr.zip", "features", {"x": (dims, rows)}, attrs)
    stores = [(tmp_path / f"{n}.zarr.zip").read_bytes() for n in ("whole", "rows", "again")]
    assert stores[0] == stores[1] == stores[2]
    np.testing.assert_array_equal(open_dataset(tmp_path / "rows.zarr.zip")["x"].values, values)


def test_a_row_may_be_written_again(tmp_path):
    with RowFile(tmp_path, (3, 2), "float32") as rows:
        rows.write(np.arange(3), np.zeros((3, 2)))
        rows.write(np.array([1]), np.ones((1, 2)))
        np.testing.assert_array_equal(rows.read(0, 3), [[0, 0], [1, 1], [0, 0]])
        with pytest.raises(ValueError, match=r"values \(1, 3\)"):
            rows.write(np.array([1]), np.ones((1, 3)))


def test_rows_leave_no_file_behind(tmp_path):
    rows = RowFile(tmp_path / "new", (3, 2), "float32")
    rows.write(np.arange(3), np.zeros((3, 2)))
    assert list((tmp_path / "new").iterdir()) == []  # a killed process leaves nothing
    rows.close()


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with RowFile(tmp_path, (3, 2), "float32") as rows, pytest.raises(StoreError, match="No space"):
        rows.write(np.arange(3), np.zeros((3, 2)))
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="rows can't be kept"):
        RowFile(tmp_path / "file" / "x", (1, 1), "float32")


def test_writing_and_reading_need_a_chunk_and_not_the_array(tmp_path):
    shape, piece = (4096, 8192), 64  # 128 MiB in chunks of 16
    path = tmp_path / "x.zarr.zip"
    tracemalloc.start()
    try:
        with RowFile(tmp_path, shape, "float32") as rows:
            for start in range(0, shape[0], piece):
                rows.write(
                    np.arange(start, start + piece), np.full((piece, shape[1]), start, "float32")
                )
            write_store(path, "features", {"x": (("a", "b"), rows)}, {})
        written = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        lazy = open_store(path, "features", lazy=("x",))["x"]
        for start in range(0, shape[0], piece):
            assert (lazy[start : start + piece] == start).all()
        read = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        open_store(path, "features")
        whole = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert written < 60 * 2**20
    assert read < 60 * 2**20
    assert whole < 128 * 2**20 + 40 * 2**20


@pytest.fixture
def stored(tmp_path, small_chunks):
    values = np.random.default_rng(0).integers(0, 256, (11, 4, 5, 3), dtype=np.uint8)
    path = tmp_path / "x.zarr.zip"
    arrays = {"images": (("a", "b", "c", "d"), values), "n": (("a",), np.arange(11))}
    write_store(path, "stimuli", arrays, {})
    return path, values


def test_stored_arrays_are_indexed_like_arrays(stored):
    path, values = stored
    store = open_store(path, "stimuli", lazy=("images",))
    lazy = store["images"]
    assert isinstance(lazy, StoredArray) and isinstance(store["n"], np.ndarray)
    assert (len(lazy), lazy.shape, lazy.dtype, lazy.ndim) == (11, values.shape, values.dtype, 4)
    assert lazy.nbytes == values.nbytes
    mask = np.arange(11) % 3 == 0
    for key in (slice(2, 9, 3), slice(None), np.array([7, 0, 7, -1]), mask, np.array([], int)):
        np.testing.assert_array_equal(lazy[key], values[key])
    for key in (0, 10, -1, np.int64(4)):
        np.testing.assert_array_equal(lazy[key], values[key])
    np.testing.assert_array_equal(np.asarray(lazy), values)
    np.testing.assert_array_equal(np.stack(list(lazy)), values)
    np.testing.assert_array_equal(np.concatenate(list(lazy.pieces())), values)
    with pytest.raises(IndexError):
        lazy[11]


def test_a_flipped_bit_is_found_when_its_chunk_is_read(stored):
    path, values = stored
    raw = bytearray(path.read_bytes())
    raw[raw.index(values[8].tobytes()) + 3] ^= 1
    path.write_bytes(raw)
    lazy = open_store(path, "stimuli", lazy=("images",))["images"]
    np.testing.assert_array_equal(lazy[:8], values[:8])
    with pytest.raises(StoreError, match=r"array 'images' .*: the store is damaged .*CRC"):
        lazy[8]


def test_a_missing_chunk_is_found_before_anything_is_read(stored, tmp_path):
    import zipfile

    path, _ = stored
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            if not name.startswith("images/c/5/"):
                archive.writestr(name, data)
    with pytest.raises(StoreError, match="array 'images' has 10 of 11 chunks"):
        open_store(path, "stimuli", lazy=("images",))


def test_stimuli_on_disk_have_the_digest_of_those_in_memory(stored):
    path, values = stored
    ids = np.array([f"i{n}" for n in range(11)])
    lazy = open_store(path, "stimuli", lazy=("images",))["images"]
    whole, pieces = (
        StimulusSet("s", "vision", "items", ids, images=images) for images in (values, lazy)
    )
    assert whole.digest == pieces.digest
    other = StimulusSet("s", "vision", "items", ids, images=values[::-1])
    assert other.digest != whole.digest


def test_scratch_takes_the_room_of_all_rows_before_the_first_is_written(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "posix_fallocate", lambda _file, start, size: sizes.append(size))
    with RowFile(tmp_path, (3, 2), "float32", scratch=True) as rows:
        np.testing.assert_array_equal(rows.read(0, 3), np.zeros((3, 2)))
    RowFile(tmp_path, (3, 2), "float32").close()
    RowFile(tmp_path, (0, 2), "float32", scratch=True).close()
    assert sizes == [24]


@pytest.mark.parametrize(("code", "refused"), [("ENOSPC", True), ("EOPNOTSUPP", False)])
def test_room_that_another_job_took_is_an_error_and_no_room_to_take_is_none(
    tmp_path, monkeypatch, code, refused
):
    def fail(*_: object) -> None:
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    if not refused:
        RowFile(tmp_path, (3, 2), "float32", scratch=True).close()
        return
    with pytest.raises(StoreError, match=r"layer 'a': rows can't be kept in .*No space"):
        RowFile(tmp_path, (3, 2), "float32", of="layer 'a'", scratch=True)


def test_a_disk_that_cannot_be_read_is_named_and_not_the_store_that_is_written(
    tmp_path, monkeypatch
):
    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with RowFile(tmp_path / "disk", (3, 2), "float32", of="layer 'a'") as rows:
        rows.write(np.arange(3), np.ones((3, 2)))
        monkeypatch.setattr(os, "pread", broken)
        with pytest.raises(StoreError, match=r"^layer 'a': rows can't be kept in .*/disk"):
            write_store(tmp_path / "x.zarr.zip", "features", {"x": (("a", "b"), rows)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["disk"]

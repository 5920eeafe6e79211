"""Stores are whole or absent, say what they are, and give equal bytes for equal content."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from convergent.errors import StoreError
from convergent.store import open_dataset, open_store, publish, write_store

ARRAYS = {
    "features": (("stimulus", "feature"), np.arange(12, dtype=np.float32).reshape(4, 3)),
    "stimulus_id": (("stimulus",), np.array(["a", "bé", "c", "d"])),
    "zeros": (("stimulus",), np.zeros(4)),
    "flag": (("stimulus",), np.array([True, False, True, True])),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "x.zarr.zip"
    write_store(path, "features", ARRAYS, {"identity": "1", "n": np.int64(3)})
    return path


def test_what_is_written_is_read(path):
    store = open_store(path, "features")
    for name, (dims, values) in ARRAYS.items():
        np.testing.assert_array_equal(store[name], values)
        assert store[name].dtype == values.dtype or name == "stimulus_id"
        assert store.dims[name] == dims
    assert store.attrs["identity"] == "1"
    assert store.attrs["software"]["zarr"] == zarr.__version__


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint16", "int64", "float16", "float32", "float64", ">f8"]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (7, 3), (2, 3, 4)])
def test_zarr_reads_what_is_written(tmp_path, monkeypatch, dtype, shape):
    monkeypatch.setattr(
        "convergent.store.zarr_format._CHUNK_BYTES", 40
    )  # several, the last one partial
    values = np.random.default_rng(0).integers(0, 2, size=shape).astype(dtype)
    path = tmp_path / "x.zarr.zip"
    dims = tuple("abc"[: len(shape)])
    write_store(path, "features", {"x": (dims, values)}, {})
    with zarr.storage.ZipStore(path, mode="r") as zipped:
        array = zarr.open_group(zipped, mode="r")["x"]
        assert array.metadata.dimension_names == dims
        np.testing.assert_array_equal(array[...], values)
        assert array.dtype == values.dtype.newbyteorder("=")
    read = open_store(path, "features")["x"]
    np.testing.assert_array_equal(read, values)
    assert read.dtype == values.dtype.newbyteorder("=")


def test_a_type_that_zarr_lacks_is_refused(tmp_path):
    with pytest.raises(StoreError, match="complex128"):
        write_store(tmp_path / "x.zarr.zip", "features", {"x": (("a",), np.ones(3, complex))}, {})


def test_equal_content_gives_equal_bytes(path, tmp_path):
    again = tmp_path / "again.zarr.zip"
    write_store(again, "features", ARRAYS, {"n": np.int64(3), "identity": "1"})
    assert again.read_bytes() == path.read_bytes()


def test_people_open_it_with_zarr_and_with_xarray(path):
    with zarr.storage.ZipStore(path, mode="r") as zipped:
        group = zarr.open_group(zipped, mode="r")
        np.testing.assert_array_equal(group["features"][:], ARRAYS["features"][1])
        assert group["stimulus_id.json"][:].tobytes().decode() == '["a", "b\\u00e9", "c", "d"]'
    data = open_dataset(path)
    assert data.attrs["identity"] == "1"
    np.testing.assert_array_equal(data["features"].chunk().compute(), ARRAYS["features"][1])
    assert data["features"].dims == ("stimulus", "feature")
    assert data["stimulus_id"].values.tolist() == ["a", "bé", "c", "d"]


def test_a_flipped_bit_of_a_number_is_found(path):
    raw = bytearray(path.read_bytes())
    raw[raw.index(ARRAYS["features"][1].tobytes())] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="damaged"):
        open_store(path, "features")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_store_is_found(path, kept):
    raw = path.read_bytes()
    path.write_bytes(raw[: int(kept * len(raw))])
    with pytest.raises(StoreError, match="damaged"):
        open_store(path, "features")


def test_a_missing_chunk_is_no_zero(path):
    import zipfile

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            if name != "zeros/c/0":
                archive.writestr(name, data)
    with pytest.raises(StoreError, match="array 'zeros' has 0 of 1 chunks"):
        open_store(path, "features")


def test_another_kind_and_a_missing_file_are_named(path, tmp_path):
    with pytest.raises(StoreError, match="it holds 'features', not 'alignment'"):
        open_store(path, "alignment")
    with pytest.raises(StoreError, match="missing"):
        open_store(tmp_path / "none.zarr.zip", "features")
    with pytest.raises(StoreError, match="no array 'feature'"):
        open_store(path, "features")["feature"]


def test_a_full_disk_leaves_the_earlier_store_and_no_temporary(path, monkeypatch):
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device.*quota"):
        write_store(path, "features", {"x": (("a",), np.ones(3))}, {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_error_while_writing_publishes_nothing(tmp_path):
    with pytest.raises(RuntimeError), publish(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_temporaries_of_writers_killed_long_ago_are_removed(path):
    old, fresh = (path.with_name(f".{path.name}.{number}.tmp") for number in (1, 2))
    old.write_text("half")
    fresh.write_text("half")
    os.utime(old, (0, 0))
    write_store(path, "features", ARRAYS, {})
    assert not old.exists()
    assert fresh.exists()


def _write_forever(path: str) -> None:
    values = np.random.default_rng(0).normal(size=(2000, 500))
    while True:
        write_store(path, "features", {"x": (("a", "b"), values)}, {})


def test_a_killed_writer_never_leaves_half_a_store(tmp_path):
    path = tmp_path / "x.zarr.zip"
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        writer = context.Process(target=_write_forever, args=(str(path),))
        writer.start()
        deadline = time.monotonic() + 120
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert open_store(path, "features")["x"].shape == (2000, 500)


def test_no_stage_reads_a_store_or_table_without_saying_what_it_asked(repository):
    unchecked = re.compile(r"\b(open_store|read_table|read_parquet|ZipFile|ZipStore)\b")
    rooms = ("pipeline", "ops")
    files = [
        file for room in rooms for file in (repository / "src/convergent" / room).rglob("*.py")
    ]
    assert len(files) > 20
    assert not [file.name for file in files if unchecked.search(file.read_text())]

"""Whatever happens to a store's bytes: the right content, or an error that names the file."""

from __future__ import annotations

import os
import zipfile
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convergent.errors import StoreError
from convergent.store import fingerprint, inspect_store, open_dataset, open_store, write_store

ARRAYS = {
    "features": (("stimulus", "feature"), np.arange(6, dtype=np.float32).reshape(3, 2)),
    "stimulus_id": (("stimulus",), np.array(["a", "bé", "c"])),
    "s1.n": (("target",), np.arange(4)),
    "flag": ((), np.array(True)),
}
ATTRS = {"identity": "1", "dataset": "d"}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "x.zarr.zip"
    write_store(path, "features", ARRAYS, ATTRS)
    return path.read_bytes()


def same(found, whole):
    return (
        found.attrs == whole.attrs
        and found.dims == whole.dims
        and found.arrays.keys() == whole.arrays.keys()
        and all(
            np.array_equal(np.asarray(found[name]), whole[name])
            and found[name].dtype == whole[name].dtype
            for name in whole.arrays
        )
    )


class Reader:
    """Reads changed bytes in every way."""

    def __init__(self, path, content):
        self.path = path
        path.write_bytes(content)
        self.whole = open_store(path, "features")
        self.said = inspect_store(path).attrs

    def check(self, content):
        """Fail on other content; whether each way of reading found the damage."""
        self.path.write_bytes(content)
        ways = (
            partial(open_store, self.path, "features"),
            partial(open_store, self.path, "features", lazy=("features",)),
        )
        found = []
        for way in ways:
            text = ""
            try:
                assert same(way(), self.whole)
            except StoreError as error:
                text = str(error)
                found.append(True)
            assert not text or (str(self.path) in text and "\n" not in text)
        for look in (inspect_store, fingerprint):
            try:
                seen = look(self.path)
                assert look is fingerprint or seen.attrs == self.said
            except StoreError:
                found.append(True)
        return any(found)


@pytest.fixture
def reader(tmp_path, content):
    return Reader(tmp_path / "x.zarr.zip", content)


def places(content):
    """Bits of the directory and end record, of every header, and a sample of all others."""
    directory = content.rindex(b"PK\1\2", 0, content.rindex(b"PK\5\6"))
    first = content.index(b"PK\1\2")
    assert first < directory
    bits = set(range(8 * first, 8 * len(content)))
    place = content.find(b"PK\3\4")
    while 0 <= place < first:
        bits |= set(range(8 * place, 8 * (place + 50)))
        place = content.find(b"PK\3\4", place + 1)
    others = np.random.default_rng(0).integers(0, 8 * first, 1500)
    return sorted(bits | set(others.tolist()))


def test_a_flipped_bit_is_an_error_or_changes_nothing(reader, content):
    found = 0
    bits = places(content)
    for bit in bits:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        found += reader.check(bytes(flipped))
    assert found > len(bits) / 2  # the rest are times, rights and versions of the zip format


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_that_are_cut_inserted_or_zeroed_are_found(reader, content, data):
    at = data.draw(st.integers(0, len(content) - 1))
    size = data.draw(st.integers(1, 600))
    how = data.draw(st.sampled_from(["cut", "remove", "insert", "zero", "random"]))
    changed = {
        "cut": content[:at],
        "remove": content[:at] + content[at + size :],
        "insert": content[:at] + bytes(size) + content[at:],
        "zero": content[:at] + bytes(len(content[at : at + size])) + content[at + size :],
        "random": content[:at] + data.draw(st.binary(max_size=40)) + content[at + size :],
    }[how]
    reader.check(changed)


def rezip(path, change):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    method = change(members) or zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.pop("features/zarr.json") and None, "member 'features/zarr.json' is missing"),
        (lambda m: m.pop("features/c/0/0") and None, "array 'features' has 0 of 1 chunks"),
        (lambda m: [m.pop(n) for n in list(m) if n.startswith("features/")] and None, "features"),
        (lambda m: m.update({"more/zarr.json": b"{}"}), "member 'more/zarr.json' is unknown"),
        (lambda m: m.update({"zarr.json": b'{"attributes": {}}'}), "another version wrote it"),
        (lambda m: m.update({"zarr.json": b"[" * 100_000}), "damaged"),
        (lambda m: m.update({"zarr.json": b"\xff"}), "damaged"),
        (lambda m: zipfile.ZIP_DEFLATED, "compressed or encrypted"),
        (lambda m: zipfile.ZIP_LZMA, "compressed or encrypted"),
    ],
)
def test_members_that_are_not_those_of_the_list_are_named(reader, change, words):
    rezip(reader.path, change)
    ways = (
        partial(open_store, reader.path, "features", wanted=lambda *_: False),
        partial(inspect_store, reader.path),
        partial(open_dataset, reader.path),
    )
    for way in ways:
        with pytest.raises(StoreError, match=words):
            way()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(reader):
    with zipfile.ZipFile(reader.path, "a") as archive:
        archive.writestr("zarr.json", "{}")
    with pytest.raises(StoreError, match=r"two members 'zarr\.json'"):
        open_store(reader.path, "features")


def test_an_absurd_shape_makes_no_list_of_its_chunks(reader):
    def change(members):
        text = members["zarr.json"].decode()
        members["zarr.json"] = text.replace("  4\n", f"  {1 << 60}\n").encode()

    rezip(reader.path, change)
    with pytest.raises(StoreError, match="damaged"):
        open_store(reader.path, "features")


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "empty", "nothing"])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, kind):
    path = tmp_path / "x.zarr.zip"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "empty":
        path.write_bytes(b"")
    words = {"folder": "a folder", "pipe": "no regular file", "loop": "cannot be read",
             "empty": "damaged", "nothing": "missing"}[kind]  # fmt: skip
    for read in (partial(open_store, kind="features"), inspect_store, fingerprint, open_dataset):
        with pytest.raises(StoreError, match=words):
            read(path)

"""Damaged stores: an error that names them, or the same content; never other content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergent.errors import ConvergentError
from convergent.store import open_store, write_store
from fuzz.outcomes import Ledger, Outcome
from fuzz.test_fuzz import cases, damaged


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("stores") / "01.zarr.zip"
    arrays = {
        "responses": (("stimulus", "target"), rng.normal(size=(12, 5)).astype(np.float32)),
        "stimulus_id": (("stimulus",), np.array([f"image{n}" for n in range(12)])),
        "region": (("target",), np.array(["V1", "V1", "V2", "V2", ""])),
        "noise_ceiling": (("target",), np.array([0.5, 0.25, np.nan, 0.0, 1.0])),
    }
    write_store(path, "responses", arrays, {"dataset": "mine", "subject": "01"})
    return path


def _same(path: Path, other: Path) -> bool:
    a, b = open_store(path, "responses"), open_store(other, "responses")
    return (
        a.attrs == b.attrs
        and a.dims == b.dims
        and a.arrays.keys() == b.arrays.keys()
        and all(_equal(np.asarray(a[name]), np.asarray(b[name])) for name in a.arrays)
    )


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def test_a_damaged_store_is_an_error_or_the_same(
    store: Path, tmp_path: Path, ledger: Ledger
) -> None:
    @cases(120)
    @given(raw=st.one_of(damaged(store), _in_the_directory(store)))
    def check(raw: bytes) -> None:
        path = tmp_path / "01.zarr.zip"
        path.write_bytes(raw)
        try:
            kind = "accepted" if _same(path, store) else "SILENT"
            text = ""
        except ConvergentError as error:
            kind, text = ("refused" if "\n" not in str(error) else "UNCLEAR"), str(error)
        ledger.judge(Outcome(kind, text), wrong=None, case=repr(raw[-600:]))

    check()


@st.composite
def _in_the_directory(draw: Callable[..., int], path: Path) -> bytes:
    """A flipped bit in the zip's list of members, which no checksum covers."""
    content = bytearray(path.read_bytes())
    end = content.rfind(b"PK\5\6")
    start = int.from_bytes(content[end + 16 : end + 20], "little")
    content[draw(st.integers(start, len(content) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(content)

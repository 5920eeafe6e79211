"""Write and read one subject's alignment store, against the zarr library doing the same.

    python benchmarks/store.py

Prints milliseconds a store and the ratio, from one run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from zarr.storage import ZipStore

from convergent.store import open_store, write_store

REPEATS = 50
REGIONS = 360


def arrays() -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Twenty arrays of the sizes that a fit of 360 regions writes."""
    rng = np.random.default_rng(0)
    shapes = {"target": (REGIONS,), "fold": (5, REGIONS), "permutation": (20, 5, REGIONS)}
    kinds = ["target"] * 10 + ["fold"] * 8 + ["permutation"] * 2
    return {
        f"{kind}_{i}": (tuple("abc"[: len(shapes[kind])]), rng.normal(size=shapes[kind]))
        for i, kind in enumerate(kinds)
    }


def with_zarr(path: Path, content: dict[str, tuple[tuple[str, ...], np.ndarray]]) -> None:
    """Write with the library, uncompressed, one chunk an array."""
    with ZipStore(path, mode="w") as store:
        group = zarr.open_group(store, mode="w", zarr_format=3)
        for name, (dims, values) in content.items():
            group.create_array(
                name, data=values, chunks=values.shape, dimension_names=dims, compressors=None
            )


def read_with_zarr(path: Path) -> dict[str, np.ndarray]:
    """Read with the library."""
    with ZipStore(path, mode="r") as store:
        group = zarr.open_group(store, mode="r")
        return {name: array[...] for name, array in group.arrays()}


def milliseconds(call: Callable[[], object]) -> float:
    """Median time of a call."""
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return 1000 * float(np.median(times))


def main() -> None:
    """Print the table."""
    content = arrays()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.zarr.zip", Path(folder) / "zarr.zarr.zip"
        rows = {
            "write": (
                milliseconds(lambda: write_store(ours, "alignment", content, {})),
                milliseconds(lambda: with_zarr(theirs, content)),
            ),
            "read": (
                milliseconds(lambda: open_store(ours, "alignment")),
                milliseconds(lambda: read_with_zarr(theirs)),
            ),
        }
        for name, values in read_with_zarr(ours).items():
            np.testing.assert_array_equal(values, content[name][1])
    for name, (own, library) in rows.items():
        print(f"{name:6s} {own:7.2f} ms, zarr {library:7.2f} ms, ratio {library / own:5.1f}")


if __name__ == "__main__":
    main()

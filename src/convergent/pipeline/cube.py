"""A data set's measurements as one labelled array: unit x subject x region x metric and scale."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from convergent.errors import DataError, TableError
from convergent.store import RowFile, StoreRequest, open_dataset, write_store
from convergent.store.zarr_format import Blocks
from convergent.study import Study
from convergent.tables.frames import scan_families

if TYPE_CHECKING:
    import xarray

VALUES = ("score", "score_normalised", "score_chance_corrected", "p")
_UNIT = ("model", "checkpoint", "layer")
_OF_UNIT = ("family", *_UNIT, "role", "step", "final", "layer_index", "depth", "width",
            "parameters", "weights_sha256")  # fmt: skip
_ORDER = ("family", "model", "checkpoint", "layer_index", "layer")
_OF_REGION = ("region", "hemisphere", "network", "axis_position")
_OF_PLACE = ("noise_ceiling", "n_targets")
_BATCH = 1 << 18


@dataclass(frozen=True)
class _Axes:
    """What the four axes hold, one row a position."""

    unit: pl.DataFrame
    subject: pl.DataFrame
    region: pl.DataFrame
    metric_scale: pl.DataFrame
    place: pl.DataFrame

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sizes within a unit."""
        return self.subject.height, self.region.height, self.metric_scale.height


def write_cube(study: Study, dataset: str) -> str:
    """Write a data set's measurements as a store of float32 arrays.

    One pass over the families' files; besides a row group of them, nothing is in memory. What was
    not measured is NaN. The dimensions are ``unit`` (a model, checkpoint and layer), ``subject``,
    ``region`` and ``metric_scale`` (``ridge_r``, ``cka_rbf@0.5``, ...).

    Parameters
    ----------
    study : Study
    dataset : str

    Returns
    -------
    str
        Path of the store; `open_cube` opens it.

    Raises
    ------
    DataError
        The data set has no measurements.
    TableError
        A region has several descriptions, or a noise ceiling that depends on the layer.
    """
    study.dataset(dataset)
    mine = scan_families(study, "measurements").filter(pl.col("dataset") == dataset)
    axes = _axes(mine, dataset)
    path = study.paths.cube(dataset)
    request = StoreRequest.of(study, "cube", {"dataset": dataset}, path=path)
    shape = (axes.unit.height, *axes.shape)
    scratch = study.scratch()
    folder, of = scratch or Path(path).parent, f"cube of data set '{dataset}' ({path})"
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(
                RowFile(folder, shape, np.float32, of=of, scratch=scratch is not None)
            )
            for name in VALUES
        }
        done = 0
        for family in sorted(study.families):
            for first, blocks in _blocks(study.paths.family(family), dataset, axes):
                rows = np.arange(first, first + len(blocks[VALUES[0]]))
                for name, block in blocks.items():
                    files[name].write(rows, block.reshape(-1, *axes.shape))
                done += len(rows)
        if done != axes.unit.height:  # rows that were not written would be read as 0
            raise TableError(f"{done} of {axes.unit.height} units were read", where=path)
        arrays: dict[str, tuple[tuple[str, ...], np.ndarray | Blocks]] = {
            name: (("unit", "subject", "region", "metric_scale"), file)
            for name, file in files.items()
        }
        write_store(path, "cube", {**arrays, **_coordinates(axes)}, request.attrs)
    return path


def open_cube(path: str | Path) -> xarray.Dataset:
    """Open a cube: dask arrays, of which only what is asked for is read.

    Parameters
    ----------
    path : str or Path
        ``study/cube/<dataset>.zarr.zip``.

    Returns
    -------
    xarray.Dataset
        score, score_normalised, score_chance_corrected and p by unit (indexed by model, checkpoint
        and layer), subject, region and metric_scale; noise_ceiling and n_targets by subject and
        region.

    Raises
    ------
    StoreError
        There is no such store.

    Examples
    --------
    >>> from convergent.pipeline.cube import open_cube
    >>> cube = open_cube("results/demo/study/cube/scenes.zarr.zip")  # doctest: +SKIP
    >>> ridge = cube.score.sel(metric_scale="ridge_r")  # doctest: +SKIP
    >>> ridge.sel(model="scenes-vit-32").mean("region").compute()  # doctest: +SKIP
    """
    found = open_dataset(path)
    values = {*VALUES, *_OF_PLACE}
    labels = [str(name) for name in found.variables if str(name) not in values]
    rows = found["score"].encoding["chunks"][0]
    return found.set_coords(labels).set_index(unit=list(_UNIT)).chunk({"unit": rows})


def _axes(rows: pl.LazyFrame, dataset: str) -> _Axes:
    def distinct(*names: str) -> pl.DataFrame:
        return rows.select(names).unique().collect(engine="streaming").sort(names)

    unit = distinct(*_OF_UNIT).sort(_ORDER)
    if unit.is_empty():
        raise DataError("no measurements", where=f"data set '{dataset}'", fix="run its fits")
    region = distinct(*_OF_REGION)
    place = distinct("subject", "region", *_OF_PLACE)
    for what, table, keys in (
        ("unit", unit, list(_UNIT)),
        ("region", region, ["region"]),
        ("noise ceiling", place, ["subject", "region"]),
    ):
        twice = table.filter(pl.struct(keys).is_duplicated())
        if twice.height:
            named = ", ".join(map(str, twice.select(keys).row(0)))
            raise TableError(
                f"{named} has several descriptions as a {what}",
                where=f"data set '{dataset}'",
                fix="rerun its fits: their stores are of different versions",
            )
    return _Axes(unit, distinct("subject"), region, distinct("metric", "scale"), place)


def _blocks(path: str, dataset: str, axes: _Axes) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """First unit, and values of it and those that follow, of each piece of a family's file."""
    columns = ["dataset", *_UNIT, "subject", "region", "metric", "scale", *VALUES]
    rest: pl.DataFrame | None = None
    with pq.ParquetFile(path, page_checksum_verification=True) as source:
        for batch in source.iter_batches(_BATCH, columns=columns):
            rows = pl.from_arrow(batch)
            assert isinstance(rows, pl.DataFrame)
            rows = _positions(rows.filter(pl.col("dataset") == dataset), axes)
            rows = rows if rest is None else pl.concat([rest, rows])
            if rows.is_empty():
                continue
            last = pl.col("unit") == rows["unit"][-1]  # the next batch may have more of it
            rest = rows.filter(last)
            if rest.height < rows.height:
                yield _filled(rows.filter(~last), axes)
    if rest is not None:
        yield _filled(rest, axes)


def _positions(rows: pl.DataFrame, axes: _Axes) -> pl.DataFrame:
    """Where each row's values stand: its unit, and its place within the unit."""
    _, regions, kinds = axes.shape
    for name, keys in (
        ("unit", _UNIT), ("subject", ("subject",)), ("region", ("region",)),
        ("metric_scale", ("metric", "scale")),
    ):  # fmt: skip
        known = getattr(axes, name).select(keys).with_row_index(f"_{name}")
        rows = rows.join(known, on=list(keys), how="left", nulls_equal=True, maintain_order="left")
    subject, region, kind = (
        pl.col(name).cast(pl.Int64) for name in ("_subject", "_region", "_metric_scale")
    )
    place = (subject * regions + region) * kinds + kind
    return rows.select(
        unit=pl.col("_unit").cast(pl.Int64), place=place, **{v: pl.col(v) for v in VALUES}
    )


def _filled(rows: pl.DataFrame, axes: _Axes) -> tuple[int, dict[str, np.ndarray]]:
    unit, place = rows["unit"].to_numpy(), rows["place"].to_numpy()
    first, count = int(unit[0]), int(unit[-1] - unit[0]) + 1
    blocks = {}
    for name in VALUES:
        blocks[name] = np.full((count, int(np.prod(axes.shape))), np.nan, dtype=np.float32)
        blocks[name][unit - first, place] = rows[name].to_numpy()
    return first, blocks


def _coordinates(axes: _Axes) -> dict[str, tuple[tuple[str, ...], Any]]:
    found: dict[str, tuple[tuple[str, ...], Any]] = {}
    for name, table in (("unit", axes.unit), ("subject", axes.subject), ("region", axes.region)):
        found |= {column: ((name,), _array(table[column])) for column in table.columns}
    kinds = axes.metric_scale
    labels = [m if s is None else f"{m}@{s:g}" for m, s in kinds.iter_rows()]
    found |= {column: (("metric_scale",), _array(kinds[column])) for column in kinds.columns}
    found["metric_scale"] = (("metric_scale",), np.array(labels))
    places = axes.subject.join(axes.region.select("region"), how="cross").join(
        axes.place, on=["subject", "region"], how="left", maintain_order="left"
    )
    size = (axes.subject.height, axes.region.height)
    found |= {
        name: (("subject", "region"), _array(places[name]).astype(np.float32).reshape(size))
        for name in _OF_PLACE
    }
    return found


def _array(column: pl.Series) -> np.ndarray:
    """Text without a value is empty, numbers without one NaN."""
    if column.dtype == pl.String:
        return np.array(column.fill_null("").to_list(), dtype=np.str_)
    return column.to_numpy()

"""Table files: columns and values checked, written in the order of their keys, read in parts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import reduce
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from convergent.errors import StoreError, TableError
from convergent.store import StoreRequest, open_file, publish
from convergent.store.archive import named_errors
from convergent.store.request import TABLE_KEY, first_line, table_attributes
from convergent.tables.schemas import SHAPES, Shape

_RERUN = "it was written by another version: delete it and rerun its rule"


def check_schema(
    path: str | Path, schema: pl.Schema, shape: Shape, *, only: Collection[str] | None = None
) -> None:
    """Refuse a file whose columns are not those of its table.

    Parameters
    ----------
    path : str or Path
        For the message.
    schema : Schema
        Of the file.
    shape : Shape
        Of the table.
    only : collection of str, optional
        Columns that are needed; others may be absent, and unknown ones are no mistake.

    Raises
    ------
    TableError
        Naming the file and the first column that is missing, of another type or unknown.
    """
    needed = shape.columns if only is None else {name: shape.columns[name] for name in only}
    for name, kind in needed.items():
        if name not in schema:
            raise TableError(f"column '{name}' is missing", where=str(path), fix=_RERUN)
        if schema[name] != kind:
            raise TableError(
                f"column '{name}' has the type {schema[name]} and not {kind}",
                where=str(path),
                fix=_RERUN,
            )
    unknown = [name for name in schema if name not in shape.columns] if only is None else []
    if unknown:
        raise TableError(f"unknown column '{unknown[0]}'", where=str(path), fix=_RERUN)


def check_values(rows: pl.DataFrame, shape: Shape, where: str) -> None:
    """Refuse values that cannot be: NaN, infinity, a p of 2, a correlation of 1.3.

    Parameters
    ----------
    rows : DataFrame
    shape : Shape
    where : str
        File, for the message.

    Raises
    ------
    TableError
        Naming the first such row.
    """
    floats = [name for name, kind in shape.columns.items() if kind == pl.Float64]
    wrong = {f"'{name}' is not a finite number": ~pl.col(name).is_finite() for name in floats}
    for name, (low, high) in shape.ranges.items():
        text = f"'{name}' is outside {low:g} to {high:g}"
        wrong[text] = (pl.col(name) < low) | (pl.col(name) > high)
    if shape.correlations:
        wrong["'score' is beyond what its metric can be"] = shape.impossible_score()
    if rows.is_empty() or not wrong:
        return
    found = rows.select(test.any().alias(text) for text, test in wrong.items()).row(0, named=True)
    for text, test in wrong.items():
        if found[text]:
            row = rows.filter(test).row(0, named=True)
            column = text.split("'")[1]
            raise TableError(
                f"column {text}: {row[column]} ({_named(row, shape.keys)})",
                where=where,
                fix="the stage that computed it is at fault: report it; nothing was written",
            )


def out_of_order(rows: pl.DataFrame, keys: Sequence[str]) -> tuple[pl.Series, pl.Series]:
    """Compare each row's keys with those of the row before it.

    Returns
    -------
    after, same : Series of bool, shape (row - 1,)
        Whether the row before stands after this one; whether it has the same keys. Nulls come
        first, as in `DataFrame.sort`.
    """

    def steps(name: str) -> tuple[pl.Expr, pl.Expr]:
        now, before = pl.col(name).slice(1), pl.col(name).slice(0, pl.len() - 1)
        after = (before > now).fill_null(False) | (now.is_null() & before.is_not_null())
        return after, now.eq_missing(before)

    # compared as codes: most keys are the same for many rows
    pairs = [steps(name) for name in keys]
    later = reduce(
        lambda rest, pair: pair[0] | (pair[1] & rest), reversed(pairs), pl.lit(value=False)
    )
    same = pl.all_horizontal(pair[1] for pair in pairs)
    found = rows.select(after=later, same=same)
    return found["after"], found["same"]


def duplicate(row: dict[str, Any], keys: Sequence[str], where: str) -> TableError:
    """Two rows of one kind, as an error."""
    return TableError(
        f"two rows of the same {_named(row, keys)}",
        where=where,
        fix="the stage that computed them is at fault: report it; nothing was written",
    )


def _named(row: dict[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in keys if row.get(name) is not None)


# Large enough for compression and few enough for statistics; about 150 MB while it is written.
ROW_GROUP = 1 << 18
# Numbers of which no two are the same: a dictionary would only be thrown away again.
_CONTINUOUS = frozenset(
    ("score", "score_normalised", "score_chance_corrected", "score_median", "null_mean", "null_sd",
     "selection_score")
)  # fmt: skip
_ARROW = {
    pl.String: pa.string(),
    pl.Float64: pa.float64(),
    pl.Int64: pa.int64(),
    pl.Boolean: pa.bool_(),
}


class TableFile:
    """A parquet file that grows by sorted pieces; what cannot be is refused.

    Every column of keys is dictionary-encoded, so a name costs a few bits a row.

    Parameters
    ----------
    path : Path
        A temporary file (see `writing`).
    shape : Shape
    where : str
        Name that the file will have, for messages.
    attrs : mapping
        What the file says of itself.
    """

    def __init__(self, path: Path, shape: Shape, where: str, attrs: Mapping[str, Any]) -> None:
        self._shape, self._where = shape, where
        self._schema = pa.schema(
            [(name, _ARROW[kind]) for name, kind in shape.columns.items()], described(attrs)
        )
        names = list(shape.columns)
        self._file = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=[name for name in names if name not in _CONTINUOUS],
            sorting_columns=[
                pq.SortingColumn(names.index(name), nulls_first=True) for name in shape.keys
            ],
        )
        self._waiting: list[pl.DataFrame] = []
        self._last: pl.DataFrame | None = None

    def __enter__(self) -> TableFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush(everything=True)
        self._file.close()

    def write(self, rows: pl.DataFrame) -> None:
        """Add rows, which are sorted here; all of them belong after what was written before.

        Raises
        ------
        TableError
            Impossible values, or two rows with the same keys.
        ValueError
            Pieces in the wrong order.
        """
        check_schema(self._where, rows.schema, self._shape)
        rows = rows.select(list(self._shape.columns))
        check_values(rows, self._shape, self._where)
        if self._shape.keys and rows.height:
            rows = self._in_order(rows)
        self._waiting.append(rows)
        self._flush()

    def _in_order(self, rows: pl.DataFrame) -> pl.DataFrame:
        keys = list(self._shape.keys)
        after, same = out_of_order(rows, keys)
        if after.any():
            rows = rows.sort(keys, maintain_order=True)
            after, same = out_of_order(rows, keys)
        if same.any():
            raise duplicate(rows.row(int(same.arg_true()[0]), named=True), keys, self._where)
        first = rows.head(1).select(keys)
        if self._last is not None:
            after, same = out_of_order(pl.concat([self._last, first]), keys)
            if same.any():
                raise duplicate(first.row(0, named=True), keys, self._where)
            if after.any():
                raise ValueError(f"{self._where}: pieces of the table come in the wrong order")
        self._last = rows.tail(1).select(keys)
        return rows

    def _flush(self, *, everything: bool = False) -> None:
        waiting = sum(part.height for part in self._waiting)
        if waiting < ROW_GROUP and not (everything and waiting):
            return
        rows = pl.concat(self._waiting)
        stop = waiting if everything else waiting - waiting % ROW_GROUP
        for start in range(0, stop, ROW_GROUP):
            part = rows.slice(start, min(ROW_GROUP, stop - start)).to_arrow().cast(self._schema)
            self._file.write_table(part, row_group_size=ROW_GROUP)
        self._waiting = [rows.slice(stop)] if stop < waiting else []


@contextmanager
def writing(path: str, table: str, attrs: Mapping[str, Any] | None = None) -> Iterator[TableFile]:
    """Write a table atomically, a piece at a time.

    Parameters
    ----------
    path : str
    table : str
        Name of the table in `convergent.tables.schemas.SHAPES`.
    attrs : mapping, optional
        What the file says of itself (see `StoreRequest.attrs`); stages read no file without it.

    Raises
    ------
    TableError, StoreError
    """
    said = {"kind": table, **(attrs or {})}
    with publish(path) as temporary, TableFile(temporary, SHAPES[table], path, said) as file:
        yield file


def writing_requested(request: StoreRequest) -> AbstractContextManager[TableFile]:
    """Write a table that a study asks for, which says what it is; as `writing`."""
    return writing(request.path, request.kind, request.attrs)


def described(attrs: Mapping[str, Any]) -> dict[str, str]:
    """Key-value metadata of a parquet file that says what it is."""
    return {TABLE_KEY: json.dumps(attrs, sort_keys=True)}


def check_tables(requests: Iterable[StoreRequest], *, settings: bool = True) -> list[str]:
    """Compare files of tables with what was asked for; their paths.

    Parameters
    ----------
    requests : iterable of StoreRequest
    settings : bool
        Whether settings and sources count, too.

    Raises
    ------
    StoreError
        Missing or damaged, or of another model, family or data set, or of other settings.
    TableError
        A file's columns are not those of the table.
    """
    paths = []
    for request in requests:
        with named_errors(request.where, "table"):
            said = table_attributes(request.path)
        request.check(said, settings=settings)
        if request.kind in SHAPES:
            check_schema(request.path, schema_of(request.path), SHAPES[request.kind])
        paths.append(request.path)
    return paths


def inspect_table(path: str, *, quick: bool = False) -> dict[str, Any]:
    """Check a table or record to its last byte: Parquet, JSON or text.

    Parameters
    ----------
    path : str
    quick : bool
        Of Parquet, the description only.

    Returns
    -------
    dict
        What the file says of itself; of a JSON record, all that it holds.

    Raises
    ------
    StoreError
        It cannot be read.
    """
    with named_errors(path, "file"), open_file(path) as file:
        if path.endswith(".parquet"):
            with pq.ParquetFile(file, page_checksum_verification=True) as table:
                for _ in () if quick else table.iter_batches(batch_size=1 << 16):
                    pass
            return table_attributes(path)
        content = file.read()
        if path.endswith(".json"):
            record = json.loads(content)
            if not isinstance(record, dict):
                raise ValueError("no record")
            return record
        said, rows = first_line(content), content.decode("utf-8").splitlines()
        rows = rows[1:] if said else rows
        if not rows or len({line.count("\t") for line in rows}) != 1:
            raise ValueError("its rows are not of one length")
        return said


def copy_rows(table: TableFile, path: str, dataset: str) -> None:
    """Copy one data set's rows of a file to a table, a row group at a time."""
    with pq.ParquetFile(path, page_checksum_verification=True) as source:
        column = source.schema_arrow.names.index("dataset")
        for group in range(source.num_row_groups):
            found = source.metadata.row_group(group).column(column).statistics
            if found is not None and found.has_min_max and not found.min <= dataset <= found.max:
                continue
            rows = pl.from_arrow(source.read_row_group(group))
            assert isinstance(rows, pl.DataFrame)
            table.write(rows.filter(pl.col("dataset") == dataset))


def scan_tables(
    paths: Iterable[str], table: str, *, only: Collection[str] | None = None
) -> pl.LazyFrame:
    """Open the parts of a table; rows are read when they are asked for, and only those.

    Parameters
    ----------
    paths : iterable of str
        Files of the same table, such as one a family.
    table : {"measurements", "alignment", "coverage", "ceilings"}
    only : collection of str, optional
        Columns that are needed, of files that may be of another version.

    Returns
    -------
    LazyFrame

    Raises
    ------
    StoreError
        A file is missing or damaged.
    TableError
        A file's columns are not those of the table.
    """
    shape, files = SHAPES[table], list(paths)
    for path in files:
        check_name(path, table)
        check_schema(path, schema_of(path), shape, only=only)
    columns = list(shape.columns if only is None else only)
    if not files:
        return pl.LazyFrame(schema={name: shape.columns[name] for name in columns})
    if only is None:
        return pl.scan_parquet(files)
    # files of different versions may have other columns besides
    return pl.concat([pl.scan_parquet(path).select(columns) for path in files])


def check_name(path: str | Path, table: str) -> None:
    """Refuse a file that is of another table or family than its name says, as far as it says.

    Raises
    ------
    StoreError
        It is missing, damaged, or was copied under another name.
    """
    with named_errors(str(path), "table"):
        said = table_attributes(path)
    name = Path(path).stem
    found = said.get("kind", table), said.get("family", name)
    if found != (table, name):
        raise StoreError(
            f"it holds the table '{found[0]}' of '{found[1]}', which its name does not say",
            where=str(path),
            fix="delete it and rerun its rule",
        )


def schema_of(path: str | Path) -> pl.Schema:
    """Columns and types of a parquet file.

    Raises
    ------
    StoreError
        It is missing or damaged.
    """
    try:
        with named_errors(str(path), "table"), open_file(path) as file:
            return pl.Schema(pl.read_parquet_schema(file))
    except pl.exceptions.PolarsError as error:
        raise damaged(path, error) from None


def damaged(path: str | Path, error: Exception) -> StoreError:
    """A file that cannot be read, as an error."""
    return StoreError(
        f"the table is damaged ({error})",
        where=str(path),
        fix="delete it and rerun its rule",
    )


def datasets_in(paths: Sequence[str]) -> list[str]:
    """Names of the data sets in the parts of a table, sorted."""
    if not paths:
        return []
    names = pl.scan_parquet(list(paths)).select(pl.col("dataset").unique())
    return sorted(names.collect(engine="streaming")["dataset"].to_list())

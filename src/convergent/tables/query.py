"""Questions to a study's tables in SQL, answered by duckdb; nothing is ever written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from convergent.errors import ConvergentError, TableError, UnknownKeyError
from convergent.store import publish
from convergent.tables.files import check_name, damaged, schema_of
from convergent.tables.results import Results

if TYPE_CHECKING:
    import polars as pl

READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_BATCH = 1 << 16


class TableInfo(NamedTuple):
    """One table: name, rows, files, and the types of its columns."""

    name: str
    rows: int
    files: int
    columns: pl.Schema


def table_list(results: Results) -> list[TableInfo]:
    """Every table that can be asked, from the files' own descriptions.

    Raises
    ------
    StoreError
        A file is damaged.
    """
    found = []
    for name, parts in results.tables().items():
        columns = schema_of(parts[0])
        rows = sum(pq.read_metadata(path).num_rows for path in parts)
        found.append(TableInfo(name, rows, len(parts), columns))
    return found


@contextmanager
def answers(
    results: Results, question: str, *, memory_gb: float | None = None
) -> Iterator[pa.RecordBatchReader]:
    """Ask one question of the tables, which duckdb sees as views of their names.

    Parameters
    ----------
    results : Results
    question : str
        One SELECT (also WITH, FROM, DESCRIBE, SUMMARIZE) or EXPLAIN. It reads the study's tables
        and no other file, and cannot write.
    memory_gb : float, optional
        GiB that it may use before it puts parts on disk; by default four fifths of the machine's.

    Yields
    ------
    RecordBatchReader
        Rows, read as they are asked for.

    Raises
    ------
    TableError, UnknownKeyError
        The question cannot be understood, would write, or names what is not there.
    """
    with (
        tempfile.TemporaryDirectory(prefix="convergent-query-") as scratch,
        duckdb.connect(":memory:") as connection,
    ):
        _open_tables(connection, results, scratch, memory_gb)
        try:
            statements = connection.extract_statements(question)
            _only_reading(statements)
            yield connection.sql(statements[0].query).to_arrow_reader(_BATCH)
        except duckdb.CatalogException as error:
            raise UnknownKeyError(
                _first_line(error),
                where="the question",
                fix=f"tables: {', '.join(results.tables())}",
            ) from None
        except duckdb.PermissionException:
            raise TableError(
                "a question reads the study's tables and no other file", where="the question"
            ) from None
        except (duckdb.Error, pa.ArrowException) as error:
            raise TableError(
                _first_line(error),
                where="the question",
                fix="`convergent query --tables` lists tables and columns",
            ) from None


def write_answers(rows: pa.RecordBatchReader, path: Path) -> int:
    """Write rows to a CSV or parquet file, a batch at a time; returns how many.

    Raises
    ------
    TableError
        The name ends in neither.
    StoreError
        The disk is full, or the directory can't be written.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise TableError(f"cannot write '{path}'", fix="name a .csv or .parquet file")
    count = 0
    with publish(path) as temporary:
        writer = (
            pa.csv.CSVWriter(temporary, rows.schema)
            if path.suffix == ".csv"
            else pq.ParquetWriter(temporary, rows.schema, compression="zstd")
        )
        with writer:
            for batch in rows:
                writer.write_batch(batch)
                count += batch.num_rows
    return count


def _open_tables(
    connection: duckdb.DuckDBPyConnection, results: Results, scratch: str, memory_gb: float | None
) -> None:
    """Make a view of each table, then close everything but their files."""
    files = []
    for name, parts in results.tables().items():
        for path in parts:
            check_name(path, name)
        listed = "[" + ", ".join(_quoted(os.path.realpath(path)) for path in parts) + "]"
        try:
            connection.execute(f'CREATE VIEW "{name}" AS SELECT * FROM read_parquet({listed})')
        except duckdb.Error as error:
            raise damaged(parts[0], error) from None
        files += [os.path.realpath(path) for path in parts]
    connection.execute(f"SET temp_directory = {_quoted(scratch)}")
    if memory_gb is not None:
        connection.execute(f"SET memory_limit = '{memory_gb * 1024:.0f}MiB'")
    connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, files))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _only_reading(statements: list[duckdb.Statement]) -> None:
    if len(statements) != 1:
        raise TableError(
            f"{len(statements)} statements", where="the question", fix="ask one SELECT at a time"
        )
    if statements[0].type not in READING:
        raise TableError(
            f"{statements[0].type.name} is refused: questions only read",
            where="the question",
            fix="ask with SELECT; --csv and --parquet write the answer to a file",
        )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("LINE ", "^"))]
    return ConvergentError(" ".join(told[:2])).what

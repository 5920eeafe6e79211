"""Tables of measurements: their columns, and how they are written and read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from convergent.alignment import normalise_by_ceiling
from convergent.alignment.similarity import calibrate
from convergent.store import Store, StoreRequest
from convergent.study import Checkpoint, Model, Study
from convergent.tables.files import (
    check_schema,
    check_tables,
    damaged,
    scan_tables,
    schema_of,
    writing,
)
from convergent.tables.schemas import (
    ALIGNMENT_SCHEMA,
    CEILING_SCHEMA,
    COVERAGE_SCHEMA,
    MEASUREMENT_SCHEMA,
    RESAMPLED_SCHEMA,
    SCHEMAS,
    SHAPES,
)

__all__ = [
    "ALIGNMENT_SCHEMA", "CEILING_SCHEMA", "COVERAGE_SCHEMA", "MEASUREMENT_SCHEMA",
    "RESAMPLED_SCHEMA", "SCHEMAS",
    "against_null", "family_request", "frame", "keys", "model_request", "read_measurements",
    "read_requested", "read_table", "regions", "scan_families", "share_of_ceiling",
    "study_request", "write_requested", "write_table",
]  # fmt: skip


def write_table(
    path: str,
    frames: Sequence[pl.DataFrame],
    table: str,
    attrs: Mapping[str, Any] | None = None,
) -> None:
    """Write a table that fits in memory, atomically, in the order of its keys.

    Parameters
    ----------
    path : str
    frames : sequence of DataFrame
    table, attrs
        As of `convergent.tables.files.writing`.

    Raises
    ------
    TableError
        Impossible values, or two rows with the same keys.
    """
    with writing(path, table, attrs) as file:
        file.write(pl.concat([pl.DataFrame(schema=SHAPES[table].columns), *frames]))


def write_requested(request: StoreRequest, frames: Sequence[pl.DataFrame]) -> None:
    """Write a table that a study asks for, which says what it is; as `write_table`."""
    write_table(request.path, frames, request.kind, request.attrs)


def read_requested(request: StoreRequest) -> pl.DataFrame:
    """Read a table and compare it with what was asked for.

    Raises
    ------
    StoreError, TableError
        See `convergent.tables.files.check_tables`.
    """
    (path,) = check_tables([request])
    return read_table(path)


def read_table(path: str, table: str | None = None) -> pl.DataFrame:
    """Read a parquet table, whatever it is of. For people: stages use `read_requested`.

    Parameters
    ----------
    path : str
    table : str, optional
        Name of the table in `convergent.tables.schemas.SHAPES`, whose columns it must have.

    Raises
    ------
    StoreError
        Missing or damaged.
    TableError
        It has other columns.
    """
    schema = schema_of(path)
    if table is not None:
        check_schema(path, schema, SHAPES[table])
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise damaged(path, error) from None


def family_request(study: Study, family: str, table: str) -> StoreRequest:
    """Ask for a family's table, made from the tables of the models that it has now."""
    path = study.paths.family(family, table)
    made_from = {model: study.identity("measure", model=model) for model in study.family(family)}
    return StoreRequest.of(study, "family", {"family": family}, path=path, made_from=made_from)


def model_request(study: Study, model: str, table: str) -> StoreRequest:
    """Ask for a model's table."""
    path = study.paths.model(model, table)
    return StoreRequest.of(study, "measure", {"model": model}, path=path)


def study_request(study: Study, table: str) -> StoreRequest:
    """Ask for a table of the whole study."""
    return StoreRequest.of(study, "correlate", {}, path=study.paths.table(table))


def scan_families(study: Study, table: str) -> pl.LazyFrame:
    """Open a table of the whole study, whose parts are the families' files.

    Parameters
    ----------
    study : Study
    table : {"measurements", "alignment", "coverage"}

    Raises
    ------
    StoreError, TableError
        A part is missing, damaged, of another family, made with other settings or from other
        models, or has other columns.
    """
    requests = [family_request(study, family, table) for family in sorted(study.families)]
    return scan_tables(check_tables(requests), table)


def read_measurements(
    study: Study | str | Path, table: str = "measurements", *, partial: bool = False
) -> pl.LazyFrame:
    """Open the measurements of a study, without what has left it.

    Files of families that the study does not have (any more) are not read, and rows of models,
    checkpoints, data sets and subjects that it does not have are left out.

    Parameters
    ----------
    study : Study, str or Path
        A study, or its YAML file.
    table : {"measurements", "alignment", "coverage"}
    partial : bool
        Whether families that have not run may be missing.

    Returns
    -------
    LazyFrame
        One row per (data set, model, checkpoint, layer, subject, region, metric, scale).

    Raises
    ------
    StoreError, TableError
        A family's table is missing, damaged, of another family, or of another version.

    Examples
    --------
    >>> import convergent
    >>> rows = convergent.read_measurements("config/demo.yaml")  # doctest: +SKIP
    """
    if not isinstance(study, Study):
        study = Study.load(study)
    asked = [family_request(study, family, table) for family in sorted(study.families)]
    if partial:
        asked = [one for one in asked if Path(one.path).is_file()]
    paths = check_tables(asked, settings=False)
    known = [
        {"dataset": dataset, "model": key, "checkpoint": checkpoint, "subject": subject}
        for key, model in study.models.items()
        for dataset in study.datasets_of(key)
        for checkpoint in model.checkpoint_by_name
        for subject in study.dataset(dataset).subjects
    ]
    names = ("dataset", "model", "checkpoint", "subject")
    wanted = pl.LazyFrame(known, schema=dict.fromkeys(names, pl.String))
    return scan_tables(paths, table).join(wanted, on=names, how="semi")


def keys(study: Study, model: Model, dataset: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Columns that say what a row belongs to."""
    return {
        "study": study.name,
        "dataset": dataset,
        "modality": model.modality,
        "family": model.family,
        "model": model.key,
        "checkpoint": checkpoint.name,
        "role": checkpoint.role,
        "step": checkpoint.step,
        "final": checkpoint.final,
    }


def regions(store: Store) -> dict[str, Any]:
    """Columns that describe the regions of an alignment store."""
    # columns of their own: lists would be converted anew for every metric
    return {
        "axis_position": pl.Series(store["axis_position"].astype(np.float64), nan_to_null=True),
        **{
            name: pl.Series(store[name].tolist(), dtype=pl.String)
            for name in ("region", "hemisphere", "network")
        },
    }


def frame(columns: dict[str, Any], schema: dict[str, Any]) -> pl.DataFrame:
    """Make a frame of one row a region; scalars are repeated, NaN becomes null."""
    n = len(columns["region"])
    return pl.DataFrame(
        [_column(name, columns.get(name), dtype, n) for name, dtype in schema.items()]
    )


def _column(name: str, value: Any, dtype: Any, n: int) -> pl.Series:
    if isinstance(value, pl.Series):
        return value.alias(name)
    # no expressions here: handing a small one to polars' threads takes longer than the work
    if isinstance(value, list | np.ndarray):
        if dtype.is_float():
            array = np.array(value, dtype=np.float64)  # None becomes NaN, and NaN null
            return pl.Series(name, array, dtype=dtype, nan_to_null=True)
        return pl.Series(name, value, dtype=dtype, strict=False)
    if isinstance(value, float) and math.isnan(value):
        value = None
    return pl.Series(name, [value], dtype=dtype).new_from_index(0, n)


def share_of_ceiling(
    metric: str, score: np.ndarray, ceiling: np.ndarray, *, threshold: float
) -> np.ndarray | None:
    """Score as a share of what noise allows, per region.

    Correlations are divided by the square root of the ceiling, which is in r^2 units, and unique
    variance by the ceiling itself. None for other metrics: the ceiling is of responses.
    """
    if metric == "ridge_r":
        return normalise_by_ceiling(score, ceiling, threshold=threshold)
    if metric == "unique":
        # r / sqrt(ceiling), once more divided by it
        once = normalise_by_ceiling(score, ceiling, threshold=threshold)
        return normalise_by_ceiling(once, ceiling, threshold=threshold)
    return None


def against_null(score: np.ndarray, null: np.ndarray | None) -> dict[str, np.ndarray]:
    """Null's mean and sd, one-sided p, and score as share of what lies above chance, per region."""
    if null is None or len(null) == 0:
        return {}
    found = calibrate(score, null)
    return {
        "null_mean": found.null_mean,
        "null_sd": found.null_sd,
        "p": found.p,
        "score_chance_corrected": found.score,
    }

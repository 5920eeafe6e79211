"""One of the two that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

KEYS = ("dataset", "model", "checkpoint", "layer", "subject", "region", "metric", "scale")
VALUES = ("score", "score_calibrated", "noise_ceiling", "p")
MEASUREMENT_COLUMNS = (*KEYS, "family", "weights_sha256", *VALUES)


@dataclass(frozen=True)
class Side:
    """Results of a study.

    Attributes
    ----------
    name : str
        What they are called in the comparison.
    measurements : LazyFrame
        With `MEASUREMENT_COLUMNS`; never read as a whole.
    alignment : LazyFrame
        With layers chosen.
    tables : dict of str to DataFrame
        performance and correlations, as far as there are any.
    about : dict
        What the results were made from: configuration, software, primary; empty if not recorded.
    """

    name: str
    measurements: pl.LazyFrame
    alignment: pl.LazyFrame
    tables: Mapping[str, pl.DataFrame]
    about: Mapping[str, Any]

    def units(self) -> pl.DataFrame:
        """Rows of each (data set, family, model, checkpoint), in this order."""
        keys = ("dataset", "family", "model", "checkpoint")
        counted = self.measurements.group_by(keys).agg(rows=pl.len().cast(pl.Int64))
        return counted.collect(engine="streaming").sort(keys)

    def distinct(self, *columns: str) -> pl.DataFrame:
        """What there is in some columns."""
        return self.measurements.select(columns).unique().collect(engine="streaming").sort(columns)

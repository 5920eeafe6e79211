"""What claims are made from, and how their tables are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from convergent.errors import ConvergentError
from convergent.registry import CLAIMS, Entry
from convergent.statistics import of_metric

Tables = dict[str, pl.DataFrame]
_PLACE = ("dataset", "region", "hemisphere", "axis_position")


@dataclass(frozen=True)
class Material:
    """The study's measurements, and how its claims are to be tested.

    Attributes
    ----------
    alignment : LazyFrame
        All metrics, with layers chosen: one row a (dataset, model, checkpoint, subject, region,
        metric, scale, choice).
    measurements : LazyFrame
        All metrics: one row a (dataset, model, checkpoint, layer, subject, region, metric, scale).
    performance : DataFrame
        model, checkpoint, benchmark, score.
    models : DataFrame
        One row a model: model, family, modality, source, parameters, layers, width (median of the
        layers'), tags.
    ceilings : DataFrame
        Noise ceilings of similarity metrics.
    simulation_truth : DataFrame
        What simulated data sets planted; empty without any.
    primary : str
        The metric that stands for alignment.
    benchmarks : dict of str to list of str
        Benchmarks of each modality, the first the headline's.
    resampled : DataFrame, optional
        Alignment of checkpoints with a training step over resampled stimuli.
    representations : DataFrame, optional
        Similarity of layers of two modalities for the same stimuli.
    threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts.
    seed, bootstraps, permutations : int
    """

    alignment: pl.LazyFrame
    measurements: pl.LazyFrame
    performance: pl.DataFrame
    models: pl.DataFrame
    ceilings: pl.DataFrame
    simulation_truth: pl.DataFrame
    primary: str
    benchmarks: Mapping[str, list[str]]
    threshold: float
    seed: int
    bootstraps: int
    permutations: int
    resampled: pl.DataFrame | None = None
    representations: pl.DataFrame | None = None

    @cached_property
    def main(self) -> pl.DataFrame:
        """Alignment of the primary metric."""
        mine = (pl.col("metric") == self.primary) & pl.col("scale").is_null()
        found = self.alignment.filter(mine).collect(engine="streaming")
        if found.is_empty():  # names the metrics that there are
            return of_metric(self.alignment.select("metric", "scale").collect(), self.primary)
        return found

    @cached_property
    def places(self) -> dict[str, pl.DataFrame]:
        """Regions of each data set: region, hemisphere, axis_position."""
        rows = self.alignment
        absent = [name for name in _PLACE if name not in rows.collect_schema().names()]
        kinds = {"hemisphere": pl.String, "axis_position": pl.Float64}
        found = (
            rows.with_columns(pl.lit(None, dtype=kinds[name]).alias(name) for name in absent)
            .group_by("dataset", "region")
            .agg(pl.col("hemisphere").first().fill_null(""), pl.col("axis_position").first())
            .sort("dataset", "region")
            .collect()
        )
        return {
            str(dataset): part.select("region", "hemisphere", "axis_position")
            for (dataset,), part in found.group_by(["dataset"], maintain_order=True)
        }

    def each_metric(self) -> Iterator[pl.DataFrame]:
        """Alignment of one metric and scale after another: all together may not fit in memory."""
        kinds = self.alignment.select("metric", "scale").unique().collect(engine="streaming")
        for metric, scale in kinds.sort("metric", "scale").iter_rows():
            mine = (pl.col("metric") == metric) & pl.col("scale").eq_missing(
                pl.lit(scale, dtype=pl.Float64)
            )
            yield self.alignment.filter(mine).collect(engine="streaming")


Claim = Callable[[Material], Tables]


def claimed(material: Material) -> Iterator[tuple[str, pl.DataFrame]]:
    """Make every claim's tables, one claim after the other.

    Raises
    ------
    PluginError
        If a claim of a package outside cannot be used.
    ConvergentError
        If a claim makes other tables than `convergent.registry.CLAIMS` says.
    """
    for error in CLAIMS.errors():
        raise error
    tables_of: dict[Entry, list[str]] = {}
    for name in CLAIMS.names():
        tables_of.setdefault(CLAIMS.entry(name), []).append(name)
    for entry, names in tables_of.items():
        claim: Claim = CLAIMS.load(names[0])
        with CLAIMS.running(names[0]):
            tables = claim(material)
        if set(tables) != set(names):
            raise ConvergentError(
                f"the claim of {', '.join(names)} made {', '.join(sorted(tables)) or 'nothing'}",
                where=str(entry),
                fix="return the tables that it is registered for",
            )
        yield from tables.items()

"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from convergent.figures import figure_tables
from convergent.statistics import (
    CORRELATION_SCHEMA,
    Coverage,
    coverage_summary,
    require_columns,
)


@dataclass(frozen=True)
class DatasetFacts:
    """What a reader must know about a data set.

    Attributes
    ----------
    name, modality, design : str
    subjects : sequence of str
    simulated : bool
        Whether the subjects are simulated; the report then says so plainly.
    stimuli, regions : int, optional
    licence, citation, description : str
    """

    name: str
    modality: str
    design: str
    subjects: Sequence[str]
    simulated: bool
    stimuli: int | None = None
    regions: int | None = None
    licence: str = ""
    citation: str = ""
    description: str = ""


@dataclass(frozen=True)
class ReportInputs:
    """All that the report shows; it reads no file.

    Attributes
    ----------
    study, title, description : str
    config : dict
        The study's configuration as plain data.
    datasets : sequence of DatasetFacts
    alignment, measurements, performance, models, correlations : DataFrame
        The study's tables; `correlations` from `convergent.statistics.performance_alignment`.
    coverage : DataFrame
        One row a planned fit: dataset, model, checkpoint, status (ok, failed, missing), reason.
    metric_correlations : DataFrame, optional
        From `convergent.statistics.metric_correlations`.
    ceilings : DataFrame, optional
        Noise ceilings of similarity metrics: dataset, metric, scale, region, lower, upper,
        n_subjects, n_stimuli.
    scores : DataFrame, optional
        From `convergent.statistics.subject_scores`.
    primary : str
        The metric that stands for alignment.
    truth : DataFrame, optional
        Planted truth of simulated data sets: dataset, region, high_level, noise_ceiling, driven.
    provenance : dict of str to str
        Versions, hashes, commit, date: shown as they are.
    data_folder : str
        Where the figures' tidy data lie, relative to the report.
    """

    study: str
    title: str
    config: Mapping[str, Any]
    datasets: Sequence[DatasetFacts]
    alignment: pl.DataFrame
    measurements: pl.DataFrame
    performance: pl.DataFrame
    models: pl.DataFrame
    correlations: pl.DataFrame
    coverage: pl.DataFrame
    metric_correlations: pl.DataFrame | None = None
    ceilings: pl.DataFrame | None = None
    scores: pl.DataFrame | None = None
    primary: str = "ridge_r"
    truth: pl.DataFrame | None = None
    description: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    data_folder: str = "figures"

    @property
    def covered(self) -> Coverage:
        """Coverage against the study's minimum."""
        minimum = float(self.section("coverage").get("minimum", 1.0))
        return coverage_summary(self.coverage, minimum=minimum)

    def section(self, name: str) -> Mapping[str, Any]:
        """One section of the configuration; empty when absent."""
        value = self.config.get(name)
        return value if isinstance(value, Mapping) else {}


def withhold(correlations: pl.DataFrame, coverage: Coverage) -> pl.DataFrame:
    """Blank every statistic when too little of the study has run.

    Parameters
    ----------
    correlations : DataFrame
    coverage : Coverage

    Returns
    -------
    DataFrame
        As given when coverage suffices; else with null numbers and the reason.
    """
    require_columns(correlations, tuple(CORRELATION_SCHEMA), "correlations")
    if coverage.sufficient:
        return correlations
    blank = [name for name, kind in CORRELATION_SCHEMA.items() if kind == pl.Float64]
    return correlations.with_columns(
        *(pl.lit(None, dtype=pl.Float64).alias(name) for name in blank),
        reason=pl.lit(f"withheld: {coverage_words(coverage)}"),
    )


def coverage_words(coverage: Coverage) -> str:
    """Say how much there is and how much a headline needs."""
    return (
        f"{coverage.ok:,} of {coverage.expected:,} planned fits have a result "
        f"({100 * coverage.share:.1f} %); a headline needs {100 * coverage.minimum:g} %"
    )


def report_tables(inputs: ReportInputs) -> dict[str, pl.DataFrame]:
    """Tables that the report's figures are drawn from, with the headline withheld if it must be.

    Parameters
    ----------
    inputs : ReportInputs

    Returns
    -------
    dict of str to DataFrame
        For `convergent.figures.draw_all`.
    """
    coverage = inputs.covered
    tables = figure_tables(
        alignment=inputs.alignment,
        measurements=inputs.measurements,
        performance=inputs.performance,
        models=inputs.models,
        correlations=withhold(inputs.correlations, coverage),
        benchmarks=inputs.section("performance").get("benchmarks", {}),
        ceiling_threshold=float(inputs.section("statistics").get("ceiling_threshold", 0.05)),
        primary=inputs.primary,
        metric_correlations=(
            None
            if inputs.metric_correlations is None
            else withhold(inputs.metric_correlations, coverage)
        ),
        truth=inputs.truth,
    )
    if not coverage.sufficient and "recovery_checks" in tables:
        # These checks are correlations over models too.
        tables["recovery_checks"] = tables["recovery_checks"].filter(
            ~pl.col("check").str.contains("performance-alignment|slope in high-level")
        )
    return tables

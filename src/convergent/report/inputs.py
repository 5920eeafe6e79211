"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

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
    tables : dict of str to DataFrame
        The study's tables by name, without measurements and alignment.
    primary : str
        The metric that stands for alignment.
    provenance : dict of str to str
        Versions, hashes, commit, date: shown as they are.
    data_folder : str
        Where the figures' tidy data lie, relative to the report.
    """

    study: str
    title: str
    config: Mapping[str, Any]
    datasets: Sequence[DatasetFacts]
    tables: Mapping[str, pl.DataFrame]
    primary: str = "ridge_r"
    description: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    data_folder: str = "figures"

    @property
    def covered(self) -> Coverage:
        """Coverage against the study's minimum."""
        minimum = float(self.section("coverage").get("minimum", 1.0))
        return coverage_summary(self.tables["coverage"], minimum=minimum)

    def section(self, name: str) -> Mapping[str, Any]:
        """One section of the configuration; empty when absent."""
        value = self.config.get(name)
        return value if isinstance(value, Mapping) else {}


# Tables whose numbers are claims about models: blank below the coverage that a headline needs.
BLANKED = ("correlations", "metric_correlations")
EMPTIED: tuple[str, ...] = (
    *("mixed", "contamination", "onsets", "leads", "region_tests", "gradient", "depth_profile"),
    *("scale_peaks", "scale_shift", "depth_tests", "convergence", "convergence_trend"),
    *("representation_depth", "representation_trend"),
)


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
    """Tables that the report's figures are drawn from, with the claims withheld if they must be.

    Parameters
    ----------
    inputs : ReportInputs

    Returns
    -------
    dict of str to DataFrame
        For `convergent.figures.draw_all`.
    """
    coverage = inputs.covered
    tables = dict(inputs.tables)
    if not tables["simulation_truth"].height:  # nothing was planted
        del tables["recovery_regions"], tables["recovery_checks"]
    for name in BLANKED:
        if name in tables:
            tables[name] = withhold(tables[name], coverage)
    if not coverage.sufficient:
        for name in EMPTIED:
            tables.pop(name, None)
        if "recovery_checks" in tables:
            # These checks are correlations over models too.
            tables["recovery_checks"] = tables["recovery_checks"].filter(
                ~pl.col("check").str.contains("performance-alignment|slope in high-level")
            )
    return tables

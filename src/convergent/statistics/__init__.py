"""Tests of the study's claims, on tidy tables: pure functions, no files."""

from ._aggregate import mask_by_ceiling, model_alignment
from ._ceilings import ceiling_summary
from ._correlation import (
    family_bootstrap,
    fisher_interval,
    leave_one_family_out,
    partial_pearson,
    pearson,
    permutation_p,
    spearman,
    within_family,
    without_each_family,
)
from ._coverage import COVERAGE_COLUMNS, Coverage, coverage_summary
from ._families import Families, correlation_variance, intraclass
from ._family_test import MINIMUM_FAMILIES, FamilyCorrelation, family_correlation
from ._layers import layer_scores
from ._lead import Lead, Pair, leads
from ._lead_curves import RESAMPLED_COLUMNS, Run, run_of
from ._lead_naive import cross_correlation_lag, granger
from ._lead_tables import (
    EVERY_MODEL,
    LEAD_SCHEMA,
    ONSET_SCHEMA,
    training_leads,
    training_onsets,
)
from ._metrics import (
    METRIC_CORRELATION_SCHEMA,
    metric_correlations,
    of_metric,
    scale_profile,
)
from ._mixed import MixedEffect, MixedFit, mixed_model
from ._multiplicity import benjamini_hochberg
from ._onset import SHARES, Curve, Onset, scatter
from ._onset_measures import kind, rises
from ._performance import CORRELATION_SCHEMA, performance_alignment
from ._performance_contamination import Contamination, contamination_effect
from ._performance_tables import (
    CONTAMINATION_SCHEMA,
    MIXED_SCHEMA,
    contamination_table,
    mixed_table,
)
from ._places import subject_profile
from ._recovery import Recovery, recovery
from ._regions import modality_profile, region_profile
from ._subjects import ALL_REGIONS, SCORE_KEYS, SCORES_SCHEMA, subject_scores
from ._tables import (
    ALIGNMENT_COLUMNS,
    MODEL_COLUMNS,
    PERFORMANCE_COLUMNS,
    TRUTH_COLUMNS,
    require_columns,
)
from ._trajectories import step_positions, trajectories

__all__ = [
    "ALIGNMENT_COLUMNS",
    "ALL_REGIONS",
    "CONTAMINATION_SCHEMA",
    "CORRELATION_SCHEMA",
    "COVERAGE_COLUMNS",
    "EVERY_MODEL",
    "LEAD_SCHEMA",
    "METRIC_CORRELATION_SCHEMA",
    "MINIMUM_FAMILIES",
    "MIXED_SCHEMA",
    "MODEL_COLUMNS",
    "ONSET_SCHEMA",
    "PERFORMANCE_COLUMNS",
    "RESAMPLED_COLUMNS",
    "SCORES_SCHEMA",
    "SCORE_KEYS",
    "SHARES",
    "TRUTH_COLUMNS",
    "Contamination",
    "Coverage",
    "Curve",
    "Families",
    "FamilyCorrelation",
    "Lead",
    "MixedEffect",
    "MixedFit",
    "Onset",
    "Pair",
    "Recovery",
    "Run",
    "benjamini_hochberg",
    "ceiling_summary",
    "contamination_effect",
    "contamination_table",
    "correlation_variance",
    "coverage_summary",
    "cross_correlation_lag",
    "family_bootstrap",
    "family_correlation",
    "fisher_interval",
    "granger",
    "intraclass",
    "kind",
    "layer_scores",
    "leads",
    "leave_one_family_out",
    "mask_by_ceiling",
    "metric_correlations",
    "mixed_model",
    "mixed_table",
    "modality_profile",
    "model_alignment",
    "of_metric",
    "partial_pearson",
    "pearson",
    "performance_alignment",
    "permutation_p",
    "recovery",
    "region_profile",
    "require_columns",
    "rises",
    "run_of",
    "scale_profile",
    "scatter",
    "spearman",
    "step_positions",
    "subject_profile",
    "subject_scores",
    "training_leads",
    "training_onsets",
    "trajectories",
    "within_family",
    "without_each_family",
]

"""Tests of the study's claims, on tidy tables: pure functions, no files."""

from ._aggregate import mask_by_ceiling, model_alignment
from ._axis import Axis, Surface, axis_of, surface_of
from ._ceilings import ceiling_summary
from ._convergence import (
    convergence,
    corrected_r,
    profile_r,
    spin_maps,
    two_sample_jackknife,
)
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
from ._depth import bin_weights, depth_bins, depth_profile, depth_tests
from ._families import Families, correlation_variance, intraclass
from ._family_test import MINIMUM_FAMILIES, FamilyCorrelation, family_correlation
from ._gradient import gradients, spin_test, subject_means
from ._layers import layer_scores
from ._lead import Lead, leads
from ._lead_curves import RESAMPLED_COLUMNS, Run, run_of
from ._lead_naive import cross_correlation_lag, granger
from ._lead_pair import Pair
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
from ._profiles import family_means, jackknife_interval, median_p, t_over_families
from ._recovery import Recovery, recovery
from ._region_table import region_tests
from ._region_tests import modality_difference, relative, spin_contrast
from ._regions import modality_profile, region_profile
from ._representations import representation_depth
from ._scale_curves import scale_curves, typical_p
from ._scale_peak_table import scale_peaks
from ._scale_peaks import flatness, scale_peak
from ._scale_shift import scale_shift
from ._scale_shift_table import scale_shifts
from ._spin import spins
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
    "Axis",
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
    "Surface",
    "axis_of",
    "benjamini_hochberg",
    "bin_weights",
    "ceiling_summary",
    "contamination_effect",
    "contamination_table",
    "convergence",
    "corrected_r",
    "correlation_variance",
    "coverage_summary",
    "cross_correlation_lag",
    "depth_bins",
    "depth_profile",
    "depth_tests",
    "family_bootstrap",
    "family_correlation",
    "family_means",
    "fisher_interval",
    "flatness",
    "gradients",
    "granger",
    "intraclass",
    "jackknife_interval",
    "kind",
    "layer_scores",
    "leads",
    "leave_one_family_out",
    "mask_by_ceiling",
    "median_p",
    "metric_correlations",
    "mixed_model",
    "mixed_table",
    "modality_difference",
    "modality_profile",
    "model_alignment",
    "of_metric",
    "partial_pearson",
    "pearson",
    "performance_alignment",
    "permutation_p",
    "profile_r",
    "recovery",
    "region_profile",
    "region_tests",
    "relative",
    "representation_depth",
    "require_columns",
    "rises",
    "run_of",
    "scale_curves",
    "scale_peak",
    "scale_peaks",
    "scale_profile",
    "scale_shift",
    "scale_shifts",
    "scatter",
    "spearman",
    "spin_contrast",
    "spin_maps",
    "spin_test",
    "spins",
    "step_positions",
    "subject_means",
    "subject_profile",
    "subject_scores",
    "surface_of",
    "t_over_families",
    "training_leads",
    "training_onsets",
    "trajectories",
    "two_sample_jackknife",
    "typical_p",
    "within_family",
    "without_each_family",
]

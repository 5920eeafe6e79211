"""Alignment between features and responses: pure functions on arrays."""

from convergent.alignment._ceilings import (
    intersubject_correlation,
    leave_one_subject_out_ceiling,
    ncsnr_ceiling,
    normalise_by_ceiling,
    split_half_ceiling,
)
from convergent.alignment._dimensionality import effective_dimensionality
from convergent.alignment._dtype import resolve_dtype
from convergent.alignment._layers import LayerChoice, choose_layers
from convergent.alignment._orders import item_orders, story_orders
from convergent.alignment._ridge import RidgeScores, fit_ridge
from convergent.alignment._scores import mean_defined, pearson, r2, region_means
from convergent.alignment._splits import (
    Split,
    check_splits,
    inner_item_splits,
    inner_story_splits,
    item_splits,
    story_splits,
)
from convergent.alignment._story import fir, words_to_volumes
from convergent.alignment._validate import alpha_grid

__all__ = [
    "LayerChoice",
    "RidgeScores",
    "Split",
    "alpha_grid",
    "check_splits",
    "choose_layers",
    "effective_dimensionality",
    "fir",
    "fit_ridge",
    "inner_item_splits",
    "inner_story_splits",
    "intersubject_correlation",
    "item_orders",
    "item_splits",
    "leave_one_subject_out_ceiling",
    "mean_defined",
    "ncsnr_ceiling",
    "normalise_by_ceiling",
    "pearson",
    "r2",
    "region_means",
    "resolve_dtype",
    "split_half_ceiling",
    "story_orders",
    "story_splits",
    "words_to_volumes",
]

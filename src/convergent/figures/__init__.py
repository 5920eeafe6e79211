"""Figures: tables in, drawings out, no files read or written except atlas surfaces."""

from ._bars import bar_table, region_bars
from ._brain import cortical_surface, region_values
from ._controls import controls, twin_differences
from ._data_check import data_picture
from ._depth import convergence, depth, representation_words, representations, trend_words
from ._drawing import (
    Drawing,
    FigureError,
    FigureSpec,
    NotDrawn,
    Tables,
    draw_all,
    draw_figure,
    figure_of,
)
from ._gradient import gradient, gradient_words, networks
from ._heatmap import depth_by_region, layer_region
from ._leads import training_leads
from ._metrics import metric_label, metrics, scales
from ._planted import planted_recovered
from ._regions import region_dots
from ._scale_peaks import scale_peaks, shift_words
from ._scatter import performance_scatter, scatter_points
from ._surface import decimate, load_hemispheres, match_region
from ._trajectories import training_trajectories
from ._words import interval, number, p_value

__all__ = [
    "Drawing",
    "FigureError",
    "FigureSpec",
    "NotDrawn",
    "Tables",
    "bar_table",
    "controls",
    "convergence",
    "cortical_surface",
    "data_picture",
    "decimate",
    "depth",
    "depth_by_region",
    "draw_all",
    "draw_figure",
    "figure_of",
    "gradient",
    "gradient_words",
    "interval",
    "layer_region",
    "load_hemispheres",
    "match_region",
    "metric_label",
    "metrics",
    "networks",
    "number",
    "p_value",
    "performance_scatter",
    "planted_recovered",
    "region_bars",
    "region_dots",
    "region_values",
    "representation_words",
    "representations",
    "scale_peaks",
    "scales",
    "scatter_points",
    "shift_words",
    "training_leads",
    "training_trajectories",
    "trend_words",
    "twin_differences",
]

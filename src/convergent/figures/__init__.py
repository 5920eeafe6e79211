"""Figures: tables in, drawings out, no files read or written except atlas surfaces."""

from convergent.figures.bars import bar_table, region_bars
from convergent.figures.brain import (
    cortical_surface,
    decimate,
    load_hemispheres,
    match_region,
    region_values,
)
from convergent.figures.controls import controls, twin_differences
from convergent.figures.data_check import data_picture
from convergent.figures.depth import (
    convergence,
    depth,
    representation_words,
    representations,
    trend_words,
)
from convergent.figures.leads import training_leads
from convergent.figures.metrics import depth_by_region, layer_region, metric_label, metrics, scales
from convergent.figures.planted import planted_recovered
from convergent.figures.regions import gradient, gradient_words, networks, region_dots
from convergent.figures.scale_peaks import scale_peaks, shift_words
from convergent.figures.scatter import performance_scatter, scatter_points
from convergent.figures.style import (
    Drawing,
    FigureError,
    FigureSpec,
    NotDrawn,
    Tables,
    draw_all,
    draw_figure,
    figure_of,
    interval,
    number,
    p_value,
)
from convergent.figures.trajectories import training_trajectories

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

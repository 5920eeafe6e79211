"""A look at a data set before any model: its noise ceilings and its responses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from convergent.brains import DatasetReport, Responses
from convergent.figures.style import COLOURS, GREY, new_figure, tidy

_PLACES = 40
_PICTURES = 16
_SIDE = 200  # pixels of a small picture
_SHOWN = 300  # samples and targets at most


def data_picture(report: DatasetReport) -> Figure:
    """Draw some pictures, ceilings by region, their distribution, and one subject's responses.

    Parameters
    ----------
    report : DatasetReport

    Returns
    -------
    Figure
        To be saved as PNG or SVG.
    """
    brains = [found.responses for found in report.subjects if found.responses is not None]
    images = None if report.stimuli is None else report.stimuli.images
    if images is None:
        figure, axes = new_figure(11.0, 6.6, nrows=2, ncols=2)
    else:
        figure, axes = new_figure(11.0, 8.8, nrows=3, ncols=2, height_ratios=(2, 3, 3))
        for each in axes[0]:
            each.remove()
        _contact_sheet(figure.add_subplot(axes[0, 0].get_gridspec()[0, :]), report)
        axes = axes[1:]
    _by_place(axes[0, 0], report, brains)
    _histogram(axes[0, 1], brains)
    _overview(axes[1, 0], brains)
    _spread(axes[1, 1], brains)
    figure.suptitle(
        f"{report.name}: {len(brains)} of {len(report.subjects)} subjects readable, "
        f"{len(report.errors)} errors",
        fontsize=11,
    )
    _settle(figure)
    return figure


def _settle(figure: Figure) -> None:
    """Lay out once and round: the last digits of the layout's solver differ from run to run."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        x, y, wide, high = (round(value, 6) for value in axes.get_position().bounds)
        axes.set_position((x, y, wide, high))


def _contact_sheet(axes: Any, report: DatasetReport) -> None:
    """Some stimuli as models will get them, evenly spaced in the order of the table."""
    assert report.stimuli is not None and report.stimuli.images is not None
    images, ids = report.stimuli.images, report.stimuli.ids
    chosen = np.unique(np.linspace(0, len(ids) - 1, _PICTURES).round().astype(int))
    axes.axis("off")
    axes.set_title(f"{len(chosen)} of {len(ids)} stimuli", fontsize=9)
    if report.pictures is None:  # one of them cannot be read
        _nothing(axes)
        return
    shape = images.shape[1:3]
    step = max(1, max(shape) // _SIDE)
    across = math.ceil(len(chosen) / 2)
    for place, number in enumerate(chosen.tolist()):
        picture = np.asarray(images[number])[::step, ::step]
        inset = axes.inset_axes(
            ((place % across) / across, 0.5 * (place < across), 0.9 / across, 0.42)
        )
        inset.imshow(picture, interpolation="nearest")
        inset.set_title(str(ids[number])[:20], fontsize=6, pad=2)
        inset.set_xticks([])
        inset.set_yticks([])


def _by_place(axes: Any, report: DatasetReport, brains: list[Responses]) -> None:
    axes.set_title("noise ceiling by region", fontsize=9)
    if not brains:
        _nothing(axes)
        return
    names = list(dict.fromkeys(name for brain in brains for name in brain.region.tolist()))
    networks = {region.name: region.network for region in report.regions}
    place_of = {name: name for name in names}
    if len(names) > _PLACES and all(networks.get(name) for name in names):
        place_of = {name: networks[name] for name in names}
        axes.set_title("noise ceiling by network", fontsize=9)
    places = list(dict.fromkeys(place_of.values()))[:_PLACES]
    for number, brain in enumerate(brains):
        where = np.array([place_of[name] for name in brain.region.tolist()])
        medians = [_median(brain.noise_ceiling[where == place]) for place in places]
        shift = 0.0 if len(brains) == 1 else 0.6 * (number / (len(brains) - 1) - 0.5)
        axes.plot(
            np.arange(len(places)) + shift, medians, "o", markersize=3.5,
            color=COLOURS[number % len(COLOURS)], label=brain.subject if number < 8 else None,
        )  # fmt: skip
    axes.set_xticks(range(len(places)), places, rotation=70, ha="right", fontsize=7)
    axes.set_ylabel("explainable variance (r², median)", fontsize=8)
    axes.set_ylim(-0.03, 1.03)
    axes.legend(frameon=False, fontsize=7, ncols=4)
    tidy(axes)


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else math.nan


def _histogram(axes: Any, brains: list[Responses]) -> None:
    axes.set_title("noise ceilings of all targets", fontsize=9)
    values = [brain.noise_ceiling[~np.isnan(brain.noise_ceiling)] for brain in brains]
    if not any(value.size for value in values):
        _nothing(axes, "no noise ceilings")
        return
    for number, value in enumerate(values):
        axes.hist(
            value, bins=np.linspace(0, 1, 41), histtype="step",
            color=COLOURS[number % len(COLOURS)],
        )  # fmt: skip
    axes.set_xlabel("explainable variance (r²)", fontsize=8)
    axes.set_ylabel("targets", fontsize=8)
    tidy(axes)


def _overview(axes: Any, brains: list[Responses]) -> None:
    if not brains:
        axes.set_title("responses", fontsize=9)
        _nothing(axes)
        return
    data = brains[0].data
    rows = np.unique(np.linspace(0, data.shape[0] - 1, _SHOWN).astype(int))
    columns = np.unique(np.linspace(0, data.shape[1] - 1, _SHOWN).astype(int))
    part = np.asarray(data[rows], dtype=np.float64)[:, columns]
    sd = part.std(axis=0)
    scaled = (part - part.mean(axis=0)) / np.where(sd == 0, 1.0, sd)
    axes.imshow(scaled.T, aspect="auto", cmap="RdBu_r", vmin=-3, vmax=3, interpolation="nearest")
    axes.set_title(
        f"responses of {brains[0].subject}, z-scored "
        f"({len(columns)} of {data.shape[1]} targets, {len(rows)} of {data.shape[0]} samples)",
        fontsize=9,
    )
    axes.set_xlabel("sample", fontsize=8)
    axes.set_ylabel("target", fontsize=8)


def _spread(axes: Any, brains: list[Responses]) -> None:
    axes.set_title("standard deviation of targets, by subject", fontsize=9)
    if not brains:
        _nothing(axes)
        return
    for number, brain in enumerate(brains):
        rows = np.unique(np.linspace(0, brain.data.shape[0] - 1, _SHOWN).astype(int))
        sd = np.sort(np.asarray(brain.data[rows], dtype=np.float64).std(axis=0))
        axes.plot(np.linspace(0, 1, sd.size), sd, color=COLOURS[number % len(COLOURS)])
    axes.set_xlabel("share of targets", fontsize=8)
    axes.set_ylabel("standard deviation", fontsize=8)
    tidy(axes)


def _nothing(axes: Any, text: str = "nothing could be read") -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, transform=axes.transAxes)
    axes.axis("off")

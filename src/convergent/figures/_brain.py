"""Alignment painted on the cortical surface."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import plotly.graph_objects as go
import polars as pl
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ._drawing import Drawing, Tables, figure_of
from ._style import layout, new_figure
from ._surface import Hemisphere, decimate, load_hemispheres, match_region, on_surface

# Views: name, and the sign of x that looks at the reader.
_VIEWS = (("L", "left, outer", -1), ("R", "right, outer", 1),
          ("L", "left, inner", 1), ("R", "right, inner", -1))  # fmt: skip
VERTICES = 5000


@figure_of("modality_profile")
def cortical_surface(tables: Tables) -> list[Drawing]:
    """Mean alignment of the trained models on the inflated cortex, for HCP-MMP1 regions."""
    profile = tables["modality_profile"].filter(pl.col("choice") == "best")
    drawings = []
    for (dataset, modality), rows in profile.group_by(["dataset", "modality"], maintain_order=True):
        drawing = _draw(str(dataset), str(modality), rows.drop_nulls("score"))
        if drawing is not None:
            drawings.append(drawing)
    return drawings


def region_values(rows: pl.DataFrame, names: tuple[str, ...]) -> dict[str, float]:
    """Value of each HCP-MMP1 area: the mean of the rows that stand for it.

    Parameters
    ----------
    rows : DataFrame
        region, hemisphere, score.
    names : tuple of str
        Atlas names.

    Returns
    -------
    dict of str to float
    """
    found: dict[str, list[float]] = {}
    for region, hemisphere, score in rows.select("region", "hemisphere", "score").iter_rows():
        for name in match_region(region, hemisphere or "", names):
            found.setdefault(name, []).append(score)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _draw(dataset: str, modality: str, rows: pl.DataFrame) -> Drawing | None:
    left, right = load_hemispheres()
    matched = [
        bool(match_region(region, hemisphere or "", left.names))
        for region, hemisphere in rows.select("region", "hemisphere").iter_rows()
    ]
    if not on_surface(list(rows.select("region", "hemisphere").iter_rows()), left.names):
        return None
    values = region_values(rows, left.names)
    norm = Normalize(min(0.0, *values.values()), max(*values.values(), 1e-6))
    best = max(values, key=lambda name: values[name])
    unmatched = len(matched) - sum(matched)
    models = max(rows["n_models"].to_list())
    caption = (
        f"Mean alignment (r, best layer) of {models} final trained {modality} "
        f"models, data set {dataset}, painted on {len(values)} areas of the HCP-MMP1 atlas, fs_LR "
        "32k inflated surface (HCP S1200 average). Grey: no measurement. Region means, not vertex "
        "values; descriptive, tests over regions are in the region table."
        + (f" {unmatched} region(s) are not in the atlas and not painted." if unmatched else "")
    )
    return Drawing(
        name=f"cortical-surface-{dataset}-{modality}",
        figure="cortical-surface",
        title=f"Where in the cortex? ({dataset})",
        caption=caption,
        alt=f"Inflated cortex from four sides, {len(values)} areas coloured by alignment; highest "
        f"in {best} (r {values[best]:.2f}).",
        data=rows.with_columns(painted=pl.Series(matched)),
        static=_static((left, right), values, norm),
        interactive=_interactive((left, right), values, norm),
        lazy=True,
    )


def _per_vertex(hemisphere: Hemisphere, values: dict[str, float]) -> NDArray[np.float64]:
    lookup = np.array([values.get(name, np.nan) for name in hemisphere.names])
    lookup[0] = np.nan
    return np.asarray(lookup[hemisphere.label])


def _face_values(
    label: NDArray[np.int64], faces: NDArray[np.int32], value: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Value of a face: that of the label that at least two of its corners share."""
    a, b, c = (label[faces[:, i]] for i in range(3))
    corner = np.where((a == b) | (a == c), 0, np.where(b == c, 1, 0))
    return np.asarray(value[faces[np.arange(len(faces)), corner]])


def _static(
    hemispheres: tuple[Hemisphere, Hemisphere], values: dict[str, float], norm: Normalize
) -> Figure:
    figure, axes = new_figure(7.2, 5.4, nrows=2, ncols=2)
    colours = mpl.colormaps["viridis"]
    for panel, (side, title, sign) in zip(axes.flat, _VIEWS, strict=True):
        hemisphere = hemispheres[0] if side == "L" else hemispheres[1]
        _paint(panel, hemisphere, values, norm, sign)
        panel.set_title(title, fontsize=9)
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, shrink=0.6, label="alignment (mean r)")
    return figure


def _paint(
    panel: Any, hemisphere: Hemisphere, values: dict[str, float], norm: Normalize, sign: int
) -> None:
    """Draw one side: faces turned to the reader, far ones first, shaded by their slope."""
    points = hemisphere.vertices.astype(np.float64)
    corner = points[hemisphere.faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    front = np.flatnonzero(normal[:, 0] * sign > 0)
    order = front[np.argsort(corner[front][:, :, 0].mean(axis=1) * sign)]
    value = _face_values(hemisphere.label, hemisphere.faces, _per_vertex(hemisphere, values))[order]
    sulcus = hemisphere.sulcus[hemisphere.faces[order]].mean(axis=1)
    grey = np.where(sulcus < -0.1, 0.72, 0.84)  # Sulci darker, as on printed atlases.
    rgb = np.repeat(grey[:, None], 3, axis=1)
    known = np.isfinite(value)
    rgb[known] = mpl.colormaps["viridis"](norm(value[known]))[:, :3]
    light = 0.55 + 0.45 * np.abs(normal[order, 0])
    flat = corner[order][:, :, 1:] * np.array([sign, 1.0])
    faces = PolyCollection(
        list(flat), facecolors=rgb * light[:, None], edgecolors="face", linewidths=0.2,
        rasterized=True,
    )  # fmt: skip
    panel.add_collection(faces)
    panel.set_xlim(flat[:, :, 0].min() - 2, flat[:, :, 0].max() + 2)
    panel.set_ylim(flat[:, :, 1].min() - 2, flat[:, :, 1].max() + 2)
    panel.set_aspect("equal")
    panel.axis("off")


def _interactive(
    hemispheres: tuple[Hemisphere, Hemisphere], values: dict[str, float], norm: Normalize
) -> go.Figure:
    figure = go.Figure()
    for hemisphere, shift in zip(hemispheres, (-10.0, 10.0), strict=True):
        kept, faces = decimate(hemisphere, VERTICES)
        points = np.round(hemisphere.vertices[kept], 1)
        label = hemisphere.label[kept]
        face_value = _face_values(label, faces, _per_vertex(hemisphere, values)[kept])
        words = [_name(hemisphere.names[i], values) for i in label]
        known = np.isfinite(face_value)
        for mask, colours in (
            (~known, {"color": "#d1d5db"}),
            (
                known,
                {
                    "intensity": np.round(face_value[known], 4),
                    "intensitymode": "cell", "colorscale": "Viridis",
                    "cmin": float(norm.vmin or 0.0), "cmax": float(norm.vmax or 1.0),
                    "showscale": hemisphere.side == "R",
                    "colorbar": {"title": {"text": "r"}, "thickness": 12, "len": 0.7},
                },
            ),
        ):  # fmt: skip
            # Each part carries only its own vertices: hover names are the heaviest of it.
            own, corners = np.unique(faces[mask], return_inverse=True)
            i, j, k = corners.reshape(-1, 3).T.astype(np.int32)
            x, y, z = points[own].T
            figure.add_mesh3d(
                x=x + np.float32(shift), y=y, z=z, i=i, j=j, k=k, flatshading=False,
                text=[words[v] for v in own], hovertemplate="%{text}<extra></extra>", **colours,
            )  # fmt: skip
    axis = {"visible": False}
    return layout(
        figure,
        height=460,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        scene={
            "xaxis": axis, "yaxis": axis, "zaxis": axis, "aspectmode": "data",
            "camera": {"eye": {"x": -0.9, "y": -1.2, "z": 0.6}},
        },
    )  # fmt: skip


def _name(area: str, values: dict[str, float]) -> str:
    if not area:
        return "medial wall"
    return f"{area} r {values[area]:.3f}" if area in values else f"{area}: not measured"

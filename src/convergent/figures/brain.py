"""Alignment painted on the cortical surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
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
from scipy.spatial import ConvexHull, cKDTree

from convergent.brains.atlas import (
    SIDES,
    Side,
    fs_lr,
    match_region,
    on_vertices,
    parcellation,
    sulcal_depth,
)
from convergent.errors import DataError
from convergent.figures.style import Drawing, FigureError, Tables, figure_of, layout, new_figure

__all__ = ["Hemisphere", "decimate", "load_hemispheres", "match_region", "on_surface"]


@dataclass(frozen=True)
class Hemisphere:
    """One hemisphere of the fs_LR 32k inflated surface.

    Attributes
    ----------
    side : {"L", "R"}
    vertices : ndarray of float32, shape (vertex, 3)
        Inflated coordinates in mm; x left to right, y back to front, z down to up.
    sphere : ndarray of float32, shape (vertex, 3)
    faces : ndarray of int32, shape (face, 3)
    label : ndarray of int64, shape (vertex,)
        Index into ``names``; 0 is no region (medial wall).
    names : tuple of str
        ``L_V1`` and so on.
    sulcus : ndarray of float64, shape (vertex,)
        Sulcal depth, for shading; 0 on the medial wall.
    """

    side: str
    vertices: NDArray[np.float32]
    sphere: NDArray[np.float32]
    faces: NDArray[np.int32]
    label: NDArray[np.int64]
    names: tuple[str, ...]
    sulcus: NDArray[np.float64]


@cache
def load_hemispheres() -> tuple[Hemisphere, Hemisphere]:
    """Read both hemispheres, left first.

    Raises
    ------
    FigureError
        If the package that carries the surfaces is not installed.
    """
    try:
        keys, labels = parcellation("mmp_1.0.npz")
        left, right = (_hemisphere(side, keys, tuple(labels.values())) for side in SIDES)
    except DataError as error:
        raise FigureError(error.what, where="figure 'cortical-surface'", fix=error.fix) from None
    return left, right


def _hemisphere(side: Side, keys: NDArray[np.int64], names: tuple[str, ...]) -> Hemisphere:
    inflated = fs_lr(side, "inflated")
    return Hemisphere(
        side,
        inflated.vertices,
        fs_lr(side, "sphere").vertices,
        inflated.faces,
        on_vertices(keys, side, 0),
        names,
        sulcal_depth(side),
    )


def on_surface(regions: Sequence[tuple[str, str | None]], names: tuple[str, ...]) -> bool:
    """Tell whether regions are those of HCP-MMP1, so that the surface can show them.

    One region called "V1" or "4" by chance does not make a data set an HCP-MMP1 one: at least two
    must be, and half of them.

    Parameters
    ----------
    regions : sequence of (str, str or None)
        Names and hemispheres.
    names : tuple of str
        Of the atlas.
    """
    found = sum(bool(match_region(region, side or "", names)) for region, side in regions)
    return found >= max(2, len(regions) / 2)


def decimate(hemisphere: Hemisphere, number: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Choose evenly spread vertices and triangulate them anew.

    The vertices nearest to a Fibonacci lattice on the sphere are kept; their convex hull on the
    sphere is their Delaunay triangulation, which the inflated surface inherits.

    Parameters
    ----------
    hemisphere : Hemisphere
    number : int
        Number of lattice points.

    Returns
    -------
    kept : ndarray of int64, shape (vertex',)
        Indices into the full surface.
    faces : ndarray of int32, shape (face', 3)
        Triangles over the kept vertices, wound outwards.
    """
    i = np.arange(number) + 0.5
    polar, turn = np.arccos(1 - 2 * i / number), np.pi * (1 + 5**0.5) * i
    lattice = np.stack(
        [np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], axis=1
    )
    sphere = hemisphere.sphere / np.linalg.norm(hemisphere.sphere, axis=1, keepdims=True)
    kept = np.unique(cKDTree(sphere).query(lattice)[1])
    points = sphere[kept]
    faces = ConvexHull(points).simplices
    corner = points[faces]
    outward = np.einsum(
        "fi,fi->f", np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), corner[:, 0]
    )
    faces[outward < 0] = faces[outward < 0][:, ::-1]
    return kept, faces.astype(np.int32)


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

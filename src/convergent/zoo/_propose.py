"""The layers part of a table row, from an inspection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from convergent.models.inspect import Inspection
from convergent.study.types import Layout, Pooling
from convergent.zoo._braces import compress_braces

_POOLING: dict[Layout, Pooling] = {
    "tokens": "mean",
    "channels_first": "spatial_mean",
    "channels_last": "spatial_mean",
    "vector": "none",
}


@dataclass(frozen=True)
class Proposal:
    """What an inspection says about a row.

    Attributes
    ----------
    layers, widths : tuple
        One width a layer, in the order of execution.
    layout, pooling : str
    skip : int
        Leading tokens that a mean over places leaves out.
    notes : str
        Candidates of another layout, which a row cannot hold, counted.
    parameters : int
    """

    layers: tuple[str, ...]
    widths: tuple[int, ...]
    layout: Layout
    pooling: Pooling
    skip: int
    notes: str
    parameters: int
    options: dict[str, str] = field(default_factory=dict)


def propose(inspection: Inspection, parameters: int) -> Proposal:
    """Propose the layers of a row: all candidates of the layout that most blocks have.

    Raises
    ------
    LayerError
        If no block or stage can be read.
    """
    listed = inspection.listed()
    axes = listed[0].axes
    others = Counter(
        (item.kind, item.axes.layout)
        for item in inspection.candidates
        if item not in listed and item.kind in ("block", "stage")
    )
    unread = Counter(
        left.kind
        for left in inspection.left_out
        if left.kind in ("block", "stage") and not left.same_as
    )
    notes = [f"not listed: {count} {kind}s, {layout}" for (kind, layout), count in others.items()]
    notes += [f"not listed: {count} {kind}s, no single tensor" for kind, count in unread.items()]
    return Proposal(
        layers=tuple(item.path for item in listed),
        widths=tuple(item.axes.width for item in listed),
        layout=axes.layout,
        pooling=_POOLING[axes.layout],
        skip=axes.prefix,
        notes="; ".join(notes),
        parameters=parameters,
        options={"skip_tokens": str(axes.prefix)} if axes.prefix else {},
    )


def shown(proposal: Proposal) -> str:
    """Layers and widths as in a table, for people."""
    widths = sorted(set(proposal.widths))
    width = str(widths[0]) if len(widths) == 1 else f"{widths[0]}-{widths[-1]}"
    return f"{compress_braces(proposal.layers)} ({proposal.layout}, {width})"

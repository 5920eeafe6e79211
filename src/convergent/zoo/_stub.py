"""Models that are no row of a table yet, for inspection."""

from __future__ import annotations

from collections.abc import Mapping

from convergent.models.inspect import inspect
from convergent.study.types import Modality, Model
from convergent.zoo._propose import Proposal, propose
from convergent.zoo._sketch import sketch


def stub(
    source: str,
    architecture: str,
    *,
    key: str = "",
    modality: Modality = "vision",
    reference: str = "",
    preprocessing: Mapping[str, str] | None = None,
) -> Model:
    """Make a model of which only the network is known."""
    return Model(
        key=key or architecture,
        family="",
        modality=modality,
        source=source,
        reference=reference,
        revision="",
        architecture=architecture,
        parameters=0,
        layers=(),
        layout="tokens",
        pooling="mean",
        precision="float32",
        preprocessing=dict(preprocessing or {}),
        attention="",
        tags=(),
        checkpoints=(),
    )


def propose_for(model: Model) -> Proposal:
    """Inspect a model's network and propose the layers of its row."""
    network = sketch(model)
    return propose(inspect(network), network.parameters)

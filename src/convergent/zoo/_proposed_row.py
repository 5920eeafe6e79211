"""The table row that an inspection proposes."""

from __future__ import annotations

from convergent.study.types import Model
from convergent.zoo._families import timm_family
from convergent.zoo._propose import Proposal
from convergent.zoo._rows import ModelRow


def proposed_row(model: Model, proposal: Proposal) -> ModelRow:
    """Make a row for a person to complete: revision, attention and tags are theirs to say.

    Parameters
    ----------
    model : Model
        As resolved.
    proposal : Proposal
    """
    key = model.key.removeprefix("timm/").replace("/", "-")
    architecture = model.architecture
    return ModelRow(
        model=key,
        family=_family(model),
        modality=model.modality,
        source=model.source,
        reference=model.reference or architecture,
        architecture=architecture,
        parameters=proposal.parameters,
        layers=proposal.layers,
        widths=proposal.widths,
        layout=proposal.layout,
        pooling=proposal.pooling,
        preprocessing=proposal.options,
        notes=proposal.notes,
    )


def _family(model: Model) -> str:
    if model.source == "timm" and model.architecture:
        from timm.models import model_entrypoint

        name = model.architecture
        module = model_entrypoint(name).__module__.rpartition(".")[2]
        return timm_family(name.partition(".")[0], module)
    return model.key.partition(".")[0].lower()

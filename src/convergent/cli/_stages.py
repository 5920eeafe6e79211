"""One command a stage: the rules of the workflow call these, and so can a person."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from convergent.cli._app import (
    DEFAULT_STUDY,
    AnyCheckpoint,
    AnyDataset,
    AnyLayer,
    AnySubject,
    DatasetName,
    ModelKey,
    Overrides,
    StudyFile,
    SubjectName,
    app,
    load,
)

_PANEL = "Stages (in order)"


def _without_network() -> None:
    # Jobs read what the weights step recorded. Said before any library of the hub is imported.
    os.environ["HF_HUB_OFFLINE"] = "1"


@app.command(rich_help_panel=_PANEL)
def stimuli(
    dataset: DatasetName, study: StudyFile = DEFAULT_STUDY, overrides: Overrides = []
) -> None:
    """Read a data set's stimuli into a store."""
    from convergent.pipeline import data

    data.write_stimuli(load(study, overrides), dataset)


@app.command(rich_help_panel=_PANEL)
def responses(
    dataset: DatasetName,
    subject: SubjectName,
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
) -> None:
    """Read one subject's brain responses into a store."""
    from convergent.pipeline import data

    data.write_responses(load(study, overrides), dataset, subject)


@app.command(rich_help_panel=_PANEL)
def train(model: ModelKey, study: StudyFile = DEFAULT_STUDY, overrides: Overrides = []) -> None:
    """Train a model whose reference is `trained:<recipe>`, with its checkpoints."""
    from convergent.pipeline import weights

    weights.train(load(study, overrides), model)


@app.command(rich_help_panel=_PANEL)
def weights(
    model: ModelKey,
    checkpoint: AnyCheckpoint = None,
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
) -> None:
    """Find or download the weights of checkpoints and record their hashes."""
    from convergent.pipeline import weights as stage

    stage.write_manifests(load(study, overrides), model, checkpoint)


@app.command(rich_help_panel=_PANEL)
def extract(
    model: ModelKey,
    checkpoint: AnyCheckpoint = None,
    layer: AnyLayer = None,
    dataset: AnyDataset = None,
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
) -> None:
    """Compute the activations of layers for the stimuli."""
    _without_network()
    from convergent.pipeline import extract as stage

    stage.extract(load(study, overrides), model, checkpoint, layer, dataset)


@app.command(rich_help_panel=_PANEL)
def evaluate(model: ModelKey, study: StudyFile = DEFAULT_STUDY, overrides: Overrides = []) -> None:
    """Measure the performance of a model's checkpoints."""
    _without_network()
    from convergent.pipeline import evaluate as stage

    stage.evaluate(load(study, overrides), model)


@app.command(rich_help_panel=_PANEL)
def fit(
    model: ModelKey,
    checkpoint: AnyCheckpoint = None,
    layer: AnyLayer = None,
    subject: AnySubject = None,
    dataset: AnyDataset = None,
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
) -> None:
    """Fit ridge encoding models from features to brain responses, and score them."""
    from convergent.pipeline import fit as stage

    stage.fit(load(study, overrides), model, checkpoint, layer, dataset, subject)


@app.command(rich_help_panel=_PANEL)
def ceilings(
    dataset: DatasetName, study: StudyFile = DEFAULT_STUDY, overrides: Overrides = []
) -> None:
    """Bound what similarity metrics can reach, from the agreement of a data set's subjects."""
    from convergent.pipeline import ceilings as stage

    stage.ceilings(load(study, overrides), dataset)


@app.command(rich_help_panel=_PANEL)
def representations(study: StudyFile = DEFAULT_STUDY, overrides: Overrides = []) -> None:
    """Compare layers of vision and language models for the same stimuli."""
    from convergent.pipeline import representations as stage

    stage.representations(load(study, overrides))


@app.command(rich_help_panel=_PANEL)
def measure(model: ModelKey, study: StudyFile = DEFAULT_STUDY, overrides: Overrides = []) -> None:
    """Gather one model's alignment stores into tables."""
    from convergent.pipeline import measure as aggregate

    aggregate.measure(load(study, overrides), model)


@app.command(rich_help_panel=_PANEL)
def family(
    family: Annotated[str, typer.Option("--family", help="Family in the models table.")],
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
) -> None:
    """Gather one family's models into tables."""
    from convergent.pipeline import measure as aggregate

    aggregate.gather_family(load(study, overrides), family)


@app.command(rich_help_panel=_PANEL)
def correlate(study: StudyFile = DEFAULT_STUDY, overrides: Overrides = []) -> None:
    """Relate performance to alignment over all families, and test it."""
    from convergent.pipeline import correlate as stage

    stage.correlate(load(study, overrides))


@app.command(rich_help_panel=_PANEL)
def report(study: StudyFile = DEFAULT_STUDY, overrides: Overrides = []) -> None:
    """Draw the figures and write the report."""
    from convergent.pipeline import report as stage

    typer.echo(stage.write_report(load(study, overrides)))

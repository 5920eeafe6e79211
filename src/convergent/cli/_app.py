"""The application and the options that its commands share."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from convergent import __version__
from convergent.study import Study, check_code, parse_overrides, shared_study

app = typer.Typer(
    name="convergent",
    help="Alignment between AI models and the human brain, from tables to a report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

StudyFile = Annotated[
    str,
    typer.Option(
        "--study",
        "-s",
        envvar="CONVERGENT_STUDY",
        help="Study configuration (YAML); several joined by ':' are merged.",
    ),
]
Overrides = Annotated[
    list[str],
    typer.Option("--set", help="Override one key: --set fit.folds=10. May be repeated."),
]
DatasetName = Annotated[str, typer.Option("--dataset", help="Data set of the study.")]
SubjectName = Annotated[str, typer.Option("--subject", help="Subject of the data set.")]
ModelKey = Annotated[str, typer.Option("--model", help="Key in the models table.")]
AnyDataset = Annotated[
    str | None, typer.Option("--dataset", help="Data set; all of the model's by default.")
]
AnyCheckpoint = Annotated[
    str | None, typer.Option("--checkpoint", help="Checkpoint; all by default.")
]
AnyLayer = Annotated[str | None, typer.Option("--layer", help="Layer; all by default.")]
AnySubject = Annotated[str | None, typer.Option("--subject", help="Subject; all by default.")]

DEFAULT_STUDY = "config/demo.yaml"


def load(study: str, overrides: list[str]) -> Study:
    """Load the study that a command was given, or that of the workflow that started it."""
    more = settings(overrides)
    shared = shared_study()
    if shared is None or study != os.environ.get("CONVERGENT_STUDY"):
        return Study.load(study, more)
    return Study.of(**{**shared, "overrides": {**shared["overrides"], **more}})


def settings(overrides: list[str]) -> dict[str, Any]:
    """Overrides of the command line."""
    check_code()
    return parse_overrides(overrides)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)

"""Commands about data sets: what is in them, and a small one to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from convergent.cli._app import DEFAULT_STUDY, Overrides, StudyFile, app, load
from convergent.errors import ConvergentError, DataError, UnknownKeyError, did_you_mean

if TYPE_CHECKING:
    from convergent.brains import DatasetReader, DatasetReport, PictureReport

data_app = typer.Typer(no_args_is_help=True, help="Data sets: check them, or start one.")
app.add_typer(data_app, name="data", rich_help_panel="Inspect")

_SUFFIXES = (".png", ".svg")


@data_app.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="File of a data set of your own; without it, the study's data sets."),
    ] = None,
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Data set of the study; all by default.")
    ] = None,
    subject: Annotated[
        list[str], typer.Option("--subject", help="Only this subject. May be repeated.")
    ] = [],
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="PNG or SVG; with several data sets, one file each."),
    ] = None,
) -> None:
    """Read data sets and tell shapes, joins by id, missing values, ceilings and every mistake."""
    from convergent.brains import check_dataset

    if picture is not None and picture.suffix not in _SUFFIXES:
        raise DataError(f"picture '{picture}'", fix="name a .png or .svg file")
    delays: dict[str, tuple[int, ...]] = {}
    if file is not None:
        readers = _own(file)
    else:
        loaded = load(study, overrides)
        readers, delays = _of_study(loaded, dataset), {"delays": loaded.config.fit.delays}
    mistakes = 0
    for name, (reader, subjects) in readers.items():
        report = check_dataset(name, reader, subject or subjects, **delays)
        _tell(report)
        mistakes += len(report.errors)
        if picture is not None:
            target = picture if len(readers) == 1 else picture.with_stem(f"{picture.stem}-{name}")
            _draw(report, target)
    if mistakes:
        typer.echo(f"{mistakes} error(s)", err=True)
        raise typer.Exit(2)
    typer.echo("no errors found")


@data_app.command()
def example(
    directory: Annotated[Path, typer.Argument(help="New directory.")],
    kind: Annotated[str, typer.Option("--kind", help="images or story.")] = "images",
) -> None:
    """Write a small data set with a planted truth in the format of one's own data."""
    from convergent.brains.custom import write_example

    if kind == "images":
        typer.echo(write_example(directory, "images"))
    elif kind == "story":
        typer.echo(write_example(directory, "story"))
    else:
        raise UnknownKeyError(
            f"no example of kind '{kind}'", fix=did_you_mean(kind, ("images", "story"))
        )


Readers = dict[str, tuple["DatasetReader", "tuple[str, ...] | None"]]


def _own(file: Path) -> Readers:
    from convergent.brains.custom import OwnData, read_own

    read_own(file)
    reader = cast("DatasetReader", OwnData(file=str(file), name=file.stem))
    return {file.stem: (reader, None)}


def _of_study(study: object, dataset: str | None) -> Readers:
    from convergent.brains import open_dataset
    from convergent.study import Study

    assert isinstance(study, Study)
    names = list(study.config.datasets) if dataset is None else [dataset]
    return {
        name: (open_dataset(name, study.dataset(name)), study.dataset(name).subjects)
        for name in names
    }


def _tell(report: DatasetReport) -> None:
    from rich.console import Console
    from rich.table import Table

    stimuli = report.stimuli
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    about = "stimuli unreadable"
    if stimuli is not None:
        about = f"{len(stimuli)} stimuli ({stimuli.modality}, {stimuli.design})"
        if stimuli.images is not None:
            about += f", images {' x '.join(map(str, stimuli.images.shape[1:3]))}"
    split = ", ".join(f"{side} {number}" for side, number in report.split.items())
    console.print(
        f"{report.name}: {about}, {len(report.regions)} regions, split: {split or 'folds'}",
        highlight=False,
    )
    if report.pictures is not None:
        console.print(_about_pictures(report.pictures), highlight=False)
    table = Table()
    columns = ("subject", "samples", "targets", "matched", "only stimuli", "only responses",
               "repeats", "missing", "constant", "no region", "ceiling r² (quartiles)")  # fmt: skip
    for name in columns:
        table.add_column(name, justify="left" if name == "subject" else "right")
    for found in report.subjects:
        numbers = (found.samples, found.targets, found.matched, found.unanswered, found.unknown)
        repeats = "" if found.repeats is None else "-".join(map(str, dict.fromkeys(found.repeats)))
        rest = (found.missing, found.constant, found.outside)
        ceiling = "" if found.responses is None else _quartiles(found.responses.noise_ceiling)
        cells = [*map(_cell, numbers), repeats, *map(_cell, rest), ceiling]
        table.add_row(found.subject, *cells)
    console.print(table)
    for story in dict.fromkeys(found.story for found in report.subjects if found.story):
        console.print(
            f"story: {story.times}; of {story.words:,} words {story.before:.1%} are before the "
            f"scan ({story.lost:.1%} out of reach), {story.after:.1%} after it; no word reaches "
            f"{story.silent:.1%} of {story.volumes:,} volumes; {story.rate:.1f} words a second "
            "(median)",
            highlight=False,
        )
    for finding in report.findings:
        typer.echo(f"{finding.level}: {finding.text}", err=finding.level == "error")


def _about_pictures(found: PictureReport) -> str:
    parts = []
    if found.conversions:
        kinds = sorted(found.conversions.items(), key=lambda item: (-item[1], item[0]))
        parts.append(", ".join(f"{kind} {number:,}" for kind, number in kinds))
    low, high = found.ends
    parts.append(f"{low:.1%} of the values are 0 and {high:.1%} are 255")
    parts.append(f"{sum(map(len, found.same)) - len(found.same)} repeated")
    return "pictures: " + "; ".join(parts)


def _cell(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _quartiles(ceiling: object) -> str:
    import numpy as np

    values = np.asarray(ceiling)
    known = values[~np.isnan(values)]
    if not known.size:
        return "none"
    text = " ".join(f"{value:.2f}" for value in np.quantile(known, (0.25, 0.5, 0.75)))
    return text + (f" ({values.size - known.size} none)" if known.size < values.size else "")


def _draw(report: DatasetReport, path: Path) -> None:
    import matplotlib as mpl

    from convergent.figures import data_picture

    figure = data_picture(report)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": report.name}):
            metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
            figure.savefig(path, dpi=120, metadata=metadata)
    except OSError as error:
        raise _unwritable(path, error) from None
    typer.echo(f"picture: {path}")


def _unwritable(path: Path, error: OSError) -> ConvergentError:
    return DataError(
        f"the picture cannot be written: {error.strerror}",
        where=str(path),
        fix="name another place",
    )

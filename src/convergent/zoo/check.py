"""Check tables against the networks that their rows describe, without weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from convergent.errors import (
    ConvergentError,
    LayerError,
    ModelError,
    TableError,
    UnknownKeyError,
    did_you_mean,
)
from convergent.models.inspect import Reading, Sketch, read_layers
from convergent.study.rows import read_models, read_performance
from convergent.study.types import Model
from convergent.zoo.sketch import by_network, folder_of, run_all, sketch


@dataclass(frozen=True)
class CheckReport:
    """What was checked.

    Attributes
    ----------
    models : tuple of Model
        Rows that were read.
    networks : int
        Distinct networks that were built.
    scores : int
    errors : tuple of ConvergentError
    """

    models: tuple[Model, ...]
    networks: int
    scores: int
    errors: tuple[ConvergentError, ...]

    def counts(self, attribute: str) -> dict[str, int]:
        """Models by family, source or modality, sorted by name."""
        return dict(sorted(Counter(getattr(model, attribute) for model in self.models).items()))

    def extremes(self) -> tuple[Model, Model]:
        """Models with the fewest and the most parameters."""
        by_size = sorted(self.models, key=lambda model: (model.parameters, model.key))
        return by_size[0], by_size[-1]


def check_tables(
    tables: Sequence[Path],
    *,
    families: Sequence[str] = (),
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Check rows with the study's readers, and each distinct network on the meta device.

    Parameters
    ----------
    tables : sequence of Path
        Tables of models, checkpoints and scores, told apart by their columns.
    families : sequence of str
        Only these; all by default.
    jobs : int
        Processes.
    progress : callable, optional
        Called with the number of networks checked and their number.

    Raises
    ------
    UnknownKeyError
        There is no such family, or no table of models.
    """
    kinds: dict[str, list[str]] = {"models": [], "checkpoints": [], "scores": []}
    for table in tables:
        kinds[_kind(table)].append(str(table.resolve()))
    if not kinds["models"]:
        raise UnknownKeyError("no table of models", fix="name tables, or a folder with some")
    mistakes: list[TableError] = []
    models, wrong = read_models(
        Path(), tuple(kinds["models"]), tuple(kinds["checkpoints"]), mistakes
    )
    scores = read_performance(Path(), tuple(kinds["scores"]), models, wrong, mistakes)
    known = {model.family for model in models.values()}
    for family in families:
        if family not in known:
            raise UnknownKeyError(f"no family '{family}'", fix=did_you_mean(family, known))
    chosen = [m for m in models.values() if not families or m.family in families]
    groups = by_network(model for model in chosen if not model.is_control)
    results = run_all(check_network, groups, jobs, progress)
    errors: list[ConvergentError] = list(mistakes)
    for group, result in zip(groups, results, strict=True):
        if isinstance(result, ConvergentError):
            what, fix = result.what, result.fix
            errors += [type(result)(what, where=_where(model), fix=fix) for model in group]
        else:
            errors += result
    keys = {model.key for model in chosen}
    counted = sum(score.model in keys for score in scores)
    return CheckReport(tuple(chosen), len(groups), counted, tuple(errors))


def check_network(models: Sequence[Model]) -> list[ConvergentError]:
    """Compare rows that share a network with that network.

    Parameters
    ----------
    models : sequence of Model
        With the same network (see `by_network`).

    Returns
    -------
    list of ConvergentError
        One for each cell that is wrong.
    """
    network = sketch(models[0], folder_of(models[0]))
    paths = list(dict.fromkeys(layer.name for model in models for layer in model.layers))
    readings = read_layers(network, paths)
    return [error for model in models for error in _compare(model, network, readings)]


def _compare(
    model: Model, network: Sketch, readings: dict[str, Reading | LayerError]
) -> list[ConvergentError]:
    errors: list[ConvergentError] = []
    wrong = partial(_wrong, model, errors)
    if model.parameters != network.parameters:
        wrong("parameters", f"{model.parameters:,}", f"{network.parameters:,}")
    moments: dict[int, str] = {}
    layouts: dict[str, list[str]] = {}
    prefixes = set()
    for layer in model.layers:
        reading = readings[layer.name]
        if isinstance(reading, LayerError):
            where = f"{_where(model)}, layer '{layer.name}'"
            errors.append(LayerError(reading.what, where=where, fix=reading.fix))
            continue
        moments[reading.moment] = layer.name
        if reading.axes.layout != model.layout:
            layouts.setdefault(reading.axes.layout, []).append(layer.name)
            continue
        if reading.axes.width != layer.width:
            wrong(f"width of layer '{layer.name}'", layer.width, reading.axes.width)
        prefixes.add(reading.axes.prefix)
    for layout, names in layouts.items():
        wrong(f"layout of layer '{names[0]}' ({len(names)} such)", model.layout, layout)
    if list(moments) != sorted(moments):
        wrong("order of layers", *_first_swapped(moments))
    if model.modality == "vision" and model.layout == "tokens" and model.pooling == "mean":
        skip = int(model.preprocessing.get("skip_tokens", "0"))
        if prefixes - {skip}:
            wrong("skip_tokens", skip, max(prefixes - {skip}))
    return errors


def _first_swapped(moments: dict[int, str]) -> tuple[str, str]:
    given, sorted_ = list(moments.values()), [moments[moment] for moment in sorted(moments)]
    return next((a, b) for a, b in zip(given, sorted_, strict=True) if a != b)


def _wrong(
    model: Model, errors: list[ConvergentError], cell: str, table: object, network: object
) -> None:
    errors.append(
        ModelError(
            f"{cell}: {table} in the table, {network} in the network",
            where=_where(model),
            fix="correct the row",
        )
    )


def _where(model: Model) -> str:
    return f"{model.source_location}, model '{model.key}'"


def _kind(table: Path) -> str:
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"cannot be read ({error})", where=str(table)) from None
    header = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    columns = {name.strip() for name in header.split("\t")}
    if "layers" in columns:
        return "models"
    return "scores" if "benchmark" in columns else "checkpoints"


def find_tables(places: Sequence[Path]) -> list[Path]:
    """Tables in folders, and those named.

    Raises
    ------
    UnknownKeyError
        A place does not exist.
    """
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise UnknownKeyError(f"no table or folder '{place}'", fix="check the path")
        found += sorted(place.glob("*.tsv")) if place.is_dir() else [place]
    return found

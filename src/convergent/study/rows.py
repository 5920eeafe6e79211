"""From table rows to models, checkpoints and scores; all errors are reported together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args

from convergent.errors import (
    ConfigError,
    ConvergentError,
    TableError,
    UnknownKeyError,
    did_you_mean,
)
from convergent.names import LAYER_FIX, layer_error, same_but_case, shown
from convergent.registry import SOURCES, reader_facts
from convergent.study.checkpoints import name_of_weights
from convergent.study.config import StudyConfig
from convergent.study.tables import MOST_EXPANDED, Row, expand_braces, read_rows
from convergent.study.types import Checkpoint, Layer, Layout, Modality, Model, Performance, Pooling

MODEL_COLUMNS = (
    "model", "family", "modality", "source", "reference", "parameters", "layers", "width",
    "layout", "pooling",
)  # fmt: skip
MODEL_OPTIONAL = (
    "revision", "architecture", "precision", "preprocessing", "attention", "tags", "notes",
)  # fmt: skip
CHECKPOINT_COLUMNS = ("model", "checkpoint")
CHECKPOINT_OPTIONAL = (
    "role",
    "step",
    "reference",
    "branch",
    "revision",
    "seed",
    "final",
    "same_as",
)
PERFORMANCE_COLUMNS = ("model", "checkpoint", "benchmark", "score", "source")

_PRECISIONS = ("float32", "bfloat16", "float16")

T = TypeVar("T")


def collect(
    rows: Iterable[Row], build: Callable[[Row], T], errors: list[TableError]
) -> tuple[list[T], list[Row]]:
    """Build one object a row, and give the rows that it worked for.

    Mistakes go into ``errors`` so that all are told at once.
    """
    built, kept = [], []
    for row in rows:
        try:
            built.append(build(row))
        except TableError as error:
            errors.append(error)
        else:
            kept.append(row)
    return built, kept


def build_model(row: Row) -> Model:
    """Turn one row of the models table into a `Model` without checkpoints.

    Raises
    ------
    TableError
        A cell is empty, unknown or inconsistent; the message names file, line and column.
    """
    modality: Modality = row.choice("modality", get_args(Modality))  # type: ignore[assignment]
    layout: Layout = row.choice("layout", get_args(Layout))  # type: ignore[assignment]
    pooling: Pooling = row.choice("pooling", get_args(Pooling))  # type: ignore[assignment]
    _check_pooling(row, layout, pooling)
    source = row.choice("source", SOURCES.names())
    attention = row.choice("attention", ("causal", "bidirectional", ""), default="")
    if modality == "language" and source != "baseline" and not attention:
        raise row.error(
            "attention",
            "a language model needs to say how its tokens attend",
            "'causal' or 'bidirectional'",
        )
    parameters = row.number("parameters", int, low=0, high=1e15)
    assert parameters is not None
    preprocessing = _pairs(row, "preprocessing")
    if "remote_code" in preprocessing and not row.values.get("notes"):
        raise row.error(
            "notes",
            "the row runs code of its repository and gives no reason",
            "say who reviewed that code and why the model can't do without, or remove remote_code",
        )
    return Model(
        key=row.key("model"),
        family=row.key("family"),
        modality=modality,
        source=source,
        reference=row.text("reference"),
        revision=row.values.get("revision", ""),
        architecture=row.values.get("architecture", ""),
        parameters=parameters,
        layers=_layers(row),
        layout=layout,
        pooling=pooling,
        precision=row.choice("precision", _PRECISIONS, default="float32"),
        preprocessing=preprocessing,
        attention=attention,
        tags=tuple(tag for tag in row.values.get("tags", "").split() if tag),
        checkpoints=(),
        source_location=row.where(),
    )


def _check_pooling(row: Row, layout: Layout, pooling: Pooling) -> None:
    fitting = {
        "tokens": ("mean", "last", "cls", "flatten"),
        "channels_first": ("spatial_mean", "flatten"),
        "channels_last": ("spatial_mean", "flatten"),
        "vector": ("none",),
    }[layout]
    if pooling not in fitting:
        raise row.error(
            "pooling", f"'{pooling}' does not fit layout '{layout}'", f"one of {', '.join(fitting)}"
        )


def _layers(row: Row) -> tuple[Layer, ...]:
    try:
        names = _names(row.text("layers"))
    except ValueError as error:
        raise row.error("layers", str(error), "write ranges as {0-5} or {0,2,4}") from None
    if not names:
        raise row.error("layers", "no layer is named", "give module paths separated by ';'")
    return _described(names, tuple(_widths(row, len(names))))


@cache
def _names(text: str) -> tuple[str, ...]:
    """Layers of a cell; ValueError where they cannot be."""
    names: dict[str, None] = {}
    for part in text.split(";"):
        for name in expand_braces(part.strip()) if part.strip() else ():
            if (reason := layer_error(name)) is not None:
                raise ValueError(f"{reason}: {LAYER_FIX}")
            if name in names:
                raise ValueError(f"layer '{name}' is listed twice")
            names[name] = None
        if len(names) > MOST_EXPANDED:
            raise ValueError(f"more than {MOST_EXPANDED:,} layers")
    for one, other in same_but_case(names):
        raise ValueError(f"layers '{one}' and '{other}' differ in case only")
    return tuple(names)


@cache
def _described(names: tuple[str, ...], widths: tuple[int, ...]) -> tuple[Layer, ...]:
    """Make the layers; models of one architecture share them."""
    last = max(len(names) - 1, 1)
    return tuple(
        Layer(name=name, index=index, depth=index / last, width=width)
        for index, (name, width) in enumerate(zip(names, widths, strict=True))
    )


def _widths(row: Row, n_layers: int) -> list[int]:
    cells = [cell.strip() for cell in row.text("width").split(";")]
    if not all(cell.isascii() and cell.isdigit() and len(cell) <= 9 for cell in cells):
        raise row.error(
            "width",
            f"'{shown(row.values['width'])}' holds no whole numbers",
            "give the number of features, for all layers or one per layer, separated by ';'",
        )
    widths = [int(cell) for cell in cells]
    if len(widths) == 1:
        widths *= n_layers
    if len(widths) != n_layers:
        raise row.error(
            "width",
            f"{len(widths)} widths for {n_layers} layers",
            "give one width for all layers, or one a layer, separated by ';'",
        )
    if min(widths) < 1:
        raise row.error("width", f"{min(widths)} is no width", "give the number of features")
    return widths


def _pairs(row: Row, column: str) -> dict[str, str]:
    pairs = {}
    # a value with blanks stands in single quotes: prompt='query: '
    for part in re.findall(r"(?:[^\s=']+='[^']*'(?=\s|$)|\S+)", row.values.get(column, "")):
        key, equals, value = part.partition("=")
        if value.startswith("'") and value.endswith("'") and len(value) > 2:
            value = value[1:-1]
        if not equals or not key or not value or "'" in value:
            raise row.error(
                column,
                f"'{shown(part)}' is no key=value pair",
                "for example size=224, or prompt='query: ' where the value has blanks",
            )
        if key in pairs:
            raise row.error(column, f"'{shown(key)}' is given twice", "keep one of the two")
        pairs[key] = value
    return pairs


def build_checkpoint(row: Row, models: dict[str, Model]) -> tuple[str, Checkpoint]:
    """Turn one row of the checkpoints table into (model key, `Checkpoint`)."""
    model = models.get(row.text("model"))
    if model is None:
        key = row.values["model"]
        raise row.error("model", f"unknown model '{key}'", did_you_mean(key, models))
    role = row.choice("role", ("trained", "random"), default="trained")
    if model.is_control:
        raise row.error("model", f"baseline '{model.key}' has no weights", "delete this row")
    seed = row.number("seed", int, optional=True, low=0, high=2**32 - 1)
    if role == "random" and seed is None:
        raise row.error("seed", "random weights need a seed", "for example 0")
    if role == "trained" and seed is not None:
        raise row.error("seed", "trained weights have no seed here", "leave the cell empty")
    final = row.choice("final", ("yes", "no"), default="no") == "yes"
    if final and role == "random":
        raise row.error("final", "random weights can't stand for the model", "set final to 'no'")
    # A branch's commit is its own: the model's would be other weights under this name.
    inherited = "" if row.values.get("branch") else model.revision
    return model.key, Checkpoint(
        name=row.key("checkpoint"),
        role=role,  # type: ignore[arg-type]
        step=row.number("step", int, optional=True, low=0, high=1e12),
        reference=row.values.get("reference", "") or model.reference,
        revision=row.values.get("revision", "") or inherited,
        seed=seed,
        final=final,
        same_as=row.values.get("same_as", ""),
    )


def default_checkpoint(model: Model) -> Checkpoint:
    """Give the checkpoint of a model that the checkpoints table does not name."""
    return Checkpoint(
        name="final",
        role="control" if model.is_control else "trained",
        step=None,
        reference=model.reference,
        revision=model.revision,
        seed=None,
        final=True,
    )


def build_performance(row: Row, models: dict[str, Model]) -> Performance:
    """Turn one row of the performance table into a `Performance`."""
    key = row.text("model")
    if key not in models:
        raise row.error("model", f"unknown model '{key}'", did_you_mean(key, models))
    name = row.text("checkpoint")
    known = models[key].checkpoint_by_name
    if name not in known:
        raise row.error(
            "checkpoint", f"model '{key}' has no checkpoint '{name}'", did_you_mean(name, known)
        )
    score = row.number("score", float, low=-1e12, high=1e12)
    assert score is not None
    return Performance(key, name, row.key("benchmark"), score, row.text("source"))


def no_duplicates(
    items: Iterable[Any], key: Callable[[Any], object], rows: Iterable[Row], column: str, what: str
) -> list[TableError]:
    """Find keys that occur twice; rows and items run in parallel."""
    seen: dict[object, Row] = {}
    errors = []
    for item, row in zip(items, rows, strict=True):
        name = key(item)
        if name in seen:
            shown = "/".join(map(str, name)) if isinstance(name, tuple) else name
            errors.append(
                row.error(
                    column,
                    f"{what} '{shown}' is already in line {seen[name].line} of {seen[name].file}",
                    "keep one of the two rows",
                )
            )
        seen.setdefault(name, row)
    return errors


def read_models(
    base: Path, files: tuple[str, ...], checkpoint_files: tuple[str, ...], errors: list[TableError]
) -> tuple[dict[str, Model], frozenset[str]]:
    """Read models with their checkpoints; mistakes go into ``errors``.

    Returns
    -------
    models : dict of str to Model
    wrong : frozenset of str
        Keys of rows with a mistake: other tables' rows about them are not told as mistakes too.
    """
    table = _read(base, files, MODEL_COLUMNS, MODEL_OPTIONAL, errors)
    good, kept = collect(table, build_model, errors)
    errors += no_duplicates(good, lambda m: m.key, kept, "model", "model")
    errors += _case_errors("model", (m.key for m in good), kept)
    errors += _case_errors("family", (m.family for m in good), kept)
    models = {model.key: model for model in good}
    wrong = frozenset(row.values.get("model", "") for row in table) - models.keys()
    table = _read(base, checkpoint_files, CHECKPOINT_COLUMNS, CHECKPOINT_OPTIONAL, errors)
    found, kept = collect(
        _not_about(wrong, table), lambda row: build_checkpoint(row, models), errors
    )
    errors += no_duplicates(found, lambda f: (f[0], f[1].name), kept, "checkpoint", "checkpoint")
    errors += _case_errors("checkpoint", (f"{key}/{one.name}" for key, one in found), kept)
    for role, column in (("trained", "step"), ("random", "seed")):
        values = [
            ((key, value), row)
            for (key, one), row in zip(found, kept, strict=True)
            if one.role == role and (value := getattr(one, column)) is not None
        ]
        names, places = [name for name, _ in values], [row for _, row in values]
        errors += no_duplicates(names, lambda name: name, places, column, column)
    checkpoints: dict[str, list[Checkpoint]] = {}
    for key, checkpoint in found:
        checkpoints.setdefault(key, []).append(checkpoint)
    for key, model in models.items():
        own = checkpoints.get(key) or [default_checkpoint(model)]
        if sum(checkpoint.final for checkpoint in own) != 1:
            errors.append(
                TableError(
                    f"model '{key}' has {sum(c.final for c in own)} final checkpoints",
                    where=model.source_location,
                    fix="set final to 'yes' in exactly one of its checkpoint rows",
                )
            )
        models[key] = replace(model, checkpoints=tuple(own))
    errors += _copy_errors(found, kept, models, wrong)
    return models, wrong


def _case_errors(column: str, names: Iterable[str], rows: list[Row]) -> list[TableError]:
    """Names that would be one file where the file system ignores case."""
    places = dict(zip(names, rows, strict=True))
    return [
        places[other].error(
            column, f"'{one}' and '{other}' differ in case only", "rename one, or use one spelling"
        )
        for one, other in same_but_case(places)
    ]


def _copy_errors(
    found: list[tuple[str, Checkpoint]],
    rows: list[Row],
    models: dict[str, Model],
    wrong: frozenset[str],
) -> list[TableError]:
    """Checkpoints whose ``same_as`` is no other checkpoint."""
    errors = []
    for (key, checkpoint), row in zip(found, rows, strict=True):
        if not checkpoint.same_as:
            continue
        model, name = name_of_weights(models[key], checkpoint.same_as)
        if model in wrong:
            continue
        names = [one.name for one in models[model].checkpoints] if model in models else []
        if name not in names or (model, name) == (key, checkpoint.name):
            known = [f"{model}/{one}" for one in names] if names else models
            errors.append(
                row.error(
                    "same_as",
                    f"'{shown(checkpoint.same_as)}' is no other checkpoint",
                    f"write <checkpoint> or <model>/<checkpoint>; {did_you_mean(name, known)}",
                )
            )
    return errors


def read_performance(
    base: Path,
    files: tuple[str, ...],
    models: dict[str, Model],
    wrong: frozenset[str],
    errors: list[TableError],
) -> list[Performance]:
    """Read published scores; mistakes go into ``errors``, but no scores of ``wrong`` models."""
    table = _read(base, files, PERFORMANCE_COLUMNS, (), errors)
    scores, kept = collect(
        _not_about(wrong, table), lambda row: build_performance(row, models), errors
    )
    errors += no_duplicates(
        scores, lambda s: (s.model, s.checkpoint, s.benchmark), kept, "benchmark", "score"
    )
    errors += _case_errors("benchmark", (score.benchmark for score in scores), kept)
    errors += _unit_errors(scores, kept)
    return scores


def _unit_errors(scores: list[Performance], rows: list[Row]) -> list[TableError]:
    """Benchmarks with scores in fractions and in percent.

    A percentage may be below 1, and a loss above: only a wide gap between the two says that the
    units differ.
    """
    by_benchmark: dict[str, list[tuple[float, Row]]] = {}
    for score, row in zip(scores, rows, strict=True):
        by_benchmark.setdefault(score.benchmark, []).append((score.score, row))
    errors = []
    for benchmark, found in by_benchmark.items():
        values = [value for value, _ in found]
        fraction = max((pair for pair in found if pair[0] <= 1), key=_first, default=None)
        percent = min((pair for pair in found if pair[0] > 1), key=_first, default=None)
        if fraction is None or percent is None or min(values) < 0 or not 10 < max(values) <= 100:
            continue
        if fraction[0] > 0.1 and percent[0] > 5 * fraction[0]:
            errors.append(
                fraction[1].error(
                    "score",
                    f"benchmark '{benchmark}' has scores in two units: {fraction[0]:g} here and "
                    f"{percent[0]:g} in line {percent[1].line} of {percent[1].file}",
                    "give all scores of a benchmark as fractions, or all as percentages",
                )
            )
    return errors


def _first(pair: tuple[float, Row]) -> float:
    return pair[0]


def _not_about(models: frozenset[str], table: list[Row]) -> list[Row]:
    return [row for row in table if row.values.get("model") not in models]


def _read(
    base: Path,
    files: tuple[str, ...],
    required: tuple[str, ...],
    optional: tuple[str, ...],
    errors: list[TableError],
) -> list[Row]:
    table = []
    for file in files:
        try:
            table += read_rows(base / file, required, optional)
        except TableError as error:
            errors.append(error)
    return table


def selected(config: StudyConfig, model: Model) -> bool:
    """Whether a model takes part in the study."""
    select = config.select
    return (
        (not select.families or model.family in select.families)
        and (not select.models or model.key in select.models)
        and model.key not in select.exclude
    )


def selection_mistakes(
    config: StudyConfig, models: dict[str, Model], where: str
) -> list[ConvergentError]:
    """Unknown names under ``select``."""
    families = {model.family for model in models.values()}
    errors: list[ConvergentError] = []
    for label, names, known in (
        ("select.families", config.select.families, families),
        ("select.models", config.select.models, set(models)),
        ("select.exclude", config.select.exclude, set(models)),
    ):
        errors += [
            UnknownKeyError(f"'{label}' names unknown '{name}'", where=where,
                            fix=did_you_mean(name, known))
            for name in names
            if name not in known
        ]  # fmt: skip
    return errors


def unique_mistakes(
    config: StudyConfig, models: dict[str, Model], where: str
) -> list[ConvergentError]:
    """Baselines that the metric ``unique`` names and the study does not have."""
    unique = config.fit.unique
    known = [key for key, model in models.items() if model.is_control]
    return [
        UnknownKeyError(
            f"fit.metrics.unique names '{name}', which is no baseline of the study",
            where=where,
            fix=did_you_mean(name, known),
        )
        for name in (unique.baselines if unique else ())
        if name not in known
    ]


def convergence_mistakes(config: StudyConfig, where: str) -> list[ConvergentError]:
    """Data sets that ``convergence`` names and that are not one of vision and one of language."""
    asked = config.convergence.datasets if config.convergence else ()
    unknown: list[ConvergentError] = [
        UnknownKeyError(
            f"convergence.datasets names '{name}', which is no data set of the study",
            where=where,
            fix=did_you_mean(name, config.datasets),
        )
        for name in asked
        if name not in config.datasets
    ]
    if asked and not unknown:
        modalities = [config.datasets[name].modality for name in asked]
        if modalities != ["vision", "language"]:
            return [
                ConfigError(
                    f"convergence.datasets are of {' and '.join(modalities)}",
                    where=where,
                    fix="name a data set of vision, then one of language with the same items",
                )
            ]
    return unknown


def dataset_mistakes(
    config: StudyConfig, models: dict[str, Model], where: str
) -> list[ConvergentError]:
    """Readers that cannot be used, and models without a data set of their modality."""
    if not models:
        return [ConfigError("the study has no model", where=where, fix="widen 'select'")]
    have = {data.modality for data in config.datasets.values()}
    errors: list[ConvergentError] = []
    for name, data in config.datasets.items():
        try:
            reader_facts(data.reader, f"{where}, data set '{name}'")
        except ConvergentError as error:
            errors.append(error)
    return errors + [
        ConfigError(
            f"model '{model.key}' is a {model.modality} model, and no data set is",
            where=where,
            fix=f"add a {model.modality} data set or exclude the model",
        )
        for model in models.values()
        if model.modality not in have
    ]

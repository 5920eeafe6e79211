"""From table rows to models, checkpoints and scores, collecting every mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar, get_args

from convergent.errors import TableError, did_you_mean
from convergent.study._tables import Row, expand_braces
from convergent.study._types import Checkpoint, Layer, Layout, Modality, Model, Performance, Pooling

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

SOURCES = ("transformers", "open_clip", "timm", "baseline")
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
    source = row.choice("source", SOURCES)
    attention = row.choice("attention", ("causal", "bidirectional", ""), default="")
    if modality == "language" and source != "baseline" and not attention:
        raise row.error(
            "attention",
            "a language model needs to say how its tokens attend",
            "'causal' or 'bidirectional'",
        )
    parameters = row.number("parameters", int)
    assert parameters is not None
    if parameters < 0:
        raise row.error("parameters", f"{parameters} is negative", "give the number of parameters")
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
    seen: set[str] = set()
    for name in names:
        if "/" in name or name[0] == "." or " " in name:
            raise row.error("layers", f"'{name}' is no module path", "for example encoder.layer.3")
        if name in seen:
            raise row.error("layers", f"layer '{name}' is listed twice", "name each layer once")
        seen.add(name)
    return _described(names, tuple(_widths(row, len(names))))


@cache
def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(";") for name in expand_braces(part.strip()) if name)


@cache
def _described(names: tuple[str, ...], widths: tuple[int, ...]) -> tuple[Layer, ...]:
    """Make the layers; models of one architecture share them."""
    last = max(len(names) - 1, 1)
    return tuple(
        Layer(name=name, index=index, depth=index / last, width=width)
        for index, (name, width) in enumerate(zip(names, widths, strict=True))
    )


def _widths(row: Row, n_layers: int) -> list[int]:
    cells = row.text("width").split(";")
    try:
        widths = [int(cell) for cell in cells]
    except ValueError:
        raise row.error("width", f"'{row.values['width']}' holds no whole numbers") from None
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
    for part in row.values.get(column, "").split():
        key, equals, value = part.partition("=")
        if not equals or not key or not value:
            raise row.error(column, f"'{part}' is no key=value pair", "for example size=224")
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
    seed = row.number("seed", int, optional=True)
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
        step=row.number("step", int, optional=True),
        reference=row.values.get("reference", "") or model.reference,
        revision=row.values.get("revision", "") or inherited,
        seed=seed,
        final=final,
        same_as=_same_as(row),
    )


def _same_as(row: Row) -> str:
    text = row.values.get("same_as", "")
    if text and (text.count("/") > 1 or text == row.values.get("checkpoint")):
        raise row.error(
            "same_as",
            f"'{text}' is no other checkpoint",
            "write <checkpoint> or <model>/<checkpoint>",
        )
    return text


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
    score = row.number("score", float)
    assert score is not None
    if score != score or score in (float("inf"), float("-inf")):
        raise row.error("score", f"'{row.values['score']}' is not finite", "leave the row out")
    return Performance(key, name, row.text("benchmark"), score, row.text("source"))


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

"""Read a study's tables into models and scores, collecting every mistake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from convergent.errors import (
    ConfigError,
    ConvergentError,
    TableError,
    UnknownKeyError,
    did_you_mean,
)
from convergent.study import _rows as rows
from convergent.study._config import StudyConfig
from convergent.study._tables import Row, read_rows
from convergent.study._types import Checkpoint, Model, Performance


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
    table = _read(base, files, rows.MODEL_COLUMNS, rows.MODEL_OPTIONAL, errors)
    good, kept = rows.collect(table, rows.build_model, errors)
    errors += rows.no_duplicates(good, lambda m: m.key, kept, "model", "model")
    models = {model.key: model for model in good}
    wrong = frozenset(row.values.get("model", "") for row in table) - models.keys()
    table = _read(base, checkpoint_files, rows.CHECKPOINT_COLUMNS, rows.CHECKPOINT_OPTIONAL, errors)
    found, kept = rows.collect(
        _not_about(wrong, table), lambda row: rows.build_checkpoint(row, models), errors
    )
    errors += rows.no_duplicates(
        found, lambda f: (f[0], f[1].name), kept, "checkpoint", "checkpoint"
    )
    checkpoints: dict[str, list[Checkpoint]] = {}
    for key, checkpoint in found:
        checkpoints.setdefault(key, []).append(checkpoint)
    for key, model in models.items():
        own = checkpoints.get(key) or [rows.default_checkpoint(model)]
        if sum(checkpoint.final for checkpoint in own) != 1:
            errors.append(
                TableError(
                    f"model '{key}' has {sum(c.final for c in own)} final checkpoints",
                    where=model.source_location,
                    fix="set final to 'yes' in exactly one of its checkpoint rows",
                )
            )
        models[key] = replace(model, checkpoints=tuple(own))
    return models, wrong


def read_performance(
    base: Path,
    files: tuple[str, ...],
    models: dict[str, Model],
    wrong: frozenset[str],
    errors: list[TableError],
) -> list[Performance]:
    """Read published scores; mistakes go into ``errors``, but no scores of ``wrong`` models."""
    table = _read(base, files, rows.PERFORMANCE_COLUMNS, (), errors)
    scores, kept = rows.collect(
        _not_about(wrong, table), lambda row: rows.build_performance(row, models), errors
    )
    errors += rows.no_duplicates(
        scores, lambda s: (s.model, s.checkpoint, s.benchmark), kept, "benchmark", "score"
    )
    return scores


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
    """Models without a data set of their modality."""
    if not models:
        return [ConfigError("the study has no model", where=where, fix="widen 'select'")]
    have = {data.modality for data in config.datasets.values()}
    return [
        ConfigError(
            f"model '{model.key}' is a {model.modality} model, and no data set is",
            where=where,
            fix=f"add a {model.modality} data set or exclude the model",
        )
        for model in models.values()
        if model.modality not in have
    ]

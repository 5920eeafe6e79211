"""Checkpoints that have no weights of their own: random-weight twins, and declared copies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from convergent.errors import ConfigError, ConvergentError, UnknownKeyError, did_you_mean
from convergent.study.config import Twins
from convergent.study.types import Checkpoint, Model


def add_twins(
    twins: Twins, models: dict[str, Model], where: str, errors: list[ConvergentError]
) -> dict[str, Model]:
    """Give models the checkpoints ``random-<seed>``.

    Parameters
    ----------
    twins : Twins
    models : dict of str to Model
    where : str
        The configuration file, for messages.
    errors : list
        Receives unknown names, and twins that a row names already.

    Returns
    -------
    dict of str to Model
        All models, those that are meant with their twins.
    """
    for label, names, known in (
        ("twins.families", twins.families, {model.family for model in models.values()}),
        ("twins.models", twins.models, set(models)),
    ):
        errors += [
            UnknownKeyError(
                f"'{label}' names unknown '{name}'", where=where, fix=did_you_mean(name, known)
            )
            for name in names
            if name not in known
        ]
    errors += [
        ConfigError(
            f"'twins.models' names baseline '{name}', which has no weights",
            where=where,
            fix="leave it out",
        )
        for name in twins.models
        if name in models and models[name].is_control
    ]
    return {
        key: _with_twins(twins, model, where, errors) if _meant(twins, model) else model
        for key, model in models.items()
    }


def _meant(twins: Twins, model: Model) -> bool:
    everyone = not twins.families and not twins.models
    chosen = everyone or model.family in twins.families or model.key in twins.models
    return bool(twins.seeds) and chosen and not model.is_control


def _with_twins(twins: Twins, model: Model, where: str, errors: list[ConvergentError]) -> Model:
    names = {checkpoint.name for checkpoint in model.checkpoints}
    seeds = {checkpoint.seed: checkpoint.name for checkpoint in model.checkpoints}
    added = []
    for seed in twins.seeds:
        name = f"random-{seed}"
        if name in names or seed in seeds:
            errors.append(
                ConfigError(
                    f"'twins.seeds' gives model '{model.key}' the checkpoint '{name}', and its row "
                    f"'{seeds.get(seed, name)}' is that already",
                    where=where,
                    fix="delete the row of the checkpoints table, or the seed",
                )
            )
            continue
        added.append(
            Checkpoint(
                name=name,
                role="random",
                step=None,
                reference=model.reference,
                revision=model.revision,
                seed=seed,
                final=False,
            )
        )
    return replace(model, checkpoints=(*model.checkpoints, *added))


Name = tuple[str, str]


def same_weights(models: Iterable[Model]) -> dict[Name, Name]:
    """Checkpoint that each declared copy goes back to, by (model, checkpoint).

    The first step of Pythia has a learning rate of zero, and both of its kinds start from the
    same weights: their rows say so in the column ``same_as``, and are then no mistake.
    """
    copies = {
        (model.key, checkpoint.name): name_of_weights(model, checkpoint.same_as)
        for model in models
        for checkpoint in model.checkpoints
        if checkpoint.same_as
    }
    return {copy: _origin(copy, copies) for copy in copies}


def name_of_weights(model: Model, text: str) -> Name:
    """(model, checkpoint) that a cell of ``same_as`` names."""
    key, slash, checkpoint = text.partition("/")
    return (key, checkpoint) if slash else (model.key, text)


def _origin(copy: Name, copies: dict[Name, Name]) -> Name:
    passed = [copy]
    while passed[-1] in copies and copies[passed[-1]] not in passed:
        passed.append(copies[passed[-1]])
    # rows that name each other have the same origin, whichever comes first
    last = copies.get(passed[-1])
    return passed[-1] if last is None else min(passed[passed.index(last) :])

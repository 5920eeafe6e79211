"""Checkpoints that were published with the weights of another one."""

from __future__ import annotations

from collections.abc import Iterable

from convergent.study._types import Model

Name = tuple[str, str]


def same_weights(models: Iterable[Model]) -> dict[Name, Name]:
    """Checkpoint that each declared copy goes back to, by (model, checkpoint).

    The first step of Pythia has a learning rate of zero, and both of its kinds start from the
    same weights: their rows say so in the column ``same_as``, and are then no mistake.
    """
    copies = {
        (model.key, checkpoint.name): _name(model, checkpoint.same_as)
        for model in models
        for checkpoint in model.checkpoints
        if checkpoint.same_as
    }
    return {copy: _origin(copy, copies) for copy in copies}


def _name(model: Model, text: str) -> Name:
    key, slash, checkpoint = text.partition("/")
    return (key, checkpoint) if slash else (model.key, text)


def _origin(copy: Name, copies: dict[Name, Name]) -> Name:
    passed = [copy]
    while passed[-1] in copies and copies[passed[-1]] not in passed:
        passed.append(copies[passed[-1]])
    # rows that name each other have the same origin, whichever comes first
    last = copies.get(passed[-1])
    return passed[-1] if last is None else min(passed[passed.index(last) :])

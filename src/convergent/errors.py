"""Errors that a person can act on: what is wrong, where, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConvergentError(Exception):
    """A mistake in the input or the environment, told in one line.

    Parameters
    ----------
    what : str
        What is wrong, with the offending value.
    where : str, optional
        The file (row, column), model, layer, subject or module concerned.
    fix : str, optional
        What the person can do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(self._message())

    def _message(self) -> str:
        text = self.what
        if self.where:
            text = f"{self.where}: {text}"
        if self.fix:
            text = f"{text}. Fix: {self.fix}"
        return printable(" ".join(text.split()))

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword-only arguments do not survive pickling by themselves,
        # and worker processes send their errors home pickled.
        return _rebuild, (type(self), self.what, self.where, self.fix)


def printable(text: str) -> str:
    """Escape what a terminal would not show as it is: a message never hides what is wrong."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _rebuild(
    kind: type[ConvergentError], what: str, where: str | None, fix: str | None
) -> ConvergentError:
    return kind(what, where=where, fix=fix)


class ConfigError(ConvergentError):
    """The study's configuration is wrong."""


class TableError(ConvergentError):
    """A table (models, checkpoints, performance) is malformed."""


class UnknownKeyError(ConvergentError):
    """A model, checkpoint, layer, subject or data set that the study does not have."""


class DataError(ConvergentError):
    """Stimuli or responses are missing, malformed or do not belong together."""


class IdError(DataError):
    """Stimulus ids are unknown, duplicated or missing."""


class ModelError(ConvergentError):
    """A model cannot be built or loaded as its table row says."""


class WeightsError(ModelError):
    """Weights are missing, changed, unsafe or the same under two names."""


class LayerError(ModelError):
    """A layer is missing, never ran, or does not have the declared shape."""


class NumericalError(ConvergentError):
    """NaN or infinity where a finite number must be."""


class StoreError(ConvergentError):
    """A result store is missing, truncated, corrupt or of another kind."""


class DeviceError(ConvergentError):
    """The requested device does not exist here."""


class CoverageError(ConvergentError):
    """Too little of the study has run for its headline to mean anything."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Name the closest known keys, or list a few of them.

    Parameters
    ----------
    word : str
        The key that is not known.
    known : iterable of str
        The keys that are.

    Returns
    -------
    str
        ``"did you mean 'x'?"``, or ``"known: a, b, ..."``.
    """
    keys = sorted(set(known))
    close = difflib.get_close_matches(word, keys, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(f"'{key}'" for key in close) + "?"
    shown = ", ".join(keys[:12]) + (", ..." if len(keys) > 12 else "")
    return f"known: {shown}" if keys else "none are known"

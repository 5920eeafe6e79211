"""The ``key=value`` pairs of a model's ``preprocessing`` column, checked and typed."""

from __future__ import annotations

from collections.abc import Iterable

from convergent.errors import ModelError, did_you_mean
from convergent.study.types import Model

IMAGE_OPTIONS = frozenset({"size", "crop", "mean", "std", "interpolation", "resize"})
TOKEN_OPTIONS = frozenset({"skip_first_token", "skip_tokens", "max_length"})


class Options:
    """Typed access to a row's options.

    Parameters
    ----------
    model : Model
    allowed : iterable of str
        Keys that the model's source understands.

    Raises
    ------
    ModelError
        If the row has another key: a misspelt option must not be ignored.
    """

    def __init__(self, model: Model, allowed: Iterable[str]) -> None:
        self._values = dict(model.preprocessing)
        self._where = f"model '{model.key}', column preprocessing"
        known = frozenset(allowed)
        for key in self._values:
            if key not in known:
                raise ModelError(
                    f"unknown option '{key}' for source '{model.source}'",
                    where=self._where,
                    fix=did_you_mean(key, known),
                )

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str = "") -> str:
        """Value as written."""
        return self._values.get(key, default)

    def choice(self, key: str, default: str, among: Iterable[str]) -> str:
        """Value that must be one of a few words."""
        value, known = self._values.get(key, default), sorted(among)
        if value not in known:
            raise self._bad(key, value, f"one of {', '.join(known)}")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """``yes`` or ``no``."""
        return self.choice(key, "yes" if default else "no", ("yes", "no")) == "yes"

    def integer(self, key: str, default: int | None = None, minimum: int = 1) -> int:
        """Whole number of at least ``minimum``."""
        value = self._values.get(key, "" if default is None else str(default))
        try:
            number = int(value)
        except ValueError:
            raise self._bad(key, value, "a whole number") from None
        if number < minimum:
            raise self._bad(key, value, f"at least {minimum}")
        return number

    def floats(self, key: str, default: tuple[float, ...] | None, count: int) -> tuple[float, ...]:
        """``count`` comma-separated numbers; a single one is repeated."""
        if key not in self._values and default is not None:
            return default
        value = self._values.get(key, "")
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            raise self._bad(key, value, "numbers separated by commas") from None
        if len(numbers) == 1:
            numbers = numbers * count
        if len(numbers) != count:
            raise self._bad(key, value, f"1 or {count} numbers")
        return numbers

    def _bad(self, key: str, value: str, expected: str) -> ModelError:
        what = f"option {key}='{value}' is not valid" if value else f"option '{key}' is missing"
        return ModelError(what, where=self._where, fix=f"give {key} as {expected}")

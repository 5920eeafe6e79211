"""The ``key=value`` pairs of a model's ``preprocessing`` column, checked and typed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from convergent.errors import ModelError, did_you_mean
from convergent.names import shown
from convergent.study.types import Model

IMAGE_OPTIONS = frozenset({"size", "crop", "mean", "std", "interpolation", "resize"})
TOKEN_OPTIONS = frozenset({"skip_first_token", "skip_tokens", "max_length"})


FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
_LARGEST = 1_000_000  # of any whole number: pixels of a side, tokens, filters


class Options:
    """Typed access to a row's options; values of known keys are checked at once.

    Parameters
    ----------
    model : Model
    allowed : iterable of str
        Keys that the model's source understands.

    Raises
    ------
    ModelError
        If the row has another key (a misspelt option must not be ignored), or a value that its
        key cannot have.
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
            if key in _CHECKS:
                _CHECKS[key](self, key)

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
        """Whole number of at least ``minimum``; a default is the network's own, however large."""
        if key not in self._values and default is not None:
            return default
        value = self._values.get(key, "")
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise self._bad(key, value, "a whole number")
        if not minimum <= int(value) <= _LARGEST:
            raise self._bad(key, value, f"a number from {minimum} to {_LARGEST:,}")
        return int(value)

    def floats(
        self,
        key: str,
        default: tuple[float, ...] | None,
        count: int,
        *,
        above: float = -math.inf,
        most: float = 1e6,
    ) -> tuple[float, ...]:
        """``count`` comma-separated numbers in (above, most]; a single one is repeated."""
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
            raise self._bad(key, value, f"1 or {count} numbers" if count > 1 else "one number")
        if not all(above < number <= most and math.isfinite(number) for number in numbers):
            limits = f"above {above:g} and " if math.isfinite(above) else ""
            raise self._bad(key, value, f"numbers {limits}at most {most:g}")
        return numbers

    def file(self, key: str) -> str:
        """Name of a file in the model's folder."""
        value = self._values.get(key, "")
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "*" in value:
            raise self._bad(key, value, "the name of a file in the folder of the weights")
        return value

    def _bad(self, key: str, value: str, expected: str) -> ModelError:
        what = (
            f"option {key}='{shown(value)}' is not valid" if value else f"option '{key}' is missing"
        )
        return ModelError(what, where=self._where, fix=f"give {key} as {expected}")


def _whole(minimum: int) -> Callable[[Options, str], object]:
    return lambda options, key: options.integer(key, minimum=minimum)


def _one_of(*words: str) -> Callable[[Options, str], object]:
    return lambda options, key: options.choice(key, words[0], words)


# What the values of known keys may be; those of sources outside this package are theirs to check.
_CHECKS: dict[str, Callable[[Options, str], object]] = {
    **dict.fromkeys(("size", "max_length", "img_size"), _whole(1)),
    **dict.fromkeys(("orientations", "scales", "grid", "n", "features", "degree"), _whole(1)),
    **dict.fromkeys(("skip_tokens", "num_classes"), _whole(0)),
    "crop": lambda options, key: options.floats(key, None, 1, above=0, most=1.5),
    "mean": lambda options, key: options.floats(key, None, 3),
    "std": lambda options, key: options.floats(key, None, 3, above=0),
    "interpolation": _one_of(*FILTERS),
    "resize": _one_of("crop", "squash"),
    "skip_first_token": _one_of("yes", "no"),
    "weights": _one_of("by_name", "in_order"),
    "device_map": _one_of("none", "auto"),
    "file": Options.file,
    "gguf": Options.file,
}

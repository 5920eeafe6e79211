"""Praat TextGrids: the timed labels of a recording.

Praat reads its text files by their free-standing values alone: numbers, quoted strings and
``<flags>``; every other word (``xmin =``, ``intervals [3]:``) is decoration, and ``!`` starts a
comment. Reading the same way covers the long and the short text format at once.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from convergent.errors import DataError, did_you_mean

_TOKEN = re.compile(
    r'"(?P<string>(?:[^"]|"")*)"|<(?P<flag>[^<>\s]*)>|(?P<comment>![^\n]*)|(?P<word>[^\s"]+)'
)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_TOLERANCE = 1e-6  # seconds; Praat writes 15 digits and more


@dataclass(frozen=True, slots=True)
class Interval:
    """One label; a point has equal ``start`` and ``end``.

    Attributes
    ----------
    start, end : float
        Seconds.
    text : str
        As in the file, with doubled quotes undone.
    line : int
        Line of the label in the file, from 1.
    """

    start: float
    end: float
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Tier:
    """One row of labels in order of time; ``kind`` is IntervalTier or TextTier (points)."""

    name: str
    kind: str
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class TextGrid:
    """A recording's tiers.

    Attributes
    ----------
    path : Path
    start, end : float
        Seconds.
    tiers : tuple of Tier
    """

    path: Path
    start: float
    end: float
    tiers: tuple[Tier, ...]

    def tier(self, name: str) -> Tier:
        """Get the tier of that name.

        Raises
        ------
        DataError
            There is none, or more than one.
        """
        found = [tier for tier in self.tiers if tier.name == name]
        if len(found) != 1:
            hint = did_you_mean(name, (tier.name for tier in self.tiers))
            raise DataError(
                f"{len(found)} tiers are called '{name}'", where=str(self.path), fix=hint
            )
        return found[0]


def read_textgrid(path: str | Path) -> TextGrid:
    """Read a TextGrid in Praat's long or short text format.

    Parameters
    ----------
    path : str or Path
        UTF-8, UTF-16 with byte order mark, or Latin-1.

    Returns
    -------
    TextGrid

    Raises
    ------
    DataError
        The file is missing, binary, of another kind, ends early, has more intervals than it says,
        or labels that run backwards in time; with the line.

    References
    ----------
    Boersma & Weenink, Praat manual, "TextGrid file formats".
    """
    path = Path(path)
    values = _Values(path, _decode(path))
    if values.string("the file type") != "ooTextFile" or values.string("the class") != "TextGrid":
        raise DataError(
            "not a TextGrid in text format", where=str(path), fix="export it from Praat"
        )
    start, end = values.number("xmin"), values.number("xmax")
    tiers = tuple(_tier(values) for _ in range(_size(values))) if values.exists() else ()
    values.finish()
    return TextGrid(path, start, end, tiers)


def _size(values: _Values) -> int:
    size = values.number("size")
    if size < 0 or size != int(size):
        raise values.error(f"size is {size:g}")
    return int(size)


def _tier(values: _Values) -> Tier:
    kind = values.string("the class of a tier")
    if kind not in ("IntervalTier", "TextTier"):
        raise values.error(f"a tier of class '{kind}'")
    name = values.string("the name of a tier")
    values.number("xmin")
    values.number("xmax")
    intervals: list[Interval] = []
    reached = float("-inf")
    for _ in range(_size(values)):
        start = values.number("the start of a label")
        end = values.number("the end of a label") if kind == "IntervalTier" else start
        text = values.string("the text of a label")
        if end < start or start < reached - _TOLERANCE:
            raise values.error(
                f"label '{text}' of tier '{name}' runs from {start:g} to {end:g} s, "
                f"the one before it ends at {reached:g} s"
            )
        reached = end
        intervals.append(Interval(start, end, text, values.line))
    return Tier(name, kind, tuple(intervals))


class _Values:
    """The free-standing values of a file, one after the other, with their lines."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._tokens = self._scan(text)
        self.line = 1
        self._long = 0  # line of the last label that spans lines, 0 if none did

    def _scan(self, text: str) -> Iterator[tuple[str, str, int]]:
        line, position = 1, 0
        for token in _TOKEN.finditer(text):
            gap = text[position : token.start()]
            line += gap.count("\n")
            if '"' in gap:
                self.line = line
                raise self.error("a quote that is never closed")
            position = token.end()
            kind, value = token.lastgroup or "", token[token.lastgroup or 0]
            if kind == "word":
                if _NUMBER.fullmatch(value):
                    yield "number", value, line
            elif kind != "comment":
                yield kind, value.replace('""', '"'), line
            line += token[0].count("\n")
        if '"' in text[position:]:
            self.line = line
            raise self.error("a quote that is never closed")

    def _next(self, kind: str, what: str) -> str:
        token = next(self._tokens, None)
        if token is None:
            raise self.error(f"the file ends where {what} should be")
        found, value, self.line = token
        if found != kind:
            hint = f" (is the quote on line {self._long} closed?)" if self._long else ""
            raise self.error(f"expected {what} (a {kind}), found {found} '{value[:40]}'{hint}")
        if kind == "string" and "\n" in value:
            self._long = self.line
        return value

    def number(self, what: str) -> float:
        return float(self._next("number", what))

    def string(self, what: str) -> str:
        return self._next("string", what)

    def exists(self) -> bool:
        return self._next("flag", "<exists>") == "exists"

    def finish(self) -> None:
        token = next(self._tokens, None)
        if token is not None:
            self.line = token[2]
            raise self.error(f"{token[0]} '{token[1][:40]}' after the last label announced")

    def error(self, what: str) -> DataError:
        return DataError(
            what,
            where=f"{self._path}, line {self.line}",
            fix="save the TextGrid again as a text file in Praat",
        )


def _decode(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}", where=str(path), fix="check the path"
        ) from None
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif raw.startswith(b"ooBinaryFile"):
        raise DataError("a binary TextGrid", where=str(path), fix="save it as a text file in Praat")
    else:
        encoding = "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        if encoding == "utf-16":
            raise DataError(
                "damaged UTF-16 text", where=str(path), fix="save it again in Praat"
            ) from None
        text = raw.decode("latin-1")  # what Praat writes for Western text by default
    return text.replace("\r\n", "\n").replace("\r", "\n")

"""Files that people write, read strictly: text, YAML and tables.

Every file that a study names is read here, so that what cannot be meant is refused in one place:
a folder or a named pipe, another encoding, control characters, a key that is given twice.
"""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from convergent.errors import ConfigError, ConvergentError, TableError

MB = 1 << 20
# Larger files are not what they are taken for: the largest table of a study has some MB.
_LARGEST_TEXT = 256 * MB
_LARGEST_YAML = MB
# Values of a YAML file once its anchors are replaced by what they stand for.
_MOST_VALUES = 100_000
_DEEPEST = 50

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

Kind = type[ConvergentError]


def read_bytes(path: str | Path, *, error: Kind = ConfigError, largest: int) -> bytes:
    """Read a regular file; a named pipe or a device is never waited for.

    Raises
    ------
    error
        There is no such file, it is something else than a file, it cannot be read, or it is
        larger than ``largest`` bytes.
    """
    where = str(path)
    try:
        # without O_NONBLOCK, opening a named pipe waits for a writer
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise error(*_absent(Path(path)), where=where, fix="correct the path") from None
    except (OSError, ValueError) as reason:
        said = getattr(reason, "strerror", None) or reason
        raise error(f"the file cannot be read: {said}", where=where, fix="correct it") from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise error(f"this is {kind}, not a file", where=where, fix="give the path of a file")
    with os.fdopen(handle, "rb") as file:
        if found.st_size > largest:
            raise error(
                f"the file has {found.st_size / MB:,.0f} MB, at most {largest / MB:,.0f} are read",
                where=where,
                fix="check that it is the file that is meant",
            )
        try:
            return file.read(largest + 1)
        except OSError as reason:
            raise error(
                f"the file cannot be read: {reason.strerror}", where=where, fix="check the disk"
            ) from None


def _absent(path: Path) -> tuple[str]:
    if path.is_symlink():
        return (f"the link points at '{path.readlink()}', which does not exist",)
    return ("there is no such file",)


def read_text(
    path: str | Path,
    *,
    error: Kind = ConfigError,
    largest: int = _LARGEST_TEXT,
    as_is: bool = False,
) -> str:
    """Read a UTF-8 text; a byte order mark at its beginning is left out.

    Parameters
    ----------
    path : str or Path
    error : type of ConvergentError
        Raised for whatever is wrong.
    largest : int
        Bytes.
    as_is : bool
        Running text: line endings are kept, and control characters but NUL are allowed.

    Returns
    -------
    str
        Lines end with a line feed, unless ``as_is``.

    Raises
    ------
    error
        As `read_bytes`, or the file is not UTF-8 or has control characters.
    """
    return decoded(
        read_bytes(path, error=error, largest=largest),
        where=str(path),
        error=error,
        as_is=as_is,
    )


def decoded(raw: bytes, *, where: str, error: Kind = ConfigError, as_is: bool = False) -> str:
    """Decode UTF-8 as `read_text` does."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        line = raw.count(b"\n", 0, reason.start) + 1
        raise error(
            f"byte {raw[reason.start]:#04x} in line {line} is not UTF-8",
            where=where,
            fix="save the file as UTF-8",
        ) from None
    if not as_is:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    found = re.search("\0", text) if as_is else _CONTROLS.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise error(
            f"control character U+{ord(found[0]):04X} in line {line}",
            where=where,
            fix="save the file as plain UTF-8 text, and remove the character",
        )
    return text


def read_yaml(path: str | Path, *, error: Kind = ConfigError, fix: str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Parameters
    ----------
    path : str or Path
    error : type of ConvergentError
        Raised for whatever is wrong.
    fix : str
        What to do about a file that holds no mapping.

    Raises
    ------
    error
        As `read_text` and `parse_yaml`, or the file holds no mapping.
    """
    where = str(path)
    text = read_text(path, error=error, largest=_LARGEST_YAML)
    found = parse_yaml(text, where=where, error=error)
    if not isinstance(found, dict):
        what = "the file is empty" if found is None else "the file holds no 'key: value' pairs"
        raise error(what, where=where, fix=fix)
    return found


def parse_yaml(text: str, *, where: str, error: Kind = ConfigError) -> Any:
    """Value of a YAML text; what YAML would read in a surprising way is refused.

    Parameters
    ----------
    text : str
    where : str
        For messages.
    error : type of ConvergentError

    Raises
    ------
    error
        Not valid YAML; a key twice, or one that is no text; a tag; anchors that refer to
        themselves or multiply; plain digits that YAML reads as another number or as a date, such
        as ``012``, ``1_000`` and ``1:30``.
    """
    try:
        return yaml.load(text, Loader=_Strict)
    except yaml.YAMLError as reason:
        raise error(f"not valid YAML: {_said(reason)}", where=where, fix=_FIX) from None
    except RecursionError:
        raise error("not valid YAML: too deeply nested", where=where, fix=_FIX) from None


_FIX = "correct the line; texts with special characters go into quotes"


def _said(reason: yaml.YAMLError) -> str:
    if isinstance(reason, yaml.MarkedYAMLError):
        mark = reason.problem_mark or reason.context_mark
        words = reason.problem or reason.context or "malformed"
        return f"line {mark.line + 1}, column {mark.column + 1}: {words}" if mark else words
    return str(reason)


_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset(("str", "int", "float", "bool", "null", "timestamp", "map", "seq"))


class _Strict(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """YAML of which each value is what it looks like."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            _check_size(node)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag == f"{_TAG}merge":
                continue
            if key.tag != f"{_TAG}str":
                shown = f"'{key.value}'" if isinstance(key, yaml.ScalarNode) else "a list"
                raise _wrong(key, f"key {shown} is no text: write it in quotes")
            if key.value in seen:
                raise _wrong(key, f"key '{key.value}' is given twice: keep one")
            seen.add(key.value)
        content: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return content

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        if node.tag.removeprefix(_TAG) not in _KNOWN_TAGS:
            raise _wrong(node, f"the tag '{node.tag}' is not allowed: write plain values")
        if isinstance(node, yaml.ScalarNode) and node.style is None:
            _check_plain(node)
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, OverflowError) as reason:
            raise _wrong(node, f"'{_short(node.value)}' cannot be read: {reason}") from None


# Plain words that YAML 1.1 reads as something that people rarely mean.
_SURPRISES = (
    ("int", re.compile(r"[-+]?0[0-9_]+|.*[_:].*|[-+]?0[bB].*"), "another number"),
    ("float", re.compile(r".*[_:].*"), "another number"),
    ("timestamp", re.compile(r".*"), "a date"),
)


def _check_plain(node: yaml.ScalarNode) -> None:
    kind = node.tag.removeprefix(_TAG)
    for name, pattern, meaning in _SURPRISES:
        if kind == name and pattern.fullmatch(node.value):
            raise _wrong(
                node,
                f"YAML reads '{_short(node.value)}' as {meaning}: write it in quotes, or plainly",
            )
    if kind == "int" and len(node.value) > 40:
        raise _wrong(node, f"the number {_short(node.value)} has {len(node.value)} digits")


def _check_size(root: yaml.Node) -> None:
    """Count values as if anchors were written out; refuse what is too large or deep."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node, depth: int) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in open_nodes:
            raise _wrong(node, "an anchor refers to itself")
        if depth > _DEEPEST:
            raise _wrong(node, f"nested more than {_DEEPEST} deep")
        open_nodes.add(id(node))
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            parts = node.value
        total = 1 + sum(size(part, depth + 1) for part in parts)
        open_nodes.discard(id(node))
        if total > _MOST_VALUES:
            raise _wrong(node, f"it stands for more than {_MOST_VALUES:,} values")
        sizes[id(node)] = total
        return total

    size(root, 0)


def _wrong(node: yaml.Node, what: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add a mapping to another, section by section; what is in both is replaced."""
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def read_cells(
    path: str | Path, *, delimiter: str = "\t", error: Kind = TableError, comments: bool = False
) -> list[tuple[int, list[str]]]:
    """Rows of a table of text, with their line numbers.

    Parameters
    ----------
    path : str or Path
    delimiter : str
    error : type of ConvergentError
        Raised for whatever is wrong.
    comments : bool
        Whether lines that start with ``#`` are left out; each row is then one line. Otherwise
        cells in quotes may have several.

    Returns
    -------
    list of (int, list of str)
        Line, from 1, and stripped cells; empty lines are left out.

    Raises
    ------
    error
        As `read_text`, or a quote that is opened and not closed.
    """
    text = read_text(path, error=error)
    if '"' not in text:
        return [
            (number, [cell.strip() for cell in line.split(delimiter)])
            for number, line in _lines(text, comments)
        ]
    if not comments:
        return _quoted(text, 1, path, delimiter, error)
    rows = []
    for number, line in _lines(text, comments):
        # a reader of CSV takes three times as long
        if '"' in line:
            rows += _quoted(line, number, path, delimiter, error)
        else:
            rows.append((number, [cell.strip() for cell in line.split(delimiter)]))
    return rows


def _lines(text: str, comments: bool) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip()
        if bare and not (comments and bare.startswith("#")):
            yield number, line


def _quoted(
    text: str, first: int, path: str | Path, delimiter: str, error: Kind
) -> list[tuple[int, list[str]]]:
    rows, line = [], 0
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((first + line, [cell.strip() for cell in cells]))
            line = reader.line_num
    except csv.Error as reason:
        raise error(
            f"a quote is not closed, or text follows it ({reason})",
            where=f"{path}, line {first + line}",
            fix='close it, or write "" for a quote inside quotes',
        ) from None
    return rows

"""Configurations of language networks, one small file each, and what confirms them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convergent.errors import ModelError, TableError, UnknownKeyError, did_you_mean
from convergent.study.tables import read_rows

ARCHITECTURES = Path("config/models/transformers")
_COUNTED = (
    "AutoModel", "AutoModel+head", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM",
    "AutoModelForPreTraining",
)  # fmt: skip
_UNITS = {"M": 10**6, "B": 10**9}
_COUNT = re.compile(r"(\d+)|(\d+)(?:\.(\d+))?([MB])")


@dataclass(frozen=True, slots=True)
class Published:
    """A published number of parameters.

    Attributes
    ----------
    architecture : str
    text : str
        As the source writes it: ``14067712``, ``4.4M``, ``11.103B``.
    counted : str
        Class of transformers that has these parameters; ``AutoModel+head`` is AutoModel and
        an output matrix (vocabulary x width) of its own.
    source : str
    """

    architecture: str
    text: str
    counted: str
    source: str

    def agrees(self, parameters: int) -> bool:
        """Whether a number is the published one, which may be rounded or cut off."""
        match = _COUNT.fullmatch(self.text)
        assert match is not None
        if match[1]:
            return parameters == int(match[1])
        decimals = match[3] or ""
        unit = _UNITS[match[4]] / 10.0 ** len(decimals)
        return abs(parameters - int(match[2] + decimals) * unit) < unit


def architecture_names(directory: Path = ARCHITECTURES) -> list[str]:
    """Names of the configurations in a directory, sorted."""
    return sorted(path.stem for path in directory.glob("*.json"))


def read_architecture(name: str, directory: Path = ARCHITECTURES) -> dict[str, Any]:
    """Read one configuration.

    Parameters
    ----------
    name : str
        As in the ``architecture`` column of a transformers row.
    directory : Path

    Returns
    -------
    dict
        ``model_type`` and the values that decide parameters, layers or the longest input.

    Raises
    ------
    UnknownKeyError
        There is no such file.
    ModelError
        The file is no JSON object with a ``model_type``.
    """
    path = directory / f"{name}.json"
    known = architecture_names(directory)
    if name not in known:
        raise UnknownKeyError(
            f"no architecture '{name}'", where=str(directory), fix=did_you_mean(name, known)
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ModelError(f"no JSON ({error})", where=str(path)) from None
    if not isinstance(content, dict) or not isinstance(content.get("model_type"), str):
        raise ModelError("no 'model_type'", where=str(path), fix="name the kind of network")
    return content


def read_published(directory: Path = ARCHITECTURES) -> dict[str, Published]:
    """Read ``sources.tsv``: the published number of parameters of each configuration.

    Raises
    ------
    TableError
        A cell cannot be read, or an architecture is there twice, or has no row or no file.
    """
    table, known = directory / "sources.tsv", set(architecture_names(directory))
    found: dict[str, Published] = {}
    for row in read_rows(table, ("architecture", "published", "counted", "source")):
        name, text = row.choice("architecture", known), row.text("published")
        if name in found:
            raise row.error("architecture", f"'{name}' is there twice", "keep one of the rows")
        if not _COUNT.fullmatch(text):
            raise row.error("published", f"'{text}' is no count", "for example 7615616512 or 4.4M")
        found[name] = Published(name, text, row.choice("counted", _COUNTED), row.text("source"))
    if known - found.keys():
        raise TableError(
            f"no row for {', '.join(sorted(known - found.keys()))}",
            where=str(table),
            fix="write where the dimensions are from",
        )
    return found

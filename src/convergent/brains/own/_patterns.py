"""File names with placeholders, as BIDS has them: ``sub-{subject}_run-{run}_hemi-{hemi}.npy``."""

from __future__ import annotations

import re
from pathlib import Path

from convergent.errors import DataError

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_KNOWN = ("subject", "run", "hemi")


def fill(folder: Path, pattern: str, **values: str) -> Path:
    """Path with its placeholders filled; relative to the folder.

    Raises
    ------
    DataError
        A placeholder that is not known here.
    """
    for name in _PLACEHOLDER.findall(pattern):
        if name not in values:
            raise DataError(
                f"placeholder '{{{name}}}' in '{pattern}'",
                where=str(folder),
                fix="known here: " + ", ".join(f"{{{known}}}" for known in values),
            )
    return folder / Path(_PLACEHOLDER.sub(lambda found: values[found[1]], pattern)).expanduser()


def found(folder: Path, pattern: str, wanted: str, **values: str) -> list[str]:
    """Values of one placeholder for which files exist, in natural order (2 before 10).

    Other placeholders without a value match anything.
    """
    names = _PLACEHOLDER.findall(pattern)
    if wanted not in names:
        return []
    whole = str(folder / Path(pattern).expanduser())
    unknown = [name for name in names if name not in _KNOWN]
    if unknown:
        raise DataError(
            f"unknown placeholder '{{{unknown[0]}}}'", where=pattern, fix=f"known: {_KNOWN}"
        )
    search, expression, seen = whole, re.escape(whole), set()
    for name in names:
        value = values.get(name)
        search = search.replace(f"{{{name}}}", "*" if value is None else value)
        quoted = re.escape(f"{{{name}}}")
        group = f"(?P<{name}>[^/_]+)" if value is None else re.escape(value)
        if name in seen:
            continue
        seen.add(name)
        expression = expression.replace(quoted, group, 1)
        again = f"(?P={name})" if value is None else group
        expression = expression.replace(quoted, again)
    anchor = Path(search.split("*", 1)[0]).parent if "*" in search else Path(search).parent
    if not anchor.is_dir():
        return []
    matches = (
        re.fullmatch(expression, str(path))
        for path in anchor.glob(str(Path(search).relative_to(anchor)))
    )
    return sorted({match[wanted] for match in matches if match}, key=_natural)


def _natural(text: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text)]

"""Code that comes with a repository: run only where a row pins it and gives a reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

from convergent.errors import ModelError, WeightsError
from convergent.models._request import LoadRequest

OPTION = "remote_code"
PATTERN = "*.py"


def runs_remote_code(request: LoadRequest, directory: Path) -> bool:
    """Whether the row allows the code in this directory, which must then be pinned.

    The code is read from the snapshot of the commit that the row names, whose files are in the
    manifest with their hashes; nothing is fetched.

    Raises
    ------
    ModelError
        If the option is not the commit of the weights.
    WeightsError
        If the configuration points at code of another repository, which no commit pins.
    """
    if OPTION not in request.options:
        return False
    commit, revision = request.options.text(OPTION), request.checkpoint.revision
    if not re.fullmatch(r"[0-9a-f]{40}", commit) or commit != revision:
        raise ModelError(
            f"option {OPTION}='{commit}' is not the commit of the weights ('{revision}')",
            where=request.where,
            fix="review the code at one commit, and write that commit into both columns",
        )
    if directory.name != commit:
        raise ModelError(
            f"option {OPTION} is for pinned hub repositories, and this is '{directory}'",
            where=request.where,
            fix="remove the option",
        )
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        for code in _named(directory / name):
            if "--" in code:
                raise WeightsError(
                    f"'{name}' points at code of another repository ('{code}')",
                    where=request.where,
                    fix="leave the model out: no commit pins that code",
                )
            if not (directory / f"{code.partition('.')[0]}.py").is_file():
                raise WeightsError(
                    f"'{name}' needs '{code}', whose file is not in the snapshot",
                    where=request.where,
                    fix="run the weights step again",
                )
    return True


def _named(path: Path) -> list[str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    values = content.get("auto_map", {})
    found = [values] if isinstance(values, (str, list)) else list(values.values())
    flat = [item for value in found for item in (value if isinstance(value, list) else [value])]
    return [item for item in flat if item]

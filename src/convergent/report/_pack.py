"""Data of the page: rounded, shared between figures, compressed."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

DIGITS = 6
LEAST = 1500
REFERENCE = "$shared"


def pack(value: Any) -> str:
    """Write plain data as JSON, compressed, as text that can stand in any HTML element.

    Parameters
    ----------
    value : str, list, dict, number, bool or None
        A string is taken as it is; all else becomes JSON.

    Returns
    -------
    str
        Base64 of gzip; the same value gives the same text.
    """
    text = value if isinstance(value, str) else _json(value)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def unpack(text: str) -> str:
    """Read what `pack` wrote."""
    return gzip.decompress(base64.b64decode(text)).decode()


@lru_cache(maxsize=1)
def packed_plotly() -> str:
    """Plotly's script, compressed: 2 MB instead of 5."""
    from plotly.offline import get_plotlyjs

    return pack(get_plotlyjs())


def plain(value: Any) -> Any:
    """Turn a figure of plotly into lists, dicts and rounded numbers.

    Plotly writes arrays as bytes in base64, which compress badly; rounded to six digits, more
    than a screen or a hover shows, they take a fifth.

    Parameters
    ----------
    value : Any
        What ``json.loads(figure.to_json())`` gives.
    """
    if isinstance(value, float):
        return _rounded(value)
    if isinstance(value, Mapping):
        if "bdata" in value and "dtype" in value:
            return plain(_array(value).tolist())
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def share(figures: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Keep once what several figures carry: meshes, area names, the template.

    Parameters
    ----------
    figures : dict of str to plain data
        Figures by name.

    Returns
    -------
    figures : dict of str to plain data
        With ``{"$shared": i}`` in place of each part that occurs more than once.
    parts : list
        The shared parts, by that index.
    """
    texts: Counter[str] = Counter(text for figure in figures.values() for text in _parts(figure))
    index: dict[str, int] = {}
    parts: list[Any] = []

    def replaced(value: Any) -> Any:
        if not isinstance(value, (dict, list)):
            return value
        text = _json(value)
        if len(text) >= LEAST and texts[text] > 1:
            if text not in index:
                index[text] = len(parts)
                parts.append(value)
            return {REFERENCE: index[text]}
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        return [replaced(item) for item in value] if _nested(value) else value

    return {name: replaced(figure) for name, figure in figures.items()}, parts


def _parts(value: Any) -> Iterator[str]:
    """JSON of every list and dict that is long enough to be worth sharing."""
    if not isinstance(value, (dict, list)):
        return
    text = _json(value)
    if len(text) < LEAST:
        return
    yield text
    if isinstance(value, dict) or _nested(value):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _parts(item)


def _nested(value: list[Any]) -> bool:
    return any(isinstance(item, (dict, list)) for item in value[:1])


def _array(value: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    raw = np.frombuffer(base64.b64decode(value["bdata"]), dtype=np.dtype(value["dtype"]))
    shape = value.get("shape")
    if shape is None:
        return raw
    return raw.reshape([int(n) for n in str(shape).split(",")])


def _rounded(value: float) -> float | int | None:
    if not np.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

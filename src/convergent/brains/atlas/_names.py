"""Names of regions as data spell them, and the areas that they mean."""

from __future__ import annotations

import re
from collections.abc import Collection


def split_name(region: str) -> tuple[str, str]:
    """Hemisphere and bare name of a region.

    Parameters
    ----------
    region : str
        ``V1``, ``L_V1``, ``V1_L``, ``lh.V1``, ``L_V1_ROI`` or ``7Networks_LH_Vis_1``.

    Returns
    -------
    side : str
        ``L``, ``R``, or empty where the name does not say.
    bare : str
    """
    bare = re.sub(r"_ROI$", "", region.strip())
    schaefer = re.match(r"^(?:\d+Networks_)?([LR])H_(.+)$", bare)
    if schaefer:
        return schaefer[1], schaefer[2]
    prefix = re.match(r"^(?:(L|R)|(l|r)h)[._-](.+)$", bare)
    if prefix:
        return (prefix[1] or prefix[2]).upper(), prefix[3]
    suffix = re.match(r"^(.+)[._-](L|R)$", bare)
    if suffix:
        return suffix[2], suffix[1]
    return "", bare


def match_region(region: str, hemisphere: str, names: Collection[str]) -> tuple[str, ...]:
    """Names of an atlas that a data set's region stands for.

    Parameters
    ----------
    region : str
        As in `split_name`.
    hemisphere : str
        ``L``, ``R``, or empty: then both sides, unless the name says which.
    names : collection of str
        Atlas names, ``L_V1`` and so on.

    Returns
    -------
    tuple of str
        None, one or two atlas names.
    """
    said, bare = split_name(region)
    side = said or hemisphere
    sides = (side,) if side in ("L", "R") else ("L", "R")
    return tuple(name for name in (f"{s}_{bare}" for s in sides) if name in names)

"""Tags for what a model was trained on, and whether COCO is in it.

COCO's images are those of the Natural Scenes Dataset, so models that saw them are reported
apart. ``coco`` marks models whose published list of training data has COCO's images or
captions. ``coco-unknown`` marks models trained on images from the web (or on data that
nobody can look at), among which pictures of COCO, taken from Flickr, may be. A model
without either tag was trained on named data sets without COCO.
"""

from __future__ import annotations

import re

# Word of a tag to the data that it stands for.
_DATA = {
    "in1k": "in1k", "in21k": "in21k", "in22k": "in21k", "in12k": "in12k",
    "laion2b": "laion2b", "laiona": "laion-aesthetic", "laion400m": "laion400m",
    "laion5b": "laion5b", "openai": "wit400m", "jft": "jft300m", "ig1b": "ig1b",
    "swag": "ig3.6b", "seer": "ig1b", "yfcc100m": "yfcc100m", "yfcc15m": "yfcc15m",
    "webli": "webli", "cc12m": "cc12m", "m30m": "merged30m", "m38m": "merged38m",
    "merged2b": "merged2b", "datacomp": "datacomp", "commonpool": "commonpool",
    "dfn2b": "dfn2b", "dfn5b": "dfn5b", "metaclip": "metaclip", "mscoco": "coco",
    "inat21": "inat21",
}  # fmt: skip
_WITH_COCO = {"merged30m", "merged38m", "coco"}
_NAMED = {"in1k", "in12k", "in21k", "inat21", *_WITH_COCO}
# Towers of EVA-CLIP start from networks trained on the merged data sets, the fine-tuned giant
# from such a tower; BEiT-3 read COCO's images with their captions (arXiv:2208.10442, table 2).
_COCO_BY_START = re.compile(r"EVA01-g|EVA02-L|eva_giant_patch14_\w*\.clip|beit3_")


def training_tags(name: str, tag: str) -> tuple[str, ...]:
    """Training data of a model, and ``coco`` or ``coco-unknown`` where it applies.

    Parameters
    ----------
    name : str
        Architecture, with the tag for models of timm.
    tag : str
        The part of the name that says how the weights were made.

    Returns
    -------
    tuple of str
        ``coco-unknown`` alone if the tag names no data.
    """
    words = re.split(r"[_-]", tag)
    data = list(dict.fromkeys(_DATA[word] for word in map(_known, words) if word))
    if set(data) & _WITH_COCO or _COCO_BY_START.match(name):
        return (*(item for item in data if item != "coco"), "coco")
    if not data or set(data) - _NAMED:
        return (*data, "coco-unknown")
    return tuple(data)


def _known(word: str) -> str:
    if word in _DATA:
        return word
    # 'datacomp1b' and 'laion2B' are written in several ways
    starts = [known for known in _DATA if len(known) > 5 and word.lower().startswith(known)]
    return max(starts, key=len, default="")

"""The stimuli of the generated experiment: table, images and captions."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np

from convergent.brains.nsd import _files as files
from convergent.brains.nsd._example_files import write_hdf5

if TYPE_CHECKING:
    from convergent.brains.nsd._example import Example

SQUARES = 3  # a side
_PIXELS = 24


def _coco(number: int) -> int:
    """COCO's id of an image: any, as long as no two have one."""
    return 7 * number + 262145


def write_info(example: Example, shared: set[int]) -> None:
    """Write the table of stimuli, with the trials (from 1) of each subject's repeats."""
    subjects = range(1, len(files.SUBJECTS) + 1)
    repeats = {
        (k, r): np.zeros(len(example.latents), dtype=int) for k in subjects for r in range(3)
    }
    for k, own in enumerate(example.images, start=1):
        seen = np.zeros(len(example.latents), dtype=int)
        for trial, number in enumerate(own[example.ordering - 1].tolist(), start=1):
            repeats[k, seen[number - 1]][number - 1] = trial
            seen[number - 1] += 1
    header = ["", "cocoId", "cocoSplit", "cropBox", "loss", "nsdId", "flagged", "BOLD5000"]
    header += ["shared1000", *(f"subject{k}" for k in subjects)]
    header += [f"subject{k}_rep{r}" for k in subjects for r in range(3)]
    with (example.directory / files.STIMULUS_INFO).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(header)
        for place in range(len(example.latents)):
            trials = [[int(repeats[k, r][place]) for r in range(3)] for k in subjects]
            table.writerow(
                [place, _coco(place + 1), "train2017" if place % 2 else "val2017"]
                + ["(0, 0, 0.1671875, 0.1671875)", 0.1, place, False, False]
                + [place + 1 in shared, *(int(any(three)) for three in trials)]
                + [trial for three in trials for trial in three]
            )


def write_images(example: Example) -> None:
    """Write pictures of nine squares, whose grey levels are the latents."""
    squares = example.latents.reshape(-1, SQUARES, SQUARES)
    side = _PIXELS // SQUARES
    grey = np.clip(np.rint(128 + 36 * squares), 0, 255).astype(np.uint8)
    pixels = grey.repeat(side, axis=1).repeat(side, axis=2)
    brick = np.repeat(pixels[..., None], 3, axis=3)
    write_hdf5(example.directory / files.IMAGES, "imgBrick", brick, (1, *brick.shape[1:]))


def write_captions(example: Example) -> None:
    """Write five captions an image, each of which says how bright one square is."""
    words = ("dark", "dim", "grey", "pale", "bright")
    annotations: dict[int, list[dict[str, object]]] = {0: [], 1: []}
    for place, latents in enumerate(example.latents):
        levels = np.clip(np.rint(latents + 2), 0, 4).astype(int)
        for person in range(5):
            caption = f"A {words[levels[person]]} square {person + 1} of a picture."
            annotations[place % 2].append(
                {"image_id": _coco(place + 1), "id": 5 * place + person, "caption": caption}
            )
    for path, which in zip(files.CAPTIONS, (1, 0), strict=True):
        target = example.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"annotations": annotations[which]}), encoding="utf-8")

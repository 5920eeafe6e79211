"""A small data set in the format of one's own, with a planted truth: to look at and to try."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from convergent.errors import DataError

Array = NDArray[np.float64]
Kind = Literal["images", "story"]

SUBJECTS = ("01", "02")
REGIONS = ("L_V1", "R_V1", "L_FFC", "L_4")
TARGETS = 5  # a region
IMAGES, REPEATS, SIDE = 60, 2, 32
WORDS, VOLUMES, TR, DELAY = 900, 200, 2.0, 2
NOISE = 1.0  # variance of a trial's noise; the signal's is 1 in the first three regions, then 0
_VOCABULARY = ("a", "is", "the", "grey", "house", "where", "nobody", "although", "everybody")


def write_example(directory: str | Path, kind: Kind = "images", *, seed: int = 0) -> Path:
    """Write stimuli, responses of two subjects, and the file that describes them.

    ``images``: 60 images, each shown twice; the brightness of their quarters drives V1 and FFC, and
    nothing drives area 4. ``story``: 900 words; their lengths drive V1 and FFC two volumes later.

    Parameters
    ----------
    directory : str or Path
        Made when missing; must be empty.
    kind : {"images", "story"}
    seed : int

    Returns
    -------
    Path
        The YAML file.

    Raises
    ------
    DataError
        The directory holds something.
    """
    folder = Path(directory).expanduser()
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError("the directory is not empty", where=str(folder), fix="name a new one")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    (folder / "targets.tsv").write_text(
        "region\n" + "".join(f"{name}\n" * TARGETS for name in REGIONS)
    )
    config = _images(folder, rng) if kind == "images" else _story(folder, rng)
    config["regions"] = {"labels": "targets.tsv", "describe": "hcp-mmp1"}
    path = folder / "data.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def _images(folder: Path, rng: np.random.Generator) -> dict[str, object]:
    (folder / "images").mkdir()
    light = rng.uniform(40, 215, (IMAGES, 2, 2))
    ids = [f"image{number:03d}" for number in range(IMAGES)]
    for name, quarters in zip(ids, light, strict=True):
        picture = np.kron(quarters, np.ones((SIDE // 2, SIDE // 2)))[..., None]
        noisy = np.clip(picture + rng.normal(0, 10, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "images" / f"{name}.png")
    split = ["test" if number % 4 == 0 else "train" for number in range(IMAGES)]
    rows = [f"{name}\t{name}.png\t{side}\n" for name, side in zip(ids, split, strict=True)]
    (folder / "stimuli.tsv").write_text("id\tfile\tsplit\n" + "".join(rows))
    signal = _signal(light.reshape(IMAGES, -1), rng)
    for subject in SUBJECTS:
        shown = np.concatenate([rng.permutation(IMAGES) for _ in range(REPEATS)])
        trials = signal[shown] + rng.normal(0, np.sqrt(NOISE), (shown.size, signal.shape[1]))
        np.save(folder / f"sub-{subject}_betas.npy", trials.astype(np.float32))
        events = "".join(f"{ids[number]}\n" for number in shown)
        (folder / f"sub-{subject}_events.tsv").write_text("stimulus_id\n" + events)
    return {
        "modality": "vision",
        "design": "items",
        "stimuli": {"table": "stimuli.tsv", "images": "images", "split": "split"},
        "responses": {
            "files": "sub-{subject}_betas.npy",
            "ids": "sub-{subject}_events.tsv",
        },
        "ceilings": {"from": "repeats"},
    }


def _story(folder: Path, rng: np.random.Generator) -> dict[str, object]:
    words = [_VOCABULARY[number] for number in rng.integers(0, len(_VOCABULARY), WORDS)]
    onset = np.sort(rng.uniform(0, VOLUMES * TR - 8, WORDS)).round(3)
    rows = [
        f"w{number:04d}\t{word}\t{start:.3f}\t{start + 0.2:.3f}\n"
        for number, (word, start) in enumerate(zip(words, onset, strict=True))
    ]
    (folder / "words.tsv").write_text("id\ttext\tonset\toffset\n" + "".join(rows))
    volume = ((onset + 0.1) // TR).astype(int)
    letters = np.bincount(volume, [len(word) for word in words], minlength=VOLUMES)
    signal = _signal(np.roll(letters, DELAY)[:, None].astype(np.float64), rng)
    for subject in SUBJECTS:
        data = signal + rng.normal(0, np.sqrt(NOISE), signal.shape)
        np.save(folder / f"sub-{subject}_bold.npy", data.astype(np.float32))
    return {
        "modality": "language",
        "design": "story",
        "stimuli": {"table": "words.tsv"},
        "responses": {"files": "sub-{subject}_bold.npy", "tr": TR, "start": 0.0},
        "ceilings": {"from": "subjects"},
    }


def _signal(features: Array, rng: np.random.Generator) -> Array:
    """Unit-variance mixtures of the features in all regions but the last, which has none."""
    driven = (len(REGIONS) - 1) * TARGETS
    mixed = features @ rng.normal(size=(features.shape[1], driven))
    mixed = (mixed - mixed.mean(axis=0)) / mixed.std(axis=0)
    return np.hstack([mixed, np.zeros((len(features), TARGETS))])

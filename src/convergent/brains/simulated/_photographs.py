"""Tiles of photographs that scikit-image, scikit-learn and matplotlib carry."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convergent.brains._packages import package_path
from convergent.brains.simulated._labelled import Labelled, Role, assign

TILE = 48  # pixels
SIZES: dict[Role, int] = {"stimulus": 16, "evaluate": 16, "train": 60}
FLAT = 6.0  # grey levels: tiles with a lower standard deviation show sky or cloth, or nothing
GREY, CONTRAST = 127.5, 45.0

# Scene -> package, file, distribution. Photographs only, with at least 46 tiles of some contrast.
_FILES = {
    "astronaut": ("skimage", "data/astronaut.png", "scikit-image"),
    "brick": ("skimage", "data/brick.png", "scikit-image"),
    "camera": ("skimage", "data/camera.png", "scikit-image"),
    "cat": ("skimage", "data/chelsea.png", "scikit-image"),
    "coffee": ("skimage", "data/coffee.png", "scikit-image"),
    "coins": ("skimage", "data/coins.png", "scikit-image"),
    "grass": ("skimage", "data/grass.png", "scikit-image"),
    "gravel": ("skimage", "data/gravel.png", "scikit-image"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg", "scikit-image"),
    "tissue": ("skimage", "data/ihc.png", "scikit-image"),
    "motorcycle": ("skimage", "data/motorcycle_left.png", "scikit-image"),
    "retina": ("skimage", "data/retina.jpg", "scikit-image"),
    "rocket": ("skimage", "data/rocket.jpg", "scikit-image"),
    "temple": ("sklearn", "datasets/images/china.jpg", "scikit-learn"),
    "flower": ("sklearn", "datasets/images/flower.jpg", "scikit-learn"),
    "portrait": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "matplotlib"),
}
SCENES = tuple(_FILES)


@lru_cache(maxsize=4)
def scene_tiles(role: Role) -> Labelled:
    """Cut the tiles of one role from all photographs.

    Each photograph is cut into tiles of 48 x 48 pixels that do not overlap; flat ones are left out,
    and the others are dealt to the roles in a fixed random order. Tiles are grey and have one mean
    and one contrast (mean 127.5, standard deviation 45, clipped to 0 to 255), so that neither
    colour nor brightness nor contrast gives the scene away: what is left is its texture and shapes.

    Parameters
    ----------
    role : {"stimulus", "evaluate", "train"}

    Returns
    -------
    Labelled
        ``images`` uint8 (item, 48, 48, 3); 16 stimuli and 16 evaluation tiles a scene, and up to
        60 training tiles.

    Raises
    ------
    DataError
        A package or a photograph is missing.
    """
    ids: list[str] = []
    labels: list[int] = []
    images: list[NDArray[np.uint8]] = []
    for label, scene in enumerate(SCENES):
        tiles = _tiles(scene)
        for index in assign(scene, len(tiles), SIZES)[role]:
            ids.append(f"{scene}-{index:03d}")
            labels.append(label)
            images.append(_normalised(tiles[index]))
    return Labelled(
        ids=np.array(ids),
        labels=np.array(labels, dtype=np.int64),
        classes=SCENES,
        images=np.repeat(np.stack(images)[..., None], 3, axis=-1),
    )


def _tiles(scene: str) -> NDArray[np.float64]:
    with Image.open(package_path(*_FILES[scene])) as photograph:
        grey = np.asarray(photograph.convert("L"), dtype=np.float64)
    rows, columns = grey.shape[0] // TILE, grey.shape[1] // TILE
    tiles = grey[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
    square: NDArray[np.float64] = tiles.transpose(0, 2, 1, 3).reshape(-1, TILE, TILE)
    kept: NDArray[np.float64] = square[square.std(axis=(1, 2)) >= FLAT]
    return kept


def _normalised(tile: NDArray[np.float64]) -> NDArray[np.uint8]:
    scaled = GREY + CONTRAST * (tile - tile.mean()) / tile.std()
    pixels: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return pixels

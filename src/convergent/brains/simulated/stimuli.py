"""Sentences from the documentation that Python and scientific packages carry."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convergent.brains.open import STANDARD_LIBRARY, package_path
from convergent.brains.pictures import read_picture
from convergent.brains.types import StimulusSet

Role = Literal["stimulus", "evaluate", "train"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Labelled:
    """Items of one role with their classes.

    Attributes
    ----------
    ids : ndarray of str, shape (item,)
        ``<class>-<number>``; an item has the same id whatever its role.
    labels : ndarray of int64, shape (item,)
        Index into ``classes``.
    classes : tuple of str
    images : ndarray of uint8, shape (item, y, x, 3), optional
    texts : tuple of str, optional
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    images: NDArray[np.uint8] | None = None
    texts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Benchmark:
    """What performance is measured on: labelled stimuli that no subject saw.

    Attributes
    ----------
    stimuli : StimulusSet
    labels : ndarray of int64, shape (stimulus,)
        Index into ``classes``.
    classes : tuple of str
    half : ndarray of int64, shape (stimulus,)
        0 or 1: a probe is trained on one half and scored on the other, both ways round.
    """

    stimuli: StimulusSet
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    half: NDArray[np.int64]

    @property
    def chance(self) -> float:
        """Share correct of a guess that ignores the stimulus."""
        return 1.0 / len(self.classes)


def benchmark(name: str, modality: str, items: Labelled) -> Benchmark:
    """Make a benchmark of the items with role ``evaluate``, halved within each class."""
    half = np.zeros(len(items), dtype=np.int64)
    for label in range(len(items.classes)):
        members = np.flatnonzero(items.labels == label)
        half[members] = np.arange(members.size) % 2
    stimuli = StimulusSet(
        name=f"{name}-benchmark",
        modality=modality,
        design="items",
        ids=items.ids,
        images=items.images,
        texts=items.texts,
    )
    return Benchmark(stimuli, items.labels, items.classes, half)


def assign(name: str, number: int, sizes: dict[Role, int]) -> dict[Role, NDArray[np.int64]]:
    """Split items 0 to ``number`` - 1 of one class into roles, in a fixed random order.

    Parameters
    ----------
    name : str
        Name of the class: the seed of its order.
    number : int
    sizes : dict of Role to int
        Items of ``stimulus``, ``evaluate`` and (at most) ``train``.
    """
    order = np.random.default_rng(zlib.crc32(name.encode())).permutation(number)
    roles: dict[Role, NDArray[np.int64]] = {}
    start = 0
    for role in ROLES:
        roles[role] = np.sort(order[start : start + sizes[role]])
        start += sizes[role]
    return roles


SIZES: dict[Role, int] = {"stimulus": 16, "evaluate": 40, "train": 364}
_ENOUGH = sum(SIZES.values())
_SHORTEST, _LONGEST = 40, 160  # characters
_PLAIN = 0.9  # least share of letters and blanks: the others are formulas and code

# Topic -> package, files or folders, distribution.
_PLACES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "graphs": ("networkx", ("algorithms",), "networkx"),
    "statistics": ("scipy", ("stats",), "scipy"),
    "signals": ("scipy", ("signal", "fft"), "scipy"),
    "images": ("skimage", ("morphology", "segmentation", "filters"), "scikit-image"),
    "optimisation": ("scipy", ("optimize",), "scipy"),
    "matrices": ("scipy", ("linalg", "sparse"), "scipy"),
    "clusters": ("sklearn", ("cluster", "mixture"), "scikit-learn"),
    "trees": ("sklearn", ("tree", "ensemble"), "scikit-learn"),
    "time-series": ("statsmodels", ("tsa",), "statsmodels"),
    "mechanics": ("sympy", ("physics/mechanics", "physics/vector", "physics/optics"), "sympy"),
    "numbers": ("sympy", ("ntheory", "polys"), "sympy"),
    "tables": ("pandas", ("core/frame.py", "core/generic.py", "core/series.py"), "pandas"),
    "plots": ("matplotlib", ("axes", "axis.py", "figure.py", "artist.py"), "matplotlib"),
    "email": (
        STANDARD_LIBRARY,
        ("email", "http", "urllib", "smtplib.py", "imaplib.py"),
        "Python's standard library",
    ),
    "processes": (
        STANDARD_LIBRARY,
        ("concurrent", "multiprocessing", "threading.py", "asyncio"),
        "Python's standard library",
    ),
    "files": (
        STANDARD_LIBRARY,
        ("zipfile.py", "tarfile.py", "shutil.py", "pathlib.py", "os.py", "tempfile.py"),
        "Python's standard library",
    ),
}
TOPICS = tuple(_PLACES)

_DOCSTRING = re.compile(r'(?:^|\n)[ \t]*[rRuU]?"""(.*?)"""', re.DOTALL)
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_ALLOWED = re.compile(r"[A-Z][A-Za-z0-9 ,.;:'()`\"/-]+\.")
_NOT_PROSE = (">>>", "...", "-", "*", "..", "=", "|", ":", "#")


@lru_cache(maxsize=4)
def topic_sentences(role: Role) -> Labelled:
    """Collect the sentences of one role on all topics.

    Sentences are taken from docstrings, in the order of the files, until a topic has enough; those
    that occur under two topics are left out, and the others are dealt to the roles in a fixed
    random order. They depend on the installed versions of the packages, as the digest of the
    stimuli records.

    Parameters
    ----------
    role : {"stimulus", "evaluate", "train"}

    Returns
    -------
    Labelled
        ``texts``: 16 stimuli and 40 evaluation sentences a topic, and up to 364 for training.

    Raises
    ------
    DataError
        A package is missing.
    """
    ids: list[str] = []
    labels: list[int] = []
    texts: list[str] = []
    for label, (topic, sentences) in enumerate(_corpus().items()):
        for index in assign(topic, len(sentences), SIZES)[role]:
            ids.append(f"{topic}-{index:03d}")
            labels.append(label)
            texts.append(sentences[index])
    return Labelled(
        ids=np.array(ids),
        labels=np.array(labels, dtype=np.int64),
        classes=TOPICS,
        texts=tuple(texts),
    )


@lru_cache(maxsize=1)
def _corpus() -> dict[str, tuple[str, ...]]:
    corpus = {topic: _topic(*place) for topic, place in _PLACES.items()}
    shared = Counter(sentence for sentences in corpus.values() for sentence in sentences)
    return {
        topic: tuple(sentence for sentence in sentences if shared[sentence] == 1)
        for topic, sentences in corpus.items()
    }


def _topic(package: str, places: tuple[str, ...], distribution: str) -> dict[str, None]:
    found: dict[str, None] = {}  # an ordered set
    for inside in places:
        for path in _sources(package_path(package, inside, distribution)):
            for docstring in _DOCSTRING.findall(path.read_text(encoding="utf-8")):
                for sentence in sentences_of(docstring):
                    found.setdefault(sentence)
                    if len(found) == _ENOUGH:
                        return found
    return found


def _sources(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*.py") if "test" not in file.as_posix())


def sentences_of(docstring: str) -> Iterator[str]:
    """Find the plain English sentences of a docstring, on one line each."""
    for paragraph in _PARAGRAPH.split(docstring):
        if any(line.strip().startswith(_NOT_PROSE) for line in paragraph.split("\n")):
            continue
        for sentence in _SENTENCE_END.split(" ".join(paragraph.split())):
            if not (_SHORTEST <= len(sentence) <= _LONGEST and _ALLOWED.fullmatch(sentence)):
                continue
            plain = sum(letter.isalpha() or letter == " " for letter in sentence)
            if plain >= _PLAIN * len(sentence):
                yield sentence


TILE = 48  # pixels
SIZES_PHOTOGRAPHS: dict[Role, int] = {"stimulus": 16, "evaluate": 16, "train": 60}
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
        for index in assign(scene, len(tiles), SIZES_PHOTOGRAPHS)[role]:
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
    photograph = Image.fromarray(read_picture(package_path(*_FILES[scene])).pixels)
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

"""Sentences from the documentation that Python and scientific packages carry."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from convergent.brains._packages import STANDARD_LIBRARY, package_path
from convergent.brains.simulated._labelled import Labelled, Role, assign

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

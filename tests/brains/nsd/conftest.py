"""Files in NSD's formats, whose responses are known."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convergent.brains.nsd import example
from convergent.brains.nsd.reader import NsdReader

VERTICES = {"lh": 40, "rh": 35}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> example.Example:
    """A fiftieth of NSD: 200 images a subject, 15 trials a session."""
    made = example.write_experiment(tmp_path_factory.mktemp("nsd"), scale=50)
    example.write_surface(made, "subj01", VERTICES)
    example.write_surface(made, "subj04", VERTICES)
    example.write_surface(made, "subj01", VERTICES, space="nativesurface")
    example.write_volume(made, "subj04")
    return made


@pytest.fixture
def copy(small: example.Example, tmp_path: Path) -> Path:
    """A copy of the files, to be damaged."""
    return Path(shutil.copytree(small.directory, tmp_path / "nsd"))


@pytest.fixture
def reader(small: example.Example, tmp_path: Path) -> Callable[..., NsdReader]:
    """Make a reader of the small files, on fsaverage unless told otherwise."""

    def make(**options: Any) -> NsdReader:
        given = {
            "subjects": ("subj01",),
            "data": str(small.directory),
            "agreement": "accepted",
            "space": "fsaverage",
            "scratch": str(tmp_path),
        }
        return NsdReader(**given | options)

    return make

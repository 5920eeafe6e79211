"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["workflow_fixtures"]

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Directory of real data that tests may read; skips where it is absent."""
    place = Path(os.environ.get("CONVERGENT_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not place.is_dir():
        pytest.skip(f"no shared data at {place} (set CONVERGENT_SHARED)")
    return place

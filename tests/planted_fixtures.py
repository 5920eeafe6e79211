"""Fixtures of a synthetic study with planted structure, for the rooms that read its tables."""

from __future__ import annotations

import pytest

import planted


@pytest.fixture(scope="session")
def planted_study():
    """Make a synthetic study with planted structure."""
    return planted.planted_study


@pytest.fixture(scope="session")
def study(planted_study):
    """One synthetic study, shared; do not change it."""
    return planted_study()

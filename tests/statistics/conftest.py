from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

# The test folders are no packages; the shared generator is loaded by its path.
_PATH = Path(__file__).parents[1] / "statistics" / "planted.py"


def _planted():
    if "planted_tables" not in sys.modules:
        spec = importlib.util.spec_from_file_location("planted_tables", _PATH)
        module = importlib.util.module_from_spec(spec)
        sys.modules["planted_tables"] = module
        spec.loader.exec_module(module)
    return sys.modules["planted_tables"]


@pytest.fixture(scope="session")
def planted_study():
    """Make a synthetic study with planted structure."""
    return _planted().planted_study


@pytest.fixture(scope="session")
def study(planted_study):
    """One synthetic study, shared; do not change it."""
    return planted_study()

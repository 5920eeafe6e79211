"""Fixtures that several rooms' tests share, and how tests run beside each other."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from convergent.registry import ALL

pytest_plugins = ["workflow_fixtures"]

REPOSITORY = Path(__file__).resolve().parents[1]
MOST_WORKERS = 8  # of 1 to 2 GB each; with more of them the longest test is what one waits for

# Before anything imports numpy or torch: the other processors are the neighbours', and on arrays
# as small as those of the tests more threads are slower than one.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# An example may wait for a neighbour.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Workers of ``-n auto``: one for each processor that this process may use."""
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


@pytest.fixture
def registries() -> Iterator[None]:
    """Forget afterwards what a test registers."""
    before = {registry: dict(registry._registered) for registry in ALL}
    yield
    for registry, names in before.items():
        registry._registered = names


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what became of the cases of ``tests/fuzz``, from all workers."""
    outcomes: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            found = dict(getattr(report, "user_properties", ())).get("outcomes", {})
            outcomes.update(found if getattr(report, "when", "") == "teardown" else {})
    if outcomes:
        counted = ", ".join(f"{kind} {number:,}" for kind, number in sorted(outcomes.items()))
        faults = {kind: outcomes[kind] for kind in ("TRACEBACK", "SILENT")}
        terminalreporter.write_line(f"fuzzer: {outcomes.total():,} cases: {counted} ({faults})")


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


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folder of that name, filled by the first worker that asks for it, read by all."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, fill: Callable[[Path], None]) -> Path:
        folder, finished = base / name, base / f"{name}.finished"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists() and not finished.exists():
                pytest.fail(f"{name} could not be made: another worker tells why")
            if not finished.exists():
                folder.mkdir()
                fill(folder)
                finished.touch()
        return folder

    return made

"""Small files in the formats of the public data sets, with planted truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ALICE_SUBJECTS = [18, 22, 23, 24, 26, 28, 30, 31, *range(35, 54)]


def long_textgrid(labels: list[tuple[float, float, str]], name: str = "word") -> str:
    """A TextGrid of one interval tier in Praat's long text format."""
    start, end = (labels[0][0], labels[-1][1]) if labels else (0.0, 1.0)
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        f"xmin = {start!r}",
        f"xmax = {end!r}",
        "tiers? <exists>",
        "size = 1",
        "item []:",
        "    item [1]:",
        '        class = "IntervalTier"',
        f'        name = "{name}"',
        f"        xmin = {start!r}",
        f"        xmax = {end!r}",
        f"        intervals: size = {len(labels)}",
    ]
    for number, (low, high, text) in enumerate(labels, start=1):
        doubled = text.replace('"', '""')
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {low!r}",
            f"            xmax = {high!r}",
            f'            text = "{doubled}"',
        ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def make_textgrid() -> Callable[..., str]:
    return long_textgrid


@pytest.fixture(scope="session")
def alice_truth() -> dict[str, float]:
    """Standard deviation of each listener's own noise; the shared signal's is 1."""
    return {"noise": 1.5}


@pytest.fixture(scope="session")
def alice_master(tmp_path_factory: pytest.TempPathFactory, alice_truth: dict[str, float]) -> Path:
    """27 listeners whose time courses are one shared signal, own noise, drift and motion."""
    root = tmp_path_factory.mktemp("alice")
    rng = np.random.default_rng(7)
    stimuli, data = root / "alice_stim_shared", root / "alice_data_shared"
    stimuli.mkdir()
    for radius in ("6mm", "10mm"):
        (data / radius).mkdir(parents=True)
    labels = [(12.0, 20.0, "sp")]
    for number in range(2127):
        begin = 20.0 + number * 0.34
        labels.append((begin, begin + 0.3, "'s" if number == 1 else f"Word{number} "))
        labels.append((begin + 0.3, begin + 0.34, ("sp", "")[number % 2]))
    (stimuli / "DownTheRabbitHoleFinal_exp120_pad_1.TextGrid").write_text(
        long_textgrid(labels), encoding="ascii"
    )
    from convergent.brains.alice.files import motion_file

    shared = rng.standard_normal((362, 6))
    slow = np.linspace(-1, 1, 362)[:, None]
    for number in ALICE_SUBJECTS:
        subject = f"s{number}"
        motion = rng.standard_normal((372, 6))
        own = alice_truth["noise"] * rng.standard_normal((362, 6))
        for radius, weight in (("6mm", 0.0), ("10mm", 3.0)):
            courses = 100 + number * (
                shared + own + 5 * slow + weight * motion[10:] @ np.ones((6, 6))
            )
            np.savetxt(data / radius / f"{subject}-timecourses.txt", courses, fmt="%16.7e")
        np.savetxt(root / motion_file(subject), motion, fmt="%16.7e")
        np.savetxt(data / f"{subject}-rate.txt", rng.random(362), fmt="%.5g")
        np.savetxt(data / f"{subject}-sndpwr.txt", rng.random(362), fmt="%.5g")
    return root


@pytest.fixture
def alice_folder(alice_master: Path, tmp_path: Path) -> Path:
    """A copy of the synthetic data that a test may damage."""
    import shutil

    copy = tmp_path / "alice"
    shutil.copytree(alice_master, copy)
    return copy

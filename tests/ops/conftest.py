"""A small study whose files are only names, and commands of SLURM that answer from a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from convergent.study import Study
from workflow_fixtures import CHECKPOINTS, MODELS, small_configuration


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Study]:
    """The study in the working directory, which has nothing else."""
    monkeypatch.chdir(tmp_path)
    Path("models.tsv").write_text(MODELS.format(vit="vit"))
    Path("checkpoints.tsv").write_text(CHECKPOINTS)

    def load(**more: object) -> Study:
        Path("study.yaml").write_text(yaml.safe_dump(small_configuration() | more))
        return Study.load("study.yaml")

    return load


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put commands on the path that print a text, and no other SLURM."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin-without-slurm:/bin-without-slurm")

    def command(name: str, text: str = "", script: str = "") -> None:
        path = folder / name
        (folder / f"{name}.txt").write_text(text)
        path.write_text(f"#!/bin/sh\n{script or f'/bin/cat {path}.txt'}\n")
        path.chmod(0o755)

    return command


def touch(paths: list[str]) -> None:
    """Make files, empty."""
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()

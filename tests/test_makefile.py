"""What ``make setup`` runs, with and without uv; what the two descriptions of CI run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

# Each writes down how it is called; Python makes an environment of itself.
PYTHON = """\
#!/bin/sh
echo "python $*" >> {record}
case "$1 $2" in "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;; esac
"""
UV = """\
#!/bin/sh
echo "uv $*" >> {record}
"""
LOCK = "--quiet --no-deps -r envs/lock.txt"
PACKAGE = "--quiet --no-deps --no-build-isolation -e ."


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("uv", "options", "used"),
    [(True, [], "uv"), (False, [], "pip"), (True, ["UV="], "pip")],
)
def test_setup_installs_the_lock_file_with_uv_where_it_is_and_else_with_pip(
    tmp_path, repository, uv, options, used
):
    record, venv = tmp_path / "record", tmp_path / "venv"
    program(tmp_path / "python", PYTHON.format(record=record))
    if uv:
        program(tmp_path / "bin" / "uv", UV.format(record=record))
    done = subprocess.run(
        ["make", "setup", f"VENV={venv}", f"PYTHON={tmp_path / 'python'}", *options],
        cwd=repository,
        env=os.environ | {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    calls = record.read_text().splitlines()
    start = (
        f"uv pip install --python {venv}/bin/python" if used == "uv" else "python -m pip install"
    )
    assert calls[-2:] == [f"{start} {LOCK}", f"{start} {PACKAGE}"]
    assert (
        f"packages of envs/lock.txt with {tmp_path / 'bin' / 'uv' if used == 'uv' else 'pip'}"
        in (done.stdout)
    )


def test_ci_and_the_workflow_of_github_make_the_same_targets(repository):
    made = re.compile(r"\bmake ([a-z-]+)")
    workflow = yaml.safe_load((repository / ".github/workflows/ci.yml").read_text())
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    script = (repository / ".ci/run").read_text()
    script = "\n".join(line for line in script.splitlines() if not line.startswith("#"))
    there = {found[1] for step in steps if (found := made.match(step))}
    assert there == set(made.findall(script)) >= {"setup", "lint", "demo", "test-all"}

"""A folder on the node's own disk: found where the job runs, or an error that says why not."""

from __future__ import annotations

import os

import pytest

from convergent.errors import ConfigError
from convergent.study import Study, scratch_folder, share_with_jobs
from convergent.study.environment import check_command_line


def test_variables_are_those_of_the_job(tmp_path):
    (tmp_path / "41").mkdir()
    environment = {"DISK": str(tmp_path), "SLURM_JOB_ID": "41"}
    found = scratch_folder("${DISK}/$SLURM_JOB_ID", environment=environment)
    assert found == tmp_path / "41"
    assert list(found.iterdir()) == []


@pytest.mark.parametrize("environment", [{}, {"SLURM_JOB_ID": ""}])
def test_a_variable_that_is_not_set_is_an_error(environment, tmp_path):
    with pytest.raises(ConfigError, match=r"resources.scratch is .*SLURM_JOB_ID is not set\. Fix"):
        scratch_folder(f"{tmp_path}/$SLURM_JOB_ID", environment=environment)


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(ConfigError, match=r"here .*/7, and there is no such folder. Fix"):
        scratch_folder(f"{tmp_path}/$N", environment={"N": "7"})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    def refuse(**_: object):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ConfigError, match=r"no file can be made in it: Permission denied. Fix"):
        scratch_folder(str(tmp_path))


def test_a_nodes_tmpdir_is_not_what_snakemake_puts_in_its_place(tmp_path, monkeypatch, files):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.delenv("TMPDIR", raising=False)
    share_with_jobs({}, file=str(files.path), base=".", root="r", overrides={})
    os.environ["TMPDIR"] = str(tmp_path)  # as Snakemake gives it to a command
    with pytest.raises(ConfigError, match="TMPDIR is not set"):
        scratch_folder("$TMPDIR")
    share_with_jobs({}, file=str(files.path), base=".", root="r", overrides={})
    assert scratch_folder("$TMPDIR") == tmp_path


def test_it_is_looked_for_in_the_job_only_and_is_in_no_identity(files):
    plain = Study.load(files.path)
    study = Study.load(
        files.path, {"resources.scratch": "$NOT_SET_HERE/x", "container": "convergent.sif"}
    )
    assert not Study.mistakes(files.path, {"resources.scratch": "$NOT_SET_HERE/x"})
    model = next(iter(study.models.values()))
    keys = {
        "dataset": study.datasets_of(model.key)[0],
        "model": model.key,
        "checkpoint": model.checkpoints[0].name,
        "layer": model.layers[0].name,
    }
    for stage in ("extract", "fit"):
        assert study.identity(stage, **keys) == plain.identity(stage, **keys)
    with pytest.raises(ConfigError, match="NOT_SET_HERE is not set"):
        study.scratch()
    assert plain.scratch() is None


def test_a_folder_relative_to_the_study_is_a_mistake(files):
    (found,) = Study.mistakes(files.path, {"resources.scratch": "TMPDIR"})
    assert "begins with $" in str(found)


def test_a_variable_on_the_command_line_is_refused_for_it_would_not_reach_the_job(files):
    with pytest.raises(ConfigError, match=r"resources: a variable given with --config .*file"):
        check_command_line({"resources": {"scratch": "/local/$SLURM_JOB_ID"}})

"""One mail at the end of a run: its subject has the counts, and it never makes a run fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from snakemake.resources import Resources

from convergent.ops.mail import mail_at_end, summary

GROUP_FAILED = Path(__file__).parent / "group_failed.log"
KEEPS = '/bin/cat > script\necho "$@" > asked\necho 41'


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "run.snakemake.log"
    path.write_text("7 of 7 steps (100%) done\n")
    return path


def test_the_subject_counts_steps_and_failures_and_names_the_last(log):
    assert summary("demo", log, succeeded=True) == "convergent demo: done, 7 of 7 steps"
    told = summary("demo", GROUP_FAILED, succeeded=False)
    assert told.startswith("convergent demo: FAILED, ")
    assert " failed, last extract/" in told or " failed, last fit/" in told
    assert "results" not in told


@pytest.mark.parametrize("succeeded", [True, False])
def test_the_job_ends_as_the_run_did_with_the_profiles_account(
    log, succeeded, commands, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVERGENT_MAIL", "me@site")
    commands("sbatch", script=KEEPS)
    defaults = Resources.parse(["slurm_account='lab'", "mem_mb=4000"], allow_expressions=True)
    mail_at_end("demo", [str(log)], succeeded=succeeded, defaults=defaults)
    asked = (tmp_path / "asked").read_text()
    assert "--mail-user=me@site --mail-type=END,FAIL --account=lab" in asked
    assert "7 of 7 steps" in asked
    assert (tmp_path / "script").read_text().endswith(f"exit {int(not succeeded)}\n")
    assert capsys.readouterr().err.startswith("SLURM will mail me@site: convergent demo:")


def test_nothing_is_sent_without_an_address_and_a_refusal_is_told(
    log, commands, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVERGENT_MAIL", raising=False)
    commands("sbatch", script="echo invalid account >&2; exit 1")
    mail_at_end("demo", [str(log)], succeeded=True, defaults={})
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("CONVERGENT_MAIL", "me@site")
    mail_at_end("demo", [str(log)], succeeded=True, defaults={})
    assert capsys.readouterr().err == "no mail to me@site: invalid account\n"
    (tmp_path / "bin" / "sbatch").unlink()
    mail_at_end("demo", [str(log)], succeeded=True, defaults={})
    assert "no mail to me@site: sbatch: No such file" in capsys.readouterr().err

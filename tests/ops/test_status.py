"""A study's state is told from its files and logs, whoever looks and whenever."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from convergent.cli import _status as cli_status
from convergent.cli import app
from convergent.ops import runs as runs_module
from convergent.ops.status import Family, Watch
from convergent.study.graph import SHARED

from .conftest import touch

LOG = Path(__file__).with_name("group_failed.log")
BROKEN = "tiny-vit/final/layers.1"


def rows(found):
    return {row.name: {**row.jobs} for row in found.families}


def leave_log(text):
    file = Path(".snakemake/log/2026-11-24T194811.313304.snakemake.log")
    file.parent.mkdir(parents=True)
    file.write_text(text)


def write(path, text):
    touch([path])
    Path(path).write_text(text)


@pytest.fixture
def failed_on_slurm(small, commands):
    """One layer is done, the fits of another failed: as its run on SLURM left it."""
    study = small()
    leave_log(LOG.read_text())
    touch(
        [
            study.paths.stimuli("scenes"),
            *study.responses_files("scenes"),
            study.paths.weights("tiny-vit", "final"),
            study.paths.features("scenes", "tiny-vit", "final", "layers.0"),
            study.paths.alignment("scenes", "tiny-vit", "final", "layers.0", "sim01"),
            study.paths.alignment("scenes", "tiny-vit", "final", "layers.0", "sim02"),
        ]
    )
    write(f"results/small/logs/extract/scenes/{BROKEN}.log", "layers.1 extracted\n")
    lines = [f"line {number}" for number in range(100)]
    lines += ["", "error: no responses of sim02. Fix: run its rule", ""]
    write(f"results/small/logs/fit/scenes/{BROKEN}.log", "\n".join(lines))
    commands("squeue")
    commands("sacct")
    return study


def test_a_job_is_done_when_all_its_files_are_there(small):
    study = small()
    jobs = [job for job in study.graph.jobs if job.family == "controls"]
    fit = next(job for job in jobs if job.stage == "fit")
    assert len(fit.outputs) == 2
    upstream = study.graph.upstream(fit.outputs)[:-1]
    touch([path for job in upstream for path in job.outputs])
    touch(fit.outputs[:1])
    before = Watch(study).look()
    assert rows(before)["controls"] == {"done": 1, "waiting": len(jobs) - 1}  # its extraction
    touch(fit.outputs)
    found = Watch(study).look()
    assert rows(found)["controls"] == {"done": 2, "waiting": len(jobs) - 2}
    assert found.whole.total == len(study.graph.jobs)
    assert found.run is None and not found.alive and not found.failures


def test_a_temporary_or_kept_file_is_no_result(small):
    study = small()
    path = Path(study.paths.features("scenes", "gabor", "final", "features"))
    touch([str(path.with_name(f".{path.name}")), str(path.with_name(f".{path.name}.7.tmp"))])
    assert not Watch(study).look().whole.jobs["done"]


def test_of_a_group_that_failed_the_job_with_the_error_is_told(failed_on_slurm):
    found = Watch(failed_on_slurm).look()
    counts = rows(found)["tiny"]
    assert (counts["done"], counts["failed"]) == (3, 1)
    (failure,) = found.failures
    assert failure.job.log == f"results/small/logs/fit/scenes/{BROKEN}.log"
    assert failure.lines[-2:] == ("line 99", "error: no responses of sim02. Fix: run its rule")
    assert failure.said.endswith("layers.1_extract_fit_scenes/26.log")


def test_slurm_tells_the_queue_and_gpu_hours(failed_on_slurm, commands):
    group = "rule_scenes.tiny-vit.random-0.layers"
    commands(
        "squeue",
        f"31|RUNNING|None|{group}.0_extract_fit_scenes\n"
        f"32|PENDING|Resources|{group}.1_extract_fit_scenes\n"
        "33|PENDING|Priority|rule_responses_wildcards_scenes_sim02\n",
    )
    commands(
        "sacct",
        f"31|RUNNING|1800|billing=1,cpu=1,gres/gpu=2,node=1|{group}.0_extract_fit_scenes\n"
        "26|OUT_OF_MEMORY|3600|cpu=1,gres/gpu=1|"
        "rule_scenes.tiny-vit.final.layers.1_extract_fit_scenes\n"
        "29|COMPLETED|3600|cpu=1,gres/gpu=1|\n",
    )
    found = Watch(failed_on_slurm).look()
    counts = rows(found)
    # a group is an extraction and its fits
    assert (counts["tiny"]["running"], counts["tiny"]["queued"]) == (2, 2)
    assert counts[SHARED]["queued"] == 1
    hours = {row.name: row.gpu_hours for row in found.families}
    assert hours["tiny"] == pytest.approx(2.0)
    assert hours[SHARED] == pytest.approx(1.0)  # whose it is cannot be told
    assert found.failures[0].said.startswith("SLURM: OUT_OF_MEMORY (job 26)")


def test_slurm_that_does_not_answer_is_a_note(failed_on_slurm, commands):
    commands("squeue", script="echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1")
    found = Watch(failed_on_slurm).look()
    assert "squeue: slurm_load_jobs error: Unable to contact" in found.notes
    assert rows(found)["tiny"]["failed"] == 1


def test_jobs_of_a_killed_run_are_waiting_and_not_running(small, commands, monkeypatch):
    study = small()
    text = LOG.read_text().replace("Host: login1", f"Host: {socket.gethostname()}")
    leave_log(text[: text.index("Job 723212a2")])  # nobody has it open
    found = Watch(study).look()
    assert rows(found)["tiny"] == {"waiting": 12}
    told = "\n".join(cli_status._plain(found))
    assert "`scancel --name=convergent_47866558-7f1e-463c-a983-d23514c4d1cf` ends its jobs" in told
    monkeypatch.setattr(runs_module, "is_alive", lambda run: True)
    assert rows(Watch(study).look())["tiny"] == {"running": 4, "waiting": 8}


def test_a_log_with_an_error_and_no_files_is_a_failure_of_any_run(small):
    study = small()
    write(study.paths.log("weights", "tiny-vit", "final"), "error: offline. Fix: go online\n")
    write(study.paths.log("weights", "tiny-vit", "random-0"), "downloading\n")
    found = Watch(study).look()
    assert [failure.job.stage for failure in found.failures] == ["weights"]
    assert rows(found)["tiny"] == {"waiting": 11, "failed": 1}


def test_what_failed_before_waits_once_a_new_run_is_at_work(small, commands, monkeypatch):
    study = small()
    log = study.paths.log("weights", "tiny-vit", "final")
    write(log, "error: offline. Fix: go online\n")
    os.utime(log, (0, 0))
    leave_log(LOG.read_text())
    assert rows(Watch(study).look())["tiny"]["failed"] == 3
    monkeypatch.setattr(runs_module, "is_alive", lambda run: True)
    assert rows(Watch(study).look())["tiny"]["failed"] == 2


def test_a_screen_that_is_too_low_shows_where_something_happens():
    families = [Family(f"family-{number:02}") for number in range(40)]
    for row in families:
        row.jobs["waiting"] = 5
    families[30].jobs["running"] = 1
    families[20].jobs["failed"] = 2
    found = SimpleNamespace(families=families)
    shown = cli_status._shown(found, 4)
    assert {"family-20", "family-30"} < {row.name for row in shown}
    assert shown[-1].name == "37 more families"
    assert sum(row.total for row in shown) == sum(row.total for row in families)
    assert cli_status._shown(found, None) == families


def test_the_end_is_estimated_from_the_rate_of_the_run(failed_on_slurm, monkeypatch):
    monkeypatch.setattr(runs_module, "is_alive", lambda run: True)
    watch = Watch(failed_on_slurm)
    run = watch.look().run
    now = time.time()
    log = "results/small/logs/fit/scenes/tiny-vit/final/layers.0.log"
    run.begun, run.finishes = now - 3600, [(now - 60, log)] * 4
    found = watch.look()
    tiny = next(row for row in found.families if row.name == "tiny")
    # 4 in an hour, 8 are left
    assert tiny.end - now == pytest.approx(tiny.left * 900, abs=60)
    assert tiny.left == 8
    assert next(row for row in found.families if row.name == "controls").end is None
    assert found.whole.end - now == pytest.approx(found.whole.left * 900, abs=60)


def test_no_file_is_looked_at_one_by_one(small, monkeypatch):
    study = small()
    paths = [path for job in study.graph.jobs for path in job.outputs]
    touch(paths)
    watch, looked, stat = Watch(study), [], os.stat

    def counted(path, *arguments, **options):
        looked.append(str(path))
        return stat(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", counted)
        found = watch.look()
    assert found.whole.jobs["done"] == found.whole.total
    assert not [path for path in looked if path.removeprefix("./") in set(paths)]


def test_plain_lines_and_json_tell_the_same(failed_on_slurm):
    command = ["status", "--study", "study.yaml"]
    plain = CliRunner().invoke(app, command)
    told = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    assert plain.exit_code == 0
    (tiny,) = [line.split() for line in plain.output.splitlines() if line.startswith("tiny ")]
    (row,) = [row for row in told["families"] if row["family"] == "tiny"]
    keys = ("jobs", "done", "running", "queued", "failed", "waiting")
    assert tiny[1:7] == [str(row[key]) for key in keys]
    assert "  | error: no responses of sim02. Fix: run its rule" in plain.output
    assert told["failures"][0]["targets"][0].endswith("layers.1/sim01.zarr.zip")
    only = CliRunner().invoke(app, [*command, "--family", "controls"])
    assert "tiny " not in only.output


def test_no_large_library_is_imported(small):
    small()
    program = (
        "import sys; from convergent.cli import app;"
        "app(['status', '--study', 'study.yaml'], standalone_mode=False);"
        # numpy comes with the readers, which say which of their options count
        "heavy = {'torch', 'polars', 'snakemake', 'pyarrow', 'zarr'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_status_works_from_another_shell_while_snakemake_runs(workflow, monkeypatch):
    """Snakemake holds its lock meanwhile, and finds nothing changed."""
    workflow.write()
    monkeypatch.chdir(workflow.folder)
    shutil.rmtree("results/small/models")
    text = Path("study.yaml").read_text()
    snakefile = str(workflow.repository / "Snakefile")
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--configfile"]
    command += ["study.yaml", "--cores", "1", "results/small/models/gabor.parquet"]
    command += ["results/small/models/tiny-vit.parquet"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen = []
    while running.poll() is None:
        done = CliRunner().invoke(app, ["status", "--study", "study.yaml", "--json"])
        told = json.loads(done.output)
        if told["run"] and told["run"]["alive"]:
            locks = Path(".snakemake/locks")
            seen.append((told["all"]["running"], locks.is_dir() and any(locks.iterdir())))
        time.sleep(0.1)
    assert running.returncode == 0
    assert (1, True) in seen
    after = json.loads(
        CliRunner().invoke(app, ["status", "--study", "study.yaml", "--json"]).output
    )
    assert after["run"]["ended"] and not after["run"]["alive"]
    # the tables of lengths were not asked for, and what is made from them is there
    assert workflow.plan() == {}
    assert after["all"]["done"] == after["all"]["jobs"]
    assert Path("study.yaml").read_text() == text


SLOW = """\
rule slow:
    output: "made"
    log: "results/small/logs/slow.log"
    shell: "while [ ! -e enough ]; do sleep 0.1; done; touch {output}"
"""


def test_a_start_that_the_lock_refuses_is_no_run(small):
    study = small()
    Path("Snakefile").write_text(SLOW)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", study.file]

    def plain() -> str:
        return "\n".join(cli_status._plain(Watch(study).look()))

    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not list(Path(".snakemake/log").glob("*")) or "Snakemake runs on" not in plain():
            assert first.poll() is None
            time.sleep(0.1)
        for more in ([], ["no-such-file"]):  # refused by the lock, and before it
            assert subprocess.run([*command, *more], capture_output=True).returncode != 0
        assert "Snakemake runs on" in plain() and "--unlock" not in plain()
        assert "came to no job (Error: Directory cannot be locked" in plain()
    finally:
        Path("enough").touch()
        first.wait()
    assert first.returncode == 0
    assert "has ended, 1 of 1 planned jobs done" in plain() and "--unlock" not in plain()

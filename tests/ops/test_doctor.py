"""What would make a run fail is told before it starts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm  # noqa: F401  it asks for SLURM's commands, here the real ones
import yaml
from typer.testing import CliRunner

from convergent.cli import app
from convergent.ops import checks as machine
from convergent.ops import disk
from convergent.ops.cluster import cluster
from convergent.ops.disk import Needs, needs, rows_of_a_job
from convergent.ops.folder_listing import listed
from convergent.ops.plan import estimate
from convergent.ops.slurm import count_gpus, parse_minutes
from convergent.ops.test_job import answer, compared, run_test_job

from .conftest import touch

SITE = "batch*|up|(null)|idle\ngpu|up|gpu:a100:4(S:0-1)|mix\n"
NOTHING = Needs(0.0, 0, 0.0, 0)


@pytest.fixture
def profile(tmp_path):
    folder = tmp_path / "profile"
    folder.mkdir()

    def write(partitions, **more):
        settings = {"slurm-partition-config": "partitions.yaml", **more}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        (folder / "partitions.yaml").write_text(yaml.safe_dump({"partitions": partitions}))
        return folder

    return write


@pytest.fixture
def slurm(commands):
    for name in ("sbatch", "squeue", "sacct"):
        commands(name)
    commands("sinfo", SITE)
    return commands


def told(checks):
    return [(check.level, check.about, check.text) for check in checks]


def problems(checks):
    return [check for check in checks if check.level == "problem"]


def test_a_good_site_has_no_problems(small, slurm, profile):
    study = small(extraction={"device": "cuda"})
    found = list(cluster(study, profile({"batch": {}, "gpu": {"max_gpu": 4}})))
    assert {check.level for check in found} == {"ok"}


def test_a_partition_that_the_site_does_not_have_is_a_problem(small, slurm, profile):
    found = problems(cluster(small(), profile({"cpu": {}, "gpu": {"max_gpu": 4}})))
    assert [check.text for check in found] == ["there is no partition 'cpu'"]
    assert "batch, gpu" in found[0].fix


def test_a_partition_for_gpus_must_have_some(small, slurm, profile):
    found = problems(cluster(small(), profile({"batch": {"max_gpu": 4}})))
    assert [check.text for check in found] == ["partition 'batch' has no GPUs"]
    found = problems(cluster(small(), profile({"batch": {}})))
    assert [check.text for check in found] == ["no partition takes jobs with GPUs"]


def test_a_partition_whose_nodes_are_all_drained_is_told(small, slurm, profile):
    slurm("sinfo", "batch*|up|(null)|drain\nbatch*|up|(null)|down*\ngpu|up|gpu:4|idle\n")
    found = list(cluster(small(), profile({"batch": {}, "gpu": {"max_gpu": 4}})))
    assert ("warning", "no node of partition 'batch' is up") in [
        (check.level, check.text) for check in found
    ]


@pytest.mark.parametrize(
    ("mode", "settings", "fix"),
    [
        ("REQUEUE", {"slurm-no-requeue": True}, "slurm-requeue: true"),
        ("REQUEUE", {"slurm-requeue": True}, None),
        ("CANCEL", {"slurm-requeue": True}, "without preemption"),
        ("OFF", {"slurm-no-requeue": True}, None),
    ],
)
def test_a_partition_whose_jobs_would_be_lost_when_they_make_way_is_told(
    small, slurm, profile, mode, settings, fix
):
    slurm("sinfo", f"batch*|up|(null)|idle|OFF\ngpu|up|gpu:4|idle|{mode}\n")
    folder = profile({"batch": {}, "gpu": {"max_gpu": 4}}, **settings)
    found = [check for check in cluster(small(), folder) if check.about == "cluster: preemption"]
    assert len(found) == (fix is not None)
    for check in found:
        assert check.level == "warning" and "'gpu'" in check.text and fix in check.fix


LIMITED = (
    "batch*|up|(null)|idle|OFF|infinite|128000+|32\n"
    "gpu|up|gpu:a100:2(S:0-1)|mix|OFF|{time}|{memory}|32\n"
)
ACCOUNTS = """\
case "$4" in
user) echo lab ;;
assoc) echo 'lab||||100||||'; echo "lab|$(/usr/bin/id -un)||{jobs}||{wall}|||normal" ;;
qos) echo 'normal||||gres/gpu=4|'; echo 'urgent|1||00:01:00||' ;;
esac
"""


def limits_of(study, folder):
    return [check for check in cluster(study, folder) if check.about == "cluster: limits"]


@pytest.fixture
def limited(slurm, profile):
    """A site with limits, and a profile with three attempts, without one word of them."""

    def make(time="1-00:00:00", memory="256000", jobs="", wall=""):
        slurm("sinfo", LIMITED.format(time=time, memory=memory))
        slurm("sacctmgr", script=ACCOUNTS.format(jobs=jobs, wall=wall))
        return profile({"batch": {}, "gpu": {"max_gpu": 4}}, retries=2, cores=8, jobs=50)

    return make


def test_jobs_that_no_attempt_takes_over_a_limit_are_well(small, limited):
    (found,) = limits_of(small(), limited())
    assert (found.level, found.text) == ("ok", "jobs of every attempt fit the partitions")


@pytest.mark.parametrize(
    ("time", "level", "words"),
    [("00:45:00", "problem", "the 0.75 h of"), ("2:00:00", "warning", "at attempt 3, ")],
)
def test_jobs_that_ask_more_time_than_a_partition_gives_are_counted(
    small, limited, time, level, words
):
    study = small()
    found = [check for check in limits_of(study, limited(time)) if check.level == level]
    layers = sum(job.stage == "extract" for job in study.graph.jobs)
    (said,) = found
    assert words in said.text and f"{layers} of " in said.text and "'gpu'" in said.text
    assert "tiny-vit" in said.text and "resources.max_minutes: " in said.fix
    minutes = {"00:45:00": 45, "2:00:00": 120}[time]
    capped = small(resources={"max_minutes": max(60, minutes)})
    assert not [check for check in limits_of(capped, limited("2:00:00")) if check.level != "ok"]


def test_jobs_that_need_more_than_the_study_allows_are_a_problem(small, limited):
    study = small(resources={"max_minutes": 60, "read_mb_s": 1e-3})
    (found,) = limits_of(study, limited())[:1]
    assert found.level == "problem" and "need more time than resources.max_minutes" in found.text


def test_memory_and_gpus_are_compared_with_a_nodes(small, limited):
    (found,) = limits_of(small(), limited(memory="9000"))
    assert found.level == "warning" and found.text.startswith("at attempt 3, ")
    assert "ask more memory than the 9 GB of partition 'gpu'" in found.text
    assert "resources.node_mb: 9000" in found.fix


def test_fewer_jobs_than_the_profile_submits_are_a_warning(small, limited):
    (found, well) = limits_of(small(), limited(jobs="20"))
    assert (found.level, well.level) == ("warning", "ok")
    assert "50 jobs are submitted at once" in found.text and "account 'lab' takes 20" in found.text
    assert "jobs: 20" in found.fix


def test_the_time_of_an_account_counts_like_a_partitions(small, limited):
    (found,) = [c for c in limits_of(small(), limited(wall="00:45:00")) if c.level == "problem"]
    assert "the 0.75 h of" in found.text and "account 'lab'" in found.text


def test_without_accounting_the_limits_of_accounts_are_not_known(small, slurm, profile):
    slurm("sacctmgr", script="echo 'not running a supported accounting_storage' >&2; exit 1")
    found = limits_of(small(), profile({"batch": {}, "gpu": {"max_gpu": 4}}))
    assert {check.level for check in found} == {"ok"}
    assert "not running a supported accounting_storage" in found[0].text


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("30", 30),
        ("30:00", 30),
        ("2:30:00", 150),
        ("1-00:00:00", 1440),
        ("2-12", 3600),
        ("infinite", None),
    ],
)
def test_times_are_read_as_slurm_writes_them(text, minutes):
    assert parse_minutes(text) == minutes


@pytest.mark.parametrize(
    ("text", "gpus"),
    [("gpu:4", 4), ("gpu:a100:2(S:0-1),gpu:h100:4", 6), ("gres/gpu=3,cpu=4", 3), ("(null)", 0)],
)
def test_gpus_are_counted(text, gpus):
    assert count_gpus(text) == gpus


def test_without_slurm_one_warning_says_so(small, commands, profile):
    found = list(cluster(small(), profile({"cpu": {}})))
    assert [check.level for check in found] == ["warning"]
    assert "no sbatch, squeue, sacct, sinfo here" in found[0].text


def test_jobs_that_ask_gpus_for_work_on_the_cpu_are_told(small, slurm, profile):
    found = list(cluster(small(), profile({"batch": {}, "gpu": {"max_gpu": 4}})))
    assert [check.about for check in found if check.level == "warning"] == ["cluster: device"]


def test_needs_shrink_with_what_is_there(small):
    study = small()
    whole = needs(study, listed(study.paths.root))
    # gabor and four layers of the network, of 10,000 stimuli; three numbers a sentence
    features = 10_000 * 4 * (32 + 4 * 16 + 3)
    assert whole.bytes == features + 12 * 1e6 * study.config.resources.alignment_mb
    assert whole.inodes == estimate(study).total.inodes > 50
    assert whole.checkpoints == 1  # random weights are not downloaded
    touch([path for job in study.graph.jobs for path in job.outputs])
    assert needs(study, listed(study.paths.root)) == NOTHING


def test_too_little_space_or_too_few_inodes_are_problems(small, monkeypatch):
    study = small()
    free = SimpleNamespace(f_bavail=10, f_frsize=4096, f_files=100, f_favail=50)
    monkeypatch.setattr("os.statvfs", lambda _: free)
    monkeypatch.setenv("PATH", "")
    assert [check.level for check in disk.room(study, NOTHING)] == ["ok", "ok"]
    found = list(disk.room(study, Needs(1e6, 49, 0.0, 0)))
    assert [check.level for check in found] == ["problem", "warning"]


def test_a_quota_of_lustre_counts():
    text = "/scratch 900000* 1000000 1100000 - 500 600 700 -\n"
    need = Needs(200_000_000.0, 50, 0.0, 0)
    space, files = disk.quota_lines(text, need)
    assert (space.level, files.level) == ("problem", "ok")
    assert space.text.startswith("102 MB free") and files.text.startswith("100 files free")
    assert not list(disk.quota_lines("/scratch 900000 0 0 - 500 0 0 -\n", need))


def test_a_file_system_without_hard_links_is_told(small, monkeypatch):
    study = small()
    assert {check.level for check in disk.abilities(study)} == {"ok"}

    def refuse(*_, **__):
        raise PermissionError("no links")

    monkeypatch.setattr("os.link", refuse)
    found = [check.text for check in disk.abilities(study) if check.level == "warning"]
    assert len(found) == 1 and found[0].startswith("no hard links")
    assert not list(Path(study.paths.root).iterdir())  # nothing is left behind


def test_packages_are_compared_with_the_lock(tmp_path):
    lock = tmp_path / "lock.txt"
    versions = {name: machine.metadata.version(name) for name in ("numpy", "rich")}
    lock.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
    assert [check.level for check in machine.packages(lock)] == ["ok"]
    lock.write_text("numpy==0.1\nno-such-package==1.0\n")
    found = " ".join(check.text for check in machine.packages(lock))
    assert f"numpy {versions['numpy']}, not 0.1" in found and "no-such-package 1.0" in found


def test_a_lock_of_a_killed_run_is_a_problem(small):
    study = small()
    assert [check.level for check in machine.earlier_runs(study)] == ["ok"]
    touch([".snakemake/locks/0.input.lock"])
    (found,) = machine.earlier_runs(study)
    assert found.level == "problem" and "--unlock" in found.fix


def test_every_mistake_of_the_tables_and_the_agreement_are_told(small):
    nsd = {
        "reader": "nsd",
        "modality": "vision",
        "design": "items",
        "subjects": ["subj01"],
        "options": {"data": "nowhere"},
    }
    small()
    settings = yaml.safe_load(Path("study.yaml").read_text())
    settings["datasets"]["nsd"] = nsd
    Path("study.yaml").write_text(yaml.safe_dump(settings))
    command = ["doctor", "--study", "study.yaml", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    texts = [check["text"] for check in json.loads(done.output)["checks"]]
    assert any("signed its data-use agreement" in text for text in texts)

    table = Path("models.tsv")
    table.write_text(table.read_text().replace("vision", "visual").replace("cls", "clsx"))
    found = json.loads(CliRunner().invoke(app, command).output)
    assert found["problems"] > 1
    assert {check["about"] for check in found["checks"]} == {"packages", "study"}


def test_lines_and_exit_status(small):
    small()
    done = CliRunner().invoke(app, ["doctor", "--study", "study.yaml", "--no-data"])
    assert done.exit_code == (1 if "problem " in done.output else 0)
    assert "ok      study: study.yaml" in done.output


RUNS_IT = f"""\
/bin/cat > job.sh
exec 2>&1
for option in "$@"; do case $option in --output=*) output=${{option#--output=}};; esac; done
PATH={os.environ["PATH"]} /bin/sh job.sh > "$output"
echo 41
"""


def test_a_test_job_compares_a_node_with_this_machine(small, slurm, profile):
    study = small()
    slurm("sbatch", script=RUNS_IT)
    folder = profile({"batch": {}, "gpu": {"max_gpu": 1}})
    found = list(run_test_job(study, [], folder, 60))
    assert [check.level for check in found] == ["ok", "ok"], told(found)
    assert found[0].text.startswith("job 41 ran on")
    assert not list(Path(study.paths.root, "logs", "doctor").iterdir())


@pytest.mark.parametrize(
    ("free", "level"), [(10**6, "problem"), (8 * 10**6, "warning"), (10**9, "ok")]
)
def test_a_test_job_compares_scratch_with_the_largest_rows(small, monkeypatch, free, level):
    # ten thousand stimuli of 32 features of gabor, in float32, on nodes of eight GPUs
    study = small(resources={"scratch": "/tmp"})
    assert rows_of_a_job(study) == 10_000 * 32 * 4
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    answer(study, Path("told.json"))
    seen = json.loads(Path("told.json").read_text())
    (found,) = (check for check in compared(study, seen) if check.about == "test job: scratch")
    assert found.level == level and found.text.startswith("/tmp has")


def test_scratch_that_the_node_does_not_have_is_a_problem(small, slurm, profile):
    study = small(resources={"scratch": "/local/$NOT_SET_THERE"})
    slurm("sbatch", script=RUNS_IT)
    found = problems(run_test_job(study, [], profile({"gpu": {"max_gpu": 1}}), 60))
    assert [check.about for check in found] == ["test job: scratch"]
    assert "NOT_SET_THERE is not set" in found[0].text


def test_a_gpu_that_the_node_does_not_see_is_a_problem(small, slurm, profile):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    study = small(extraction={"device": "cuda"})
    slurm("sbatch", script=RUNS_IT)
    found = problems(run_test_job(study, [], profile({"gpu": {"max_gpu": 1}}), 60))
    assert [check.about for check in found] == ["test job: GPU"]


def test_a_test_job_that_is_refused_fails_or_waits_is_told(small, slurm, profile):
    study, folder = small(), profile({"gpu": {"max_gpu": 1}}, **{"default-resources": {}})
    slurm("sbatch", script="echo 'sbatch: error: invalid account' >&2; exit 1")
    (found,) = run_test_job(study, [], folder, 5)
    assert found.level == "problem" and "invalid account" in found.text

    slurm(
        "sbatch",
        script=RUNS_IT.replace('sh job.sh > "$output"', 'sh not-there.sh > "$output" 2>&1'),
    )
    (found,) = run_test_job(study, [], folder, 5)
    assert found.level == "problem" and "left no answer" in found.text

    slurm("sbatch", script="/bin/cat > job.sh; echo 42")
    slurm("squeue", "PENDING\n")
    slurm("scancel", script="echo $1 > cancelled")
    (found,) = run_test_job(study, [], folder, 1)
    assert found.level == "warning" and Path("cancelled").read_text() == "42\n"


def test_the_account_and_partition_of_the_profile_are_used(small, slurm, profile):
    folder = profile({"gpu": {"max_gpu": 1}}, **{"default-resources": {"slurm_account": "lab"}})
    slurm("sbatch", script='echo "$@" > asked; exit 1')
    list(run_test_job(small(), [], folder, 1))
    asked = Path("asked").read_text().split()
    assert {"--account=lab", "--partition=gpu", "--gpus=1"} <= set(asked)

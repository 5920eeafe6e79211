"""Used from elsewhere: from other folders, as a module of another workflow, through snakedeploy.

Almost all are dry runs. What a module makes is compared with what the workflow itself makes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import forked
from convergent.errors import ConfigError
from convergent.store.request import attributes
from convergent.study import Study, environment
from convergent.study.environment import fits_anew, fits_forced, share_with_jobs, shared_study
from stand_ins import make_conda
from workflow_fixtures import CHECKPOINTS, MODELS, Workflow, small_configuration

FEATURES = "small/features/sentences/lengths/final/features.zarr.zip"


@dataclass
class Other:
    """Another workflow, in its own folder, with a study in ``config/``."""

    folder: Path
    repository: Path
    config: dict[str, Any]

    def run(
        self, *options: str, snakefile: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        file = snakefile or self.folder / "workflow" / "Snakefile"
        done = forked.run(["-s", str(file), "--cores", "2", *options], self.folder)
        assert not check or done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done

    def refused(self) -> list[str]:
        """Lines of a dry run that fails before it plans anything."""
        done = self.run("-n", check=False)
        text = done.stdout + done.stderr
        assert done.returncode and "Job stats" not in text
        return text.splitlines()

    def write(self, text: str) -> None:
        """Write its Snakefile; ``PROJECT`` stands for this repository."""
        (self.folder / "config" / "config.yaml").write_text(yaml.safe_dump(self.config))
        (self.folder / "workflow" / "Snakefile").write_text(
            text.replace("PROJECT", str(self.repository))
        )

    def jobs(self, *options: str, **more: Any) -> Counter[str]:
        """Logs of the jobs that a dry run would start."""
        return logs(self.run("--dry-run", *options, **more))


def logs(done: subprocess.CompletedProcess[str]) -> Counter[str]:
    text = done.stdout + done.stderr
    return Counter(re.findall(r"^ +log: (\S.*)$", text, flags=re.MULTILINE))


@pytest.fixture
def other(tmp_path: Path, repository: Path) -> Other:
    for name in ("config", "workflow"):
        (tmp_path / name).mkdir()
    (tmp_path / "config" / "models.tsv").write_text(MODELS.format(vit=tmp_path))
    (tmp_path / "config" / "checkpoints.tsv").write_text(CHECKPOINTS)
    made = Other(tmp_path, repository, small_configuration())
    made.write(PLAIN)
    return made


@pytest.fixture
def itself(other: Other) -> Counter[str]:
    """Jobs of the workflow itself for that study."""
    config = str(other.folder / "config" / "config.yaml")
    found = other.jobs("--configfile", config, snakefile=other.repository / "Snakefile")
    assert sum(found.values()) > 20
    return found


PLAIN = """\
configfile: "config/config.yaml"
module convergent:
    snakefile: "PROJECT/workflow/Snakefile"
    config: config
use rule * from convergent as convergent_*
"""
MINE = """\
rule mine:
    output: "mine.txt"
    shell: "command -v python > {output}"
"""
TWO = """\
configfile: "config/config.yaml"
module first:
    snakefile: "PROJECT/workflow/Snakefile"
    config: config
    prefix: "the first"
use rule * from first as first_*
module second:
    snakefile: "PROJECT/Snakefile"
    config: {**config, "study": "other", "fit": {"folds": 3, "permutations": 2}}
use rule * from second as second_*
"""


# ---- a module ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        (" as convergent_*", ""),
        ("PROJECT/workflow/Snakefile", "PROJECT/Snakefile"),
        ("from convergent as convergent_*", "from convergent exclude all\n\n" + MINE),
    ],
)
def test_a_module_plans_the_jobs_of_the_workflow_itself(other, itself, old, new):
    other.write(PLAIN.replace(old, new))
    targets = ["results/small/report.html"] if MINE in new else []
    assert other.jobs("--", *targets) == itself


@pytest.mark.slow
def test_a_file_of_a_git_repository_will_do_as_for_those_on_github(other, itself, tmp_path):
    clone = tmp_path / "clone"
    for name in ("workflow", "envs"):
        shutil.copytree(other.repository / name, clone / name)
    git = ["git", "-C", str(clone), "-c", "user.name=x", "-c", "user.email=x@y"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True)
    source = f'gitfile("{clone}", path="workflow/Snakefile", tag="v1")'
    other.write(PLAIN.replace('"PROJECT/workflow/Snakefile"', source))
    assert other.jobs() == itself


def test_what_its_user_changes_counts(other, itself):
    config = "config: {**config, 'study': 'changed', 'granularity': 'checkpoint'}"
    other.write(PLAIN.replace("config: config", config))
    jobs = other.jobs()
    assert jobs and all(log.startswith("results/changed/logs/") for log in jobs)
    assert len(jobs) < len(itself)
    other.write(PLAIN)
    fewer = other.jobs("--config", "datasets={scenes: {subjects: [sim01]}}")
    assert itself - fewer == {"results/small/logs/responses/scenes/sim02.log": 1}


def test_a_section_may_be_the_study_and_the_command_line_stays_with_its_own_keys(other, itself):
    other.config = {"deeper": {"alignment": other.config}, "granularity": "of another workflow"}
    other.write(PLAIN.replace("config: config", 'config: config["deeper"]["alignment"]'))
    assert other.jobs("--config", "results=elsewhere") == itself


def test_the_first_rule_or_default_target_of_its_user_stays(other, itself):
    rule = MINE + 'rule all:\n    default_target: True\n    input: "mine.txt"\n'
    for text in (PLAIN.replace("module", MINE + "module"), PLAIN + rule):
        other.write(text)
        assert "mine" in other.run("-n").stdout + other.run("-n").stderr
        assert not other.jobs()
    other.write(PLAIN + MINE)  # theirs comes after: the module's first rule is the target
    assert other.jobs() == itself


def test_a_prefix_moves_the_results_and_nothing_else(other, itself):
    (other.folder / "words.txt").write_text("a text")
    other.config["performance"] = {"text": "words.txt", "evaluations": ["probe_top1"]}
    for line, place in (
        ('prefix: "a folder"', "a folder/results/"),
        ('replace_prefix: {"results/": "out/"}', "out/"),
    ):
        other.write(PLAIN.replace("config: config", f"config: config\n    {line}"))
        jobs = other.jobs()
        evaluated = {"results/small/logs/evaluate/tiny-vit.log"}
        assert set(jobs) == {log.replace("results/", place, 1) for log in {*itself} | evaluated}


@pytest.mark.parametrize("moved", ["results/small/features/", "results/small/", "results/small/re"])
def test_a_part_of_the_results_is_not_moved(other, moved):
    line = f"replace_prefix: {{'{moved}': 'out/'}}"
    other.write(PLAIN.replace("config: config", f"config: config\n    {line}"))
    (said,) = (line for line in other.refused() if "module:convergent" in line)
    assert "`replace_prefix` moves a part of the study's files" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    config: config\n", "", "the module has no configuration. Fix: add `config: config`"),
        ("config: config", "config: config['no']", "the module has no configuration"),
        ("config: config", "config: {'study': 'x'}", "'title' is missing"),
        ("config: config", "config: {**config, 'fits': 1}", "'fits' is now 'fit_granularity'"),
        ("config: config", "config: {**config, 'fold': 1}", "unknown key 'fold'"),
        ("config: config", "config: {**config, 'tables': {'models': ['x.tsv']}}", "config/x.tsv: "),
    ],
)
def test_what_is_wrong_with_a_modules_configuration_is_one_line(other, old, new, said):
    other.config["no"] = None
    if "['no']" not in new:
        del other.config["no"]
    other.write(PLAIN.replace(old, new))
    (found,) = (line for line in other.refused() if said in line)
    assert found.startswith("module:convergent: ") or "tables" in new


# ---- two modules ---------------------------------------------------------------------------------


def test_two_modules_plan_two_studies(other, itself):
    other.write(TWO + "rule both:\n    input: rules.first_all.input, rules.second_all.input\n")
    jobs = other.jobs("both")
    first = Counter({log: n for log, n in jobs.items() if log.startswith("the first/results/")})
    assert first == Counter(f"the first/{log}" for log in itself)
    assert jobs - first == Counter(log.replace("small", "other", 1) for log in itself)


def test_two_modules_of_one_name_are_refused(other):
    again = TWO.split("module second")[0].split("module first", 1)[1]
    again = again.replace("config: config", "config: {**config, 'study': 'third'}")
    other.write(TWO + "module first" + again.replace("as first_*", "as third_*"))
    assert any("module:first: two modules of this workflow" in line for line in other.refused())


def test_a_job_is_of_the_study_whose_log_it_writes(monkeypatch):
    monkeypatch.setattr(os, "environ", {"PATH": "/bin"})
    monkeypatch.setattr(environment, "_of_modules", {})
    for name, root in (("a", "results/a"), ("b", "results/a/b")):
        share_with_jobs({"study": name}, file=f"module:{name}", base=".", root=root, overrides={})
    assert shared_study() is None
    for log, study in (("results/a/logs/x.log", "a"), ("results/a/b/logs/x.log", "b")):
        os.environ["CONVERGENT_LOG"] = log
        found = shared_study()
        assert found is not None and found["raw"] == {"study": study}
    with pytest.raises(ConfigError, match="two modules of this workflow have this name"):
        share_with_jobs({}, file="module:a", base=".", root="results/c", overrides={})


@pytest.mark.slow
def test_jobs_of_two_modules_work_each_for_their_own_study(other):
    """Fits of two studies with different folds, in one run; each is then current by itself."""
    other.config["fit"] = {"folds": 4, "permutations": 2}
    other.write(TWO)
    scores = "small/alignment/sentences/lengths/final/features/sim01.zarr.zip"
    files = [f"the first/results/{scores}", f"results/{scores.replace('small', 'other')}"]
    other.run("--", *files)
    found = [attributes(other.folder / file) for file in files]
    assert found[0]["identity"] != found[1]["identity"]
    # the workflow itself finds both as it would have made them
    for results, change in (("the first/results", {}), ("results", {"study": "other"})):
        config = {**other.config, "results": results, **change}
        if change:
            config["fit"] = {"folds": 3, "permutations": 2}
        path = other.folder / "config" / "alone.yaml"
        path.write_text(yaml.safe_dump(config))
        name = config["study"]
        target = f"{results}/{scores.replace('small', name)}"
        assert not other.jobs(
            "--configfile", str(path), "--", target, snakefile=other.repository / "Snakefile"
        )


# ---- software of jobs ----------------------------------------------------------------------------


@pytest.mark.slow
def test_conda_environments_are_made_from_the_repository_and_leave_others_rules_alone(
    other, tmp_path, monkeypatch
):
    base = tmp_path / "conda"
    record = make_conda(base)
    python = base / "template" / "python"
    python.write_text(f'#!/bin/sh\necho "python $* in $PWD" >> {record}\n')
    shutil.copy(python, base / "bin" / "python")
    before = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{before}:{base / 'bin'}")
    monkeypatch.setenv("CONDA_PREFIX", str(base))
    other.write(PLAIN + MINE)
    other.run("--sdm", "conda", "--", f"results/{FEATURES}", "mine.txt")
    log = other.folder / "results/small/logs/extract/sentences/lengths/final/features.log"
    assert log.read_text().startswith("convergent of the new environment\n")
    installs = [line for line in record.read_text().splitlines() if line.startswith("python -m")]
    assert installs and all(line.endswith(f" in {other.repository}") for line in installs)
    assert not (other.folder / "mine.txt").read_text().startswith(str(base))


def test_a_conda_environment_without_a_clone_says_what_is_missing(repository, tmp_path):
    script = repository / "envs" / "convergent.post-deploy.sh"
    environment = {**os.environ, "CONVERGENT_SOURCE": str(tmp_path), "CONDA_PREFIX": "/absent"}
    done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{tmp_path} is no clone of the repository" in done.stderr


# ---- other folders -------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_demo_is_planned_from_any_folder(tmp_path, repository):
    done = forked.run(["-s", str(repository / "Snakefile"), "-n"], tmp_path)
    assert done.returncode == 0, done.stderr
    there = forked.run(
        ["-s", str(repository / "workflow" / "Snakefile"), "-n", "--directory", "sub"], tmp_path
    )
    assert len(logs(done)) > 700 and logs(there) == logs(done)
    for each, folder in ((done, repository), (there, repository / "workflow")):
        assert f"workflow specific profile {folder / 'profiles' / 'default'}" in each.stderr


def test_a_study_is_planned_from_any_folder(other, itself, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    options = ["-s", str(other.repository / "Snakefile"), "-n"]
    options += ["--configfile", "../config/config.yaml"]
    for more in ([], ["--directory", "results of it"]):
        assert logs(forked.run([*options, *more], elsewhere)) == itself


# ---- what was made already -----------------------------------------------------------------------


@pytest.mark.slow
def test_a_finished_study_is_finished_for_a_module_and_its_report_has_captions(
    workflow: Workflow, repository: Path
):
    workflow.write()
    text = PLAIN.replace("config/config.yaml", "study.yaml").replace("PROJECT", str(repository))
    (workflow.folder / "Module").write_text(text)
    shutil.copytree(repository / "profiles" / "default", workflow.folder / "profiles" / "default")
    arguments = ["-s", "Module", "--cores", "1"]
    done = forked.run([*arguments, "-n"], workflow.folder)
    assert "Nothing to be done" in done.stdout + done.stderr, done.stderr[-3000:]
    # with the profile, a subject less makes tables again, and no fit
    fewer = "datasets={sentences: {subjects: [sim01]}}"
    done = forked.run([*arguments, "-n", "--config", fewer], workflow.folder)
    stages = {log.split("/")[3].removesuffix(".log") for log in logs(done)}
    assert stages and not stages & {"fit", "extract", "responses"}
    done = forked.run([*arguments, "--report", "report.zip"], workflow.folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (workflow.folder / "report.zip").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("forced", "anew"),
    [
        ("convergent_fit_sentences", True),
        ("results/small/alignment/x.zarr.zip", True),
        ("convergent_extract", False),
        ("fit_sentences", False),  # a rule of its user
        ("elsewhere/alignment/x.zarr.zip", False),
        (None, False),
    ],
)
def test_forcing_a_modules_fits_makes_them_from_nothing(other, monkeypatch, forced, anew):
    monkeypatch.setattr(os, "environ", {"PATH": "/bin"})
    monkeypatch.setattr(environment, "_of_modules", {})
    study = Study.load(other.folder / "config" / "config.yaml")
    dag = SimpleNamespace(forceall=False, forcerun={forced} if forced else None)
    found = fits_forced(study, dag, "convergent_{}".format)
    for name in ("a", "b"):
        share_with_jobs(
            {}, file=f"module:{name}", base=".", root=name, overrides={}, anew=found and name == "a"
        )
    for name, expected in (("a", anew), ("b", False)):
        os.environ["CONVERGENT_LOG"] = f"{name}/logs/fit.log"
        assert fits_anew() == expected


# ---- snakedeploy and the catalogue ---------------------------------------------------------------


def deploy_as_snakedeploy_does(source: Path, to: Path) -> None:
    """Copy configuration and profiles, and write the module, as snakedeploy 0.17 does."""
    for name in ("config", "profiles"):
        shutil.copytree(source / name, to / name)
    (to / "workflow").mkdir()
    (to / "workflow" / "Snakefile").write_text(
        'configfile: "config/config.yaml"\n\n\nmodule convergent:\n    snakefile:\n'
        '        "workflow/Snakefile"\n    config:\n        config\n\n\n'
        "use rule * from convergent\n"
    )


def deploy(source: Path, to: Path) -> None:
    command = shutil.which("snakedeploy")
    if command is None:
        pytest.skip("no snakedeploy on PATH")
    text = (source / "docs" / "others.md").read_text()
    (line,) = re.findall(r"^snakedeploy .*$", text, flags=re.MULTILINE)
    words = line.replace("/path/to/convergent", str(source)).split()
    subprocess.run([command, *words[1:]], check=True, capture_output=True, cwd=to.parent)


@pytest.mark.slow
@pytest.mark.parametrize("deployed", [deploy_as_snakedeploy_does, deploy])
def test_what_snakedeploy_writes_plans_the_demo(
    tmp_path: Path, repository: Path, deployed: Callable[[Path, Path], None]
):
    source, place = tmp_path / "convergent", tmp_path / "study"
    for name in ("config", "profiles", "workflow", "envs", "docs"):
        shutil.copytree(repository / name, source / name, symlinks=True)
    shutil.copy(repository / "LICENSE", source)
    deployed(source, place)
    snakefile = place / "workflow" / "Snakefile"
    text = snakefile.read_text()
    assert text.count('"workflow/Snakefile"') == 1  # docs/others.md: without the clone's path
    snakefile.write_text(
        text.replace('"workflow/Snakefile"', f'"{source / "workflow" / "Snakefile"}"')
    )
    plain = forked.run(["-n"], place)
    assert "workflow specific profile profiles/default" in plain.stderr
    assert len(logs(plain)) > 700, plain.stderr
    cluster = forked.run(["-n", "--profile", "profiles/slurm"], place)
    assert logs(cluster) == logs(plain), cluster.stderr


def test_the_catalogue_finds_what_it_asks_for(repository):
    asked = yaml.safe_load((repository / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(asked) == {"mandatory-flags", "software-stack-deployment"}
    software = asked["software-stack-deployment"]
    assert software["conda"] == (repository / "envs" / "convergent.yaml").exists()
    assert software["apptainer"] == (repository / "envs" / "convergent.def").exists()
    for name in ("workflow/Snakefile", "config/README.md", "config/config.yaml", "README.md"):
        assert (repository / name).is_file(), name
    words = (repository / "README.md").read_text().lower()
    assert "snakemake" in words and "workflow" in words
    assert list((repository / "workflow" / "rules").glob("*.smk"))


# ---- the documentation ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_documented_workflows_plan_as_written(other, itself):
    text = (other.repository / "docs" / "others.md").read_text()
    one, two = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    for snakefile in (one, two):
        assert "/path/to/convergent" in snakefile
    other.write(one.replace("/path/to/convergent", str(other.repository)))
    assert other.jobs() == itself
    other.write(two.replace("/path/to/convergent", str(other.repository)))
    roots = Counter(log.split("/")[0] for log in other.jobs())
    assert roots["by-layer"] == len(itself) and 0 < roots["by-model"] < len(itself)
    (first, _) = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    shutil.copy(other.folder / "config" / "config.yaml", other.folder / "config" / "study.yaml")
    (other.folder / "config" / "scratch").mkdir()
    for command in first.splitlines():
        words = command.replace("/path/to/convergent", str(other.repository)).split()
        done = forked.run(words[1:], other.folder / "config")
        assert logs(done) == itself or (len(logs(done)) > 700 and "study.yaml" not in words)
    end = PLAIN + "onsuccess: convergent.tell_the_end(log, succeeded=True)\n"
    other.write(end)
    assert "convergent.tell_the_end(log, succeeded=True)" in text
    assert other.jobs() == itself

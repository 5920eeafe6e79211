"""Every command of the documents is known, is written as its program takes it, and runs.

All commands of a shell block are read: a program, option, target, file or placeholder that is not
known here fails. What changes nothing then runs (Snakemake as a dry run), in a copy of the
repository's folder. Commands within a sentence are read, and may leave arguments out.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.metadata
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer.main
from snakemake.cli import parse_args

import forked
import stand_ins
import tables_fixtures
from convergent.cli import app
from convergent.study import Study
from convergent.study.graph import STAGES

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = (
    *("README.md", "CONTRIBUTING.md", "config/README.md"),
    *sorted(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("docs/**/*.md")),
)
# Its commands run in other folders: tests/workflow/test_others.py runs them there.
PAGES = tuple(page for page in PAGES if page != "docs/others.md")
FENCED = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
PLACEHOLDER = re.compile(r"<([a-z][a-z ]*)>")
SUBSTITUTED = re.compile(r"\$\((.*?)\)")
SHELLS = ("bash", "sh", "shell", "console")

# Files that a reader has, or that an earlier command of the page makes.
OF_THE_READER = re.compile(
    r"config/my\.yaml|my-model|mydata.*|DIR.*|.*\.(png|zip|sif)|results/(before|after)|data/.*|.venv/.*"
)


@dataclass(frozen=True)
class Command:
    """Words of one command, and what it is part of.

    ``partial``: it stands in a sentence, which need not give all its arguments.
    """

    words: tuple[str, ...]
    partial: bool = False

    @property
    def study(self) -> str:
        """File of the study that it is about."""
        following = dict(itertools.pairwise(self.words))
        given = following.get("--study") or following.get("--configfile") or "config/demo.yaml"
        return "config/demo.yaml" if given in ("config/my.yaml", "FILE") else given


@functools.cache
def _study(file: str) -> Study:
    return Study.load(REPOSITORY / file)


@functools.cache
def _files(file: str) -> set[str]:
    """Results that a person asks Snakemake for by name."""
    study, paths = _study(file), _study(file).paths
    found = {path(name) for path in (paths.maps, paths.cube) for name in study.config.datasets}
    found |= {paths.family(name) for name in study.families}
    return found | {paths.model(name) for name in study.models} | {paths.report}


def fill(text: str, study: Study) -> str:
    """Put names of a study in place of ``<model>`` and the like."""
    model = next(iter(study.models))
    values = {
        "study": study.name,
        "model": model,
        "family": study.models[model].family,
        "data set": next(iter(study.config.datasets)),
        "run id": "convergent_12345",
        "name that status gives": "convergent_12345",
        "folder": "figures",
        "room": "study",
    }
    return PLACEHOLDER.sub(lambda found: shlex.quote(values[found[1]]), text)


def split(line: str, *, partial: bool = False) -> Iterator[Command]:
    """Commands of a line of shell; those of ``$(...)`` come before the one that reads them."""
    for inner in SUBSTITUTED.findall(line):
        yield from split(inner, partial=partial)
    line = SUBSTITUTED.sub(" ", line)
    study = _study("config/demo.yaml")
    if found := re.search(r"--(?:study|configfile) (config/\w+\.yaml)", line):
        study = _study(Command(("--study", found[1])).study)
    line = fill(line, study)
    reader = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    reader.whitespace_split = True
    for separator, words in itertools.groupby(reader, lambda word: set(word) <= set("&|;")):
        if not separator:
            yield Command(tuple(word for word in words if word != "..."), partial)


def blocks() -> dict[str, str]:
    """Text of every shell block, by page and line."""
    found = {}
    for page in PAGES:
        text = (REPOSITORY / page).read_text()
        for match in FENCED.finditer(text):
            if match[2] in SHELLS:
                where = f"{page}:{text.count(chr(10), 0, match.start()) + 2}"
                found[where] = match[3]
    return found


def commands(block: str) -> list[Command]:
    """All that a block says."""
    lines = block.replace("\\\n", " ").splitlines()
    return [command for line in lines for command in split(line)]


def inline() -> dict[str, str]:
    """Commands in sentences, by page and line."""
    known = re.compile(rf"({'|'.join(map(re.escape, PROGRAMS))}) ")
    found = {}
    for page in PAGES:
        text = (REPOSITORY / page).read_text()
        text = FENCED.sub(lambda match: "\n" * match[0].count("\n"), text)
        for match in INLINE.finditer(text):
            line = " ".join(match[1].split())
            if known.match(line) and not line.startswith("convergent demo:"):
                where = f"{page}:{text.count(chr(10), 0, match.start()) + 1} {line}"
                found[where] = line
    return found


def _exists(word: str) -> None:
    assert OF_THE_READER.fullmatch(word) or (REPOSITORY / word).exists(), f"there is no {word}"


def _commands(group: Any) -> Iterator[set[str]]:
    """Names of the options of each command."""
    for command in group.commands.values():
        if hasattr(command, "commands"):
            yield from _commands(command)
        else:
            yield {name for option in command.params for name in option.opts}


def read_convergent(command: Command) -> None:
    """Every option and argument is one of the command's."""
    found, (_, *words) = typer.main.get_command(app), command.words
    if command.partial and words[0].startswith("-"):  # of some command: `convergent ... --set x=1`
        assert words[0] in {name for one in _commands(found) for name in one}, words[0]
        return
    while hasattr(found, "commands"):
        assert words, "which command?"
        assert words[0] in found.commands, f"there is no command {words[0]}"
        found = found.commands[words.pop(0)]
    try:
        found.make_context("convergent", list(words))
    except Exception as error:
        if not (command.partial and type(error).__name__ == "MissingParameter"):
            raise AssertionError(f"{command.words}: {error!r}") from error
    for word in words:
        if word.startswith("config/"):
            _exists(word)


def read_snakemake(command: Command) -> None:
    """Its parser finds the targets that a reader sees, and the study has them."""
    words = command.words[1:]
    _, arguments = parse_args(list(words))
    assert Path(arguments.snakefile or REPOSITORY / "Snakefile").exists()
    graph = _study(command.study).graph
    rules = {rule.name for stage in STAGES for rule in graph.rules(stage)}
    meant = [word for word in words if word.startswith("results/") or word in ("all", "families")]
    assert list(arguments.targets) == meant, "an option takes a target for its own value"
    for file in arguments.configfile or ():
        _exists(str(file))
    assert set(arguments.forcerun or ()) <= rules, "no such rule"
    files = {word for word in meant if word.startswith("results/")}
    assert not files or files <= _files(command.study), files - _files(command.study)


def read_make(command: Command) -> None:
    """Make has the target."""
    words = ["make", "-n", *command.words[1:]]
    subprocess.run(words, cwd=REPOSITORY, check=True, capture_output=True)


def read_python(command: Command) -> None:
    """The script is there, and its options; or the module."""
    assert command.words[1] == "-m" or (REPOSITORY / command.words[1]).is_file()
    if command.words[1] == "-m":
        importlib.import_module(command.words[2])
        return
    told = subprocess.run(
        [sys.executable, command.words[1], "--help"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for word in command.words[2:]:
        assert not word.startswith("-") or f"{word} " in told.stdout, word


def read_pip(command: Command) -> None:
    """An extra is one of the package's, another package has its version said."""
    assert command.words[1] == "install"
    (wanted,) = (word for word in command.words[2:] if not word.startswith("-"))
    if extra := re.fullmatch(r"convergent\[(.+)\]", wanted):
        offered = importlib.metadata.metadata("convergent").get_all("Provides-Extra")
        assert extra[1] in offered
    else:
        assert "==" in wanted


def read_source(command: Command) -> None:
    """The environment's script."""
    assert command.words[1:] == (".venv/bin/activate",)


def read_export(command: Command) -> None:
    """One of the variables that the package reads."""
    (name, _) = command.words[1].split("=")
    assert any(name in path.read_text() for path in (REPOSITORY / "src").rglob("*.py")), name


def read_editor(command: Command) -> None:
    """The file is there."""
    _exists(command.words[1])


# Forms of these programs that were tried on a cluster. Others are tried before they are added.
SQUEUE_FIELDS = {"JobID", "State", "Partition", "TimeUsed", "Comment", "Name", "Reason"}
OF_JOBS = {"JobID", "JobName", "State", "ExitCode", "Elapsed", "Comment", "AllocTRES", "ReqMem"}
OF_STEPS = {"MaxRSS", "AveRSS", "TRESUsageInTot"}  # empty with -X, which leaves the steps out


def _fields(text: str, separator: str) -> set[str]:
    return {re.sub(rf"{separator}\d+$", "", field) for field in text.split(",")}


def squeue_fields(text: str) -> set[str]:
    """Names of ``squeue -O``."""
    names = _fields(text, ":")
    assert names <= SQUEUE_FIELDS, names - SQUEUE_FIELDS
    return names


def sacct_fields(text: str) -> set[str]:
    """Names of ``sacct -o``."""
    names = _fields(text, "%")
    assert names <= OF_JOBS | OF_STEPS, names - OF_JOBS - OF_STEPS
    return names


def _parser(*arguments: tuple[Any, ...]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False, add_help=False, allow_abbrev=False)
    for *names, keywords in arguments:
        parser.add_argument(*names, **keywords)
    return parser


FLAG = {"action": "store_true"}
OTHERS = {
    "squeue": _parser(("--me", FLAG), ("--name", {}), ("-O", "--Format", {"type": squeue_fields})),
    "sacct": _parser(
        ("-X", "--allocations", FLAG), ("--name", {}), ("-o", "--format", {"type": sacct_fields})
    ),
    "scancel": _parser(("--name", {"required": True})),
    "sbatch": _parser(("--export", {"choices": ["ALL"]}), ("script", {"nargs": "*"})),
    "apptainer": _parser(
        ("verb", {"choices": ["build"]}), ("image", {"nargs": "?"}), ("recipe", {"nargs": "?"})
    ),
    "aws": _parser(
        ("service", {"choices": ["s3"]}), ("verb", {"choices": ["sync"]}), ("source", {}),
        ("to", {}), ("--no-sign-request", FLAG), ("--exclude", {}), ("--include", {}),
    ),
    "git": _parser(("verb", {"choices": ["pull"]})),
    "hf": _parser(("group", {"choices": ["auth"]}), ("verb", {"choices": ["login"]})),
}  # fmt: skip


def read_other(command: Command) -> None:
    """Only forms that are known to work."""
    found = OTHERS[command.words[0]].parse_args(command.words[1:])
    if command.words[0] == "sacct" and found.allocations:
        assert not found.format & OF_STEPS, "with -X they stay empty"
    if command.words[0] == "apptainer" and found.recipe:
        _exists(found.recipe)


PROGRAMS: dict[str, Callable[[Command], None]] = {
    "convergent": read_convergent,
    "snakemake": read_snakemake,
    "make": read_make,
    "python": read_python,
    "pip": read_pip,
    "source": read_source,
    "export": read_export,
    "$EDITOR": read_editor,
    **dict.fromkeys(OTHERS, read_other),
}

# What changes nothing but its own folder, and with what it may end. `doctor` and `verify` end with
# 1 where they find something: here there is no SLURM, and the study has not run.
RUN = {
    "validate": (0,),
    "plan": (0,),
    "doctor": (0, 1),
    "status": (0,),
    "targets": (0,),
    "verify": (0, 1),
    "query": (0,),
    "compare": (0,),
    "data": (0,),
    "models inspect": (0,),
}
# Data that a reader has or has to download, an own model, no end, a SLURM, a large study: these
# are tried elsewhere.
NOT_RUN = {
    "config/paper.yaml",
    "config/alice.yaml",
    "config/own-data.yaml",
    "path:my-model",
    "--live",
    "--test-job",
    "--delete",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository's folder without its results, with a study of the reader's, and tables."""
    for path in REPOSITORY.iterdir():
        if path.name not in ("results", "config", ".git", ".snakemake", "logs"):
            (tmp_path / path.name).symlink_to(path, target_is_directory=path.is_dir())
    (tmp_path / "config").mkdir()
    for path in (REPOSITORY / "config").iterdir():
        (tmp_path / "config" / path.name).symlink_to(path)
    shutil.copy(REPOSITORY / "config/demo.yaml", tmp_path / "config/my.yaml")
    (tmp_path / "convergent.sif").touch()
    family = next(iter(_study("config/demo.yaml").families))
    rows = tables_fixtures.measurement_rows("vit").with_columns(family=pl.lit(family))
    for name in ("demo", "before", "after"):
        tables_fixtures.write_results(tmp_path / "results" / name, measurements={family: rows})
    stand_ins.make_apptainer(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _runs(words: tuple[str, ...]) -> tuple[int, ...] | None:
    line = " ".join(words[1:])
    if NOT_RUN & set(words):
        return None
    return next((codes for start, codes in RUN.items() if line.startswith(start)), None)


@pytest.mark.parametrize("where", blocks())
def test_the_commands_of_a_block_are_written_as_their_programs_take_them(where, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    for command in commands(blocks()[where]):
        program = command.words[0]
        assert program in PROGRAMS, f"say in PROGRAMS how {program} is checked"
        PROGRAMS[program](command)


@pytest.mark.parametrize("where", inline())
def test_a_command_in_a_sentence_is_written_as_its_program_takes_it(where, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    for command in split(inline()[where], partial=True):
        PROGRAMS[command.words[0]](command)


@pytest.mark.parametrize(
    "where", [where for where, text in blocks().items() if "convergent " in text]
)
def test_the_commands_of_a_block_run(where, place):
    for command in commands(blocks()[where]):
        codes = _runs(command.words) if command.words[0] == "convergent" else None
        if codes is not None:
            done = forked.run(list(command.words[1:]), place, "convergent")
            assert done.returncode in codes, (command.words, done.stdout, done.stderr)
            assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "where", [where for where, text in blocks().items() if "snakemake " in text]
)
def test_snakemake_plans_what_a_block_asks_for(where, place):
    asked = [command.words[1:] for command in commands(blocks()[where])
             if command.words[0] == "snakemake"]  # fmt: skip
    for words in dict.fromkeys(asked):
        done = forked.run(["--dry-run", *words], place)
        assert done.returncode == 0, (words, done.stdout, done.stderr)

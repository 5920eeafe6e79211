"""Plan a study with Snakemake, against the smallest Snakefile of the same shape.

    python benchmarks/dag.py --models 40     # every n-th model of config/paper.yaml
    python benchmarks/dag.py                 # all of them: an hour
    python benchmarks/dag.py --family resnet
    python benchmarks/dag.py --finished 10000

The same-shaped Snakefile has the same jobs, files and edges and nothing else: no logs, parameters,
resources, environments or groups. Seconds are of processor time (user and system) of one process
and of the clock, memory is its largest; both plans are made in one run, one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convergent.study import Study, Unit

REPOSITORY = Path(__file__).resolve().parents[1]
QUIET = ("--quiet", "rules")
PARSE = (
    "import time; start = time.process_time(); from convergent.study import Study; "
    "read = time.process_time(); Study.load({!r}); end = time.process_time(); "
    "print(read - start, end - read)"
)

SAME_SHAPE = """\
import json

shape = json.load(open("shape.json"))
datasets, models, families = shape["datasets"], shape["models"], shape["families"]


wildcard_constraints:
    dataset=r"[A-Za-z0-9._-]+",
    model=r"[A-Za-z0-9._-]+",
    checkpoint=r"[A-Za-z0-9._-]+",
    layer=r"[^/]+",
    subject=r"[A-Za-z0-9._-]+",
    family=r"[A-Za-z0-9._-]+",


rule all:
    input:
        "report",


rule stimuli:
    output:
        "stimuli/{dataset}",
    shell:
        "touch {output}"


rule responses:
    input:
        "stimuli/{dataset}",
    output:
        "responses/{dataset}/{subject}",
    shell:
        "touch {output}"


rule weights:
    output:
        "weights/{model}/{checkpoint}",
    shell:
        "touch {output}"


rule extract:
    input:
        "stimuli/{dataset}",
        lambda w: (
            [f"weights/{w.model}/{w.checkpoint}"] if models[w.model]["weights"] else []
        ),
    output:
        "features/{dataset}/{model}/{checkpoint}/{layer}",
    shell:
        "touch {output}"


for dataset, subjects in datasets.items():

    rule:
        name:
            f"fit_{dataset}"
        input:
            f"features/{dataset}/{{model}}/{{checkpoint}}/{{layer}}",
            f"stimuli/{dataset}",
            [f"responses/{dataset}/{subject}" for subject in subjects],
        output:
            [
                f"alignment/{dataset}/{{model}}/{{checkpoint}}/{{layer}}/{subject}"
                for subject in subjects
            ],
        shell:
            "touch {output}"


rule ceilings:
    input:
        "stimuli/{dataset}",
        lambda w: [f"responses/{w.dataset}/{one}" for one in datasets[w.dataset]],
    output:
        "ceilings/{dataset}",
    shell:
        "touch {output}"


rule measure:
    input:
        lambda w: [
            f"alignment/{dataset}/{w.model}/{checkpoint}/{layer}/{subject}"
            for dataset in models[w.model]["datasets"]
            for checkpoint in models[w.model]["checkpoints"]
            for layer in models[w.model]["layers"]
            for subject in datasets[dataset]
        ],
    output:
        [f"models{i}/{{model}}" for i in range(4)],
    shell:
        "touch {output}"


rule family:
    input:
        lambda w: [f"models{i}/{model}" for model in families[w.family] for i in range(4)],
    output:
        [f"families{i}/{{family}}" for i in range(4)],
    shell:
        "touch {output}"


rule correlate:
    input:
        [f"families{i}/{family}" for family in families for i in range(4)],
        [f"ceilings/{dataset}" for dataset in datasets],
    output:
        [f"study/{i}" for i in range(shape["tables"])],
    shell:
        "touch {output}"


rule report:
    input:
        [f"study/{i}" for i in range(shape["tables"])],
    output:
        "report",
    shell:
        "touch {output}"
"""


@dataclass(frozen=True)
class Spent:
    """What a process took."""

    cpu: float
    wall: float
    mb: float
    output: str

    def __str__(self) -> str:
        return f"{self.cpu:8.1f} s processor {self.wall:8.1f} s clock {self.mb:8.0f} MB"


def spend(command: list[str], folder: Path) -> Spent:
    """Run a command and measure its process."""
    with tempfile.TemporaryFile("w+") as output:
        begun = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if child.returncode:
        raise SystemExit(f"{' '.join(command)}\n{text[-3000:]}")
    return Spent(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, text)


def snakemake(folder: Path, snakefile: Path, *options: str) -> Spent:
    """Run Snakemake in a folder."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", "1"]
    return spend([*command, *options], folder)


def jobs(text: str) -> int:
    """Jobs that a dry run planned."""
    found = re.search(r"^total\s+(\d+)$", text, flags=re.MULTILINE)
    return int(found[1]) if found else 0


def shape(study: Study) -> dict[str, Any]:
    """Jobs, files and edges of a study, for the same-shaped Snakefile."""
    return {
        "datasets": {name: list(data.subjects) for name, data in study.config.datasets.items()},
        "tables": len(study.tables()) + 1,
        "families": {name: list(models) for name, models in study.families.items()},
        "models": {
            key: {
                "weights": bool(study.weights_files(Unit(key))),
                "datasets": study.datasets_of(key),
                "checkpoints": list(model.checkpoint_by_name),
                "layers": list(model.layer_by_name),
            }
            for key, model in study.models.items()
        },
    }


def parse(config: Path) -> None:
    """Print the time that reading a study takes."""
    runs = [
        [float(part) for part in spend([sys.executable, "-c", PARSE.format(str(config))],
                                       REPOSITORY).output.split()]
        for _ in range(5)
    ]  # fmt: skip
    imports, load = (min(run[i] for run in runs) for i in (0, 1))
    print(f"parse: {load:.2f} s, and {imports:.2f} s for imports (processor time, best of 5)")


def compare(config: Path, study: Study, overrides: list[str], family: str | None) -> None:
    """Print both dry runs, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Snakefile").write_text(SAME_SHAPE)
        (folder / "shape.json").write_text(json.dumps(shape(study)))
        ours = ["--configfile", str(config), *overrides]
        target = [f"{study.paths.family(family)}"] if family else []
        small = [f"families0/{family}"] if family else []
        least = snakemake(folder, folder / "Snakefile", "-n", *QUIET, "--", *small)
        own = snakemake(folder, REPOSITORY / "Snakefile", "-n", *ours, *QUIET, "--", *target)
    what = f"family {family}" if family else f"{len(study.models):,} models"
    print(f"dry run of {what}, {jobs(own.output):,} and {jobs(least.output):,} jobs")
    print(f"  Convergent   {own}")
    print(f"  same shape   {least}")
    ratios = own.cpu / least.cpu, own.wall / least.wall, own.mb / least.mb
    print("  ratio        {:8.2f} {:19.2f} {:16.2f}".format(*ratios))


def finished(config: Path, overrides: list[str]) -> None:
    """Print the time of finding that a completed study has nothing to be done."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = ["--configfile", str(config), *overrides]
        planned = snakemake(folder, REPOSITORY / "Snakefile", "-n", *ours, *QUIET)
        touch(folder, config, overrides)
        made = snakemake(folder, REPOSITORY / "Snakefile", "--touch", "--forceall", *ours, *QUIET)
        again = snakemake(folder, REPOSITORY / "Snakefile", "-n", *ours, *QUIET)
    assert "Nothing to be done" in again.output, again.output[-2000:]
    print(f"a completed study of {jobs(planned.output):,} jobs")
    print(f"  first plan           {planned}")
    print(f"  recording (--touch)  {made}")
    print(f"  nothing to be done   {again}")


def touch(folder: Path, config: Path, overrides: list[str]) -> None:
    """Make every file of a study, empty."""
    study = load(config, overrides)
    paths, files = study.paths, [study.paths.report, study.paths.about]
    for dataset in study.config.datasets:
        files += [paths.stimuli(dataset), paths.ceilings(dataset), *study.responses_files(dataset)]
    for key in study.models:
        unit = Unit(key)
        files += study.weights_files(unit) + study.feature_files(unit)
        files += study.alignment_files(unit)
    for table in ("measurements", "alignment", "coverage", "resampled"):
        files += [paths.model(key, table) for key in study.models]
        files += [paths.family(family, table) for family in study.families]
    files += [paths.table(name) for name in study.tables()]
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / paths.figures).mkdir(parents=True, exist_ok=True)


def load(config: Path, overrides: list[str]) -> Study:
    """Load a study as Snakemake does with its ``--config``."""
    models = overrides[1].removeprefix("select={models: [").removesuffix("]}") if overrides else ""
    return Study.load(config, {"select.models": models.split(", ")} if models else None)


def chosen(config: Path, number: int | None, at_least: int | None) -> list[str]:
    """``--config`` for every n-th model, or for so many that their jobs are enough."""
    study = Study.load(config)
    keys = list(study.models)
    if at_least:
        total = sum(2 * len(m.layers) * len(m.checkpoints) for m in study.models.values())
        number = max(1, len(keys) * at_least // total)
    if not number or number >= len(keys):
        return []
    some = [keys[i * len(keys) // number] for i in range(number)]
    return ["--config", f"select={{models: [{', '.join(some)}]}}"]


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, default=REPOSITORY / "config/paper.yaml")
    parser.add_argument("--models", type=int, help="so many models, evenly spread over the tables")
    parser.add_argument("--family", help="one family instead of the whole study")
    parser.add_argument("--finished", type=int, help="a completed study of about so many jobs")
    asked = parser.parse_args()
    config = asked.study.resolve()
    parse(config)
    overrides = chosen(config, asked.models, asked.finished)
    if asked.finished:
        finished(config, overrides)
    else:
        compare(config, load(config, overrides), overrides, asked.family)


if __name__ == "__main__":
    main()

"""A package outside adds one of each kind, and a study uses them all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

STUDY = """\
study: gratings
title: Gratings
tables: {models: [models.tsv], checkpoints: [checkpoints.tsv]}
datasets:
  gratings:
    reader: gratings
    modality: vision
    design: items
    subjects: [s1, s2]
    options: {table: number.txt}
granularity: model
fit: {metrics: {ridge: , cosine_pairs: }, permutations: 2, folds: 2}
performance: {benchmarks: {vision: output_spread}, evaluations: [output_spread]}
training: {grating-net: {batch_size: 8}}
statistics: {bootstraps: 100, permutations: 100}
"""
MODELS = """\
model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling
net\tnets\tvision\tgrating-nets\ttrained:grating-net\t9228\t2\t12\tvector\tnone
rows\tcontrols\tvision\tbaseline\torientation\t0\tfeatures\t2\tvector\tnone
"""
CHECKPOINTS = "model\tcheckpoint\trole\tstep\tfinal\nnet\tfinal\ttrained\t3\tyes\n"

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The package, built and installed into a folder of its own."""
    base = tmp_path_factory.mktemp("outside")
    shutil.copytree(repository / "tests" / "outside", base / "source")
    options = ["--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--target"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, base / "site", base / "source"],
        check=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    return base / "site"


@pytest.fixture
def command(tmp_path: Path, installed: Path) -> Command:
    """Run a module of Python in the study's folder, with the package installed."""
    (tmp_path / "number.txt").write_text("64")
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "models.tsv").write_text(MODELS)
    (tmp_path / "checkpoints.tsv").write_text(CHECKPOINTS)
    places = [str(installed), *filter(None, [os.environ.get("PYTHONPATH")])]

    def run(
        *words: str, check: bool = True, extra: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        path = [*places, *([str(extra)] if extra else [])]
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        )
        if check and done.returncode:
            logs = [path.read_text() for path in tmp_path.rglob("logs/**/*.log")]
            raise AssertionError("\n".join([done.stdout, done.stderr, *logs])[-6000:])
        return done

    return run


@pytest.mark.slow
def test_a_study_of_a_package_outside(command: Command, repository: Path, tmp_path: Path) -> None:
    assert "no errors found" in command("convergent", "validate", "--study", "study.yaml").stdout
    snakemake = [
        "snakemake",
        "-s",
        str(repository / "workflow" / "Snakefile"),
        "--configfile",
        "study.yaml",
    ]
    command(*snakemake, "--cores", "2")
    results = tmp_path / "results" / "gratings"
    made = pl.read_parquet(next(results.rglob("grating_models.parquet")))
    scores = {row[:2]: row[2] for row in made.iter_rows()}
    assert set(scores) == {(m, n) for m in ("net", "rows") for n in ("ridge_r", "cosine_pairs")}
    assert scores["rows", "ridge_r"] > 0.3 and scores["rows", "cosine_pairs"] > 0.3
    assert "<svg" in next(results.rglob("grating-models.svg")).read_text()
    assert "Mean score of each model and metric" in next(results.rglob("*.html")).read_text()
    measured = pl.read_parquet(next(results.rglob("performance.parquet")))
    assert measured.select("model", "benchmark").rows() == [("net", "output_spread")]

    # where something lies and what a file is called do not count; what the file says does
    (tmp_path / "number.txt").rename(tmp_path / "count.txt")
    options = f"{{table: count.txt, scratch: {tmp_path}}}"
    (tmp_path / "study.yaml").write_text(STUDY.replace("{table: number.txt}", options))
    planned = command(*snakemake, "-n")
    assert "Nothing to be done" in planned.stdout + planned.stderr
    (tmp_path / "count.txt").write_text("72")
    assert re.search(r"^stimuli +1$", command(*snakemake, "-n").stdout, re.MULTILINE)


def test_what_is_wrong_with_a_package_is_one_line(
    command: Command, installed: Path, tmp_path: Path
) -> None:
    def errors(old: str, new: str, extra: Path | None = None) -> list[str]:
        (tmp_path / "study.yaml").write_text(STUDY.replace(old, new))
        done = command("convergent", "validate", "--study", "study.yaml", check=False, extra=extra)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        return done.stderr.splitlines()[:-1]

    (misspelt,) = errors("cosine_pairs", "cosine_pair")
    assert "unknown metric 'cosine_pair'. Fix: did you mean 'cosine_pairs'" in misspelt
    (misspelt,) = errors("reader: gratings", "reader: grating")
    assert "unknown reader 'grating'" in misspelt and "did you mean 'gratings'" in misspelt

    # another package takes two of the names, one of which is built in, and breaks a third
    other = tmp_path / "other"
    about = other / "other-2.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2.0\n")
    points = {"readers": "gratings", "metrics": "cka", "claims": "other_table"}
    (about / "entry_points.txt").write_text(
        "".join(f"[convergent.{group}]\n{name} = elsewhere:X\n" for group, name in points.items())
    )
    (twice,) = errors("", "", other)
    assert "data set 'gratings': reader 'gratings' is defined twice: " in twice
    assert "gratings.data:Gratings of package gratings 0.1" in twice
    assert "elsewhere:X of package other 2.0" in twice
    (about / "entry_points.txt").write_text(
        "[convergent.metrics]\ncka = elsewhere:X\n[convergent.claims]\nother_table = elsewhere:X\n"
    )
    (broken,) = errors("", "", other)  # cka is not asked for
    assert (
        "table 'other_table' (elsewhere:X of package other 2.0) cannot be used: ModuleNotFound"
        in broken
    )
    (shadowed,) = errors("cosine_pairs: ", "cka: ", other)
    assert (
        "metric 'cka' is defined twice: convergent.alignment.metrics:CKA; elsewhere:X" in shadowed
    )

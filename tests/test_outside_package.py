"""A package outside adds one of each kind, and a study uses them all."""

from __future__ import annotations

import os
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
    options: {folder: FOLDER, table: number.txt}
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
    (tmp_path / "study.yaml").write_text(STUDY.replace("FOLDER", str(tmp_path)))
    (tmp_path / "models.tsv").write_text(MODELS)
    (tmp_path / "checkpoints.tsv").write_text(CHECKPOINTS)
    places = [str(installed), *filter(None, [os.environ.get("PYTHONPATH")])]

    def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        )
        if check and done.returncode:
            logs = [path.read_text() for path in tmp_path.rglob("logs/**/*.log")]
            raise AssertionError("\n".join([done.stdout, done.stderr, *logs])[-6000:])
        return done

    return run


def test_a_study_of_a_package_outside(command: Command, repository: Path, tmp_path: Path) -> None:
    assert "no errors found" in command("convergent", "validate", "--study", "study.yaml").stdout
    snakemake = ["snakemake", "-s", str(repository / "Snakefile"), "--configfile", "study.yaml"]
    command(*snakemake, "--cores", "2")
    results = tmp_path / "results" / "gratings"
    made = pl.read_parquet(next(results.rglob("grating_models.parquet")))
    scores = {row[:2]: row[2] for row in made.iter_rows()}
    assert set(scores) == {(m, n) for m in ("net", "rows") for n in ("ridge_r", "cosine_pairs")}
    assert scores["net", "ridge_r"] > 0.3 and scores["rows", "cosine_pairs"] > 0.1
    assert "<svg" in next(results.rglob("grating-models.svg")).read_text()
    assert "Mean score of each model and metric" in next(results.rglob("*.html")).read_text()
    measured = pl.read_parquet(next(results.rglob("performance.parquet")))
    assert measured.select("model", "benchmark").rows() == [("net", "output_spread")]

    # the folder of a data set does not count, and the content of its table does
    shutil.copy(tmp_path / "number.txt", tmp_path / "results")
    study = tmp_path / "study.yaml"
    study.write_text(study.read_text().replace(str(tmp_path), str(tmp_path / "results")))
    assert "Nothing to be done" in "".join(
        vars(command(*snakemake, "-n"))[k] for k in ("stdout", "stderr")
    )

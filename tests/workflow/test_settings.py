"""Which settings count: exact plans after changes, with features and after gc deleted them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import convergent
from convergent.cli import app
from convergent.errors import StoreError
from convergent.ops import gc
from convergent.ops.folder_listing import listed
from convergent.ops.records import notes
from convergent.pipeline.report import write_report
from convergent.study import Study

END = {"correlate": 1, "report": 1}


@pytest.fixture(
    params=[
        pytest.param(False, id="with features", marks=pytest.mark.slow),
        pytest.param(True, id="after gc"),
    ]
)
def place(request, workflow, monkeypatch):
    """The finished study in its folder, with its features or without."""
    monkeypatch.chdir(workflow.folder)
    workflow.write()
    if request.param:
        gc.remove(gc.find(Study.load("study.yaml")))
        assert not list(Path("results/small/features").rglob("*.zip"))
    return workflow


def test_a_removed_subject_makes_no_fit_and_no_extraction_again(place):
    place.config["datasets"]["scenes"]["subjects"].remove("sim02")
    assert place.plan() == {"ceilings": 1, "measure": 2, "family": 2, **END}


def test_a_removed_metric_makes_no_fit_and_no_extraction_again(place):
    del place.config["fit"]["metrics"]["cka_rbf"]
    plan = {"ceilings": 2, "measure": 3, "family": 2, **END}
    assert place.plan() == plan
    place.snakemake()
    assert place.plan() == {}
    place.config["fit"]["metrics"]["cka_rbf"] = {"scales": [0.5, 2.0]}
    assert place.plan() == plan  # the stores still have it


def test_a_removed_checkpoint_makes_no_fit_and_no_extraction_again(place):
    place.edit("checkpoints", "tiny-vit\trandom-0\trandom\t\t0\tno\n", "")
    assert place.plan() == {"measure": 1, "family": 1, **END}


def test_a_removed_model_makes_its_familys_tables_again(place):
    rows = (place.folder / "models.tsv").read_text().splitlines(keepends=True)
    (place.folder / "models.tsv").write_text(
        "".join(row for row in rows if not row.startswith("lengths"))
    )
    assert place.plan() == {"family": 1, **END}


def test_what_only_the_tables_use_makes_no_fit_again(place):
    place.config["fit"]["fixed_depth"] = 0.25
    assert place.plan() == {"measure": 3, "family": 2, **END}


def test_order_makes_nothing_again(place):
    for table in ("models", "checkpoints"):
        path = place.folder / f"{table}.tsv"
        header, *rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join([header, *reversed(rows)]))
    place.config["datasets"] = dict(reversed(place.config["datasets"].items()))
    for data in place.config["datasets"].values():
        data["subjects"] = data["subjects"][::-1]
    fit = place.config["fit"]
    fit["metrics"] = dict(reversed(fit["metrics"].items()))
    assert place.plan() == {}


@pytest.mark.slow
def test_the_primary_metric_is_a_key_and_makes_the_studys_tables_again(workflow, monkeypatch):
    monkeypatch.chdir(workflow.folder)
    workflow.config["fit"]["primary"] = "cka"
    assert workflow.plan() == END
    with pytest.raises(StoreError, match="the primary metric ridge_r, and the study's is cka"):
        write_report(Study.load("study.yaml"))
    workflow.snakemake()
    assert json.loads(Path("results/small/study/about.json").read_text())["primary"] == "cka"
    assert "Alignment, where nothing else is said, is cka." in (
        Path("results/small/report.html").read_text()
    )


@pytest.mark.parametrize(
    ("metrics", "primary", "told"),
    [
        ({"cka": None, "knn": None}, None, "primary: name the metric that stands for alignment"),
        ({"cka_rbf": None}, None, "primary: name the metric"),
        ({"cka": None}, "ridge", "primary: 'ridge' is not a metric of this study"),
        ({"cka": None, "cka_rbf": None}, "cka_rbf", "primary: 'cka_rbf' is not a metric"),
    ],
)
def test_no_metric_is_primary_by_its_place(workflow, metrics, primary, told):
    workflow.config["fit"] = {"metrics": metrics, "primary": primary}
    done = workflow.snakemake("-n", check=False)
    assert done.returncode and told in done.stdout + done.stderr


def test_every_configuration_file_and_override_counts(workflow):
    over = workflow.folder / "over.yaml"
    over.write_text("statistics: {ceiling_threshold: 0.2}\n")
    threshold = {"measure": 3, "family": 2, **END}
    study = str(workflow.folder / "study.yaml")
    for options in (
        ("--configfile", study, str(over)),
        ("--configfile", study, "--config", "statistics={ceiling_threshold: 0.2}"),
    ):
        assert workflow.plan(*options) == threshold
    assert workflow.plan("--configfile", str(over), study) == threshold  # the order adds nothing


def test_a_command_reads_the_files_that_snakemake_merges(workflow, monkeypatch):
    monkeypatch.chdir(workflow.folder)
    workflow.write()
    Path("over.yaml").write_text("study: another\n")
    done = CliRunner().invoke(app, ["plan", "--study", "study.yaml:over.yaml", "--json"])
    assert json.loads(done.output)["total"]["done"] == 0


@pytest.mark.slow
def test_results_without_records_are_adopted_as_what_they_say_they_are(workflow, monkeypatch):
    monkeypatch.chdir(workflow.folder)
    shutil.rmtree(".snakemake")
    workflow.edit("models", "size=32 mean=0.5", "size=32 mean=0.4")
    assert workflow.plan() == {}  # Snakemake cannot know
    study = Study.load("study.yaml")
    found = listed(study.paths.root, without=("figures", "logs"))
    unknown, outdated = notes(study, found)
    assert "have no record in .snakemake" in unknown and "convergent adopt" in unknown
    assert outdated.startswith("12 of 24 stores are of other settings")
    for command in ("status", "verify", "doctor"):
        told = CliRunner().invoke(app, [command, "--study", "study.yaml"]).output
        assert "convergent adopt" in told, command
    snakefile = str(workflow.repository / "Snakefile")
    done = CliRunner().invoke(app, ["adopt", "--study", "study.yaml", "--snakefile", snakefile])
    assert done.exit_code == 0, done.output
    changed = {"weights": 2, "extract": 4, "fit": 4}
    plan = workflow.plan()
    assert {name: plan[name] for name in changed} == changed
    assert not {"stimuli", "responses"} & set(plan)
    workflow.edit("models", "size=32 mean=0.4", "size=32 mean=0.5")
    assert not {"stimuli", "responses", "extract", "fit"} & set(workflow.plan())


@pytest.mark.slow
def test_what_a_gone_snakemake_asked_for_counts_when_it_is_there(workflow, monkeypatch):
    """Its jobs ended after it: their stores are of the new settings, its records of the old."""
    monkeypatch.chdir(workflow.folder)
    workflow.config["fit"]["folds"] = 4
    fits = workflow.plan()["fit"]
    workflow.write()
    command = ["fit", "--study", "study.yaml", "--model", "tiny-vit"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert workflow.plan()["fit"] == fits - 4


def test_what_left_the_study_is_listed_and_read_by_nobody(workflow, monkeypatch):
    monkeypatch.chdir(workflow.folder)
    workflow.edit("models", "tiny-vit\ttiny", "tiny-vit\tsmall")
    workflow.config["datasets"]["scenes"]["subjects"].remove("sim02")
    workflow.write()
    told = CliRunner().invoke(app, ["verify", "--study", "study.yaml", "--quick"]).output
    assert "orphan: results/small/families/tiny.parquet" in told
    assert "orphan: results/small/responses/scenes/sim02.zarr.zip" in told
    with pytest.raises(StoreError, match=r"families/small.parquet\): the table is missing"):
        convergent.read_measurements("study.yaml")
    rows = convergent.read_measurements("study.yaml", partial=True).collect()
    assert set(rows["family"]) == {"controls"}
    scenes = rows.filter(pl.col("dataset") == "scenes")
    assert set(scenes["subject"]) == {"sim01"}
    CliRunner().invoke(app, ["gc", "--study", "study.yaml", "--orphans"])
    assert not Path("results/small/families/tiny.parquet").exists()
    assert not Path("results/small/responses/scenes/sim02.zarr.zip").exists()
    assert Path("results/small/families/controls.parquet").exists()
    assert Path("results/small/alignment/scenes/tiny-vit/final/layers.0/sim01.zarr.zip").exists()

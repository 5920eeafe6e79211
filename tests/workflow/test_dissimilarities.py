"""Dissimilarities instead of responses go through Snakemake to the report."""

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import rsa92_files
from convergent.cli import app
from workflow_fixtures import Workflow

MODELS = (
    "model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling"
    "\tpreprocessing\n"
    "pixels\tcontrols\tvision\tbaseline\tpixels\t0\tfeatures\t12\tvector\tnone\tsize=2\n"
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Workflow:
    folder = tmp_path_factory.mktemp("objects")
    rsa92_files.write(folder / "data")
    (folder / "models.tsv").write_text(MODELS)
    section = {
        "reader": "rsa92", "modality": "vision", "design": "items", "subjects": ["BE", "TI"],
        "options": {"data": str(folder / "data"), "verify": False},
    }  # fmt: skip
    workflow = Workflow(
        folder,
        repository,
        {
            "study": "objects", "title": "Objects", "tables": {"models": ["models.tsv"]},
            "datasets": {"objects": section},
            "fit": {"permutations": 19, "primary": "rsa_spearman",
                    "metrics": {"rsa_spearman": None, "rsa_pearson": None}},
            "statistics": {"bootstraps": 100, "permutations": 100},
            "granularity": "model",
        },
    )  # fmt: skip
    workflow.snakemake()
    return workflow


def test_the_planted_dissimilarities_are_found_with_their_ceiling(objects: Workflow) -> None:
    study = objects.folder / "results/objects/study"
    scores = pl.read_parquet(study / "scores.parquet").filter(
        (pl.col("metric") == "rsa_spearman") & (pl.col("region") == "IT")
    )
    best = scores.filter(pl.col("choice") == "best").row(0, named=True)
    # pixels hold the colours that were planted, and a model may come near the ceiling
    assert best["score"] > 0.5 and best["n_subjects"] == 2
    assert 0 < best["ceiling_lower"] < best["ceiling_upper"] <= 1
    measured = pl.read_parquet(study.parent / "families")
    assert set(measured["p"]) == {0.05} and set(measured["n_targets"]) == {1}
    page = (objects.folder / "results/objects/report.html").read_text()
    assert "Models and controls by region" in page


def test_validate_refuses_metrics_that_need_responses(objects: Workflow) -> None:
    objects.write()
    done = CliRunner().invoke(
        app, ["validate", "--study", str(objects.folder / "study.yaml"),
              "--set", "fit.metrics={ridge: null, cka: null}"],
    )  # fmt: skip
    assert done.exit_code == 2
    for name in ("ridge", "cka"):
        assert f"metric '{name}' needs responses" in done.output

"""What a dry run plans, before anything and after each kind of change."""

from __future__ import annotations

FIT_OF_MODEL = {"extract": 4, "fit": 4, "weights": 2, "measure": 1, "family": 1}
END = {"correlate": 1, "report": 1}


def test_a_new_study_plans_every_stage(workflow):
    workflow.config["study"] = "another"
    assert workflow.plan() == {
        "stimuli": 2, "responses": 4, "weights": 2, "extract": 6, "fit": 6, "measure": 3,
        "family": 2, "ceilings": 2, **END,
    }  # fmt: skip


def test_a_finished_study_has_nothing_to_be_done(workflow):
    assert workflow.plan() == {}


def test_a_changed_row_reruns_its_model_only(workflow):
    workflow.edit("models", "size=32 mean=0.5 std=0.5", "size=32 mean=0.4 std=0.5")
    assert workflow.plan() == {**FIT_OF_MODEL, **END}


def test_an_added_model_plans_its_own_jobs_only(workflow):
    table = workflow.folder / "models.tsv"
    new = "pixels\tcontrols\tvision\tbaseline\tpixels\t0\tfeatures\t48\tvector\tnone\tsize=4\t\n"
    table.write_text(table.read_text() + new)
    assert workflow.plan() == {"extract": 1, "fit": 1, "measure": 1, "family": 1, **END}


def test_an_added_checkpoint_plans_its_own_jobs_only(workflow):
    table = workflow.folder / "checkpoints.tsv"
    table.write_text(table.read_text() + "tiny-vit\trandom-1\trandom\t\t1\tno\n")
    assert workflow.plan() == {
        "weights": 1, "extract": 2, "fit": 2, "measure": 1, "family": 1, **END,
    }  # fmt: skip


def test_an_added_subject_plans_its_fits_and_the_ceilings_only(workflow):
    workflow.config["datasets"]["scenes"]["subjects"].append("sim03")
    plan = workflow.plan()
    assert plan == {"responses": 1, "fit": 5, "ceilings": 1, "measure": 2, "family": 2, **END}


def test_fits_may_be_jobs_of_their_own(workflow):
    workflow.config["study"] = "another"
    workflow.config["fit_granularity"] = "subject"
    plan = workflow.plan()
    assert (plan["extract"], plan["fit"]) == (6, 12)


def test_an_added_metric_plans_no_extraction(workflow):
    workflow.config["fit"]["metrics"]["rsa_pearson"] = None
    assert workflow.plan() == {"fit": 6, "ceilings": 2, "measure": 3, "family": 2, **END}


def test_modalities_are_compared_when_the_study_names_their_data_sets(workflow):
    workflow.config["convergence"] = {"datasets": ["scenes", "sentences"]}
    assert workflow.plan() == {"representations": 1, **END}


def test_one_family_is_one_target(workflow):
    workflow.edit("models", "size=32 mean=0.5", "size=32 mean=0.4")
    workflow.edit("models", "grid=2", "grid=1")
    workflow.edit("models", "\t32\tvector", "\t8\tvector")
    assert workflow.plan("results/small/families/tiny.parquet") == FIT_OF_MODEL


def test_a_changed_threshold_recomputes_tables_but_no_fit(workflow):
    workflow.config["statistics"]["ceiling_threshold"] = 0.2
    assert workflow.plan() == {"measure": 3, "family": 2, **END}


def test_how_a_study_is_run_is_no_reason_to_rerun(workflow):
    assert workflow.plan("--config", "extraction={batch_size: 7}", "fit={dtype: float32}") == {}


def test_rulegraph_summary_and_lint_work(workflow):
    graph = workflow.snakemake("--rulegraph").stdout
    assert graph.startswith("digraph") and "extract" in graph and "report" in graph
    summary = workflow.snakemake("--summary").stdout
    assert "results/small/families/tiny.parquet" in summary
    assert workflow.snakemake("--lint").returncode == 0


def test_the_plan_is_made_without_torch_and_quickly(workflow, monkeypatch):
    """Parsing the study costs about half a processor second beyond Snakemake's own start."""
    import subprocess
    import sys

    workflow.write()
    code = (
        "import sys, time; start = time.process_time(); "
        "from convergent.study import Study, Unit, resources, share_with_jobs; "
        "study = Study.load('study.yaml'); study.graph.jobs; "
        "seconds = time.process_time() - start; "
        "assert 'torch' not in sys.modules and 'xarray' not in sys.modules; print(seconds)"
    )
    best = min(
        float(
            subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                check=True,
                cwd=workflow.folder,
            ).stdout
        )
        for _ in range(5)
    )
    assert best < 1.0

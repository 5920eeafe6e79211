"""Parts of a study, what is left after changes and deletions, and the estimate of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from convergent.errors import ConfigError, ConvergentError, UnknownKeyError
from convergent.ops import gc
from convergent.ops.plan import estimate
from convergent.store import attributes
from convergent.study import Study
from convergent.study.graph import targets

END = {"correlate": 1, "report": 1}
LAYER = ("scenes", "tiny-vit", "final", "layers.1")


@pytest.fixture
def study(workflow, monkeypatch):
    """Read the study as it is now, in its folder."""
    monkeypatch.chdir(workflow.folder)

    def read() -> Study:
        workflow.write()
        return Study.load("study.yaml")

    return read


def parts(study, **chosen):
    return ["--", *targets(study, **chosen)]


def test_one_model_and_one_family_are_targets(workflow):
    workflow.config["study"] = "another"
    model = {"stimuli": 1, "responses": 2, "weights": 2, "extract": 4, "fit": 4, "measure": 1}
    assert workflow.plan("results/another/models/tiny-vit.parquet") == model
    family = {**model, "family": 1}
    assert workflow.plan("results/another/families/tiny.parquet") == family


def test_a_range_of_checkpoints_is_a_list_of_targets(workflow, study):
    workflow.config["study"] = "another"
    for steps, checkpoint in (("0:10", "final"), ("10", "final"), ("5:", "final")):
        files = targets(study(), steps=steps)
        assert files == [
            f"results/another/alignment/scenes/tiny-vit/{checkpoint}/layers.{i}/sim01.zarr.zip"
            for i in (0, 1)
        ]
    plan = workflow.plan(*parts(study(), steps="0:10"))
    assert plan == {"stimuli": 1, "responses": 2, "weights": 1, "extract": 2, "fit": 2}
    for steps, message in (("11:", "no fit of the study"), ("a:b", "'a:b' is no range of steps")):
        with pytest.raises(ConfigError, match=message):
            targets(study(), steps=steps)


def test_one_subject_is_a_list_of_targets(workflow, study):
    workflow.config["study"] = "another"
    workflow.config["fit_granularity"] = "subject"
    plan = workflow.plan(*parts(study(), subject="sim02", dataset="scenes"))
    assert plan == {"stimuli": 1, "responses": 1, "weights": 2, "extract": 5, "fit": 5}


@pytest.mark.parametrize(
    ("chosen", "error"),
    [
        ({"family": "tin"}, UnknownKeyError),
        ({"model": "tiny"}, UnknownKeyError),
        ({"layer": "layers.0"}, ConfigError),
        ({"model": "tiny-vit", "layer": "layers.9"}, UnknownKeyError),
        ({"subject": "sim07"}, UnknownKeyError),
    ],
)
def test_parts_with_unknown_names_are_refused(study, chosen, error):
    with pytest.raises(error):
        targets(study(), **chosen)


def test_a_stage_may_be_forced(workflow):
    fits = {"fit": 5, "measure": 2, "family": 2, **END}
    assert workflow.plan("--forcerun", "fit_scenes") == fits
    everything = {"extract": 6, "fit": 6, "measure": 3, "family": 2, **END}
    assert workflow.plan("--forcerun", "extract") == everything


def test_features_are_deleted_and_made_again_for_what_needs_them(workflow, study):
    found = gc.find(study())
    assert {item.reason for item in found} == {"fitted"}
    assert len(found) == 6 and all(item.bytes > 1000 for item in found)
    gc.remove(found)
    assert not (workflow.folder / "results/small/features").exists()
    assert gc.find(study()) == []
    assert workflow.plan() == {}

    workflow.config["datasets"]["sentences"]["subjects"].append("sim03")
    subject = {"responses": 1, "extract": 1, "fit": 1, "ceilings": 1, "measure": 1, "family": 1}
    assert workflow.plan() == {**subject, **END}
    workflow.config["datasets"]["sentences"]["subjects"].pop()

    workflow.config["fit"]["metrics"]["rsa_pearson"] = None
    metric = {"extract": 6, "fit": 6, "ceilings": 2, "measure": 3, "family": 2, **END}
    assert workflow.plan() == metric
    # made again for one layer, they are the same bytes: what was fitted before is kept
    store = workflow.folder / study().paths.alignment(*LAYER, "sim01")
    target = parts(study(), model="tiny-vit", checkpoint="final", layer="layers.1")
    workflow.snakemake(*target)
    assert (workflow.folder / study().paths.features(*LAYER)).exists()
    facts = attributes(store)
    assert set(facts["metrics"]) == {"ridge", "cka", "cka_rbf", "rsa_pearson"}
    log = (workflow.folder / study().paths.log("fit", *LAYER)).read_text()
    assert "computed anew" not in log
    left = {"extract": 5, "fit": 5, "ceilings": 2, "measure": 3, "family": 2, **END}
    assert workflow.plan() == left


def _spoil(workflow, study, how):
    paths = study().paths
    store = workflow.folder / paths.alignment(*LAYER, "sim02")
    if how == "missing":
        store.unlink()
    elif how == "damaged":
        store.write_bytes(store.read_bytes()[:-200])
    elif how == "older":
        os.utime(workflow.folder / paths.responses("scenes", "sim02"))
    elif how == "of other features":
        other = workflow.folder / paths.features("scenes", "tiny-vit", "random-0", "layers.1")
        mine = workflow.folder / paths.features(*LAYER)
        known = mine.stat()
        mine.write_bytes(other.read_bytes())
        os.utime(mine, (known.st_atime, known.st_mtime))
    elif how == "of other settings":
        workflow.config["fit"]["seed"] = 1
    elif how == "without a metric":
        workflow.config["fit"]["metrics"]["rsa_pearson"] = None
    elif how == "of a new subject":
        workflow.config["datasets"]["scenes"]["subjects"].append("sim03")


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ("missing", 1),
        ("damaged", 1),
        ("older", 5),
        ("of other features", 1),
        ("of other settings", 6),
        ("without a metric", 6),
        ("of a new subject", 5),
    ],
)
def test_features_are_kept_while_a_fit_needs_them(workflow, study, how, kept):
    _spoil(workflow, study, how)
    found = gc.find(study())
    assert len(found) == 6 - kept
    assert study().paths.features(*LAYER) not in {item.path for item in found}


def test_a_unit_of_several_layers_is_kept_or_deleted_whole(workflow, study):
    workflow.config["granularity"] = "checkpoint"
    assert len(gc.find(study())) == 6
    (workflow.folder / study().paths.alignment(*LAYER, "sim02")).unlink()
    assert len(gc.find(study())) == 4


def test_features_of_nuisance_baselines_are_kept(workflow, study):
    workflow.config["fit"]["metrics"]["unique"] = {"baselines": ["gabor"]}
    assert not any("gabor" in item.path for item in gc.find(study()))


def test_features_that_modalities_are_compared_by_are_kept_until_they_are(workflow, study):
    workflow.config["convergence"] = {"datasets": ["scenes", "sentences"]}
    assert not any("/final/" in item.path and "tiny-vit" in item.path for item in gc.find(study()))
    Path(study().paths.representations).touch()
    assert any("/final/" in item.path and "tiny-vit" in item.path for item in gc.find(study()))


def test_what_killed_jobs_left_is_deleted_and_a_running_one_is_respected(workflow, study):
    folder = workflow.folder / study().paths.features(*LAYER)
    old = folder.with_name(f".{folder.name}.123.tmp")
    new = folder.with_name(f".{folder.name}.124.tmp")
    for path in (old, new):
        path.write_bytes(b"12345")
    os.utime(old, (0, 0))
    stores = [workflow.folder / study().paths.alignment(*LAYER, who) for who in ("sim01", "sim02")]
    for store in stores:
        store.unlink()
    workflow.config["datasets"]["scenes"]["subjects"] = ["sim01"]
    left = [item for item in gc.find(study()) if item.reason != "fitted"]
    # the link of the store that is asked for is what the next fit starts from
    link = stores[1].with_name(f".{stores[1].name}")
    assert {(item.path, item.reason) for item in left} == {
        (str(old.relative_to(workflow.folder)), "temporary"),
        (str(link.relative_to(workflow.folder)), "link"),
    }
    assert sum(item.bytes for item in left) == 5 + link.stat().st_size
    gc.refuse_while_running()
    locks = workflow.folder / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.input.lock").touch()
    with pytest.raises(ConvergentError, match="Snakemake is running here"):
        gc.refuse_while_running()


def jobs(plan):
    return sum(plan.values())


@pytest.mark.parametrize(
    "settings", [{}, {"fit_granularity": "subject"}, {"granularity": "checkpoint"}]
)
def test_the_estimate_counts_the_jobs_of_a_dry_run(workflow, study, settings):
    workflow.config |= {"study": "another"} | settings
    made = estimate(study())
    assert made.total.jobs == jobs(workflow.plan())
    assert (made.total.layers, made.total.checkpoints, made.total.done) == (6, 4, 0)
    assert made.total.gpu_hours == 0 and any("device is cpu" in note for note in made.notes)
    assert made.families["tiny"].feature_bytes == 10_000 * 4 * 16 * 4
    assert made.total.alignment_bytes == 12 * 500_000


def test_the_estimate_leaves_out_what_is_there(workflow, study):
    total = estimate(study()).total
    assert (total.jobs, total.gpu_hours, total.cpu_hours, total.inodes) == (0, 0, 0, 0)
    assert total.feature_bytes == total.alignment_bytes == 0
    store = workflow.folder / study().paths.alignment(*LAYER, "sim02")
    size = store.stat().st_size
    store.unlink()
    # Snakemake misses a store only where a job needs it
    (workflow.folder / study().paths.model("tiny-vit")).unlink()
    (workflow.folder / study().paths.family("tiny")).unlink()
    made = estimate(study(), "tiny")
    plan = workflow.plan("results/small/families/tiny.parquet")
    assert made.total.jobs == jobs(plan) == 3
    assert size / 2 < made.total.alignment_bytes < 2 * size
    gc.remove(gc.find(study()))
    (workflow.folder / study().paths.features(*LAYER)).unlink()
    workflow.config["extraction"] = {"device": "cuda"}
    made = estimate(study(), "tiny")
    assert made.total.jobs == jobs(workflow.plan("results/small/families/tiny.parquet")) == 4
    assert made.total.gpu_hours > 0

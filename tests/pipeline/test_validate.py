"""What `convergent validate` finds before anything runs; all errors of a study together."""

from __future__ import annotations

import re

import pytest
import yaml

from convergent.pipeline.validate import study_errors, study_warnings
from convergent.study import Study
from workflow_fixtures import MODELS, small_configuration


@pytest.fixture
def errors(tmp_path, monkeypatch):
    """Errors of a small study of baselines and a network, after changes to it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vit").mkdir()

    def found(*, read=True, models=(), scores="", **sections):
        config = small_configuration() | {"tables": {"models": ["models.tsv"]}} | sections
        table = MODELS.format(vit="vit")
        for old, new in models:
            assert old in table
            table = table.replace(old, new)
        (tmp_path / "models.tsv").write_text(table)
        if scores:
            header = "model\tcheckpoint\tbenchmark\tscore\tsource\n"
            (tmp_path / "scores.tsv").write_text(header + scores)
            config["tables"]["performance"] = ["scores.tsv"]
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
        study = Study.load("study.yaml")
        return [str(error) for error in study_errors(study, read=read)]

    return found


def test_a_good_study_has_none(errors):
    assert errors() == []


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"fit": {"folds": 257}}, "257 folds for 256 stimuli"),
        ({"fit": {"selection": "folds", "inner_folds": 250}}, "fit.inner_folds is 250"),
        ({"fit": {"metrics": {"ridge": None, "knn": {"k": 256}}}}, "fit.metrics.knn.k is 256"),
        (
            {"fit": {"metrics": {"ridge": None, "knn": {"k": 8}}, "similarity_stimuli": 8}},
            "fit.metrics.knn.k is 8, and 8 items",
        ),
        ({"fit": {"metrics": {"ridge": None, "cka_rbf": {"scales": [1, 1]}}}}, "listed twice"),
        ({"training": {"scenes-cn": {}}}, "unknown recipe 'scenes-cn'.*'scenes-cnn'"),
        ({"training": {"scenes-cnn": {}}}, "no model of the study is trained with"),
        ({"training": {"scenes-cnn": {"sed": 1}}}, "unknown key 'sed' .did you mean 'seed'"),
        ({"training": {"scenes-cnn": {"seed": -1}}}, "'seed': Input should be greater"),
        ({"performance": {"benchmarks": {"vision": "top1"}}}, "no vision model .* has such a"),
        ({"performance": {"evaluations": ["top1"]}}, "'top1' needs labelled images"),
        ({"performance": {"evaluations": ["probe"]}}, "unknown evaluation 'probe'"),
        ({"container": "no.sif"}, "there is no such image"),
        ({"results": "models.tsv"}, "no file can be made in"),
    ],
)
def test_what_cannot_work_is_found(errors, sections, message):
    found = errors(**sections)
    assert any(re.search(message, text) for text in found), found
    assert all("\n" not in text for text in found)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([("path:vit", "path:gone")], "weights path 'gone' does not exist"),
        ([("path:vit", "package:numpy/../x")], "'../x' leaves the package"),
        ([("path:vit", "trained:scenes-cn")], "unknown recipe 'scenes-cn'"),
        ([("\tgabor\t0", "\tgabr\t0")], "unknown baseline 'gabr'"),
        ([("mean=0.5", "mean=nan")], "option mean='nan' is not valid"),
        ([("std=0.5", "std=0")], "option std='0' is not valid.*above 0"),
        ([("size=32 mean", "size=0 mean")], "option size='0' is not valid"),
        ([("grid=2", "grid=x")], "option grid='x' is not valid"),
    ],
)
def test_models_that_cannot_be_built_are_found(errors, models, message):
    found = errors(models=models)
    assert any(re.search(message, text) for text in found), found


def test_files_are_left_alone_where_data_are_not_read(errors):
    assert errors(read=False, models=[("path:vit", "path:gone")], fit={"folds": 257}) == []


def test_a_benchmark_may_be_published_or_measured_here(errors):
    row = "tiny-vit\tfinal\ttop1\t0.5\tpaper\n"
    assert errors(scores=row, performance={"benchmarks": {"vision": "top1"}}) == []
    measured = {"benchmarks": {"vision": "probe_top1"}, "evaluations": ["probe_top1"]}
    assert errors(performance=measured) == []


def test_errors_of_every_kind_come_together(errors):
    found = errors(
        fit={"folds": 257},
        training={"x": {}},
        models=[("mean=0.5", "mean=nan"), ("grid=2", "grid=x")],
    )
    for word in ("257 folds", "recipe 'x'", "mean='nan'", "grid='x'"):
        assert any(word in text for text in found), (word, found)


ROW = {
    "model": "m", "family": "f", "modality": "language", "source": "transformers",
    "reference": "path:x", "parameters": "9", "layers": "x", "width": "8", "layout": "tokens",
}  # fmt: skip


@pytest.mark.parametrize(
    ("pooling", "options", "attention", "warned"),
    [
        ("mean", "", "causal", True),
        ("mean", "skip_tokens=0", "causal", True),
        ("mean", "skip_first_token=yes", "causal", False),
        ("mean", "skip_tokens=1", "causal", False),
        ("mean", "chat=user", "causal", False),
        ("mean", "", "bidirectional", False),
        ("last", "", "causal", False),
    ],
)
def test_a_mean_over_the_first_token_of_a_decoder_is_told(
    pooling, options, attention, warned, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    row = ROW | {"pooling": pooling, "preprocessing": options, "attention": attention}
    (tmp_path / "models.tsv").write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({
        "study": "s", "title": "t", "tables": {"models": ["models.tsv"]},
        "datasets": {"sim": {"reader": "simulated-sentences", "modality": "language",
                             "design": "items", "subjects": ["sim-1"]}},
    }))  # fmt: skip
    found = study_warnings(Study.load("study.yaml"))
    assert len(found) == warned
    assert all(line.startswith("1 causal models average their first token") for line in found)

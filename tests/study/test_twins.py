"""Random-weight twins that the study asks for."""

from __future__ import annotations

import pytest

from convergent.errors import ConfigError
from convergent.study import Study, Unit


def names(study, model):
    return [checkpoint.name for checkpoint in study.model(model).checkpoints]


def test_twins_are_checkpoints_without_rows(files):
    files.config["twins"] = {"seeds": [3, 1], "families": ["texts"], "models": ["net-b"]}
    study = Study.load(files.path)
    assert names(study, "gpt") == names(study, "net-b") == ["final", "random-3", "random-1"]
    assert names(study, "net-a") == ["step0", "step10", "random-0"]
    twin = study.checkpoint("gpt", "random-3")
    assert (twin.role, twin.seed, twin.final, twin.reference) == ("random", 3, False, "org/gpt")
    assert len(study.feature_files(Unit("gpt"))) == 3 * 2


def test_all_models_with_weights_have_twins_unless_some_are_named(files):
    files.config["twins"] = {"seeds": [7]}
    study = Study.load(files.path)
    assert all("random-7" in names(study, key) for key in ("net-a", "net-b", "gpt"))
    assert names(study, "rate") == ["final"]


def test_no_seeds_are_no_twins(files):
    files.config["twins"] = {"models": ["gpt"]}
    assert names(Study.load(files.path), "gpt") == ["final"]


def test_scores_of_twins_may_be_given(files):
    files.config["twins"] = {"seeds": [0], "models": ["gpt"]}
    table = files.folder / "performance.tsv"
    table.write_text(table.read_text() + "gpt\trandom-0\tlambada\t0\tchance\n")
    assert len(Study.load(files.path).published) == 3


def test_a_twin_that_a_row_names_already_is_a_mistake(files):
    files.config["twins"] = {"seeds": [0], "models": ["net-a"]}
    with pytest.raises(ConfigError, match=r"model 'net-a' the checkpoint 'random-0', and its row"):
        Study.load(files.path)
    files.replace("checkpoints", "random-0\trandom", "untrained\trandom")
    with pytest.raises(ConfigError, match="its row 'untrained' is that already"):
        Study.load(files.path)


def test_unknown_names_and_repeated_seeds_are_mistakes(files):
    files.config["twins"] = {"seeds": [0], "models": ["gtp"], "families": ["texts", "nest"]}
    found = [str(mistake) for mistake in Study.mistakes(files.path)]
    assert any("'twins.models' names unknown 'gtp'" in text and "'gpt'" in text for text in found)
    assert any("'twins.families' names unknown 'nest'" in text for text in found)
    files.config["twins"] = {"seeds": [0, 0]}
    assert "'0' is listed twice" in str(Study.mistakes(files.path)[0])


def test_a_row_that_runs_code_gives_a_reason(files):
    files.replace("models", "\ttokens\tmean\tbfloat16\t\tcausal\t",
                  f"\ttokens\tmean\tbfloat16\tremote_code={'a' * 40}\tcausal\t")  # fmt: skip
    (mistake,) = Study.mistakes(files.path)
    assert "column 'notes': the row runs code of its repository and gives no reason" in str(mistake)
    table = files.folder / "models.tsv"
    lines = table.read_text().splitlines()
    lines[1] += "\tnotes"
    lines[4] += "\treviewed, no port exists"
    table.write_text("\n".join(lines) + "\n")
    assert Study.mistakes(files.path) == []

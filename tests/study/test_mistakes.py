"""Every mistake in configuration and tables is one line: what, where, how to mend it."""

from __future__ import annotations

import pytest

from convergent.errors import ConfigError, ConvergentError, TableError
from convergent.study import (
    Study,
    parse_overrides,
    read_config,
    read_files,
    share_with_jobs,
    shared_study,
)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("titel", "x", "unknown key 'titel' \\(did you mean 'title'"),
        ("fit", {"fold": 3}, "unknown key 'fit.fold' \\(did you mean 'folds'"),
        ("fit", {"alphas": {"lo": 1}}, "unknown key 'fit.alphas.lo' \\(did you mean 'low'"),
        ("fit", {"folds": 1}, "'fit.folds': Input should be greater than or equal to 2"),
        ("study", "a/b", "'study'"),
        ("datasets", {}, "'datasets'"),
        ("granularity", "layers", "'granularity'.*'layer'"),
    ],
)
def test_configuration_mistakes_name_the_key(files, key, value, message):
    files.config[key] = value
    with pytest.raises(ConfigError, match=message) as caught:
        Study.load(files.path)
    assert "study.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_data_set_section_has_its_unknown_keys_named(files):
    files.config["datasets"]["scenes"]["subject"] = ["sim01"]
    with pytest.raises(ConfigError, match=r"datasets.scenes.subject'.*did you mean 'subjects'"):
        Study.load(files.path)


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("models", "\tcls\t", "\tclass\t", r"line 3, column 'pooling': unknown value 'class'"),
        (
            "models",
            "\t1000\t",
            "\tmany\t",
            r"line 3, column 'parameters': 'many' is not a whole number",
        ),
        ("models", "4;8;16", "4;8", r"line 4, column 'width': 2 widths for 3 layers"),
        ("models", "blocks.{0-2}", "blocks.{2-0}", r"column 'layers': '2-0' counts down"),
        ("models", "net-b\t", "net-a\t", r"line 4, column 'model': model 'net-a' is already"),
        ("models", "\ttokens\tcls", "\tvector\tcls", r"'cls' does not fit layout 'vector'"),
        ("models", "\tcausal\t", "\t\t", r"line 5, column 'attention': a language model needs"),
        ("models", "size=32 ", "size32 ", r"'size32' is no key=value pair"),
        ("models", "\tfamily\t", "\tfamly\t", r"unknown column 'famly' \(did you mean 'family'"),
        ("models", "net-a\tnets", "net a\tnets", r"'net a' can't be part of a file name"),
        ("models", "\ttimm\tpath:net-a", "\ttim\tpath:net-a", r"unknown value 'tim'.*'timm'"),
        ("models", "\t\tcoco", "\t\tcoco\tmore\tmore", r"line 3: 16 cells for 14 columns"),
        ("checkpoints", "\tyes", "\tno", r"model 'net-a' has 0 final checkpoints"),
        ("checkpoints", "\t\t\t0\t", "\t\t\t\t", r"line 4, column 'seed': random weights need a"),
        ("checkpoints", "step10", "step0", r"checkpoint 'net-a/step0' is already in line 2"),
        ("checkpoints", "net-a\tstep0", "net-x\tstep0", r"unknown model 'net-x'"),
        ("performance", "0.25", "nan", r"column 'score': 'nan' is not a number"),
        ("performance", "step10", "step11", r"no checkpoint 'step11'.*did you mean 'step10'"),
    ],
)
def test_table_mistakes_name_file_row_and_column(files, table, old, new, message):
    files.replace(table, old, new)
    mistakes = Study.mistakes(files.path)
    assert any(_matches(mistake, message, table) for mistake in mistakes), mistakes
    with pytest.raises(TableError):
        Study.load(files.path)


def _matches(mistake: ConvergentError, message: str, table: str) -> bool:
    import re

    text = str(mistake)
    return bool(re.search(message, text)) and "\n" not in text and ".tsv" in text


def test_all_mistakes_are_told_and_load_says_how_many_more(files):
    files.replace("models", "\t1000\t", "\tmany\t")
    files.replace("models", "4;8;16", "4;8")
    assert len(Study.mistakes(files.path)) >= 2
    with pytest.raises(TableError, match="more errors: run `convergent validate"):
        Study.load(files.path)


def test_a_missing_table_is_named(files):
    files.config["tables"]["models"] = ["model.tsv"]
    with pytest.raises(TableError, match=r"model\.tsv: there is no such file"):
        Study.load(files.path)


def test_a_model_without_a_data_set_of_its_modality_is_a_mistake(files):
    del files.config["datasets"]["story"]
    with pytest.raises(ConfigError, match="model 'gpt' is a language model, and no data set is"):
        Study.load(files.path)


def test_a_missing_configuration_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nothing.yaml: there is no such file"):
        read_config(tmp_path / "nothing.yaml")


def test_what_snakemake_merged_reaches_jobs_as_it_reaches_the_workflow(files, monkeypatch):
    for name in ("PATH", "CONVERGENT_STUDY"):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("CONVERGENT_CONFIG", raising=False)
    assert shared_study() is None
    overrides = {"extraction": {"device": "cuda", "projection": "64"}, "fit": {"folds": "7"}}
    raw, base = read_files(files.path)
    share_with_jobs(raw, file=str(files.path), base=base, root="r", overrides=overrides)
    direct = Study.load(files.path, overrides)
    shared = Study.of(**shared_study())
    assert (shared.config, shared.models) == (direct.config, direct.models)
    assert (shared.config.extraction.projection, shared.config.fit.folds) == (64, 7)


def test_a_configuration_that_no_job_can_be_given_is_refused(files):
    many = {"select": {"models": [f"model-{number}" for number in range(20_000)]}}
    with pytest.raises(ConfigError, match="a job can be given 120,000"):
        share_with_jobs(many, file=str(files.path), base=".", root="r", overrides={})


def test_later_files_add_to_and_replace_what_earlier_ones_say(files, tmp_path):
    over = tmp_path / "elsewhere" / "over.yaml"
    over.parent.mkdir()
    over.write_text("title: Another\nfit: {folds: 7}\n")
    study = Study.load(f"{files.path}:{over}")
    assert (study.config.title, study.config.fit.folds) == ("Another", 7)
    assert study.models == Study.load(files.path).models  # its tables are found where they were


def test_overrides_of_the_command_line_are_yaml(files):
    config = read_config(files.path, parse_overrides(["fit.folds=7", "fit.delays=[1, 2]"]))
    assert (config.fit.folds, config.fit.delays) == (7, (1, 2))
    with pytest.raises(ConfigError, match="'fit.folds' is not key=value"):
        parse_overrides(["fit.folds"])

"""A check finds each kind of wrong cell, and only that."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from convergent.cli import main
from convergent.errors import ConvergentError, ModelError, UnknownKeyError
from convergent.zoo import (
    ModelRow,
    ScoreRow,
    check_tables,
    find_tables,
    write_table,
)
from convergent.zoo.sketch import run_all

VIT = ModelRow(
    model="vit",
    family="vit",
    modality="vision",
    source="timm",
    reference="timm/vit_tiny_patch16_224",
    architecture="vit_tiny_patch16_224",
    parameters=5_717_416,
    layers=("norm_pre", *(f"blocks.{number}" for number in range(12)), "norm"),
    widths=(192,) * 14,
    layout="tokens",
    pooling="mean",
    preprocessing={"size": "224", "skip_tokens": "1"},
)
MIXER = replace(
    VIT,
    model="gmixer",
    family="mixer",
    reference="timm/gmixer_24_224",
    architecture="gmixer_24_224",
    parameters=24_721_096,
    layers=("stem", "blocks.0", "norm"),
    widths=(384,) * 3,
    preprocessing={"size": "224"},
)


def errors_of(folder: Path, *rows: ModelRow) -> list[str]:
    write_table(folder / "models.tsv", rows)
    return [str(error) for error in check_tables([folder / "models.tsv"]).errors]


def test_right_rows_pass_and_are_counted(tmp_path):
    write_table(tmp_path / "models.tsv", [VIT, MIXER, replace(VIT, model="vit-again")])
    scores = [ScoreRow(model="vit", benchmark="top1", score=1.0, source="paper")]
    write_table(tmp_path / "scores.tsv", scores)
    report = check_tables(find_tables([tmp_path]))
    assert report.errors == ()
    assert (len(report.models), report.networks, report.scores) == (3, 2, 1)
    assert report.counts("family") == {"mixer": 1, "vit": 2}
    assert [model.key for model in report.extremes()] == ["vit", "gmixer"]
    only = check_tables(find_tables([tmp_path]), families=["mixer"])
    assert [model.key for model in only.models] == ["gmixer"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parameters": 5_717_417}, "parameters: 5,717,417 in the table, 5,717,416 in the"),
        ({"widths": (192,) * 13 + (193,)}, "width of layer 'norm': 193 in the table, 192"),
        ({"layers": (*VIT.layers[:-1], "nrom")}, "there is no module 'nrom'"),
        ({"layers": (*VIT.layers[:-1], "blocks.0.attn.proj_dropp")}, "no module"),
        (
            {"layout": "channels_last", "pooling": "spatial_mean"},
            "layout of layer 'norm_pre' (14 such): channels_last in the table, tokens in the",
        ),
        ({"layers": ("blocks.0", "norm_pre", *VIT.layers[2:])}, "order of layers: blocks.0 in"),
        ({"preprocessing": {"size": "224"}}, "skip_tokens: 0 in the table, 1 in the network"),
        ({"architecture": "vit_tiny_patch16_2244"}, "timm has no architecture"),
        ({"layers": (*VIT.layers[:-1], "head_drop")}, "layout of layer 'head_drop' (1 such)"),
    ],
)
def test_a_wrong_cell_is_found_and_nothing_else(tmp_path, change, says):
    wrong = replace(VIT, model="wrong", **change)
    errors = errors_of(tmp_path, VIT, wrong)
    assert len(errors) == 1
    assert says in errors[0]
    assert "models.tsv, line" in errors[0] and "model 'wrong'" in errors[0]


def test_all_mistakes_of_all_rows_are_told_with_those_of_the_reader(tmp_path):
    first = replace(VIT, model="first", parameters=1, widths=(191,) * 14)
    second = replace(VIT, model="second", modality="sound")
    errors = errors_of(tmp_path, first, second)
    assert len(errors) == 1 + 14 + 1
    assert any("'sound'" in error for error in errors)


def test_unknown_places_and_families_are_refused(tmp_path):
    with pytest.raises(UnknownKeyError, match="no table or folder"):
        find_tables([tmp_path / "none"])
    write_table(tmp_path / "models.tsv", [VIT])
    with pytest.raises(UnknownKeyError, match="did you mean 'vit'"):
        check_tables([tmp_path / "models.tsv"], families=["vitt"])


@pytest.mark.parametrize(("parameters", "status"), [(5_717_416, 0), (5, 2)])
def test_the_command_ends_with_a_status(tmp_path, monkeypatch, capsys, parameters, status):
    write_table(tmp_path / "models.tsv", [replace(VIT, parameters=parameters)])
    monkeypatch.setattr(sys, "argv", ["convergent", "models", "check", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert int(stopped.value.code or 0) == status
    told = capsys.readouterr()
    assert "1 models, 14 layers" in told.out
    assert ("parameters: 5 in the table" in told.err) == bool(status)


def third(number: int) -> float:
    if number == 4:
        raise ModelError("four")
    return 12 / number


@pytest.mark.parametrize("jobs", [1, 2])
def test_work_in_several_processes_keeps_order_and_errors(jobs):
    seen: list[tuple[int, int]] = []
    results = run_all(third, [6, 4, 0, 3], jobs, lambda done, total: seen.append((done, total)))
    assert [results[0], results[3]] == [2.0, 4.0]
    assert isinstance(results[1], ModelError) and results[1].what == "four"
    assert isinstance(results[2], ConvergentError) and "ZeroDivisionError" in results[2].what
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_row_of_a_folder_is_checked_against_the_folders_network(tmp_path: Path) -> None:
    import transformers

    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48, "vocab_size": 9}
    for layers in (2, 3):
        config = transformers.BertConfig(**sizes, num_hidden_layers=layers)
        config.save_pretrained(tmp_path / f"bert-{layers}")
    rows = [
        ModelRow(
            model=f"bert-{layers}", family="bert", modality="language", source="transformers",
            reference=f"path:{tmp_path}/bert-{layers}", parameters=parameters,
            layers=tuple(f"encoder.layer.{k}" for k in range(listed)), widths=(32,) * listed,
            layout="tokens", pooling="mean", attention="bidirectional",
        )
        for layers, listed, parameters in ((2, 2, 33_056), (3, 4, 1))
    ]  # fmt: skip
    write_table(tmp_path / "models.tsv", rows)
    report = check_tables([tmp_path / "models.tsv"])
    found = [str(error) for error in report.errors]
    assert any("there is no module 'encoder.layer.3'" in line for line in found)
    assert sum("parameters" in line for line in found if "'bert-3'" in line) == 1
    assert not [line for line in found if "'bert-2', layer" in line]

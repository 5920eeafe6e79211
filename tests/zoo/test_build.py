"""Tables are made again from the same figures, and what a figure does not say is not invented."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from convergent.cli import main
from convergent.errors import DataError, UnknownKeyError
from convergent.zoo import (
    Built,
    Figures,
    ModelRow,
    ScoreRow,
    Table,
    build_tables,
    builder_names,
    read_cells,
    table_text,
    write_table,
    write_tables,
)
from convergent.zoo.build import training_tags
from convergent.zoo.propose import open_clip_family, timm_family

TABLES = Path(__file__).parents[2] / "config" / "models"
SOURCE = "- timm_*.csv: owner/models, results/, commit {commit} (license). Words.\n"


def one_in(share: int):
    return lambda name: int(hashlib.sha256(name.encode()).hexdigest(), 16) % share == 0


@pytest.mark.parametrize(("name", "share"), [("timm", 100), ("open_clip", 40)])
def test_building_again_gives_the_committed_rows(shared_data, name, share, tmp_path):
    built = build_tables(name, Figures(shared_data / "performance"), wanted=one_in(share))
    assert built.tables
    for table in built.tables:
        kind = type(table.rows[0])
        committed = read_cells(TABLES / table.file, kind)
        write_table(tmp_path / table.file, table.rows)
        for key, cells in read_cells(tmp_path / table.file, kind).items():
            expected = dict(committed[key])
            if kind is ModelRow:
                expected["revision"] = ""  # pinned later, from the hub
            assert cells == expected
    assert sum(len(table.rows) for table in built.tables) >= 10


def test_models_without_weights_on_the_hub_are_left_out_by_name(shared_data):
    figures = Figures(shared_data / "performance")
    chosen = ("gcvit_tiny.in1k", "tnt_s_patch16_224.in1k", "resnet18.a1_in1k")
    built = build_tables("timm", figures, wanted=lambda name: name in chosen)
    assert [row.model for row in built.tables[0].rows] == ["resnet18.a1_in1k"]
    assert built.left_out["gcvit_tiny.in1k"] == "its weights are not on the hub"
    assert "tuple of 2" in built.left_out["tnt_s_patch16_224.in1k"]
    scores = {row.benchmark: row.score for row in built.tables[1].rows}
    assert scores["imagenet_top1"] == 73.164 and len(scores) == 6
    assert dict(built.tables[0].rows[0].preprocessing)["size"] == "288"


def test_weights_with_two_names_in_the_figures_are_one_row(shared_data):
    figures = Figures(shared_data / "performance")
    chosen = ("RN50.openai", "RN50-quickgelu.openai", "RN50x4.openai")
    built = build_tables("open_clip", figures, wanted=lambda name: name in chosen)
    rows = {row.model: row for table in built.tables for row in table.rows if hasattr(row, "tags")}
    assert set(rows) == {
        "RN50-quickgelu.openai", "RN50-quickgelu.openai.text",
        "RN50x4.openai", "RN50x4.openai.text",
    }  # fmt: skip
    assert "the same repository as RN50-quickgelu.openai" in built.left_out["RN50.openai"]
    # Trained with QuickGELU, though the figures' name does not say so.
    assert rows["RN50x4.openai"].architecture == "RN50x4-quickgelu"


def test_figures_need_a_source_with_a_commit(tmp_path):
    figures = Figures(tmp_path)
    with pytest.raises(DataError, match="no such file of figures"):
        figures.rows("timm_imagenet.csv")
    with pytest.raises(DataError, match="has no source"):
        figures.origin("timm_imagenet.csv")
    (tmp_path / "SOURCE.md").write_text(SOURCE.format(commit="main"))
    with pytest.raises(DataError, match="has no source"):
        figures.origin("timm_imagenet.csv")
    (tmp_path / "SOURCE.md").write_text("Figures.\n" + SOURCE.format(commit="a" * 40))
    assert (
        figures.origin("timm_sketch.csv") == f"timm_sketch.csv of owner/models@{'a' * 40}/results"
    )
    with pytest.raises(DataError, match="has no source"):
        figures.origin("openclip_results.csv")


def test_there_is_no_builder_of_another_name(tmp_path):
    assert {"timm", "open_clip"} <= set(builder_names())
    with pytest.raises(UnknownKeyError, match="did you mean 'timm'"):
        build_tables("tim", Figures(tmp_path))


ROW = ModelRow(
    model="a",
    family="f",
    modality="vision",
    source="timm",
    reference="owner/a",
    parameters=1,
    layers=("x",),
    widths=(2,),
    layout="vector",
    pooling="none",
)


def test_pinned_revisions_outlive_a_rebuild_of_the_same_reference(tmp_path):
    pinned = [replace(ROW, revision="b" * 40), replace(ROW, model="c", revision="d" * 40)]
    write_table(tmp_path / "t.tsv", pinned)
    rows = [replace(ROW, parameters=3), replace(ROW, model="c", reference="owner/moved")]
    (diff,) = write_tables(Built((Table("t.tsv", rows, "new"),), {}), tmp_path).values()
    after = read_cells(tmp_path / "t.tsv", ModelRow)
    assert after[("a",)]["revision"] == "b" * 40
    assert after[("c",)]["revision"] == ""
    assert diff.changed[("a",)] == {"parameters": ("1", "3")}


def test_the_command_tells_what_changed(tmp_path, monkeypatch, capsys):
    def fake(name, figures, *, jobs, progress):
        score = ScoreRow(model="a", benchmark="top1", score=0.5, source="paper")
        return Built((Table("t.tsv", [ROW], ""), Table("p.tsv", [score], "")), {"b": "no weights"})

    monkeypatch.setattr("convergent.zoo.build_tables", fake)
    arguments = ["--figures", str(tmp_path), "--only", "timm", "--to", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["convergent", "models", "build", *arguments])
    with pytest.raises(SystemExit):
        main()
    out = capsys.readouterr().out
    assert "t.tsv: 1 added, 0 removed, 0 changed, 0 unchanged" in out
    assert "  + a final top1" in out and "left out: b: no weights" in out
    assert (tmp_path / "out" / "t.tsv").read_text() == table_text([ROW])


@pytest.mark.parametrize(
    ("architecture", "module", "family"),
    [
        ("resnet50", "resnet", "resnet"),
        ("seresnet152d", "resnet", "resnet"),
        ("wide_resnet50_2", "resnet", "resnet"),
        ("resnetrs101", "resnet", "resnet"),
        ("resnext50_32x4d", "resnet", "resnext"),
        ("seresnextaa101d_32x8d", "resnet", "resnext"),
        ("resnetv2_50x1_bit", "resnetv2", "bit"),
        ("tf_efficientnetv2_s", "efficientnet", "efficientnetv2"),
        ("tf_efficientnet_lite0", "efficientnet", "efficientnet"),
        ("vit_base_patch16_clip_224", "vision_transformer", "vit-clip"),
        ("vit_base_patch16_224", "vision_transformer", "vit"),
        ("deit3_base_patch16_224", "deit", "deit3"),
        ("mobilenetv3_large_100", "mobilenetv3", "mobilenet"),
        ("swinv2_tiny_window8_256", "swin_transformer_v2", "swinv2"),
        ("pvt_v2_b0", "pvt_v2", "pvt-v2"),
    ],
)
def test_families_of_timm(architecture, module, family):
    assert timm_family(architecture, module) == family


@pytest.mark.parametrize(
    ("pair", "family"),
    [
        (("ViT-B-32", "openai"), "clip-openai"),
        (("ViT-B-32", "laion2b_s34b_b79k"), "clip-laion"),
        (("ViT-B-16-SigLIP", "webli"), "siglip"),
        (("EVA02-L-14", "merged2b_s4b_b131k"), "eva-clip"),
        (("RN50", "yfcc15m"), "clip-yfcc-cc12m"),
    ],
)
def test_families_of_open_clip(pair, family):
    assert open_clip_family(*pair) == family


@pytest.mark.parametrize(
    ("name", "tag", "tags"),
    [
        ("resnet50.a1_in1k", "a1_in1k", ("in1k",)),
        ("vit.augreg_in21k_ft_in1k", "augreg_in21k_ft_in1k", ("in21k", "in1k")),
        ("x.laion2b_ft_in12k_in1k", "laion2b_ft_in12k_in1k",
         ("laion2b", "in12k", "in1k", "coco-unknown")),
        ("x.ns_jft_in1k", "ns_jft_in1k", ("jft300m", "in1k", "coco-unknown")),
        ("eva02.mim_m38m_ft_in1k", "mim_m38m_ft_in1k", ("merged38m", "in1k", "coco")),
        ("coca_ViT-B-32", "mscoco_finetuned_laion2b_s13b_b90k", ("laion2b", "coco")),
        ("ViT-B-32", "datacomp_xl_s13b_b90k", ("datacomp", "coco-unknown")),
        ("EVA01-g-14", "laion400m_s11b_b41k", ("laion400m", "coco")),
        ("ViT-B-32", "somebody", ("coco-unknown",)),
    ],
)  # fmt: skip
def test_tags_say_what_the_training_data_were(name, tag, tags):
    assert training_tags(name, tag) == tags

"""Commits asked of the hub and written into tables; the hub is a stub that counts questions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from convergent.errors import TableError, WeightsError
from convergent.study import Study
from convergent.zoo.build import unpinned, unpinned_mistake
from convergent.zoo.pin import pin_tables

A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
MODELS = f"""\
# two models of the hub, one pinned
model\tfamily\tmodality\tsource\treference\trevision\tparameters\tlayers\twidth\tlayout\tpooling\tattention
small\tf\tlanguage\ttransformers\towner/small\t\t10\tlayers.{{0-1}}\t4\ttokens\tmean\tcausal

# a comment between rows, with a "quote"
large\tf\tlanguage\ttransformers\towner/large\t{A}\t20\tlayers.0\t4\ttokens\tmean\tcausal
local\tf\tlanguage\ttransformers\tpath:weights\t\t20\tlayers.0\t4\ttokens\tmean\tcausal
rate\tf\tlanguage\tbaseline\tword-rate\t\t0\tfeatures\t1\tvector\tnone
"""
CHECKPOINTS = """\
model\tcheckpoint\trole\tstep\tbranch\trevision\tseed\tfinal
small\tstep0\ttrained\t0\tstep0\t\t\tno
small\tstep1\ttrained\t1\tstep1\t\t\tno
small\tfinal\ttrained\t2\t\t\t\tyes
small\trandom-0\trandom\t\t\t\t0\tno
"""
STUDY = """\
study: s
title: t
tables: {models: [models.tsv], checkpoints: [checkpoints.tsv]}
datasets:
  sim:
    reader: simulated-sentences
    modality: language
    design: items
    subjects: [s1]
"""


@pytest.fixture
def tables(tmp_path):
    models, checkpoints = tmp_path / "models.tsv", tmp_path / "checkpoints.tsv"
    models.write_text(MODELS, newline="")
    checkpoints.write_text(CHECKPOINTS, newline="")
    return models, checkpoints


@pytest.fixture
def hub(monkeypatch):
    """Commits by repository and branch, and the questions that were asked."""
    import huggingface_hub

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    stub = SimpleNamespace(
        commits={
            "owner/small": {"main": B, "step0": C, "step1": D},
            "owner/large": {"main": C},
        },
        asked=[],
    )

    def model_info(_self, repository):
        stub.asked.append(repository)
        return SimpleNamespace(sha=_of(stub, repository)["main"])

    def list_repo_refs(_self, repository):
        stub.asked.append(repository)
        branches = _of(stub, repository).items()
        return SimpleNamespace(
            branches=[SimpleNamespace(name=name, target_commit=sha) for name, sha in branches]
        )

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_refs", list_repo_refs)
    return stub


def _of(stub, repository):
    if repository not in stub.commits:
        raise OSError("401 Client Error: gated\nmore text")
    return stub.commits[repository]


def test_every_branch_gets_its_own_commit_and_nothing_else_changes(tables, hub):
    models, checkpoints = tables
    report = pin_tables(tables)
    assert models.read_text() == MODELS.replace("owner/small\t\t", f"owner/small\t{B}\t")
    expected = CHECKPOINTS.replace("step0\t\t\tno", f"step0\t{C}\t\tno")
    assert checkpoints.read_text() == expected.replace("step1\t\t\tno", f"step1\t{D}\t\tno")
    assert [pin.new for pin in report.pinned] == [B, C, D]
    assert (report.failed, report.kept) == ((), 1)
    assert hub.asked == ["owner/small"]


def test_a_second_run_asks_nothing(tables, hub):
    pin_tables(tables)
    before, hub.asked = [path.read_bytes() for path in tables], []
    assert pin_tables(tables).pinned == ()
    assert ([path.read_bytes() for path in tables], hub.asked) == (before, [])


def test_dry_run_tells_and_writes_nothing(tables, hub):
    report = pin_tables(tables, dry_run=True)
    assert len(report.pinned) == 3
    assert tables[0].read_text() == MODELS
    assert tables[1].read_text() == CHECKPOINTS


def test_update_renews_rows_whose_branch_moved(tables, hub):
    pin_tables(tables)
    hub.commits["owner/small"]["main"] = A
    report = pin_tables(tables, update=True)
    assert {(pin.name, pin.old, pin.new) for pin in report.pinned} == {
        ("small", B, A),
        ("large", A, C),
    }
    assert str(report.pinned[0]) == f"~ small: owner/small: {B[:12]} -> {A}"
    assert report.kept == 2


def test_without_update_a_moved_branch_leaves_its_row_alone(tables, hub):
    pin_tables(tables)
    hub.commits["owner/large"]["main"] = D
    assert pin_tables(tables).pinned == ()
    assert A in tables[0].read_text()


def test_windows_line_ends_and_a_missing_last_one_are_kept(tables, hub):
    text = MODELS.rstrip("\n").replace("\n", "\r\n")
    tables[0].write_bytes(text.encode())
    pin_tables(tables[:1])
    new = text.replace("owner/small\t\t", f"owner/small\t{B}\t")
    assert tables[0].read_bytes() == new.encode()


def test_a_table_without_the_column_gets_it(tables, hub):
    lines = [line.split("\t") for line in MODELS.splitlines()]
    short = ["\t".join(cells[:5] + cells[6:]) for cells in lines]
    tables[0].write_text("\n".join(short) + "\n")
    pin_tables(tables[:1])
    read = tables[0].read_text().splitlines()
    assert read[1].endswith("\tattention\trevision")
    assert read[2] == f"{short[2]}\t{B}"
    assert read[5] == f"{short[5]}\t{C}"
    assert read[6:] == short[6:]


def test_one_repository_without_answer_fails_alone(tables, hub):
    del hub.commits["owner/large"]
    tables[0].write_text(MODELS.replace(A, ""))
    report = pin_tables(tables)
    assert [pin.name for pin in report.failed] == ["large"]
    assert report.failed[0].reason.endswith("(401 Client Error: gated)")
    assert B in tables[0].read_text()


def test_a_branch_that_the_hub_does_not_have_is_not_replaced_by_another(tables, hub):
    del hub.commits["owner/small"]["step1"]
    report = pin_tables(tables)
    assert [(pin.name, pin.reason) for pin in report.failed] == [
        ("small step1", "no branch 'step1'")
    ]
    assert "step1\t\t\tno" in tables[1].read_text()


def test_a_checkpoint_without_reference_needs_its_models_table(tables, hub):
    with pytest.raises(TableError, match=r"reference of model 'small' is needed.*Fix: name"):
        pin_tables(tables[1:])


def test_a_branch_in_the_revision_column_is_refused(tables, hub):
    tables[0].write_text(MODELS.replace(A, "main"))
    with pytest.raises(TableError, match=r"line 6, column 'revision': 'main' is no commit"):
        pin_tables(tables)


def test_offline_is_told_before_anything_is_asked(tables, hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        pin_tables(tables)
    assert hub.asked == []


def test_a_step_does_not_get_the_commit_of_its_model(tables, hub, tmp_path):
    # Otherwise every step of a pinned model would silently be its final weights.
    tables[0].write_text(MODELS.replace("owner/small\t\t", f"owner/small\t{B}\t"))
    (tmp_path / "s.yaml").write_text(STUDY)
    study = Study.load(tmp_path / "s.yaml")
    revisions = {c.name: c.revision for c in study.models["small"].checkpoints}
    assert revisions == {"step0": "", "step1": "", "final": B, "random-0": B}
    assert [c.name for _, c in unpinned(study.models.values())] == ["step0", "step1"]


def test_unpinned_checkpoints_are_one_mistake_that_names_the_command(tables, hub, tmp_path):
    (tmp_path / "s.yaml").write_text(STUDY)
    error = unpinned_mistake(Study.load(tmp_path / "s.yaml").models.values())
    assert error is not None
    assert "4 checkpoint(s) of 1 model(s) have no pinned commit" in str(error)
    assert "`convergent models pin <table> ...`" in str(error)
    pin_tables(tables)
    assert unpinned_mistake(Study.load(tmp_path / "s.yaml").models.values()) is None


def test_the_command_tells_what_it_wrote_and_fails_for_what_it_could_not(tables, hub):
    from typer.testing import CliRunner

    from convergent.cli import app

    del hub.commits["owner/small"]["step1"]
    shown = CliRunner().invoke(app, ["models", "pin", *map(str, tables), "--dry-run"])
    assert "2 commit(s) would be written, 1 row(s) left as they are" in shown.output
    assert tables[0].read_text() == MODELS
    result = CliRunner().invoke(app, ["models", "pin", *map(str, tables)])
    assert result.exit_code == 2
    assert f"+ small: owner/small: {B}" in result.output
    assert "! small step1: owner/small@step1: no branch 'step1'" in result.output
    assert B in tables[0].read_text()


def test_validate_tells_unpinned_weights_in_one_line(tables, tmp_path):
    from typer.testing import CliRunner

    from convergent.cli import app

    (tmp_path / "s.yaml").write_text(STUDY)
    command = ["validate", "--study", str(tmp_path / "s.yaml"), "--no-data"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    lines = [line for line in result.output.splitlines() if "pinned commit" in line]
    assert len(lines) == 1
    assert "4 checkpoint(s) of 1 model(s)" in lines[0]


def test_weights_without_a_commit_are_refused_with_the_command(tables, tmp_path):
    from convergent.models import make_manifest

    (tmp_path / "s.yaml").write_text(STUDY)
    model = Study.load(tmp_path / "s.yaml").models["small"]
    with pytest.raises(WeightsError, match=r"Fix: run `convergent models pin <table>`"):
        make_manifest(model, model.checkpoints[0])


def test_building_again_keeps_the_pins_of_models_and_of_branches(tables, hub, tmp_path):
    from convergent.zoo import Built, CheckpointRow, ModelRow, Table, write_tables

    def built(branch):
        model = ModelRow(
            model="small", family="f", modality="language", source="transformers",
            reference="owner/small", parameters=10, layers=("layers.0",), widths=(4,),
            layout="tokens", pooling="mean", attention="causal",
        )  # fmt: skip
        step = CheckpointRow(model="small", checkpoint="step0", step=0, branch=branch)
        final = CheckpointRow(model="small", checkpoint="final", step=2, final=True)
        return Built((Table("models.tsv", [model], ""), Table("c.tsv", [step, final], "")), {})

    write_tables(built("step0"), tmp_path)
    pin_tables([tmp_path / "models.tsv", tmp_path / "c.tsv"])
    pinned = [(tmp_path / name).read_text() for name in ("models.tsv", "c.tsv")]
    assert B in pinned[0]
    assert C in pinned[1]
    differences = write_tables(built("step0"), tmp_path)
    assert not any(differences.values())
    assert [(tmp_path / name).read_text() for name in ("models.tsv", "c.tsv")] == pinned
    write_tables(built("step1"), tmp_path)  # another branch: the old commit is not its
    assert C not in (tmp_path / "c.tsv").read_text()

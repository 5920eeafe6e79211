"""Whatever is wrong with a result is found, and what is named to run again is what is planned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from convergent.cli import app
from convergent.ops import runs
from convergent.ops.verify import mending, remove, verify
from convergent.store import open_store, write_store
from convergent.study import Study

LAYER = ("scenes", "tiny-vit", "final", "layers.1")
# What comes after a fit: the tables of its model, its family and the study.
AFTER = {"measure": 1, "family": 1, "correlate": 1, "report": 1}


@pytest.fixture
def place(workflow, monkeypatch):
    """The finished study as the working directory."""
    monkeypatch.chdir(workflow.folder)
    workflow.write()
    return workflow


def study():
    return Study.load("study.yaml")


def alignment(subject="sim01"):
    return Path(study().paths.alignment(*LAYER, subject))


def features():
    return Path(study().paths.features(*LAYER))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip(path):
    """Change one bit of a number."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def rewrite(path, kind, change):
    """Write a store again as another run would have."""
    store = open_store(path, kind)
    attrs = {key: value for key, value in store.attrs.items() if key not in ("kind", "software")}
    arrays = {name: (store.dims[name], store[name]) for name in store.arrays}
    change(arrays, attrs)
    write_store(path, kind, arrays, attrs)


def other_identity(path):
    def change(arrays, attrs):
        attrs["identity"] = "0" * 16
        for metric in attrs["metrics"].values():
            metric["identity"] = "0" * 16

    rewrite(path, "alignment", change)


def other_features(path):
    def change(arrays, attrs):
        dims, values = arrays["features"]
        arrays["features"] = (dims, values + np.float32(1))

    rewrite(path, "features", change)


def found(**options):
    return {(one.kind, one.path) for one in verify(study(), **options).findings}


def mend():
    findings = verify(study()).findings
    what = mending(study(), findings)
    remove(findings, what)
    assert not [path for path in what.bad if Path(path).exists()]
    return what


def test_a_finished_study_is_sound(place):
    checked = verify(study())
    assert not checked.findings and not checked.notes
    assert checked.checked == 83


@pytest.mark.parametrize(
    ("harm", "kind"),
    [(truncate, "damaged"), (flip, "damaged"), (other_identity, "settings")],
)
def test_a_bad_alignment_store_is_found_and_made_again(place, harm, kind):
    harm(alignment())
    assert found() == {(kind, str(alignment()))}
    what = mend()
    assert what.targets == [str(alignment())]
    assert place.plan() == {"fit": 1} | AFTER


def test_alignment_of_other_features_is_found_and_made_again(place):
    other_features(features())
    assert found() == {("inputs", str(alignment(who))) for who in ("sim01", "sim02")}
    what = mend()
    assert what.targets == [str(alignment())]  # one job makes both
    assert features().exists()
    assert place.plan() == {"fit": 1} | AFTER


def test_a_missing_store_of_finished_tables_is_found_and_made_again(place):
    alignment("sim02").unlink()
    assert not place.plan()  # Snakemake alone does not see it
    assert found() == {("missing", str(alignment("sim02")))}
    what = mend()
    assert place.plan() == {"fit": 1} | AFTER
    assert place.plan(*what.targets) == {"fit": 1}


def test_damaged_features_are_made_again_when_they_are_needed(place):
    truncate(features())
    assert found() == {("damaged", str(features()))}
    what = mend()
    assert not what.derived
    assert not place.plan()  # the fits are of what was there before
    assert place.plan(*what.targets) == {"extract": 1}


def test_features_of_other_settings_take_their_alignment_with_them(place):
    rewrite(features(), "features", lambda arrays, attrs: attrs.update(identity="0" * 16))
    assert found() == {
        ("settings", str(features())),
        *(("inputs", str(alignment(who))) for who in ("sim01", "sim02")),
    }
    mend()
    assert place.plan() == {"extract": 1, "fit": 1} | AFTER


def test_features_that_were_removed_to_save_space_are_no_fault(place):
    features().unlink()
    checked = verify(study())
    assert not checked.findings
    assert "2 alignment stores were not compared" in checked.notes[0]


def test_features_of_other_weights_are_found(place):
    path = Path(study().paths.weights("tiny-vit", "final"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "0" * 64}))
    wrong = {path for kind, path in found() if kind == "inputs"}
    layers = [study().paths.features(*LAYER[:3], layer) for layer in ("layers.0", "layers.1")]
    assert wrong >= set(layers)
    assert not [path for path in wrong if "random-0" in path or "gabor" in path]


@pytest.mark.parametrize("which", ["model", "family", "table"])
def test_a_table_that_cannot_be_read_is_found(place, which):
    name = {"model": "tiny-vit", "family": "tiny", "table": "correlations"}[which]
    path = Path(getattr(study().paths, which)(name))
    path.write_bytes(path.read_bytes()[:-50])
    assert found(quick=True) == {("damaged", str(path))}
    mend()
    stages = {"model": ["measure", "family"], "family": ["family"], "table": []}[which]
    assert place.plan() == {**dict.fromkeys(stages, 1), "correlate": 1, "report": 1}


def test_a_quick_look_finds_truncation_and_no_flipped_bit(place):
    flip(alignment())
    assert not found(quick=True)
    truncate(alignment())
    assert found(quick=True) == {("damaged", str(alignment()))}


def test_a_damaged_store_leaves_no_second_name_to_start_from(place):
    link = alignment().with_name(f".{alignment().name}")
    assert link.exists()
    link.unlink()
    link.hardlink_to(alignment())  # as a fit leaves it; the fixture's copy has two files
    truncate(alignment())
    mend()
    assert not link.exists()


def test_one_family_is_read_alone(place):
    truncate(alignment())
    assert not found(family="controls")
    assert found(family="tiny") == {("damaged", str(alignment()))}


def test_changed_settings_concern_what_they_decide(place):
    place.config["fit"]["seed"] = 7
    place.write()
    assert {kind for kind, _ in found()} == {"settings"}
    folders = {Path(path).parts[2].partition("-")[0] for _, path in found()}
    assert folders == {"alignment", "ceilings", "families", "models"}


def test_the_command_names_targets_and_deletes_only_when_told(place):
    flip(alignment())
    command = ["verify", "--study", "study.yaml"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 1 and alignment().exists()
    assert f"snakemake --configfile study.yaml --force {alignment()}" in told.output
    content = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    assert content["targets"] == content["bad"] == [str(alignment())]
    done = CliRunner().invoke(app, [*command, "--delete"])
    assert done.exit_code == 0 and not alignment().exists()


def test_nothing_is_deleted_while_snakemake_runs(place, monkeypatch):
    truncate(alignment())
    for log in runs.logs_in():
        text = log.read_text()
        log.write_text(text[: text.index("Complete log")])
    monkeypatch.setattr(runs, "is_alive", lambda run: True)
    done = CliRunner().invoke(app, ["verify", "--study", "study.yaml", "--delete"])
    assert "Snakemake is at work" in str(done.exception)
    assert alignment().exists()

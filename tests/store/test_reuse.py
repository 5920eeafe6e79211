"""A fit computes what is missing, and the store is what a fit of everything at once would write."""

from __future__ import annotations

import json

import numpy as np
import pytest

from convergent.pipeline import fit as stage
from convergent.pipeline.fit import fit
from convergent.store import open_store, write_store
from convergent.study import Study

LAYER = ("scenes", "tiny-vit", "final", "layers.1")
SUBJECTS = ("sim01", "sim02")


class Fits:
    """Fits of one layer in a copy of a finished study, and what of them was computed."""

    def __init__(self, workflow, monkeypatch):
        self.workflow, self.ran = workflow, []
        monkeypatch.chdir(workflow.folder)
        for name in ("ridge", "similarities"):
            monkeypatch.setattr(stage, name, self._counted(name, getattr(stage, name)))

    def _counted(self, name, function):
        def call(*arguments, **options):
            self.ran.append(name if name == "ridge" else " ".join(arguments[4]))
            return function(*arguments, **options)

        return call

    def study(self):
        self.workflow.write()
        return Study.load("study.yaml")

    def path(self, subject):
        return self.workflow.folder / self.study().paths.alignment(*LAYER, subject)

    def run(self, *, remove=True):
        """Run as Snakemake does, which removes the outputs first; the stores' bytes."""
        if remove:
            for subject in SUBJECTS:
                self.path(subject).unlink(missing_ok=True)
        self.ran.clear()
        fit(self.study(), "tiny-vit", "final", "layers.1", "scenes", None)
        return [self.path(subject).read_bytes() for subject in SUBJECTS]

    def forget(self):
        for path in self.path(SUBJECTS[0]).parent.iterdir():
            path.unlink()

    @property
    def metrics(self):
        return self.workflow.config["fit"]["metrics"]


@pytest.fixture
def fits(workflow, monkeypatch):
    monkeypatch.delenv("CONVERGENT_FIT_ANEW", raising=False)
    made = Fits(workflow, monkeypatch)
    workflow.config["fit"]["metrics"] = {"ridge": None, "cka": None}
    made.forget()
    made.run()
    assert made.ran == ["ridge", "cka"]
    return made


def test_what_is_there_is_not_computed_again(fits):
    before = fits.run()
    assert fits.ran == []
    assert fits.run(remove=False) == before


def test_a_metric_that_is_added_is_computed_alone(fits):
    fits.metrics["rsa_pearson"] = None
    added = fits.run()
    assert fits.ran == ["rsa_pearson"]
    fits.forget()
    assert fits.run() == added
    assert fits.ran == ["ridge", "cka rsa_pearson"]


def test_a_metric_that_is_taken_out_leaves_nothing_behind(fits):
    del fits.metrics["cka"]
    less = fits.run()
    assert fits.ran == []
    assert not [
        name for name in open_store(fits.path("sim01"), "alignment").arrays if "cka" in name
    ]
    fits.forget()
    assert fits.run() == less


def test_a_changed_key_computes_what_uses_it(fits):
    fits.workflow.config["fit"]["alphas"] = {"low": 0, "high": 6, "number": 4}
    changed = fits.run()
    assert fits.ran == ["ridge"]
    fits.forget()
    assert fits.run() == changed
    fits.workflow.config["fit"]["fixed_depth"] = 0.3  # used by the tables
    fits.run()
    assert fits.ran == []
    fits.workflow.config["fit"]["similarity_stimuli"] = 20
    fits.run()
    assert fits.ran == ["cka"]
    fits.workflow.config["fit"]["seed"] = 5
    fits.run()
    assert fits.ran == ["ridge", "cka"]


def test_an_added_subject_is_fitted_alone(fits, workflow):
    first = fits.run()[0]
    fits.path("sim02").unlink()
    fits.path("sim02").with_name(".sim02.zarr.zip").unlink()
    both = fits.run()
    assert both[0] == first
    assert len(fits.ran) == 2
    store = open_store(fits.path("sim02"), "alignment")
    assert store.attrs["subject"] == "sim02"


@pytest.mark.parametrize("kind", ["features", "responses"])
def test_other_inputs_under_the_same_settings_compute_all_anew(fits, kind):
    paths = fits.study().paths
    name = paths.features(*LAYER) if kind == "features" else paths.responses("scenes", "sim01")
    path = fits.workflow.folder / name
    store = open_store(path, kind)
    changed = {key: (store.dims[key], value) for key, value in store.arrays.items()}
    dims, values = changed[kind]
    changed[kind] = (dims, np.roll(values, 1, axis=0))
    before = fits.run()
    attrs = {key: value for key, value in store.attrs.items() if key not in ("kind", "software")}
    write_store(path, kind, changed, attrs)
    after = fits.run()
    assert fits.ran == ["ridge", "cka"]
    assert after[0] != before[0]
    assert (after[1] == before[1]) == (kind == "responses")


def test_a_forced_run_keeps_nothing(fits, monkeypatch):
    before = fits.run()
    monkeypatch.setattr("convergent.store.reuse.fits_anew", lambda: True)
    assert fits.run() == before
    assert fits.ran == ["ridge", "cka"]


def test_a_damaged_store_is_not_kept(fits, caplog):
    whole = fits.run()
    kept = fits.path("sim01").with_name(".sim01.zarr.zip")
    kept.unlink()
    kept.write_bytes(whole[0][: len(whole[0]) // 2])
    assert fits.run() == whole
    assert fits.ran == ["ridge", "cka"]
    assert "damaged" in caplog.text


def test_where_files_cannot_have_two_names_all_is_computed(fits, monkeypatch, caplog):
    def refuse(*_):
        raise OSError("not supported")

    whole = fits.run()
    monkeypatch.setattr("convergent.store.reuse.os.link", refuse)
    assert fits.run() == whole  # copied from what was kept
    assert fits.ran == []
    fits.forget()
    assert fits.run() == whole
    assert "no hard links" in caplog.text
    fits.run()
    assert fits.ran == ["ridge", "cka"]


def test_the_store_says_what_each_metric_is_made_from(fits):
    attrs = open_store(fits.path("sim01"), "alignment").attrs
    assert set(attrs["made_from"]) == {"features", "responses", "stimuli"}
    assert set(attrs["metrics"]) == {"ridge", "cka"}
    assert "cka_score" in attrs["metrics"]["cka"]["arrays"]
    assert attrs["metrics"]["ridge"]["software"]["numpy"] == np.__version__
    json.dumps(attrs)

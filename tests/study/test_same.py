"""Checkpoints that were published with the weights of another one."""

from __future__ import annotations

import pytest

from convergent.errors import TableError, WeightsError
from convergent.models import WeightsManifest, check_distinct
from convergent.study import Study, same_weights
from convergent.study.types import Checkpoint, Model


def checkpoint(name, same_as=""):
    return Checkpoint(name, "trained", None, "o/m", "a" * 40, None, False, same_as)


def model(key, *checkpoints):
    return Model(
        key=key, family="f", modality="language", source="transformers", reference="o/m",
        revision="", architecture="", parameters=1, layers=(), layout="tokens", pooling="mean",
        precision="float32", preprocessing={}, attention="causal", tags=(),
        checkpoints=checkpoints,
    )  # fmt: skip


def manifest(key, name, sha256):
    return WeightsManifest(
        model=key, checkpoint=name, modality="language", role="trained", source="transformers",
        reference="o/m", architecture="", revision="a" * 40, directory="", files=(),
        sha256=sha256, config_sha256="", bytes=0,
    )  # fmt: skip


MODELS = [
    model("a", checkpoint("step0"), checkpoint("step1", "step0"), checkpoint("step2")),
    model("b", checkpoint("step0", "a/step0"), checkpoint("step1", "step0")),
]


def test_copies_of_copies_go_back_to_one_origin():
    origin = ("a", "step0")
    expected = {("a", "step1"): origin, ("b", "step0"): origin, ("b", "step1"): origin}
    assert same_weights(MODELS) == expected
    # also where the study has left the first model out
    assert same_weights(MODELS[1:]) == {("b", "step0"): origin, ("b", "step1"): origin}


def test_rows_that_name_each_other_have_one_origin():
    pair = model("a", checkpoint("x", "y"), checkpoint("y", "x"), checkpoint("z", "x"))
    assert len(set(same_weights([pair]).values())) == 1


def test_declared_copies_are_no_mistake_and_others_are():
    copies = same_weights(MODELS)
    names = [("a", "step0"), ("a", "step1"), ("b", "step0"), ("b", "step1")]
    for order in (names, names[::-1]):
        check_distinct([manifest(*name, "same") for name in order], copies)
    with pytest.raises(WeightsError, match="column same_as"):
        check_distinct([manifest(*name, "same") for name in names])
    with pytest.raises(WeightsError, match="the same weights as model 'a', checkpoint 'step1'"):
        check_distinct([manifest("a", "step1", "same"), manifest("a", "step2", "same")], copies)


@pytest.mark.parametrize("text", ["step0", "net-a/step0", "a/b/c", "step5", "net-x/step0"])
def test_a_row_that_names_no_other_checkpoint_is_refused(files, text):
    table = files.folder / "checkpoints.tsv"
    lines = table.read_text().splitlines()
    columns = [lines[0] + "\tsame_as", lines[1] + f"\t{text}", *(f"{row}\t" for row in lines[2:])]
    table.write_text("\n".join(columns))
    with pytest.raises(TableError, match="line 2, column 'same_as': .* is no other checkpoint"):
        Study.load(files.path)

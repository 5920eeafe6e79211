import pytest

from convergent.errors import ModelError
from convergent.models import Options

KEYS = ("size", "mean", "skip", "mode")


def options(make_model, **values):
    return Options(make_model(preprocessing=values), KEYS)


def test_values_are_typed(make_model):
    row = options(make_model, size="32", mean="0.5,0.4,0.3", skip="yes", mode="crop")
    assert row.integer("size") == 32
    assert row.floats("mean", None, 3) == (0.5, 0.4, 0.3)
    assert row.flag("skip") and not options(make_model).flag("skip")
    assert row.choice("mode", "", ("crop", "squash")) == "crop"
    assert options(make_model, mean="0.5").floats("mean", None, 3) == (0.5,) * 3


def test_misspelt_option_is_not_ignored(make_model):
    with pytest.raises(ModelError, match=r"model 'tiny'.*unknown option 'sise'.*mean 'size'"):
        options(make_model, sise="32")


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ({"size": "big"}, lambda row: row.integer("size")),
        ({"size": "0"}, lambda row: row.integer("size")),
        ({}, lambda row: row.integer("size")),
        ({"mean": "1,2"}, lambda row: row.floats("mean", None, 3)),
        ({"mean": "x"}, lambda row: row.floats("mean", None, 3)),
        ({"skip": "true"}, lambda row: row.flag("skip")),
    ],
)
def test_values_that_make_no_sense_are_errors(values, read, make_model):
    with pytest.raises(ModelError, match="Fix: give"):
        read(options(make_model, **values))

"""Names that are accepted stay in their folder, mean one file each, and need no quotes."""

from __future__ import annotations

import glob
import inspect
import os
import re
import shlex
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from convergent.names import (
    folder_error,
    key_error,
    layer_error,
    layer_place,
    location_error,
    same_but_case,
)
from convergent.study.paths import Paths

_CHARACTERS = st.one_of(st.sampled_from("ab0._-@/\\ ~$`'\"*?{}()\n\t\0\u2028é"), st.characters())
TEXT = st.one_of(
    st.text(_CHARACTERS, max_size=12),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,180}", fullmatch=True),
    st.sampled_from(
        [
            "",
            ".",
            "..",
            "...",
            "a..",
            "a/..",
            "-",
            "-rf",
            "con",
            "a" * 151,
            "é",
            "a@1",
            "a@01",
            "a@",
            "a.@1",
            "@1",
            "a@1@2",
        ]
    ),
)
KEYS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", fullmatch=True)
LAYERS = st.from_regex(
    r"[A-Za-z0-9_]+([.-][A-Za-z0-9_-]+){0,4}(@(0|[1-9][0-9]{0,2}))?", fullmatch=True
).filter(lambda name: layer_error(name) is None)
NAMED = {
    name: list(inspect.signature(function).parameters)[1:]
    for name, function in inspect.getmembers(Paths, inspect.isfunction)
    if not name.startswith("_") and name != "log"
}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("encoder.layer.3", ("encoder.layer.3", None)),
        ("encoder.groups.0@2", ("encoder.groups.0", 2)),
        ("block@0", ("block", 0)),
        ("a@01", None),
        ("a@", None),
        ("a.@1", None),
        ("@1", None),
        ("a@1@2", None),
        ("a@-1", None),
        ("a@1.b", None),
    ],
)
def test_a_layer_is_a_module_and_one_of_its_runs(name, place):
    assert (layer_error(name) is None) == (place is not None)
    if place is not None:
        assert layer_place(name) == place


@given(name=TEXT)
def test_a_name_that_is_accepted_is_one_part_of_a_path_and_needs_no_quotes(name):
    for error in (key_error, layer_error):
        if error(name) is None:
            assert PurePosixPath(name).name == name
            assert name not in (".", "..")
            assert shlex.quote(name) == name
            assert glob.escape(name) == name
            assert name.format() == os.path.expandvars(name) == name
            assert not name.startswith(("-", "~"))
            assert len(f".{name}.zarr.zip.0123456789.0123456789abcdef.tmp".encode()) <= 255
        else:
            assert error(name).isprintable()


@pytest.mark.parametrize("method", sorted(NAMED))
@given(data=st.data())
def test_every_file_of_a_study_is_below_its_folder_and_says_what_it_is_of(method, data):
    parameters = NAMED[method]
    names = {
        parameter: data.draw(LAYERS if parameter == "layer" else KEYS, label=parameter)
        for parameter in parameters
    }
    paths = Paths("results/s")
    path = getattr(paths, method)(**names)
    assert os.path.normpath(path) == path
    assert PurePosixPath("results/s") in PurePosixPath(path).parents
    pattern = re.escape(getattr(paths, method)(**{name: f"<{name}>" for name in parameters}))
    for name in parameters:
        pattern = pattern.replace(re.escape(f"<{name}>"), f"(?P<{name}>[^/]+)", 1)
    match = re.fullmatch(pattern, path)
    assert match is not None
    assert match.groupdict() == names


@given(stage=KEYS, parts=st.lists(st.one_of(KEYS, LAYERS), min_size=1, max_size=5))
def test_logs_lie_below_the_study_too(stage, parts):
    path = Paths("results/s").log(stage, *parts)
    assert os.path.normpath(path) == path
    assert path.removesuffix(".log").split("/")[3:] == [stage, *parts]


@given(folder=TEXT)
def test_a_folder_of_results_means_the_same_everywhere(folder):
    error = folder_error(folder)
    if error is not None:
        assert error.isprintable()
        return
    assert ".." not in Path(folder).parts
    assert glob.escape(folder) == folder
    assert str(Path(folder).expanduser()) == str(Path(folder))
    assert os.path.expandvars(folder) == folder
    assert "{" not in folder and folder.isprintable()
    assert not any(part.startswith("-") for part in Path(folder).parts)


@pytest.mark.parametrize(
    "folder", ["results", "my results", "/scratch/me/results", "a/b", ".", "résultats", "a.b+c@d"]
)
def test_ordinary_folders_are_accepted(folder):
    assert folder_error(folder) is None


@pytest.mark.parametrize(
    "folder",
    ["", "..", "../..", "a/../b", "~", "~/x", "$HOME", "$(touch x)", "a;b", "-x", "a//b", "a\nb",
     "{model}", "a*", "a'b", 'a"b', " a", "a ", "/etc/../x", "a" * 200, "a/" * 600 + "a"],
)  # fmt: skip
def test_folders_that_a_shell_or_a_pattern_would_change_are_refused(folder):
    assert folder_error(folder) is not None


@given(path=TEXT)
def test_a_location_that_is_accepted_can_be_looked_up(path):
    assume(location_error(path) is None)
    Path(path).exists()  # neither a NUL nor a name that is too long


def test_names_that_differ_in_case_only_are_found():
    assert same_but_case(["a", "b", "A", "B", "a"]) == [("a", "A"), ("b", "B")]

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from convergent.brains import _registry, available_datasets, open_dataset, register_dataset
from convergent.errors import ConfigError, DataError, UnknownKeyError
from convergent.study import DatasetConfig


@dataclass(frozen=True, kw_only=True)
class ToyReader:
    name: str
    subjects_: tuple[str, ...] = ("s1", "s2")
    seed: Annotated[int, Field(ge=0)] = 0
    kind: Literal["small", "large"] = "small"

    modality: ClassVar[str] = "vision"
    design: ClassVar[str] = "items"
    simulated: ClassVar[bool] = True
    unusable: ClassVar[dict[str, str]] = {"s9": "the scanner stopped"}
    aggregates: ClassVar[tuple[str, ...]] = ("group",)

    def subjects(self) -> tuple[str, ...]:
        return self.subjects_


@pytest.fixture(autouse=True)
def _toy() -> Iterator[None]:
    before = dict(_registry._READERS)
    register_dataset("toy")(ToyReader)
    yield
    _registry._READERS.clear()
    _registry._READERS.update(before)


def config(**changes: Any) -> DatasetConfig:
    whole = {"reader": "toy", "modality": "vision", "design": "items", "subjects": ["s1"]}
    return DatasetConfig(**{**whole, **changes})


def test_a_reader_gets_its_name_and_its_checked_options() -> None:
    reader = open_dataset("scenes", config(options={"seed": "3", "kind": "large"}))
    assert reader == ToyReader(name="scenes", seed=3, kind="large")


def test_a_plain_class_may_be_given_the_subjects_of_the_study() -> None:
    class Plain:
        modality, design, simulated = "vision", "items", True

        def __init__(self, *, subjects: tuple[str, ...], seed=1) -> None:
            self.given, self.seed = subjects, seed

        def subjects(self) -> tuple[str, ...]:
            return self.given

    register_dataset("plain")(Plain)
    reader = open_dataset("x", config(reader="plain", subjects=["a", "b"], options={"seed": 5}))
    assert (reader.subjects(), reader.seed) == (("a", "b"), 5)
    with pytest.raises(ConfigError, match="has no option 'subjects'"):
        open_dataset("x", config(reader="plain", options={"subjects": ["a"]}))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"reader": "tpy"}, UnknownKeyError, "unknown reader 'tpy'.*did you mean 'toy'"),
        ({"options": {"sead": 1}}, ConfigError, "reader 'toy' has no option 'sead'.*mean 'seed'"),
        ({"options": {"name": "x"}}, ConfigError, "has no option 'name'"),
        ({"options": {"seed": -1}}, ConfigError, "option 'seed': .*greater than or equal to 0"),
        ({"options": {"kind": "huge"}}, ConfigError, "option 'kind': .*'small' or 'large'"),
        ({"modality": "language"}, ConfigError, "modality is 'language' but reader 'toy' gives"),
        ({"design": "story"}, ConfigError, "Fix: set design: items"),
        ({"subjects": ["s11"]}, UnknownKeyError, "unknown subject 's11'.*did you mean 's1'"),
        ({"subjects": ["s1", "s9"]}, DataError, "'s9' cannot be used: the scanner stopped"),
    ],
)
def test_mistakes_name_the_data_set_and_the_way_out(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        open_dataset("scenes", config(**changes))
    assert "data set 'scenes'" in str(caught.value)


def test_an_aggregate_may_stand_for_a_subject() -> None:
    reader = open_dataset("scenes", config(subjects=["group"]))
    assert "group" not in reader.subjects()


def test_two_readers_of_one_name_collide_but_the_same_one_twice_does_not() -> None:
    register_dataset("toy")(ToyReader)

    @dataclass
    class Other:
        x: list[int] = field(default_factory=list)

    with pytest.raises(ConfigError, match="'toy' is registered twice"):
        register_dataset("toy")(Other)
    with pytest.raises(ConfigError, match="'alice' is registered twice"):
        register_dataset("alice")(Other)


def test_mutable_defaults_stay_the_readers_own() -> None:
    @dataclass
    class Listing:
        modality: ClassVar[str] = "vision"
        design: ClassVar[str] = "items"
        items: list[int] = field(default_factory=list)

        def subjects(self) -> tuple[str, ...]:
            return ("s1",)

    register_dataset("listing")(Listing)
    assert open_dataset("x", config(reader="listing")).items == []


def test_every_built_in_reader_loads_and_says_what_it_is() -> None:
    assert "alice" in available_datasets()
    for name in available_datasets():
        reader = _registry._load(name, "here")
        if name == "own":  # its file says
            continue
        assert reader.modality in ("vision", "language")
        assert reader.design in ("items", "story")


def test_naming_the_readers_imports_none_of_them() -> None:
    code = (
        "import sys, convergent.brains as b; b.available_datasets();"
        "assert not any(m.startswith(('convergent.brains.alice', 'convergent.brains.simulated',"
        " 'torch')) for m in sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

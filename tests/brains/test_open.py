from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from convergent.brains import open_dataset
from convergent.errors import ConfigError, DataError, UnknownKeyError
from convergent.registry import READERS
from convergent.study import DatasetConfig


class Toy:
    """What every reader has."""

    location_options = file_options = frozenset[str]()
    stimuli_of_subjects = False

    def stimuli(self) -> None: ...

    def responses(self, subject: str) -> None: ...

    def regions(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ToyReader(Toy):
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
def _toy(registries: None) -> None:
    READERS.register("toy")(ToyReader)


def config(**changes: Any) -> DatasetConfig:
    whole = {"reader": "toy", "modality": "vision", "design": "items", "subjects": ["s1"]}
    return DatasetConfig(**{**whole, **changes})


def test_a_reader_gets_its_name_and_its_checked_options() -> None:
    reader = open_dataset("scenes", config(options={"seed": "3", "kind": "large"}))
    assert reader == ToyReader(name="scenes", seed=3, kind="large")


def test_a_plain_class_may_be_given_the_subjects_of_the_study() -> None:
    class Plain(Toy):
        modality, design, simulated = "vision", "items", True

        def __init__(self, *, subjects: tuple[str, ...], seed=1) -> None:
            self.given, self.seed = subjects, seed

        def subjects(self) -> tuple[str, ...]:
            return self.given

    READERS.register("plain")(Plain)
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


def test_mutable_defaults_stay_the_readers_own() -> None:
    @dataclass
    class Listing(Toy):
        modality: ClassVar[str] = "vision"
        design: ClassVar[str] = "items"
        items: list[int] = field(default_factory=list)

        def subjects(self) -> tuple[str, ...]:
            return ("s1",)

    READERS.register("listing")(Listing)
    assert open_dataset("x", config(reader="listing")).items == []


def test_every_built_in_reader_says_what_it_is() -> None:
    for name in set(READERS.names()) - {"own"}:  # its file says
        reader = READERS.load(name)
        assert reader.modality in ("vision", "language")
        assert reader.design in ("items", "story")

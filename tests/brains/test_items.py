from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergent.brains import Responses, align, join_items
from convergent.errors import DataError, IdError, NumericalError

IDS = np.array(["a", "b", "c", "d", "e"])


def responses(ids: list[str], data: np.ndarray | None = None) -> Responses:
    if data is None:
        data = np.arange(len(ids) * 2, dtype=np.float32).reshape(-1, 2)
    return Responses(
        dataset="toy",
        subject="s1",
        design="items",
        data=data,
        region=np.array(["V1", "V2"]),
        noise_ceiling=np.full(2, np.nan),
        stimulus_id=np.array(ids),
    )


@given(st.permutations(range(5)), st.permutations(range(5)))
def test_align_finds_each_stimulus_whatever_the_orders(first: list[int], second: list[int]) -> None:
    stimuli, answered = IDS[first], IDS[second]
    assert (stimuli[align(stimuli, answered)] == answered).all()


@given(st.permutations(range(5)))
def test_joined_rows_do_not_depend_on_the_order_of_the_responses(order: list[int]) -> None:
    data = np.arange(10, dtype=np.float32).reshape(5, 2)
    features, rows = join_items(IDS, responses(list(IDS[order]), data[order]))
    np.testing.assert_array_equal(features, np.arange(5))
    np.testing.assert_array_equal(data[order][rows], data)


def test_a_subset_is_an_error_unless_it_is_allowed() -> None:
    seen = responses(["d", "b"])
    with pytest.raises(IdError, match=r"subject 's1'.*3 of 5 stimuli have no response: a, c, e"):
        join_items(IDS, seen)
    features, rows = join_items(IDS, seen, require_all=False)
    assert features.tolist() == [1, 3]
    assert rows.tolist() == [1, 0]


@pytest.mark.parametrize("require_all", [True, False])
def test_a_response_to_an_unknown_stimulus_is_always_an_error(require_all: bool) -> None:
    with pytest.raises(IdError, match="1 of 5 responses answer unknown stimuli: x"):
        align(IDS, np.array(["a", "b", "c", "d", "x"]), require_all=require_all)


@pytest.mark.parametrize("side", ["stimuli", "responses"])
def test_duplicates_are_errors_on_either_side(side: str) -> None:
    twice = np.array(["a", "b", "b", "d", "e"])
    pair = (twice, IDS) if side == "stimuli" else (IDS, twice)
    with pytest.raises(IdError, match=f"1 ids occur more than once among the {side}: b"):
        align(*pair, require_all=False)


def test_no_response_at_all_is_an_error() -> None:
    with pytest.raises(IdError, match="there is no response"):
        align(IDS, np.array([], dtype=str), require_all=False)


def test_many_wrong_ids_are_counted_and_a_few_are_named() -> None:
    wrong = np.array([f"x{number}" for number in range(20)])
    with pytest.raises(IdError, match=r"20 of 20 .* x0, x1, x2, x3, x4, \.\.\."):
        align(IDS, wrong)


def test_integer_like_ids_are_compared_as_text() -> None:
    with pytest.raises(IdError, match="unknown stimuli: 01"):
        align(np.array(["1", "2"]), np.array(["01", "2"]))


def test_a_story_is_not_joined_by_id() -> None:
    story = Responses(
        dataset="toy",
        subject="s1",
        design="story",
        data=np.zeros((3, 1), dtype=np.float32),
        region=np.array(["V1"]),
        noise_ceiling=np.array([0.5]),
        tr=2.0,
        start=0.0,
    )
    with pytest.raises(DataError, match="carry no stimulus ids"):
        join_items(IDS, story)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": np.array(["V1"])}, "region has shape"),
        ({"noise_ceiling": np.zeros(3)}, "noise_ceiling has shape"),
        ({"stimulus_id": np.array(["a"])}, "stimulus_id has shape"),
        ({"stimulus_id": None}, "without stimulus_id"),
        ({"data": np.zeros(3, dtype=np.float32)}, "give .sample, target"),
        ({"design": "story"}, "a story with tr None"),
    ],
)
def test_malformed_responses_are_refused(change: dict[str, object], message: str) -> None:
    whole: dict[str, object] = {
        "dataset": "toy",
        "subject": "s1",
        "design": "items",
        "data": np.zeros((2, 2), dtype=np.float32),
        "region": np.array(["V1", "V2"]),
        "noise_ceiling": np.zeros(2),
        "stimulus_id": np.array(["a", "b"]),
    }
    with pytest.raises(DataError, match=message):
        Responses(**{**whole, **change})


def test_non_finite_responses_are_refused_and_their_regions_named() -> None:
    with pytest.raises(NumericalError, match=r"'s1': .* in 1 targets \(regions V2\)"):
        responses(["a", "b"], np.array([[1, np.nan], [2, 3]], dtype=np.float32))

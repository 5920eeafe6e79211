"""What must not change a score."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from convergent.alignment import Problem, item_orders
from convergent.alignment.similarity import (
    compare,
    compare_layers,
    compare_subjects,
    similarity_names,
)
from convergent.alignment.similarity.inputs import plan_blocks
from convergent.errors import ConfigError, DataError

FEW = settings(max_examples=6, deadline=None)
SEEDS = st.integers(0, 10**6)
INDEX = np.repeat([0, 1, -1, 2], [6, 9, 2, 4])
CKA = [name for name in similarity_names() if name.startswith("cka")]
ALL = {
    **dict.fromkeys(similarity_names()),
    "cka_rbf": {"scales": [0.3, 1.0, 3.0]},
    "cka_rbf_biased": {"scales": [0.3, 1.0, 3.0]},
    "knn": {"k": 4},
}


def data(seed, n=24, p=7):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * rng.uniform(0.5, 2, p) + rng.normal(size=p)
    return x, rng.normal(size=(n, INDEX.size)) + rng.normal(size=(n, 1)) * x[:, :1]


def scores(x, y, metrics=ALL, index=INDEX, regions=3, **options):
    return compare(x, y, index, regions, metrics, **{"dtype": "float64", **options})


def same(one, other, tolerance=1e-8):
    for metric in one:
        for name in ("score", "null", "half_score", "half_null"):
            a, b = getattr(one[metric], name), getattr(other[metric], name)
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(a, b, atol=tolerance, err_msg=f"{metric} {name}")


@FEW
@given(SEEDS, st.integers(2, 50))
def test_rotating_features_changes_no_cka_and_no_neighbours(seed, p):
    x, y = data(seed, p=p)
    rotated = x @ ortho_group.rvs(p, random_state=seed)
    metrics = {name: ALL[name] for name in [*CKA, "knn"]}
    same(scores(x, y, metrics), scores(rotated, y, metrics))


@FEW
@given(SEEDS)
def test_moving_the_origin_changes_no_cka(seed):
    x, y = data(seed)
    offset = 100 * np.random.default_rng(seed).normal(size=x.shape[1])
    metrics = {name: ALL[name] for name in CKA}
    same(scores(x, y, metrics), scores(x + offset, y - 7, metrics))


@FEW
@given(SEEDS)
def test_an_offset_and_scale_of_each_pattern_changes_no_rsa(seed):
    x, y = data(seed)
    rng = np.random.default_rng(seed)
    moved = x * rng.uniform(0.1, 10, (len(x), 1)) + rng.normal(size=(len(x), 1))
    metrics = {name: None for name in ALL if name.startswith("rsa")}
    same(scores(x, y, metrics), scores(moved, y, metrics))


@FEW
@given(SEEDS, st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_scaling_either_side_changes_nothing(seed, one, other):
    x, y = data(seed)
    same(scores(x, y), scores(one * x, other * y))


@FEW
@given(SEEDS)
def test_order_of_the_stimuli_changes_nothing(seed):
    x, y = data(seed)
    order = np.random.default_rng(seed).permutation(len(x))
    ids = np.arange(len(x))
    same(
        scores(x, y, permutations=item_orders(ids, permutations=3, seed=seed)),
        scores(x[order], y[order], permutations=item_orders(ids[order], permutations=3, seed=seed)),
    )


@FEW
@given(SEEDS)
def test_order_of_targets_and_regions_changes_nothing(seed):
    x, y = data(seed)
    order = np.random.default_rng(seed).permutation(INDEX.size)
    same(scores(x, y), scores(x, y[:, order], index=INDEX[order]))
    alone = scores(x, y[:, INDEX == 2], index=np.zeros(4, int), regions=1)
    for metric, found in scores(x, y).items():
        np.testing.assert_allclose(found.score[:, [2]], alone[metric].score, atol=1e-10)


@FEW
@given(SEEDS)
def test_swapping_the_sides_changes_nothing(seed):
    x, y = data(seed)
    y = y[:, INDEX == 1]
    one = scores(x, y, index=np.zeros(y.shape[1], int), regions=1)
    same(one, scores(y, x, index=np.zeros(x.shape[1], int), regions=1))


@FEW
@given(SEEDS)
def test_a_representation_with_itself_scores_1_and_none_scores_more(seed):
    x, y = data(seed)
    for found in scores(x, x, index=np.zeros(x.shape[1], int), regions=1).values():
        np.testing.assert_allclose(found.score, 1, atol=1e-10)
    for found in scores(x, y).values():
        assert (np.abs(found.score) <= 1 + 1e-10).all()


def halves_and_orders(n, permutations=5):
    rng = np.random.default_rng(0)
    first, second = np.arange(0, n, 2), np.arange(1, n, 2)
    orders = np.tile(np.arange(n), (permutations, 1))
    for order in orders:
        order[first], order[second] = rng.permutation(first), rng.permutation(second)
    return [first, second], orders


@pytest.mark.parametrize("memory", [36_000, 60_000, 200_000, 10**7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_changes_nothing(memory, dtype):
    x, y = data(0, p=90)
    halves, orders = halves_and_orders(24)
    options = {"halves": halves, "permutations": orders, "dtype": dtype}
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    same(scores(x, y, **options), scores(x, y, memory=memory, **options), tolerance)


def test_too_little_memory_is_an_error_that_says_how_much_is_needed():
    x, y = data(0)
    with pytest.raises(ConfigError, match=r"give at least (\d+) bytes") as error:
        scores(x, y, memory=1000)
    needed = int(re.search(r"(\d+) bytes", error.value.fix)[1])
    scores(x, y, memory=needed)
    with pytest.raises(ConfigError):
        scores(x, y, memory=needed - 1)


@pytest.mark.parametrize("shared", [True, False])
def test_subjects_together_are_as_each_alone(shared):
    x, y = data(1)
    halves, orders = halves_and_orders(24)
    others = orders if shared else orders[::-1]
    problems = [
        Problem(y, orders, INDEX),
        Problem(y[:, 3:] ** 3, others, INDEX[3:]),
        Problem(-y, None, INDEX),
    ]
    together = compare_subjects(x, problems, 3, ALL, halves=halves, dtype="float64")
    for problem, found in zip(problems, together, strict=True):
        alone = scores(
            x,
            problem.responses,
            index=problem.region_index,
            permutations=problem.permutations,
            halves=halves,
        )
        same(found, alone, 1e-12)


def test_halves_are_as_if_the_other_stimuli_had_never_been_read():
    x, y = data(2)
    x[:, 0] = 3000 + 50 * x[:, 0]
    halves, orders = halves_and_orders(24)
    halves[1] = halves[1][:-3][::-1]
    orders = orders[:, np.arange(24)]
    for order in orders:
        order[[19, 21, 23]] = [19, 21, 23]
        rest = halves[1]
        order[rest] = np.random.default_rng(order[0]).permutation(rest)
    both = scores(x, y, halves=halves, permutations=orders)
    for i, half in enumerate(halves):
        position = {row: k for k, row in enumerate(half)}
        inside = [[position[row] for row in order[half]] for order in orders]
        alone = scores(x[half], y[half], permutations=inside)
        for metric, found in both.items():
            np.testing.assert_allclose(found.half_score[i], alone[metric].score, atol=1e-9)
            np.testing.assert_allclose(found.half_null[:, i], alone[metric].null, atol=1e-9)


def test_orders_that_mix_the_halves_are_refused():
    x, y = data(0)
    halves, orders = halves_and_orders(24)
    orders[3, [0, 1]] = orders[3, [1, 0]]
    with pytest.raises(ConfigError, match="out of their half"):
        scores(x, y, halves=halves, permutations=orders)


@given(
    vectors=st.integers(1, 100),
    regions=st.integers(1, 400),
    layers=st.integers(1, 24),
    orders=st.integers(1, 1001),
    stimuli=st.integers(4, 2000),
    memory=st.integers(1, 2**33),
)
def test_blocks_fit_in_memory(vectors, regions, layers, orders, stimuli, memory):
    pairs = stimuli * (stimuli - 1) // 2
    try:
        blocks = plan_blocks(
            vectors=vectors,
            regions=regions,
            layers=layers,
            orders=orders,
            stimuli=stimuli,
            pairs=pairs,
            item_bytes=4,
            memory=memory,
        )
    except ConfigError:
        assert memory < 48 * stimuli**2
        return
    sides = blocks.vectors * (blocks.layers * stimuli**2 + blocks.regions * pairs) * 4
    assert sides + blocks.orders * pairs * (4 + 4) <= memory
    assert 1 <= blocks.layers <= layers
    assert 1 <= blocks.vectors <= vectors
    assert 1 <= blocks.regions <= regions
    assert 1 <= blocks.orders <= orders


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("memory", [60_000, 2**30])
def test_layers_and_subjects_together_score_bit_for_bit_as_each_alone(dtype, memory):
    x, y = data(0)
    rng = np.random.default_rng(5)
    layers = [x, rng.normal(size=(24, 7)), np.hstack([x, x[:, ::-1] ** 2])]
    halves, orders = halves_and_orders(24)
    problems = [Problem(y, orders, INDEX), Problem(y[:, ::-1] + 1, orders, INDEX)]
    options = {"halves": halves, "dtype": dtype, "memory": memory}
    metrics = {"cka": None, "cka_rbf": {"scales": [0.5, 2]}, "knn": {"k": 3}}
    together = compare_layers(layers, problems, 3, metrics, **options)
    for found, layer in zip(together, layers, strict=True):
        for both, problem in zip(found, problems, strict=True):
            (alone,) = compare_subjects(layer, [problem], 3, metrics, **options)
            for name in metrics:
                for part in ("score", "null", "half_score", "half_null"):
                    np.testing.assert_array_equal(
                        getattr(both[name], part), getattr(alone[name], part)
                    )


def test_layers_of_different_stimuli_are_refused():
    x, y = data(0)
    problem = Problem(y, None, np.zeros(y.shape[1], dtype=int))
    with pytest.raises(DataError, match="2 different numbers of stimuli"):
        compare_layers([x, x[1:]], [problem], 1, {"cka": None})

import hashlib

import numpy as np
import pytest

from convergent.extraction import project, projection_matrix


@pytest.mark.parametrize(("inputs", "outputs"), [(5000, 400), (400, 200), (20000, 100)])
def test_distances_survive(inputs, outputs):
    rng = np.random.default_rng(0)
    points = rng.standard_normal((40, inputs)).astype(np.float32)
    points[:, : inputs // 50] *= 10  # some features dominate, as in real layers
    small = project(points, outputs, seed=1)
    i, j = np.triu_indices(len(points), 1)
    ratio = np.linalg.norm(small[i] - small[j], axis=1) / np.linalg.norm(
        points[i] - points[j], axis=1
    )
    assert abs(ratio.mean() - 1) < 0.05 and ratio.std() < 2 / np.sqrt(outputs)


def test_squared_length_is_right_in_expectation():
    x = np.random.default_rng(1).standard_normal((1, 300)).astype(np.float32)
    lengths = [np.sum(project(x, 50, seed) ** 2) for seed in range(400)]
    error = np.std(lengths) / np.sqrt(len(lengths))
    assert abs(np.mean(lengths) - np.sum(x**2)) < 4 * error


def test_matrix_is_the_same_on_every_machine():
    matrix = projection_matrix(1000, 64, 7)
    matrix.sort_indices()
    content = matrix.indices.astype("<i8").tobytes() + matrix.data.astype("<f4").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "080e4b9e5e40c2fd"
    assert np.array_equal(np.diff(matrix.indptr), np.full(1000, 2))


def test_seeds_and_sizes_give_other_matrices():
    first = projection_matrix(100, 20, 0).toarray()
    assert np.array_equal(first, projection_matrix(100, 20, 0).toarray())
    assert not np.array_equal(first, projection_matrix(100, 20, 1).toarray())


def test_narrow_layers_stay_as_they_are():
    features = np.ones((3, 10), dtype=np.float32)
    assert project(features, 10, 0) is features
    assert project(features, None, 0) is features


def test_rows_do_not_depend_on_each_other():
    features = np.random.default_rng(2).standard_normal((6, 500)).astype(np.float32)
    whole = project(features, 30, 0)
    assert project(features[2:3], 30, 0).tobytes() == whole[2:3].tobytes()

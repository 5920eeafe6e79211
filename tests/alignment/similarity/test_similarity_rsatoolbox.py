"""RSA and its noise ceiling agree with rsatoolbox."""

import numpy as np
import pytest
import rsatoolbox
from rsatoolbox.inference import boot_noise_ceiling

from convergent.alignment.similarity import compare, rsa_noise_ceiling

THEIRS = {
    "rsa_spearman": "spearman",
    "rsa_pearson": "corr",
    "rsa_cosine": "cosine",
    "rsa_whitened": "cosine_cov",
}


def rdm(values):
    dataset = rsatoolbox.data.Dataset(values, obs_descriptors={"stimulus": np.arange(len(values))})
    return rsatoolbox.rdm.calc_rdm(dataset, method="correlation", descriptor="stimulus")


@pytest.mark.parametrize("metric", THEIRS)
@pytest.mark.parametrize(("n", "width", "targets"), [(5, 3, 2), (12, 40, 7), (25, 8, 60)])
def test_rsa(metric, n, width, targets):
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, width)) + rng.normal(size=(n, 1))
    y = x[:, [0]] * rng.normal(size=targets) + rng.normal(size=(n, targets)) + 3
    if targets == 2:  # distances are 0 or 2 to rounding, which rsatoolbox ranks as they are
        y = np.column_stack([y, rng.normal(size=n)])
    found = compare(x, y, np.zeros(y.shape[1], int), 1, {metric: None}, dtype="float64")[metric]
    theirs = rsatoolbox.rdm.compare(rdm(x), rdm(y), method=THEIRS[metric])
    assert found.score.item() == pytest.approx(theirs.item(), abs=1e-8)


@pytest.mark.parametrize("metric", THEIRS)
@pytest.mark.parametrize("subjects", [2, 5])
def test_noise_ceiling(metric, subjects):
    rng = np.random.default_rng(subjects)
    shared = rng.normal(size=(9, 20))
    rdms = [rdm(shared + rng.normal(size=(9, 20))) for _ in range(subjects)]
    together = rsatoolbox.rdm.concat(rdms)
    lower, upper = rsa_noise_ceiling(together.get_vectors(), metric.removeprefix("rsa_"))
    theirs = boot_noise_ceiling(together, method=THEIRS[metric])
    np.testing.assert_allclose([lower, upper], theirs, atol=1e-8)
    assert 0 < lower < upper < 1

"""Ceilings recover planted noise in r^2 units; dimensionality recovers planted directions."""

import numpy as np
import pytest

from convergent.alignment import effective_dimensionality, normalise_by_ceiling, pearson
from convergent.brains.noise import (
    intersubject_correlation,
    leave_one_subject_out_ceiling,
    ncsnr_ceiling,
    split_half_ceiling,
)
from convergent.errors import DataError, NumericalError

NOISE = np.array([0.25, 1.0, 4.0])


def repeated(stimuli=1500, repeats=3, targets=60, seed=0):
    """Signal of variance 1; noise of variance NOISE in thirds of the targets."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(stimuli, targets))
    sd = np.sqrt(np.repeat(NOISE, targets // 3))
    return signal, signal + sd * rng.normal(size=(repeats, stimuli, targets))


def thirds(values):
    return values.reshape(3, -1).mean(axis=1)


def test_ncsnr_ceiling_is_the_r2_of_the_true_signal_with_mixed_repeats_and_sessions():
    _, data = repeated()
    stimulus = np.tile(np.arange(1500), 3)
    betas = data.reshape(4500, -1)
    kept = ~((stimulus < 500) & (np.arange(4500) >= 1500))
    session = np.random.default_rng(1).integers(0, 5, 4500)
    betas = betas * (1 + session)[:, None] + 10 * session[:, None]
    found = ncsnr_ceiling(betas[kept], stimulus[kept], session[kept])
    a = (500 / 1 + 1000 / 3) / 1500
    np.testing.assert_allclose(thirds(found), 1 / (1 + a * NOISE), atol=0.02)


def test_ncsnr_ceiling_equals_the_squared_correlation_of_a_perfect_model():
    signal, data = repeated()
    found = ncsnr_ceiling(data.reshape(4500, -1), np.tile(np.arange(1500), 3))
    perfect = pearson(signal, data.mean(axis=0)) ** 2
    np.testing.assert_allclose(thirds(found), thirds(perfect), atol=0.02)


def test_split_half_ceiling_steps_up_to_all_repeats_also_odd_ones():
    for repeats in (2, 5):
        _, data = repeated(repeats=repeats)
        found = split_half_ceiling(data, halves=10)
        np.testing.assert_allclose(thirds(found), 1 / (1 + NOISE / repeats), atol=0.02)


def test_ceilings_of_noise_are_near_zero_and_of_noiseless_data_one():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, 400, 50))
    clean = np.repeat(noise[:1], 3, axis=0)
    stimulus = np.tile(np.arange(400), 3)
    assert ncsnr_ceiling(noise.reshape(1200, -1), stimulus).mean() < 0.06
    assert split_half_ceiling(noise).mean() < 0.1
    assert leave_one_subject_out_ceiling(noise).mean() < 0.01
    np.testing.assert_allclose(ncsnr_ceiling(clean.reshape(1200, -1), stimulus), 1, atol=1e-12)
    np.testing.assert_allclose(split_half_ceiling(clean), 1, atol=1e-12)
    np.testing.assert_allclose(leave_one_subject_out_ceiling(clean), 1, atol=1e-12)


@pytest.mark.parametrize("subjects", [3, 30])
def test_leave_one_subject_out_ceiling_is_low_by_the_documented_factor(subjects):
    _, data = repeated(repeats=subjects, targets=30)
    found = thirds(leave_one_subject_out_ceiling(data).mean(axis=0))
    expected = 1 / (1 + NOISE) / (1 + NOISE / (subjects - 1))
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert (found <= 1 / (1 + NOISE) + 0.01).all()


def test_intersubject_correlation_is_with_the_mean_of_the_others_and_signed():
    data = np.random.default_rng(0).normal(size=(3, 50, 2)) + 1e6
    data[0] = 2e6 - data[1:].mean(axis=0)
    found = intersubject_correlation(data)
    np.testing.assert_allclose(found[0], -1, atol=1e-6)
    others = data[[0, 2]].mean(axis=0)
    np.testing.assert_allclose(found[1], pearson(others, data[1]), atol=1e-6)
    assert (leave_one_subject_out_ceiling(data)[0] == 0).all()


def test_constant_targets_have_no_ceiling():
    _, data = repeated(stimuli=50, targets=3)
    data[:, :, 1] = 5.0
    betas, stimulus = data.reshape(150, 3), np.tile(np.arange(50), 3)
    for found in (
        ncsnr_ceiling(betas, stimulus),
        split_half_ceiling(data),
        leave_one_subject_out_ceiling(data)[0],
    ):
        np.testing.assert_array_equal(np.isnan(found), [False, True, False])


def test_data_without_repeats_or_with_nan_are_refused():
    betas = np.random.default_rng(0).normal(size=(10, 2))
    with pytest.raises(DataError, match="no stimulus was repeated"):
        ncsnr_ceiling(betas, np.arange(10))
    with pytest.raises(DataError, match="one session a trial"):
        ncsnr_ceiling(betas, np.zeros(10), np.zeros(9))
    with pytest.raises(DataError, match="1 repeats"):
        split_half_ceiling(betas[None])
    with pytest.raises(DataError, match="1 subjects"):
        intersubject_correlation(betas[None])
    with pytest.raises(NumericalError, match="20 of 20"):
        ncsnr_ceiling(betas * np.nan, np.zeros(10))


def test_normalising_keeps_the_sign_and_hides_untrustworthy_ceilings():
    found = normalise_by_ceiling(
        [0.5, -0.5, 0.5, 0.1, 0.3], [0.25, 0.25, np.nan, 0.01, 0.04], threshold=0.04
    )
    np.testing.assert_allclose(found, [1, -1, np.nan, np.nan, 1.5])
    assert np.isnan(normalise_by_ceiling(0.1, 0.0, threshold=0.0))


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)])
def test_effective_dimensionality_equals_the_eigenvalue_formula(shape):
    x = np.random.default_rng(0).normal(size=shape) * np.linspace(1, 5, shape[1]) + 3
    values = np.linalg.eigvalsh(np.cov(x.T))
    expected = values.sum() ** 2 / (values**2).sum()
    assert effective_dimensionality(x) == pytest.approx(expected, rel=1e-10)
    assert effective_dimensionality(x * 1e-200) == pytest.approx(expected, rel=1e-8)


def test_effective_dimensionality_counts_planted_directions():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(50, 4)))[0]
    assert effective_dimensionality(rng.normal(size=(5000, 4)) @ basis.T) == pytest.approx(
        4, abs=0.1
    )
    assert effective_dimensionality(np.full((10, 3), 0.1)) == 0
    with pytest.raises(NumericalError):
        effective_dimensionality(np.full((10, 3), np.nan))

"""A linear probe in closed form: ridge regression onto classes, its penalty chosen in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convergent.alignment.constant import is_constant_array

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

ALPHAS = np.logspace(-1, 6, 15)
TEMPERATURES = np.logspace(-0.5, 2.5, 25)


@dataclass(frozen=True)
class Probe:
    """How well classes can be read out linearly.

    Attributes
    ----------
    accuracy : float
        Share of stimuli whose class gets the highest score.
    log_loss : float
        Mean negative log probability of the class, in nats.
    alpha : tuple of float
        Penalty chosen in each half.
    """

    accuracy: float
    log_loss: float
    alpha: tuple[float, ...]


def linear_probe(features: NDArray[np.floating], labels: Labels, half: Labels) -> Probe:
    """Train on one half, score on the other, both ways round.

    Features are standardised on the training half. Scores are those of a ridge regression onto
    one-hot classes; probabilities are their softmax at a temperature. Penalty and temperature are
    those with the lowest leave-one-out log loss within the training half.

    Parameters
    ----------
    features : ndarray, shape (stimulus, feature)
    labels : ndarray of int, shape (stimulus,)
        Classes 0 to n - 1.
    half : ndarray of int, shape (stimulus,)
        0 or 1.

    Returns
    -------
    Probe
        Over all stimuli, each scored once.
    """
    classes = int(labels.max()) + 1
    correct, losses, alphas = [], [], []
    for training in (half == 0, half == 1):
        log_probability, alpha = _fit(
            features[training].astype(np.float64),
            labels[training],
            features[~training].astype(np.float64),
            classes,
        )
        truth = labels[~training]
        correct.append(log_probability.argmax(axis=1) == truth)
        losses.append(-log_probability[np.arange(truth.size), truth])
        alphas.append(alpha)
    return Probe(
        accuracy=float(np.concatenate(correct).mean()),
        log_loss=float(np.concatenate(losses).mean()),
        alpha=tuple(alphas),
    )


def _fit(x: Array, labels: Labels, x_test: Array, classes: int) -> tuple[Array, float]:
    usable = ~is_constant_array(x)
    x, x_test = _standardised(x[:, usable], x_test[:, usable])
    targets = np.eye(classes)[labels]
    prior = targets.mean(axis=0)
    u, singular, vt = np.linalg.svd(x, full_matrices=False)
    projected = u.T @ (targets - prior)
    best = (np.inf, 0.0, 0.0)
    for alpha in ALPHAS:
        shrink = singular**2 / (singular**2 + alpha)
        leverage = (u**2) @ shrink + 1.0 / len(x)
        fitted = prior + u @ (shrink[:, None] * projected)
        left_out = targets - (targets - fitted) / np.maximum(1.0 - leverage, 1e-6)[:, None]
        for temperature in TEMPERATURES:
            loss = _loss(temperature * left_out, labels)
            if loss < best[0]:
                best = (loss, float(alpha), float(temperature))
    _, alpha, temperature = best
    weights = (vt.T * (singular / (singular**2 + alpha))) @ projected
    return _log_softmax(temperature * (prior + x_test @ weights)), alpha


def _standardised(x: Array, x_test: Array) -> tuple[Array, Array]:
    """Mean 0 and variance 1 in training; large means and small units cost no digits."""
    first = x[:1]
    mean = (x - first).mean(axis=0)
    x, x_test = (part - first - mean for part in (x, x_test))
    size = np.abs(x).max(axis=0, initial=0.0)
    x, x_test = x / size, x_test / size
    scale = np.sqrt((x**2).mean(axis=0))
    return x / scale, x_test / scale


def _loss(scores: Array, labels: Labels) -> float:
    return float(-_log_softmax(scores)[np.arange(labels.size), labels].mean())


def _log_softmax(scores: Array) -> Array:
    shifted = scores - scores.max(axis=1, keepdims=True)
    normalised: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised

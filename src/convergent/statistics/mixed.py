"""Mixed model with a random intercept a family, and a test that holds with few families."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from convergent.statistics.correlation import is_constant
from convergent.statistics.families import ICC_GRID, MINIMUM_FAMILIES, Array, Families

_LARGE = 1e12
_STEP = 0.05  # of the grid of shares


class MixedEffect(NamedTuple):
    """One fixed effect.

    Attributes
    ----------
    term : str
    estimate, standard_error : float
        In units of the outcome per unit of the term.
    low, high : float
        Interval, from the bootstrap's quantile of |estimate / standard error|.
    p : float
        Two-sided, from the same bootstrap.
    standardised : float
        In standard deviations of the outcome per standard deviation of the term.
    """

    term: str
    estimate: float
    standard_error: float
    low: float
    high: float
    p: float
    standardised: float


class MixedFit(NamedTuple):
    """A fitted mixed model.

    Attributes
    ----------
    effects : tuple of MixedEffect
    icc : float
        Share of the residual variance that lies between families.
    solver : str
        ``statsmodels``; or ``grid``, the best of a grid of that share, where statsmodels found
        no maximum of the likelihood.
    reason : str
        Why there are no effects; empty otherwise.
    """

    effects: tuple[MixedEffect, ...]
    icc: float
    solver: str
    reason: str


def mixed_model(
    outcome: ArrayLike,
    effects: Mapping[str, ArrayLike],
    family: Sequence[str],
    *,
    draws: int,
    seed: int,
    level: float = 0.95,
) -> MixedFit:
    """Fit outcome ~ effects + (1 | family) by restricted maximum likelihood, and test each effect.

    Estimates and standard errors are statsmodels'. A z test of them rejects too often with few
    families (benchmarks/calibration_performance.py), so that each effect is tested by a
    parametric bootstrap: outcomes drawn from the model without the effect, fitted again with it.

    Parameters
    ----------
    outcome : array_like, shape (model,)
    effects : dict of str to array_like, shape (model,)
    family : sequence of str, length model
    draws : int
    seed : int
    level : float, default 0.95

    Returns
    -------
    MixedFit

    References
    ----------
    Halekoh & Hojsgaard (2014), A Kenward-Roger approximation and parametric bootstrap methods
    for tests in linear mixed models, Journal of Statistical Software 59(9).
    """
    y = np.asarray(outcome, dtype=np.float64)
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in effects.items()}
    families = Families.of(family)
    reason = _why_not(y, columns, families)
    if reason:
        return MixedFit((), math.nan, "", reason)
    unit_y, units = float(y.std()), {name: float(v.std()) for name, v in columns.items()}
    z = (y - y.mean()) / unit_y
    design = np.stack([np.ones(y.size), *((v - v.mean()) / v.std() for v in columns.values())], 1)
    found, solver = _fit(z, design, families)
    rng_seed = [seed, y.size, families.size.size]
    rows = []
    for index, (name, unit) in enumerate(units.items(), start=1):
        estimate, error = float(found.estimate[index]), float(found.error[index])
        null = _null(design, index, families, draws, [*rng_seed, index], z)
        t = abs(estimate / error)
        p = (int(np.sum(null >= t - 1e-9)) + 1) / (draws + 1)
        rank = math.ceil(level * (draws + 1)) - 1
        half = float(null[rank] if rank < null.size else _LARGE) * error
        scale = unit_y / unit
        low, high = scale * (estimate - half), scale * (estimate + half)
        rows.append(MixedEffect(name, scale * estimate, scale * error, low, high, p, estimate))
    return MixedFit(tuple(rows), found.icc, solver, "")


def _why_not(y: Array, columns: Mapping[str, Array], families: Families) -> str:
    if families.size.size < MINIMUM_FAMILIES:
        return f"{families.size.size} families; the model needs at least {MINIMUM_FAMILIES}"
    if y.size < len(columns) + 4:
        return f"{y.size} models are too few for {len(columns)} effects"
    same = [name for name, values in columns.items() if is_constant(values)]
    if same or is_constant(y):
        return f"{', '.join(same) or 'the outcome'} is the same for every model"
    design = np.stack([(v - v.mean()) / v.std() for v in columns.values()], axis=1)
    if np.linalg.cond(design) > 1e6:
        return f"{', '.join(columns)} cannot be told apart"
    return ""


class _Fit(NamedTuple):
    estimate: Array
    error: Array
    icc: float


def _fit(y: Array, design: Array, families: Families) -> tuple[_Fit, str]:
    """Fit with statsmodels; where the families' variance is zero, that is least squares."""
    import statsmodels.api as sm

    icc, _ = _profile(design, y[None], families)
    if icc[0] == 0:
        plain = sm.OLS(y, design).fit()
        return _Fit(np.asarray(plain.params), np.asarray(plain.bse), 0.0), "statsmodels"
    grid = _by_profile(y, design, families)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn of is looked at below
        try:
            fitted: Any = sm.MixedLM(y, design, groups=families.member).fit(reml=True)
        except np.linalg.LinAlgError:
            return grid, "grid"
        between = float(np.asarray(fitted.cov_re)[0, 0])
        error = np.asarray(fitted.bse)[: design.shape[1]]
    share = between / (between + float(fitted.scale))
    # it may stop at a variance of zero, and say that it converged
    if abs(share - grid.icc) > _STEP or not np.isfinite(error).all():
        return grid, "grid"
    return _Fit(np.asarray(fitted.fe_params), error, share), "statsmodels"


def _by_profile(y: Array, design: Array, families: Families) -> _Fit:
    icc = float(_profile(design, y[None], families)[0][0])
    white = _whiten(np.concatenate([design, y[:, None]], axis=1), icc, families)
    x, z = white[:, :-1], white[:, -1]
    inverse = np.linalg.inv(x.T @ x)
    estimate = inverse @ x.T @ z
    residual = z - x @ estimate
    variance = float(residual @ residual) / (y.size - x.shape[1])
    return _Fit(estimate, np.sqrt(variance * np.diag(inverse)), icc)


def _null(
    design: Array, index: int, families: Families, draws: int, seed: list[int], y: Array
) -> Array:
    """Draw |t| of one effect where it is zero, sorted, (draws,).

    The statistic does not change with the other effects or the unit, so that only the share
    between families is taken from the data.
    """
    others = np.delete(design, index, axis=1)
    icc = float(_profile(others, y[None], families)[0][0])
    rng = np.random.default_rng(seed)
    between = rng.standard_normal((draws, families.size.size))[:, families.member]
    own = rng.standard_normal((draws, families.models))
    drawn = math.sqrt(icc) * between + math.sqrt(1 - icc) * own
    last = np.concatenate([others, design[:, index : index + 1]], axis=1)
    return np.sort(np.abs(_profile(last, drawn, families)[1]))


def _profile(design: Array, y: Array, families: Families) -> tuple[Array, Array]:
    """Share between families by the restricted likelihood, and t of the design's last column.

    Parameters
    ----------
    design : ndarray, shape (model, term)
    y : ndarray, shape (draw, model)

    Returns
    -------
    icc, t : ndarray, shape (draw,)
    """
    n, terms = design.shape
    membership = np.zeros((n, families.size.size))
    membership[np.arange(n), families.member] = 1
    mean = y @ (membership / families.size)
    within = (y**2).sum(axis=1) - mean**2 @ families.size
    lowest, icc, t = (np.full(len(y), value) for value in (np.inf, 0.0, 0.0))
    grid = ICC_GRID if families.within else ICC_GRID[:1]
    for share in grid:
        ratio = share / (1 - share)
        # square roots of the inverse covariance, applied to the design twice: to y not at all
        q, r = np.linalg.qr(_whiten(design, share, families))
        projected = y @ _whiten(q, share, families)
        weighted = within + mean**2 @ (families.size / (1 + families.size * ratio))
        residual = np.maximum(weighted - (projected**2).sum(axis=1), 1e-12 * weighted)
        deviance = (
            (n - terms) * np.log(residual)
            + np.log1p(families.size * ratio).sum()
            + 2 * np.log(np.abs(np.diag(r))).sum()
        )
        better = deviance < lowest - 1e-9
        lowest[better], icc[better] = deviance[better], share
        # the last coefficient over its error: the last column of q is the one that is left over
        now = np.sign(r[-1, -1]) * projected[:, -1] / np.sqrt(residual / (n - terms))
        t[better] = now[better]
    return icc, t


def _whiten(columns: Array, icc: float, families: Families) -> Array:
    """Multiply by the square root of the inverse of 1 + ratio within families."""
    sums = np.zeros((families.size.size, columns.shape[1]))
    np.add.at(sums, families.member, columns)
    shrink = 1 - 1 / np.sqrt(1 + families.size * icc / (1 - icc))
    return np.asarray(columns - ((shrink / families.size)[:, None] * sums)[families.member])

"""Tests of performance against alignment where both run in families and nothing relates them.

Designs are sizes of families; performance and alignment each have a share of their variance
between families (ICC), 0.3 to 0.6 for the published scores in config/models. The tests:

- naive: r with models taken as independent (t test, what a permutation of models gives);
- family test: `convergent.statistics.family_correlation`, the headline's;
- Clifford-Dutilleul: its t with the effective number of models and no bootstrap;
- CR2: least squares with cluster-robust errors (Bell & McCaffrey) and their degrees of freedom;
- family means: permutation of the families' means, one model or eighteen alike;
- mixed, z: the slope of alignment ~ performance + (1 | family) over its error;
- mixed, bootstrap: `convergent.statistics.mixed_model`'s test of it.
"""

from __future__ import annotations

import numpy as np
from _rates import Row, rate_row
from scipy import stats

from convergent.statistics import Families, contamination_effect, family_correlation
from convergent.statistics.correlation import weighted_pearson
from convergent.statistics.families import (
    Moments,
    correlation_variance,
    intraclass,
    null_statistics,
)
from convergent.statistics.mixed import _null, _profile

DRAWS = 4000  # of the null, shared by simulations with the same shares
SHARES = ((0.5, 0.5), (0.8, 0.8), (0.95, 0.95), (0.3, 0.9))
HARD = "t3, unequal spread"  # heavy tails, and families of unlike spread


def _zipf(models: int, families: int) -> list[int]:
    weight = np.arange(1, families + 1) ** -0.8
    sizes = np.maximum(1, np.round(models * weight / weight.sum())).astype(int)
    sizes[0] += models - sizes.sum()
    return [int(size) for size in sizes]


DESIGNS = {
    "43 models, 18 in one of 11 families": [18, 6, 5, 4, 3, 2, 1, 1, 1, 1, 1],
    "36 models, 11 families": [12, 6, 4, 3, 3, 2, 2, 1, 1, 1, 1],
    "594 models, 40 families": _zipf(594, 40),
    "12 models, 6 families": [2] * 6,
    "12 models, 4 families": [3] * 4,
}


POWERED = (
    "43 models, 18 in one of 11 families",
    "594 models, 40 families",
    "12 models, 6 families",
)


def run(seed: int, *, quick: bool) -> list[Row]:
    """Rates without an effect, coverage, and power."""
    count = 200 if quick else 3000
    rows: list[Row] = []
    for name, sizes in DESIGNS.items():
        for shares in SHARES:
            rows += _null_rows(name, sizes, shares, "", count, seed, full=shares == (0.8, 0.8))
        rows += _null_rows(name, sizes, (0.8, 0.8), HARD, count, seed, full=False)
    for share in (0.95, 0.99):  # too few: why `MINIMUM_FAMILIES` is 4
        x, y, families = _pairs([3] * 3, (share, share), (0.0, 0.0), count, seed, "")
        design = f"9 models, 3 families, ICC {share:g} and {share:g}"
        p = family_tests(x, y, families)[1]
        rows.append(_row(design, "family test, were it made", p, kind="other"))
    for name in POWERED:
        rows += _effect_rows(name, DESIGNS[name], count, seed)
    rows += _contamination_rows(60 if quick else 1000, seed)
    return rows


def _null_rows(
    name: str,
    sizes: list[int],
    shares: tuple[float, float],
    kind: str,
    count: int,
    seed: int,
    *,
    full: bool,
) -> list[Row]:
    x, y, families = _pairs(sizes, shares, (0.0, 0.0), count, seed, kind)
    design = f"{name}, ICC {shares[0]:g} and {shares[1]:g}" + f", {kind}" * bool(kind)
    r, p = family_tests(x, y, families)
    rows = [_row(design, "naive", _t_test(r, families.models), kind="naive")]
    rows.append(_row(design, "family test", p))
    if full:
        few = slice(0, count // 3)
        rows.append(_row(design, "Clifford-Dutilleul", _clifford(x, y, families), kind="other"))
        rows += _others(design, x[few], y[few], families, "other")
        z, bootstrap = _mixed(x[: count // 10], y[: count // 10], families)
        rows.append(_row(design, "mixed, z", z, kind="naive"))
        # few simulations: each has a null of its own
        limits = (0.02, 0.08)
        hits = int((bootstrap <= 0.05).sum())
        rows.append(
            rate_row("performance", design, "mixed, bootstrap", hits, bootstrap.size, limits=limits)
        )
        rows += _coverages(design, x[few], y[few], families, 0.0)
    return rows


def _effect_rows(name: str, sizes: list[int], count: int, seed: int) -> list[Row]:
    """Power and coverage where r is 0.5, alike between and within families."""
    rows = []
    few = slice(0, count // 3)
    for share in (0.5, 0.8):
        x, y, families = _pairs(sizes, (share, share), (0.5, 0.5), count, seed, "")
        design = f"{name}, ICC {share:g}, r 0.5"
        rows.append(_row(design, "family test", family_tests(x, y, families)[1], kind="power"))
        rows += _others(design, x[few], y[few], families, "power")
        _, bootstrap = _mixed(x[: count // 4], y[: count // 4], families)
        rows.append(_row(design, "mixed, bootstrap", bootstrap, kind="power"))
        rows += _coverages(design, x[few], y[few], families, 0.5)
    # The worst for the interval: models of a family alike in alignment but not in performance,
    # and r therefore unlike between and within families.
    x, y, families = _pairs(sizes, (0.3, 0.9), (0.0, 0.0), few.stop, seed, "")
    mixed = 0.85 * x + np.sqrt(1 - 0.85**2) * y
    design = f"{name}, r 0.85, unlike between and within families"
    rows += _coverages(design, x, mixed, families, 0.85, demanded=False)
    return rows


def _others(design: str, x: np.ndarray, y: np.ndarray, families: Families, kind: str) -> list[Row]:
    return [
        _row(design, "CR2", _cr2(x, y, families), kind=kind),
        _row(design, "family means", _means(x, y, families), kind=kind),
    ]


def _row(design: str, test: str, p: np.ndarray, *, kind: str = "guard") -> Row:
    return rate_row("performance", design, test, int((p <= 0.05).sum()), p.size, kind=kind)


def _coverages(
    design: str,
    x: np.ndarray,
    y: np.ndarray,
    families: Families,
    truth: float,
    *,
    demanded: bool = True,
) -> list[Row]:
    """Shares of intervals that hold the truth: the family test's, and resampled families'."""
    labels = families.names[families.member].tolist()
    rng = np.random.default_rng(11)
    count = families.size.size
    weights = rng.multinomial(count, np.full(count, 1 / count), size=500)[:, families.member]
    held = resampled = 0
    for a, b in zip(x, y, strict=True):
        found = family_correlation(a, b, labels, draws=999, seed=0)
        held += int(found.low <= truth <= found.high)
        r = weighted_pearson(a, b, weights.astype(np.float64))
        low, high = np.nanquantile(r, [0.025, 0.975])
        resampled += int(low <= truth <= high)
    rows = [
        rate_row(
            "performance",
            design,
            test,
            hits,
            len(x),
            kind="coverage",
            nominal=0.95,
            limits=(0.93, 0.98),
        )
        for test, hits in (
            ("interval of the family test", held),
            ("family bootstrap, percentile", resampled),
        )
    ]
    rows[1]["passed"] = None
    return rows if demanded else [row | {"passed": None} for row in rows]


def family_tests(x: np.ndarray, y: np.ndarray, families: Families) -> tuple[np.ndarray, np.ndarray]:
    """r and p of many samples at once; the first is `family_correlation`'s to the digit.

    Parameters
    ----------
    x, y : ndarray, shape (simulation, model)
    """
    moments = Moments.of(x, y, families)
    r = moments.correlation(families.size)
    icc_x = intraclass(moments.mean_x, moments.within_xx, families)
    icc_y = intraclass(moments.mean_y, moments.within_yy, families)
    error = np.sqrt(correlation_variance(icc_x, icc_y, families.size))
    key = tuple(np.sort(families.size))
    p = np.empty(r.size)
    for i in range(r.size):
        null = null_statistics(key, float(icc_x[i]), float(icc_y[i]), DRAWS, 0)
        at_least = null.size - np.searchsorted(null, abs(np.arctanh(r[i])) / error[i] - 1e-9)
        p[i] = (at_least + 1) / (DRAWS + 1)
    labels = families.names[families.member].tolist()
    one = family_correlation(x[0], y[0], labels, draws=DRAWS, seed=0)
    assert one.reason or np.allclose([one.r, one.p], [r[0], p[0]]), "the loop is not the test"
    return r, p


def _t_test(r: np.ndarray, n: int) -> np.ndarray:
    return np.asarray(2 * stats.t.sf(np.abs(r) * np.sqrt((n - 2) / (1 - r**2)), n - 2))


def _clifford(x: np.ndarray, y: np.ndarray, families: Families) -> np.ndarray:
    moments = Moments.of(x, y, families)
    icc_x = intraclass(moments.mean_x, moments.within_xx, families)
    icc_y = intraclass(moments.mean_y, moments.within_yy, families)
    effective = 1 + 1 / correlation_variance(icc_x, icc_y, families.size)
    r = moments.correlation(families.size)
    freedom = np.maximum(effective - 2, 0.5)
    return np.asarray(2 * stats.t.sf(np.abs(r) * np.sqrt(freedom / (1 - r**2)), freedom))


def _cr2(x: np.ndarray, y: np.ndarray, families: Families) -> np.ndarray:
    """Least squares of y on x, errors by family: Bell & McCaffrey (2002), the slope."""
    member = [np.flatnonzero(families.member == f) for f in range(families.size.size)]
    p = np.empty(len(x))
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        design = np.stack([np.ones(a.size), a], axis=1)
        bread = np.linalg.inv(design.T @ design)
        residual = b - design @ (bread @ design.T @ b)
        hat = design @ bread @ design.T
        slope = (bread @ design.T @ b)[1]
        variance, columns = 0.0, []
        for rows in member:
            value, vector = np.linalg.eigh(np.eye(rows.size) - hat[np.ix_(rows, rows)])
            keep = value > 1e-10
            root = (vector[:, keep] / np.sqrt(value[keep])) @ vector[:, keep].T
            weight = root @ design[rows] @ bread[:, 1]
            variance += float(weight @ residual[rows]) ** 2
            column = -hat[:, rows] @ weight
            column[rows] += weight
            columns.append(column)
        # Satterthwaite's degrees of freedom under independent errors
        products = np.stack(columns) @ np.stack(columns).T
        freedom = np.trace(products) ** 2 / (products**2).sum()
        p[i] = 2 * stats.t.sf(abs(slope) / np.sqrt(max(variance, 1e-300)), freedom)
    return p


def _means(x: np.ndarray, y: np.ndarray, families: Families) -> np.ndarray:
    """Permute the families' means of y among families."""
    moments = Moments.of(x, y, families)
    rng = np.random.default_rng(5)
    a = moments.mean_x - moments.mean_x.mean(axis=1, keepdims=True)
    b = moments.mean_y - moments.mean_y.mean(axis=1, keepdims=True)
    orders = np.stack([rng.permutation(families.size.size) for _ in range(499)])
    found = np.abs((a * b).sum(axis=1))
    null = np.abs(np.einsum("sf,sof->so", a, b[:, orders]))
    return np.asarray(((null >= found[:, None] - 1e-12).sum(axis=1) + 1) / 500)


def _mixed(x: np.ndarray, y: np.ndarray, families: Families) -> tuple[np.ndarray, np.ndarray]:
    z, bootstrap = np.empty(len(x)), np.empty(len(x))
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        design = np.stack([np.ones(a.size), (a - a.mean()) / a.std()], axis=1)
        response = (b - b.mean()) / b.std()
        t = abs(float(_profile(design, response[None], families)[1][0]))
        null = _null(design, 1, families, 299, [0, i], response)
        z[i], bootstrap[i] = 2 * stats.norm.sf(t), (np.sum(null >= t) + 1) / 300
    return z, bootstrap


def _contamination_rows(count: int, seed: int) -> list[Row]:
    """Tagged models like all others: is a difference found?"""
    rows = []
    for name in ("43 models, 18 in one of 11 families", "36 models, 11 families"):
        for share, r in ((0.5, 0.0), (0.5, 0.6), (0.8, 0.5)):
            x, y, families = _pairs(DESIGNS[name], (share, share), (r, r), count, seed, "")
            rng = np.random.default_rng([seed, 7])
            labels = families.names[families.member].tolist()
            hits = 0
            for i in range(count):
                two = rng.choice(families.size.size, 2, replace=False)
                tagged = np.isin(families.member, two) | (rng.random(families.models) < 0.05)
                found = contamination_effect(x[i], y[i], labels, tagged, draws=299, seed=i)
                hits += int(found.p <= 0.05)
            design = f"{name}, ICC {share:g}, r {r:g}, tags mean nothing"
            rows.append(rate_row("performance", design, "effect of tagged models", hits, count))
    return rows


def _pairs(
    sizes: list[int],
    shares: tuple[float, float],
    r: tuple[float, float],
    count: int,
    seed: int,
    kind: str,
) -> tuple[np.ndarray, np.ndarray, Families]:
    """Draw pairs with r between and r within families, (simulation, model)."""
    rng = np.random.default_rng([seed, sum(sizes), len(sizes)])
    families = Families.of(np.repeat(np.arange(len(sizes)), sizes).astype(str))

    def draw(columns: int) -> np.ndarray:
        shape = (2, count, columns)
        if kind == HARD:
            return np.asarray(rng.standard_t(3, shape) / np.sqrt(3))
        return rng.standard_normal(shape)

    between, own = draw(families.size.size), draw(families.models)
    if kind == HARD:
        spread = np.exp(rng.normal(0, 0.5, (2, count, families.size.size)))
        own *= (spread / np.sqrt((spread**2).mean(axis=2, keepdims=True)))[:, :, families.member]
    for values, one in ((between, r[0]), (own, r[1])):
        values[1] = one * values[0] + np.sqrt(1 - one**2) * values[1]
    x, y = (
        np.sqrt(share) * between[i][:, families.member] + np.sqrt(1 - share) * own[i]
        for i, share in enumerate(shares)
    )
    return x, y, families

"""Calibration of the tests of scale and depth: shift of peaks, flat curves, convergence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from _rates import LIMITS, Row, rate_row
from calibration_regions import smooth_fields
from numpy.typing import NDArray
from scipy import stats

from convergent.alignment import Problem
from convergent.alignment.similarity import compare_layers
from convergent.brains.atlas import sphere_of
from convergent.statistics import (
    corrected_r,
    flatness,
    profile_r,
    scale_shift,
    spin_maps,
    surface_of,
    two_sample_jackknife,
)

Floats = NDArray[np.float64]
TOPIC = "scale"
SCALES = (0.35, 0.5, 0.71, 1.0, 1.41, 2.0)
STEPS = np.log2(SCALES)
STIMULI, REGIONS, FAMILIES = 60, 24, 6
AT_MOST = (0.0, LIMITS[1])


def run(seed: int, *, quick: bool = False) -> list[Row]:
    """All rows of this topic."""
    scale = 10 if quick else 1
    rng = np.random.default_rng([seed, 2])
    return [
        *independent(rng, 500 // scale),
        *heights(rng, 2000 // scale),
        *moved(rng, 300 // scale),
        *noisy(rng, 300 // scale),
        *flat(rng, 2000 // scale),
        *maps(rng, 1000 // scale),
        *trend(rng, 600 // scale),
    ]


def _scores(layers: list[Floats], responses: Floats, region: NDArray[np.intp]) -> dict[str, Floats]:
    """Unbiased and biased RBF-CKA by the package's own code, (family, region, scale)."""
    metrics = {"cka_rbf": {"scales": SCALES}, "cka_rbf_biased": {"scales": SCALES}}
    found = compare_layers(
        layers, [Problem(responses, None, region)], REGIONS, metrics, dtype="float64"
    )
    return {name: np.stack([one[0][name].score.T for one in found]) for name in metrics}


def _sizes() -> tuple[Floats, NDArray[np.intp]]:
    """Regions that grow along the axis: the trap for a biased score."""
    size = np.round(np.geomspace(4, 200, REGIONS)).astype(int)
    return np.linspace(0, 1, REGIONS), np.repeat(np.arange(REGIONS), size)


def independent(rng: np.random.Generator, number: int) -> list[Row]:
    """Random features of many widths and random responses of regions of many sizes."""
    position, region = _sizes()
    rows = []
    for words, shared in (("independent noise", 0.0), ("noise shared by regions", 1.0)):
        hits = dict.fromkeys(("cka_rbf", "cka_rbf_biased"), 0)
        for _ in range(number):
            common = rng.standard_normal((STIMULI, 10)) @ rng.standard_normal((10, region.size))
            responses = rng.standard_normal((STIMULI, region.size)) + shared * common / 10**0.5
            layers = [
                rng.standard_normal((STIMULI, int(2 ** rng.uniform(3, 9)))) for _ in range(FAMILIES)
            ]
            scores = _scores(layers, responses, region)
            for name, values in scores.items():
                hits[name] += scale_shift(values, STEPS, position).p < 0.05
        design = f"random features and responses ({words}), regions grow along the axis"
        rows += [
            rate_row(TOPIC, design, "shift, unbiased CKA", hits["cka_rbf"], number),
            rate_row(
                TOPIC, design, "shift, biased CKA", hits["cka_rbf_biased"], number, kind="naive"
            ),
        ]
    return rows


def heights(rng: np.random.Generator, number: int) -> list[Row]:
    """Curves of one shape whose height falls along the axis."""
    position = np.linspace(0, 1, REGIONS)
    shape = np.exp(-((STEPS - 0.6) ** 2) / 2)
    guard, naive = 0, 0
    for _ in range(number):
        height = (0.3 - 0.25 * position) * np.exp(0.3 * rng.standard_normal((FAMILIES, 1)))
        values = height[:, :, None] * shape
        values = values + 0.02 * rng.standard_normal((FAMILIES, REGIONS, STEPS.size))
        guard += scale_shift(values, STEPS, position).p < 0.05
        tilt = (values @ (STEPS - STEPS.mean())) @ (position - position.mean())
        naive += stats.ttest_1samp(tilt, 0).pvalue < 0.05
    design = "curves of one shape, their height falls along the axis"
    return [
        rate_row(TOPIC, design, "shift of the centre", guard, number),
        rate_row(TOPIC, design, "slope over scale against the axis", naive, number, kind="naive"),
    ]


class _Found(NamedTuple):
    """p values of simulated studies, (study,), and their slopes."""

    families: Floats
    places: Floats
    given: Floats
    slope: Floats


def _hierarchy(
    rng: np.random.Generator, number: int, *, fine: Floats, noise: float, follows: float = 0.0
) -> _Found:
    """Regions that share coarse clusters of stimuli with models, and to some part what is fine.

    Each region mixes what it sees in a way of its own. Its noise may follow the axis, by a
    correlation of `follows`; ``given`` are p values given each region's share of noise.
    """
    position, _ = _sizes()
    region = np.repeat(np.arange(REGIONS), 30)
    turned = np.stack([rng.permutation(position) for _ in range(999)])
    rows = []
    for _ in range(number):
        clusters = rng.standard_normal((6, 5))[np.arange(STIMULI) % 6] * 1.5
        within = rng.standard_normal((STIMULI, 5))

        def seen(width: int, amount: float, rest: float, c: Floats = clusters, w: Floats = within):
            latent = np.hstack([c, amount * w])
            mixed = latent @ rng.standard_normal((latent.shape[1], width))
            return mixed + rest * rng.standard_normal((STIMULI, width))

        own = rng.standard_normal(REGIONS)
        mixed = follows * stats.zscore(position) + np.sqrt(1 - follows**2) * own
        amount = noise * np.exp(0.5 * mixed) if follows else np.full(REGIONS, noise)
        layers = [seen(int(2 ** rng.uniform(5, 8)), 1.0, 0.5) for _ in range(FAMILIES)]
        responses = np.hstack(
            [seen(30, float(f), float(a)) for f, a in zip(fine, amount, strict=True)]
        )
        values = _scores(layers, responses, region)["cka_rbf"]
        plain = scale_shift(values, STEPS, position, spun=turned)
        ceiling = (11.25 + 5 * fine**2) / (11.25 + 5 * fine**2 + amount**2)
        given = scale_shift(values, STEPS, position, spun=turned, given=ceiling[:, None])
        rows.append((plain.p, plain.p_spin, given.p_spin, plain.slope))
    return _Found(*np.array(rows).T)


def moved(rng: np.random.Generator, number: int) -> list[Row]:
    """Late regions keep the coarse structure of the stimuli and lose the fine one."""
    rows = []
    for loss in (0.0, 0.5, 1.0):
        fine = 1 - loss * np.linspace(0, 1, REGIONS)
        found = _hierarchy(rng, number, fine=fine, noise=2.0)
        words = f"regions lose {100 * loss:.0f} % of the fine structure along the axis"
        design = f"{words} (slope {found.slope.mean():+.2f} octaves)"
        kind = "power" if loss else "guard"
        hits = int((found.places < 0.05).sum())
        rows.append(rate_row(TOPIC, design, "shift over places", hits, number, kind=kind))
        hits = int((found.families < 0.05).sum())
        kind = "power" if loss else "naive"
        rows.append(rate_row(TOPIC, design, "shift over families", hits, number, kind=kind))
    return rows


def noisy(rng: np.random.Generator, number: int) -> list[Row]:
    """One structure everywhere, but noisier regions lie further along the axis."""
    found = _hierarchy(rng, number, fine=np.ones(REGIONS), noise=2.5, follows=0.6)
    design = f"noise follows the axis, r = 0.6 (slope {found.slope.mean():+.2f} octaves)"
    given, plain = int((found.given < 0.05).sum()), int((found.places < 0.05).sum())
    return [
        rate_row(TOPIC, design, "shift given the noise ceiling", given, number),
        rate_row(TOPIC, design, "shift, nothing given", plain, number, kind="naive"),
    ]


def flat(rng: np.random.Generator, number: int) -> list[Row]:
    """Curves over scales without slope or bend, scales correlated."""
    root = np.linalg.cholesky(np.exp(-((STEPS[:, None] - STEPS) ** 2) / 2) + 1e-9 * np.eye(6))
    rows = []
    for families in (4, 8):
        hits, peaks = 0, 0
        for _ in range(number):
            curves = 0.1 + rng.standard_normal((families, 6)) @ root.T
            hits += flatness(curves, STEPS) < 0.05
            top = curves.mean(axis=0).argmax()
            peaks += 0 < top < 5
        design = f"flat curves of {families} families"
        rows += [
            rate_row(TOPIC, design, "slope and bend (Hotelling)", hits, number),
            rate_row(TOPIC, design, "highest score inside the sweep", peaks, number, kind="naive"),
        ]
    return rows


def maps(rng: np.random.Generator, number: int) -> list[Row]:
    """Two smooth maps that have nothing to do with each other."""
    names = list(sphere_of("hcp-mmp1").names)
    surface = surface_of([(name, "") for name in names])
    part = np.sort(rng.permutation(len(names))[:160])
    rows = []
    for words, at in (("360 areas", np.arange(len(names))), ("160 of 360 areas", part)):
        places = [names[i] for i in at]
        one, two = (smooth_fields(rng, number, 0.4)[:, at] for _ in range(2))
        p = [spin_maps(a, b, places, surface) for a, b in zip(one, two, strict=True)]
        naive = stats.pearsonr(one, two, axis=1).pvalue
        design = f"two unrelated smooth maps, {words}"
        guard, hits = int((np.array(p) < 0.05).sum()), int((naive < 0.05).sum())
        rows += [
            rate_row(TOPIC, design, "similarity of profiles, spin", guard, number),
            rate_row(TOPIC, design, "Pearson's p", hits, number, kind="naive"),
        ]
    return rows


def trend(rng: np.random.Generator, number: int) -> list[Row]:
    """Profiles of two modalities at depths whose noise falls, related alike at all of them."""
    rows = []
    for gain in (0.0, 0.3):
        hits = dict.fromkeys(("r", "corrected"), 0)
        for _ in range(number if gain == 0 else number // 3):
            early, late = (
                _profiles(rng, 0.5, 1.2),
                _profiles(rng, 0.5 + gain, 0.4),
            )
            first, second = (np.stack([e, x], axis=1) for e, x in zip(early, late, strict=True))
            for name, ask in (("r", profile_r), ("corrected", corrected_r)):

                def difference(a: Floats, b: Floats, ask=ask) -> float:
                    return float(ask(a[:, 1], b[:, 1]) - ask(a[:, 0], b[:, 0]))

                hits[name] += two_sample_jackknife(difference, first, second)[3] < 0.05
        n = number if gain == 0 else number // 3
        design = f"profiles related by 0.5, then {0.5 + gain:.1f}; noise falls with depth"
        rows.append(
            rate_row(
                TOPIC, design, "late less early, corrected r", hits["corrected"], n,
                kind="power" if gain else "guard",
            )
        )  # fmt: skip
        if not gain:
            rows.append(rate_row(TOPIC, design, "late less early, r", hits["r"], n, kind="naive"))
    return rows


def _profiles(rng: np.random.Generator, r: float, noise: float) -> tuple[Floats, Floats]:
    """Profiles of 8 families of each modality over 200 regions, truths correlated by just r."""
    basis = np.linalg.qr(np.column_stack([np.ones(200), rng.standard_normal((200, 2))]))[0]
    a = basis[:, 1] * 200**0.5
    b = r * a + np.sqrt(1 - r * r) * basis[:, 2] * 200**0.5
    one, two = (x + noise * rng.standard_normal((8, 200)) for x in (a, b))
    return one, two

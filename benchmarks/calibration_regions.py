"""Calibration of the tests of regions: gradients, networks, modalities, many regions at once."""

from __future__ import annotations

import numpy as np
from _rates import LIMITS, Row, rate_row
from numpy.typing import NDArray
from scipy import stats

from convergent.alignment.similarity import calibrate, largest_p
from convergent.brains.atlas import open_atlas, sphere_of
from convergent.statistics import (
    axis_of,
    family_means,
    jackknife_interval,
    median_p,
    modality_difference,
    spin_contrast,
    spin_test,
    surface_of,
    t_over_families,
)

Floats = NDArray[np.float64]
TOPIC = "regions"
# A test that is valid and may be cautious.
AT_MOST = (0.0, LIMITS[1])


def run(seed: int, *, quick: bool = False) -> list[Row]:
    """All rows of this topic."""
    scale = 10 if quick else 1
    rng = np.random.default_rng([seed, 1])
    return [
        *gradient(rng, 2000 // scale),
        *network(rng, 1500 // scale),
        *interval(rng, 2000 // scale),
        *largest(rng, 600 // scale),
        *models(rng, 600 // scale),
        *modality(rng, 500 // scale),
    ]


def smooth_fields(
    rng: np.random.Generator, number: int, length: float, *, shared: float = 0.9
) -> Floats:
    """Gaussian fields on both spheres, (field, area): independent of any axis or network.

    `length` is that of the Gaussian covariance, in radii; `shared`, the correlation of mirrored
    places of the two hemispheres.
    """
    sphere = sphere_of("hcp-mmp1")
    points = sphere.centre.copy()
    points[sphere.side == "R", 0] *= -1
    square = ((points[:, None] - points[None]) ** 2).sum(-1)
    covariance = np.exp(-square / (2 * length**2))
    covariance = np.where(sphere.side[:, None] == sphere.side, covariance, shared * covariance)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    fields: Floats = rng.standard_normal((number, len(points))) @ root.T
    return fields


def gradient(rng: np.random.Generator, number: int) -> list[Row]:
    """Smooth maps that have nothing to do with the axis, and maps that follow it."""
    sphere = sphere_of("hcp-mmp1")
    known = {region.name: region for region in open_atlas("hcp-mmp1").regions}
    axis = axis_of([(name, known[name].hemisphere, known[name].order) for name in sphere.names])
    order = [sphere.names.index(name) for name in axis.regions]
    part = rng.permutation(len(order))[:160]
    rows = []
    for length in (0.2, 0.4, 0.7):
        fields = smooth_fields(rng, number, length)[:, order]
        for words, at, limits in (
            ("360 areas", np.arange(len(order)), LIMITS),
            ("160 of 360 areas", part, AT_MOST),
        ):
            position, spun = axis.position[at], axis.spun[:, at]
            rho, p = spin_test(fields[:, at], position, spun)
            naive = _spearman_p(rho, len(at))
            design = f"smooth map, length {length}, {words}"
            rows += [
                rate_row(TOPIC, design, "gradient, spin", _hits(p), number, limits=limits),
                rate_row(
                    TOPIC, design, "gradient, Spearman's p", _hits(naive), number, kind="naive"
                ),
            ]
    z = stats.zscore(axis.position)
    for r in (0.3, 0.5, 0.7):
        noise = smooth_fields(rng, number // 4, 0.4)[:, order]
        _, p = spin_test(r * z + np.sqrt(1 - r * r) * noise, axis.position, axis.spun)
        design = f"r = {r} with the axis, smooth rest, length 0.4"
        rows.append(rate_row(TOPIC, design, "gradient, spin", _hits(p), number // 4, kind="power"))
    return rows


def network(rng: np.random.Generator, number: int) -> list[Row]:
    """Mean of a network against the rest, in smooth maps that know of no network."""
    sphere = sphere_of("hcp-mmp1")
    labels = {region.name: region.network for region in open_atlas("hcp-mmp1").regions}
    surface = surface_of([(name, "") for name in sphere.names])
    names = list(sphere.names)
    fields = smooth_fields(rng, number, 0.4)
    rows = []
    for name in ("Visual", "Default"):
        whole = np.array([labels[n] == name for n in names], dtype=np.float64)
        spun = surface.spun(whole, names)
        p = np.array([spin_contrast(field, whole, spun) for field in fields])
        naive = stats.ttest_ind(
            fields[:, whole > 0], fields[:, whole == 0], axis=1, equal_var=False
        ).pvalue
        design = f"smooth map, length 0.4; {name} network"
        rows += [
            rate_row(TOPIC, design, "network, spin", _hits(p), number),
            rate_row(TOPIC, design, "network, t over areas", _hits(naive), number, kind="naive"),
        ]
    return rows


def interval(rng: np.random.Generator, number: int) -> list[Row]:
    """How often the interval of a gradient misses the truth, with few families."""
    position = np.linspace(0, 1, 100)
    unit = _ranked(position)
    truth = 0.5 * stats.zscore(position) + 0.8 * np.sin(9 * position)
    rows = []
    for families in (4, 8, 20):
        jackknife, bootstrap = 0, 0
        rho = float(_ranked(truth) @ unit)
        for _ in range(number):
            # families differ by smooth profiles of their own
            own = rng.standard_normal((families, 6)) @ np.cos(
                np.pi * np.outer(np.arange(1, 7), position)
            )
            means = truth + 0.5 * own + 0.2 * rng.standard_normal((families, 100))
            low, high = jackknife_interval(
                means, lambda maps: np.arctanh(np.clip(_ranked(maps) @ unit, -0.999999, 0.999999))
            )
            if low is not None and high is not None:
                jackknife += not np.tanh(low) <= rho <= np.tanh(high)
            counts = rng.multinomial(families, np.full(families, 1 / families), size=400)
            drawn = _ranked(counts @ means) @ unit
            low, high = np.quantile(drawn, [0.025, 0.975])
            bootstrap += not low <= rho <= high
        design = f"rho of the mean over {families} families; misses of the 95 % interval"
        rows += [
            rate_row(TOPIC, design, "jackknife", jackknife, number, kind="coverage"),
            rate_row(TOPIC, design, "bootstrap percentiles", bootstrap, number, kind="naive"),
        ]
    return rows


def _study(rng: np.random.Generator, models: int, effect: float = 0.0) -> tuple[Floats, Floats]:
    """Scores of models and their permutations: means over 3 subjects who saw the same stimuli.

    A model's score in a region is the correlation of its prediction with the response. Regions
    share noise, subjects what the stimuli evoke, and models most of what they predict.
    """
    stimuli, regions, subjects, permutations = 80, 60, 3, 99
    evoked = rng.standard_normal((stimuli, 4)) @ rng.standard_normal((4, regions))
    common = rng.standard_normal(stimuli)
    predicted = 0.9 * common + 0.45 * rng.standard_normal((models, stimuli))
    orders = np.argsort(rng.random((permutations, stimuli)), axis=1)
    score, null = np.zeros((models, regions)), np.zeros((permutations, models, regions))
    x = _unit(predicted)
    for _ in range(subjects):
        spread = 10 ** rng.uniform(-0.5, 0.5, regions)
        response = evoked + 2 * spread * rng.standard_normal((stimuli, regions))
        response[:, 0] += effect * response[:, 0].std() * common
        y = _unit(response.T)
        score += x @ y.T / subjects
        null += (x[:, orders].transpose(1, 0, 2) @ y.T) / subjects
    return score, null


def largest(rng: np.random.Generator, number: int) -> list[Row]:
    """Any of 60 regions of one model, no effect anywhere; and one region with an effect."""
    guard, naive = 0, 0
    for _ in range(number):
        score, null = _study(rng, 1)
        guard += bool((largest_p(score[0], null[:, 0]) < 0.05).any())
        naive += bool((calibrate(score[0], null[:, 0]).p < 0.05).any())
    design = "60 regions, 3 subjects, 99 permutations, no effect; any region"
    rows = [
        rate_row(TOPIC, design, "largest of each permutation", guard, number),
        rate_row(TOPIC, design, "each region by itself", naive, number, kind="naive"),
    ]
    for effect in (0.3, 0.5):
        hits = 0
        for _ in range(number // 3):
            score, null = _study(rng, 1, effect)
            hits += bool(largest_p(score[0], null[:, 0])[0] < 0.05)
        design = f"one region of 60 with r of about {effect / np.sqrt(1 + effect**2):.2f}"
        rows.append(
            rate_row(TOPIC, design, "largest of each permutation", hits, number // 3, kind="power")
        )
    return rows


def models(rng: np.random.Generator, number: int) -> list[Row]:
    """One region and 12 models of 6 families that resemble each other, no effect."""
    families = [f"family {i // 2}" for i in range(12)]
    median, fisher, t = 0, 0, 0
    for _ in range(number):
        score, null = _study(rng, 12)
        p = calibrate(score, null).p
        median += bool(median_p(p, families)[0] < 0.05)
        fisher += bool(stats.combine_pvalues(p[:, 0]).pvalue < 0.05)
        found = t_over_families(family_means(score, families)[1])
        t += bool(found.p[0] < 0.05 and found.mean[0] > 0)
    design = "one region, 12 similar models of 6 families, no effect"
    rows = [
        rate_row(TOPIC, design, "twice the median p", median, number, limits=AT_MOST),
        rate_row(TOPIC, design, "product of p (Fisher)", fisher, number, kind="naive"),
        rate_row(TOPIC, design, "t over families", t, number, kind="naive"),
    ]
    hits = 0
    for _ in range(number // 3):
        score, null = _study(rng, 12, 0.3)
        hits += bool(median_p(calibrate(score, null).p, families)[0] < 0.05)
    design = "one region with r of about 0.29, 12 similar models"
    rows.append(rate_row(TOPIC, design, "twice the median p", hits, number // 3, kind="power"))
    return rows


def modality(rng: np.random.Generator, number: int) -> list[Row]:
    """60 regions, 6 families of 4 models on each side that do not differ but for their families."""
    labels = [f"family {i // 4}" for i in range(24)]

    def profiles(shift: float = 0.0) -> Floats:
        own = np.repeat(rng.standard_normal((6, 60)), 4, axis=0)
        values: Floats = own + 0.4 * rng.standard_normal((24, 60))
        values[:, 0] += shift
        return values

    guard, naive, power = 0, 0, 0
    for i in range(number):
        a, b = profiles(), profiles()
        found = modality_difference((a, labels), (b, labels), permutations=500, seed=i)
        guard += bool((found["p_fwe"] < 0.05).any())
        p = stats.ttest_ind(a, b, axis=0, equal_var=False).pvalue
        naive += bool((p < 0.05 / 60).any())
        found = modality_difference((profiles(3.0), labels), (b, labels), permutations=500, seed=i)
        power += bool(found["p_fwe"][0] < 0.05)
    design = "60 regions, 2 x 6 families of 4 models, no difference; any region"
    return [
        rate_row(TOPIC, design, "families dealt anew, largest t", guard, number),
        rate_row(TOPIC, design, "t over models, Bonferroni", naive, number, kind="naive"),
        rate_row(
            TOPIC,
            "one region differs by 3 standard deviations of families",
            "families dealt anew, largest t",
            power,
            number,
            kind="power",
        ),
    ]


def _hits(p: Floats) -> int:
    return int((p < 0.05).sum())


def _spearman_p(rho: Floats, n: int) -> Floats:
    t = np.abs(rho) * np.sqrt((n - 2) / (1 - rho**2))
    p: Floats = 2 * stats.t.sf(t, n - 2)
    return p


def _ranked(values: Floats) -> Floats:
    return _unit(stats.rankdata(values, axis=-1))


def _unit(values: Floats) -> Floats:
    centred = values - values.mean(axis=-1, keepdims=True)
    unit: Floats = centred / np.linalg.norm(centred, axis=-1, keepdims=True)
    return unit

"""Table of the tests of regions and networks, within a modality and between two."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from convergent.brains.atlas import open_atlas

from ._axis import MINIMUM_REGIONS, Surface
from ._multiplicity import benjamini_hochberg
from ._profiles import (
    MINIMUM_FAMILIES,
    Profiles,
    family_means,
    median_p,
    profile_matrix,
    t_over_families,
)
from ._region_tests import contrasts, modality_difference, relative, spin_contrast

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]

REGION_TEST_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(
        ("question", "dataset", "modality", "other_dataset", "other_modality", "choice"), pl.String
    ),
    **dict.fromkeys(("measure", "kind", "place", "network"), pl.String),
    "axis_position": pl.Float64,
    **dict.fromkeys(
        ("n_regions", "n_models", "n_families", "other_n_models", "other_n_families"), pl.Int64
    ),
    **dict.fromkeys(("n_subjects", "n_models_above"), pl.Int64),
    **dict.fromkeys(("effect", "low", "high", "p", "p_fwe", "q", "p_spin"), pl.Float64),
    "reason": pl.String,
}
_FEW = "fewer than 3 families of a modality"


def region_tests(
    profile: pl.DataFrame,
    surfaces: Mapping[str, Surface],
    *,
    permutations: int,
    seed: int,
) -> pl.DataFrame:
    """Ask of regions and networks whether they align, stand out, and differ between modalities.

    Parameters
    ----------
    profile : DataFrame
        Region profiles of final trained models, with p and p_fwe of each model's own permutations.
    surfaces : mapping of str to Surface
        One a data set.
    permutations : int
        Deals of families.
    seed : int

    Returns
    -------
    DataFrame
        Three questions. ``chance``: is a region's score above that for permuted stimuli? The p
        value of the typical model, see `median_p`; effect and interval are of the mean over
        families. ``network``: does a network lie above the other regions? t test over families
        (p_fwe: Holm) and p_spin of the mean profile against rotations of the network.
        ``modality``: do two modalities measured on one atlas differ in a region or network,
        profiles standardised within each model? Deals of families, p_fwe by the largest t.
    """
    rows: Rows = []
    groups = ["dataset", "modality", "choice"]
    parts = {
        (str(dataset), str(modality), str(choice)): part
        for (dataset, modality, choice), part in profile.sort(groups).group_by(
            groups, maintain_order=True
        )
    }
    for (dataset, modality, choice), part in parts.items():
        common = {"dataset": dataset, "modality": modality, "choice": choice}
        rows += _chance(part, common)
        for measure in ("score", "score_normalised"):
            rows += _networks(part, {**common, "measure": measure}, surfaces[dataset])
    for (one, first), (two, second) in combinations(parts.items(), 2):
        if one[2] != two[2] or one[1] == two[1]:
            continue
        # vision first, whatever the data sets are called
        (one, first), (two, second) = sorted(
            ((one, first), (two, second)), key=lambda part: part[0][1], reverse=True
        )
        for measure in ("score", "score_normalised"):
            facts = {
                **dict(zip(groups, one, strict=True)),
                "other_dataset": two[0],
                "other_modality": two[1],
                "measure": measure,
            }
            rows += _modalities(first, second, facts, surfaces[one[0]], permutations, seed)
    return pl.DataFrame(rows, schema=REGION_TEST_SCHEMA, strict=False)


def networks_of(
    surface: Surface, places: list[str], labels: Mapping[str, str]
) -> tuple[list[str], Floats, list[Floats]]:
    """Members of each network among regions, and the same after rotations.

    Parameters
    ----------
    surface : Surface
    places : list of str
        Regions.
    labels : mapping of str to str
        Network of each region as the data have it, for want of an atlas.

    Returns
    -------
    names : list of str
    members : ndarray, shape (network, region)
    spun : list of ndarray, each of shape (rotation, region)
        Without rows where there is no sphere.
    """
    on_sphere = surface.sphere is not None and all(name in surface.places for name in places)
    if surface.sphere is None or not on_sphere:
        own = np.array([labels.get(name) or "" for name in places])
        names = [name for name in np.unique(own).tolist() if name]
        members = np.array([own == name for name in names], dtype=np.float64)
        members = members.reshape(len(names), len(places))
        return names, members, [np.empty((0, len(places)))] * len(names)
    found = {region.name: region.network for region in open_atlas(surface.sphere.atlas).regions}
    whole = np.array([found[name] for name in surface.sphere.names])
    names, member_rows, spun = [], [], []
    for name in np.unique(whole).tolist():
        indicator = (whole == name).astype(np.float64)
        here = surface.on(indicator, places)
        if name and 0 < here.sum() < len(places):
            names.append(name)
            member_rows.append(here)
            spun.append(surface.spun(indicator, places))
    return names, np.array(member_rows).reshape(len(names), len(places)), spun


def _chance(part: pl.DataFrame, common: dict[str, Any]) -> Rows:
    found = profile_matrix(part, "score")
    if not found.models:
        return []
    counts, facts = _counts(part, found), _facts(part)
    mean = t_over_families(family_means(found.values, found.families)[1])
    own = _same(part, "p", found)
    p = median_p(own, found.families)
    own_fwe = _same(part, "p_fwe", found)
    corrected = median_p(own_fwe, found.families)
    q = benjamini_hochberg(p)
    reason = _too_few(own)
    return [
        {
            **common, **counts, **facts.get(place, {}), "question": "chance", "measure": "score",
            "kind": "region", "place": place, "effect": mean.mean[i],
            "low": _number(mean.low[i]), "high": _number(mean.high[i]), "p": _number(p[i]),
            "p_fwe": _number(corrected[i]), "q": _number(q[i]), "reason": reason,
            "n_models_above": None if reason else int((own_fwe[:, i] < 0.05).sum()),
        }
        for i, place in enumerate(found.places)
    ]  # fmt: skip


def _too_few(p: Floats) -> str | None:
    """Why no region could pass: the least p of any model and region is too large."""
    if not np.isfinite(p).any():
        return "no stimuli were permuted"
    least = 2 * float(np.nanmin(p))
    if least < 0.05:
        return None
    return f"with these permutations of the stimuli no p came below {least:.2g}"


def _networks(part: pl.DataFrame, common: dict[str, Any], surface: Surface) -> Rows:
    found = profile_matrix(part, str(common["measure"]))
    labels = {name: fact["network"] for name, fact in _facts(part).items()}
    names, members, spun = networks_of(surface, found.places, labels)
    if not found.models or not names:
        return []
    families, means = family_means(contrasts(found.values, members), found.families)
    tested = t_over_families(means)
    mean = family_means(found.values, found.families)[1].mean(axis=0)
    q, corrected = benjamini_hochberg(tested.p), _holm(tested.p)
    return [
        {
            **common, **_counts(part, found), "question": "network", "kind": "network",
            "place": name, "network": name, "effect": tested.mean[i],
            "low": _number(tested.low[i]), "high": _number(tested.high[i]),
            "p": _number(tested.p[i]), "p_fwe": _number(corrected[i]), "q": _number(q[i]),
            "p_spin": _number(spin_contrast(mean, members[i], spun[i])),
            "reason": _FEW if len(families) < MINIMUM_FAMILIES else surface.reason or None,
        }
        for i, name in enumerate(names)
    ]  # fmt: skip


def _modalities(
    first: pl.DataFrame,
    second: pl.DataFrame,
    common: dict[str, Any],
    surface: Surface,
    permutations: int,
    seed: int,
) -> Rows:
    """Difference of two modalities, over the regions that both have."""
    measure = str(common["measure"])
    both = set(first.drop_nulls(measure)["region"]) & set(second.drop_nulls(measure)["region"])
    if len(both) < MINIMUM_REGIONS:
        return []
    one, two = (
        profile_matrix(rows.filter(pl.col("region").is_in(sorted(both))), measure)
        for rows in (first, second)
    )
    places = [name for name in one.places if name in set(two.places)]
    if len(places) < MINIMUM_REGIONS:
        return []
    a, b = (relative(found.values[:, _at(found, places)]) for found in (one, two))
    facts = _facts(first)
    counts = {
        **_counts(first, one),
        "n_regions": len(places),
        "other_n_models": len(two.models),
        "other_n_families": len(set(two.families)),
        "n_subjects": None,
        "question": "modality",
    }
    stream = zlib.crc32("|".join(map(str, common.values())).encode())
    labels = {name: fact["network"] for name, fact in facts.items()}
    names, members, spun = networks_of(surface, places, labels)
    difference = family_means(a, one.families)[1].mean(axis=0) - family_means(b, two.families)[
        1
    ].mean(axis=0)
    rows: Rows = []
    for kind, labelled, (x, y) in (
        ("region", places, (a, b)),
        ("network", names, (contrasts(a, members), contrasts(b, members))),
    ):
        if not labelled:
            continue
        tested = modality_difference(
            (x, one.families), (y, two.families), permutations=permutations, seed=[seed, stream]
        )
        for i, place in enumerate(labelled):
            row = {name: _number(values[i]) for name, values in tested.items()}
            about = facts.get(place, {}) if kind == "region" else {"network": place}
            if kind == "network":
                row["p_spin"] = _number(spin_contrast(difference, members[i], spun[i]))
            reason = _FEW if row["p"] is None else None
            rows.append(
                {**common, **counts, **about, "kind": kind, "place": place, **row, "reason": reason}
            )
    return rows


def _counts(part: pl.DataFrame, found: Profiles) -> dict[str, Any]:
    return {
        "n_regions": len(found.places),
        "n_models": len(found.models),
        "n_families": len(set(found.families)),
        "n_subjects": part["n_subjects"].max(),
    }


def _facts(part: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Network and position of each region."""
    rows = part.select("region", "network", "axis_position").unique("region", maintain_order=True)
    return {
        region: {"network": network, "axis_position": order}
        for region, network, order in rows.iter_rows()
    }


def _same(part: pl.DataFrame, column: str, found: Profiles) -> Floats:
    """Another column in the same layout, NaN where it is null, (model, place)."""
    values = np.full(found.values.shape, np.nan)
    model = {name: i for i, name in enumerate(found.models)}
    place = {name: i for i, name in enumerate(found.places)}
    for name, region, value in part.select("model", "region", column).drop_nulls().iter_rows():
        if name in model and region in place:
            values[model[name], place[region]] = value
    return values


def _at(found: Profiles, places: list[str]) -> list[int]:
    index = {name: at for at, name in enumerate(found.places)}
    return [index[name] for name in places]


def _holm(p: Floats) -> Floats:
    made = np.isfinite(p)
    adjusted = np.full(p.shape, np.nan)
    if made.any():
        adjusted[made] = multipletests(p[made], method="holm")[1]
    return adjusted


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None

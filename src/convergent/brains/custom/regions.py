"""Which region each target lies in, and what is known of the regions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergent.brains.atlas import (
    SPACES,
    is_region,
    label_targets,
    regions_of,
    space_vertices,
    split_name,
)
from convergent.brains.custom.arrays import (
    Structure,
    mirrored,
    names_of_targets,
    open_mask,
    read_mask,
    response_volumes,
    same_grid,
)
from convergent.brains.custom.config import OwnConfig, fill
from convergent.brains.custom.stimuli import Text, column, read_list, read_table
from convergent.brains.types import Region
from convergent.errors import DataError, did_you_mean
from convergent.names import shown


def target_regions(
    config: OwnConfig,
    folder: Path,
    subject: str,
    structures: Sequence[Structure] | None = None,
) -> Text | None:
    """Region of each target of a subject, empty outside all; None where all lie in one.

    Parameters
    ----------
    config : OwnConfig
    folder : Path
    subject : str
    structures : sequence of Structure, optional
        Where the files say that the targets lie: compared with the labels.

    Raises
    ------
    DataError
        Labels that cannot be read or do not fit the mask, numbers without a name, or labels of
        another hemisphere than the files say.
    """
    said = config.regions
    if said.whole is not None:
        return None
    if said.atlas is not None:
        assert said.space is not None
        directory = config.atlases.directory
        # once with hemispheres apart, whatever is asked for: names then say which side is meant
        names = label_targets(said.atlas, said.space, directory=directory)
    elif said.labels is not None:
        names = _listed(config, folder, subject)
    else:
        names = _from_image(config, folder, subject)
    known, member = np.unique(names, return_inverse=True)
    known = np.array([name if is_region(name) else "" for name in known.tolist()], dtype=np.str_)
    if structures is not None:
        if said.space is not None:
            _check_space(said.space, structures, f"{config.responses.files}, subject '{subject}'")
        table = {} if said.table is None else _rows(folder / said.table, [n for n in known if n])
        sides = np.array(
            [split_name(name)[0] or table.get(name, ("",))[0] for name in known.tolist()],
            dtype=np.str_,
        )
        _check_sides(known[member], sides[member], structures, subject)
    if said.hemispheres == "merged":
        known = np.array([split_name(name)[1] for name in known.tolist()], dtype=np.str_)
    return np.asarray(known[member])


def _check_space(space: str, structures: Sequence[Structure], where: str) -> None:
    """Compare the structures of the files with a space: the left cortex first, then the right."""
    total, there = sum(one.size for one in structures), SPACES[space]
    if total != there:
        known = ", ".join(f"{name} ({size})" for name, size in SPACES.items())
        raise DataError(
            f"{total} targets, and {space} has {there}",
            where=where,
            fix=f"name the space that the responses are in, by its targets: {known}",
        )
    wanted = space_vertices(space)
    cortex = [one for one in structures if one.cortex and one.side]
    if [one.side for one in cortex] == ["R", "L"]:
        raise DataError(
            f"the right hemisphere comes first ({cortex[0].said}), and {space} has the left first",
            where=where,
            fix="put the left hemisphere's targets first",
        )
    for one in cortex:
        own = wanted["L" if one.side == "L" else "R"]
        if one.size != own.size:
            raise DataError(
                f"{one.size} targets in hemisphere {one.side} ({one.said}), and {space} has "
                f"{own.size}",
                where=where,
                fix="name the space that the responses are in",
            )
        if one.vertices is not None and not np.array_equal(one.vertices, own):
            raise DataError(
                f"other vertices than those of {space} ({one.said})",
                where=where,
                fix="name the space that the responses are in",
            )


def _check_sides(names: Text, sides: Text, structures: Sequence[Structure], subject: str) -> None:
    """Compare the hemisphere in regions' names with the one that files say, target by target."""
    if names.size != sum(one.size for one in structures):
        return  # another number of labels than targets is an error of its own
    first = 0
    for one in structures:
        here = slice(first, first + one.size)
        first += one.size
        wrong = (sides[here] != "") & (sides[here] != one.side)
        if one.side and wrong.any():
            place = here.start + int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"target {place} has region '{names[place]}' of hemisphere {sides[place]}, and "
                f"lies in hemisphere {one.side}: {one.said}",
                where=f"subject '{subject}'",
                fix="give labels in the order of the targets, left hemisphere first",
            )


def _listed(config: OwnConfig, folder: Path, subject: str) -> Text:
    """A name a target: text, numbers with or without names, or parcels and labels of CIFTI."""
    assert config.regions.labels is not None
    path = fill(folder, config.regions.labels, subject=subject)
    if path.name.endswith(".nii"):
        return names_of_targets(path)
    names = read_list(path, "region", "regions.labels", empty=True)
    names = np.where(names == "n/a", "", names)  # what BIDS writes where there is nothing
    try:
        numbers = np.where(names == "", "nan", names).astype(np.float64)
    except ValueError:  # a name among them
        if config.regions.names is not None or config.regions.background is not None:
            raise DataError(
                "labels that are no numbers",
                where=str(path),
                fix="leave out regions.names and regions.background",
            ) from None
        return names
    return _named(config, folder, numbers, path, "")


def _from_image(config: OwnConfig, folder: Path, subject: str) -> Text:
    """Names of a label volume's numbers at the voxels of the mask."""
    said = config.regions
    assert said.image is not None
    path = fill(folder, said.image, subject=subject)
    image = open_mask(path)
    values = np.asarray(image.dataobj, dtype=np.float64)
    inside = np.ones(values.shape, dtype=bool)
    if config.responses.mask is not None:
        drawn = fill(folder, config.responses.mask, subject=subject)
        inside, mask = read_mask(drawn, config.responses.inside)
        _check_grid(image, mask, "mask", path)
    for _, responses in response_volumes(config, folder, subject)[:1]:
        _check_grid(image, responses, "responses", path)
    named = _named(config, folder, values[inside], path, "label")
    if said.names is not None:
        _check_halves(image, np.nan_to_num(values), _names(folder / said.names), path)
    return named


def _named(
    config: OwnConfig, folder: Path, values: NDArray[np.float64], path: Path, prefix: str
) -> Text:
    """Names of numbers, empty for the background, which is 0 unless it is said or named.

    Raises
    ------
    DataError
        Numbers that are not whole, negative ones of which nothing is said, or one without a name.
    """
    said = config.regions
    known = ~np.isnan(values)  # NaN is what many tools write outside of everything
    broken = values[known & ((values != np.rint(values)) | (np.abs(values) >= 2**31))]
    if broken.size:
        raise DataError(
            f"{broken.size} labels are not whole numbers, such as {broken[0]:g}",
            where=str(path),
            fix="resample labels with nearest neighbours, which mixes none",
        )
    keys = np.where(known, values, 0).astype(np.int64)
    names = None if said.names is None else _names(folder / said.names)
    background = (0,) if said.background is None else said.background
    if names is not None and said.background is not None and set(names) & set(background):
        raise DataError(
            f"label {min(set(names) & set(background))} has a name and is background",
            where=str(folder / str(said.names)),
            fix="leave it out of one",
        )
    there = np.unique(keys[known])
    without = [key for key in there.tolist() if key not in background and key not in (names or {})]
    if names is not None and without:
        raise DataError(
            f"label {without[0]} of {path.name} has no name",
            where=str(folder / str(said.names)),
            fix="add a row (key, region) for each label, or list it in regions.background",
        )
    if without and without[0] < 0:
        raise DataError(
            f"label {without[0]}, of which nothing says whether it is a region",
            where=str(path),
            fix=f"set regions.background: {[*background, without[0]]}, or name it in regions.names",
        )
    text = dict.fromkeys(background, "") | {key: f"{prefix}{key}" for key in without}
    text |= names or {}
    order, member = np.unique(keys, return_inverse=True)
    lookup = np.array([text.get(int(key), "") for key in order], dtype=np.str_)
    result: Text = np.where(known, lookup[member.reshape(-1)], "")
    return result


def _names(path: Path) -> dict[int, str]:
    table = read_table(path)
    names: dict[int, str] = {}
    regions = column(table, "region", path, "its header").tolist()
    for key, name in zip(column(table, "key", path, "its header"), regions, strict=True):
        if not re.fullmatch(r"-?[0-9]{1,9}", key):
            raise DataError(
                f"key '{shown(key)}' of region '{shown(name)}' is no whole number",
                where=str(path),
                fix="give the number that the image has in the region",
            )
        if names.get(int(key), name) != name:
            raise DataError(
                f"label {key} has two names, '{shown(names[int(key)])}' and '{shown(name)}'",
                where=str(path),
                fix="give one row a label",
            )
        names[int(key)] = name
    return names


def _check_grid(image: Any, other: Any, what: str, path: Path) -> None:
    """Refuse labels whose voxels lie elsewhere, mirrored ones among them."""
    if same_grid(image, other):
        return
    raise DataError(
        f"labels of shape {tuple(image.shape)} are on another grid than the {what} "
        f"{tuple(other.shape[:3])}" + mirrored(image, other),
        where=str(path),
        fix="resample the labels to the responses, with nearest neighbours",
    )


def _check_halves(
    image: Any, keys: np.ndarray[Any, Any], names: dict[int, str], path: Path
) -> None:
    """Refuse regions named left that lie to the right of those named right, in the scanner's mm.

    A file without an orientation (both codes 0) says nothing of it.
    """
    header = image.header
    if not all(name in header for name in ("sform_code", "qform_code")) or not (
        header["sform_code"] or header["qform_code"]
    ):
        return
    across = {}
    for side in ("L", "R"):
        own = [key for key, name in names.items() if key and split_name(name)[0] == side]
        places = np.argwhere(np.isin(keys, own))
        if not len(places):
            return
        across[side] = float((places @ image.affine[0, :3]).mean() + image.affine[0, 3])
    if across["L"] >= across["R"]:
        raise DataError(
            f"regions named left lie at x = {across['L']:.0f} mm and those named right at "
            f"{across['R']:.0f} mm, and x grows to the right by the image's own affine",
            where=str(path),
            fix="exchange the names, or give the image its true orientation",
        )


def described(config: OwnConfig, folder: Path, names: list[str]) -> tuple[Region, ...]:
    """What is known of the regions: from a table, or from an atlas, or from their names alone.

    Raises
    ------
    DataError
        A table without a region that the targets have, or with one of the wrong hemisphere.
    UnknownKeyError
        A region that the atlas does not have.
    """
    said = config.regions
    rows = None if said.table is None else _rows(folder / said.table, names)
    sides = None if rows is None else [rows[name][0] for name in names]
    known = regions_of(
        said.describe or said.atlas,
        names,
        hemisphere=sides,
        directory=config.atlases.directory,
    )
    if rows is None:
        return known
    return tuple(
        Region(
            region.name,
            region.hemisphere,
            rows[region.name][1] or region.network,
            region.order if np.isnan(rows[region.name][2]) else rows[region.name][2],
        )
        for region in known
    )


def _rows(path: Path, names: list[str]) -> dict[str, tuple[str, str, float]]:
    """Hemisphere, network and order of each region; columns that are not there are unknown."""
    table = read_table(path)
    regions = column(table, "region", path, "its header").tolist()
    columns = [table.get(name) for name in ("hemisphere", "network", "order")]
    rows: dict[str, tuple[str, str, float]] = {}
    for place, region in enumerate(regions):
        side, network, order = ("" if c is None else str(c[place]) for c in columns)
        try:
            position = float(order) if order else float("nan")
        except ValueError:
            raise DataError(
                f"order '{order}' of region '{region}'",
                where=f"{path}, row {place + 2}",
                fix="give a number from 0 (sensory) to 1 (associative), or nothing",
            ) from None
        if region in rows:
            raise DataError(f"region '{region}' is listed twice", where=str(path), fix="once")
        rows[region] = (side, network, position)
    missing = [name for name in names if name not in rows]
    if missing:
        raise DataError(
            f"region '{missing[0]}' of the targets is not listed",
            where=str(path),
            fix=did_you_mean(missing[0], rows),
        )
    return rows

"""Which region each target lies in, and what is known of the regions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from convergent.brains.atlas import label_targets, regions_of, split_name
from convergent.brains.custom.arrays import open_mask
from convergent.brains.custom.config import OwnConfig, fill
from convergent.brains.custom.stimuli import Text, column, read_list, read_table
from convergent.brains.types import Region
from convergent.errors import DataError, did_you_mean
from convergent.names import shown


def target_regions(config: OwnConfig, folder: Path, subject: str) -> Text | None:
    """Region of each target of a subject, empty outside all; None where all lie in one.

    Raises
    ------
    DataError
        Labels that cannot be read or do not fit the mask, or numbers without a name.
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
        names = read_list(fill(folder, said.labels, subject=subject), "region", "regions.labels")
    else:
        names = _from_image(config, folder, subject)
    if said.hemispheres == "merged":
        names = np.array([split_name(name)[1] for name in names.tolist()], dtype=np.str_)
    return np.asarray(names)


def _from_image(config: OwnConfig, folder: Path, subject: str) -> Text:
    """Names of a label volume's numbers at the voxels of the mask."""
    said = config.regions
    assert said.image is not None
    path = fill(folder, said.image, subject=subject)
    image = open_mask(path)
    keys = np.rint(np.asarray(image.dataobj)).astype(np.int64)
    inside = np.ones(keys.shape, dtype=bool)
    if config.responses.mask is not None:
        mask = open_mask(fill(folder, config.responses.mask, subject=subject))
        inside = np.asarray(mask.dataobj) != 0
        if inside.shape != keys.shape or not np.allclose(mask.affine, image.affine, atol=1e-3):
            raise DataError(
                f"labels of shape {keys.shape} are on another grid than the mask {inside.shape}",
                where=str(path),
                fix="resample the labels to the responses, with nearest neighbours",
            )
    found = keys[inside]
    names = {0: ""}
    if said.names is not None:
        listed = folder / said.names
        table = read_table(listed)
        regions = column(table, "region", listed, "its header").tolist()
        for key, name in zip(column(table, "key", listed, "its header"), regions, strict=True):
            if not re.fullmatch(r"-?[0-9]{1,9}", key):
                raise DataError(
                    f"key '{shown(key)}' of region '{shown(name)}' is no whole number",
                    where=str(listed),
                    fix="give the number that the image has in the region",
                )
            names[int(key)] = name
    else:
        names |= {int(key): f"label{key}" for key in np.unique(found) if key != 0}
    unknown = sorted(set(np.unique(found).tolist()) - set(names))
    if unknown:
        raise DataError(
            f"label {unknown[0]} of {path.name} has no name",
            where=str(folder / str(said.names)),
            fix="add a row (key, region) for each label",
        )
    keys_in_order, member = np.unique(found, return_inverse=True)
    lookup = np.array([names[int(key)] for key in keys_in_order], dtype=np.str_)
    return np.asarray(lookup[member.reshape(-1)])


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

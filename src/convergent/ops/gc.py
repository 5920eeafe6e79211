"""Deletable: features that no fit needs any more, and what killed jobs left behind.

Features are most of a study's bytes, and are made again by the plan when a fit asks for them.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from convergent.errors import ConvergentError, StoreError
from convergent.store import fingerprint
from convergent.store.reuse import FitSpec
from convergent.study import Study, converging_files

_STALE_SECONDS = 24 * 3600
Member = tuple[str, str, str, str]
Reason = Literal["fitted", "temporary", "link"]


@dataclass(frozen=True)
class Deletable:
    """One file or folder to delete.

    Attributes
    ----------
    path : str
    bytes : int
        What its deletion frees; 0 for one of several names of a file.
    reason : {"fitted", "temporary", "link"}
        Features whose fits are complete; a temporary of a job that was killed at least a day ago;
        the second name of a store that is gone and that the study no longer asks for.
    """

    path: str
    bytes: int
    reason: Reason


def find(study: Study, family: str | None = None) -> list[Deletable]:
    """Find what can be deleted.

    Features are kept that a planned fit needs: where a subject's store is missing, damaged, older
    than what it is made from, of a layer that failed, or was made with other settings, metrics,
    features, responses or stimuli; those that other layers' fits count as nuisance; and those that
    are still to be compared over modalities.

    Parameters
    ----------
    study : Study
    family : str, optional
        Only features of this family, and neither temporaries nor links.

    Raises
    ------
    UnknownKeyError
        There is no such family.
    ConvergentError
        Snakemake is running in this folder.
    """
    models = list(study.family(family)) if family else list(study.models)
    needed = _needed(study)
    found = [
        Deletable(path, _size(Path(path)), "fitted")
        for unit in _units(study, models)
        for path in _fitted(study, unit, needed)
    ]
    return found if family else [*found, *_left_behind(study)]


def remove(garbage: Sequence[Deletable]) -> None:
    """Delete what was found, and folders that are empty then."""
    for item in garbage:
        path = Path(item.path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        for folder in path.parents[:4]:  # up to the folder of the stage
            try:
                folder.rmdir()
            except OSError:  # not empty
                break


def refuse_while_running() -> None:
    """Refuse to delete what a run of Snakemake in this folder may be about to read.

    Raises
    ------
    ConvergentError
    """
    locks = Path(".snakemake/locks")
    if locks.is_dir() and any(locks.iterdir()):
        raise ConvergentError(
            "Snakemake is running here, or was killed",
            where=str(locks.absolute()),
            fix="wait for its end, or run `snakemake --unlock` if it was killed; --dry-run is safe",
        )


def _units(study: Study, models: Sequence[str]) -> Iterator[list[Member]]:
    """Layers whose features one job makes: all of them are needed while one is."""
    for model in models:
        groups: dict[tuple[str, ...], list[Member]] = {}
        for member in _members(study, model):
            key = {"layer": member, "checkpoint": (model, member[2]), "model": (model,)}
            groups.setdefault(key[study.config.granularity], []).append(member)
        yield from groups.values()


def _members(study: Study, model: str) -> Iterator[Member]:
    row = study.model(model)
    for dataset in study.datasets_of(model):
        for checkpoint in row.checkpoint_by_name:
            for layer in row.layer_by_name:
                yield dataset, model, checkpoint, layer


def _needed(study: Study) -> set[str]:
    """Features that more than the fits of their own layer read."""
    needed = {file for data in study.config.datasets for file in study.nuisance_files(data)}
    if not Path(study.paths.representations).exists():
        needed |= set(converging_files(study))
    return needed


def _fitted(study: Study, unit: Sequence[Member], needed: set[str]) -> list[str]:
    """Feature stores of a unit that are there, if all of its fits are complete."""
    there = [path for member in unit if Path(path := study.paths.features(*member)).exists()]
    if not there or needed & set(there):
        return []
    try:
        complete = all(_complete(study, member) for member in unit)
    except (OSError, StoreError):
        return []  # whatever is missing or damaged, a fit is still to be made
    return there if complete else []


def _complete(study: Study, member: Member) -> bool:
    dataset, model, checkpoint, layer = member
    if not Path(study.paths.features(*member)).exists():
        return True  # deleted before, or never made: nothing of it to keep
    keys = {"dataset": dataset, "model": model, "checkpoint": checkpoint, "layer": layer}
    nuisance = study.nuisance_files(dataset)
    baselines = {path: fingerprint(path) for path in nuisance}
    for subject in study.dataset(dataset).subjects:
        wanted = FitSpec.of(study, keys, subject, baselines)
        attrs = _attributes(wanted.path)
        inputs = [
            study.paths.features(*member),
            study.paths.stimuli(dataset),
            study.paths.responses(dataset, subject),
            *nuisance,
        ]
        # Snakemake runs a fit again that is older than what it reads
        newest = max(Path(path).stat().st_mtime for path in inputs)
        if not _as_wanted(attrs, wanted) or Path(wanted.path).stat().st_mtime < newest:
            return False
    return True


def _as_wanted(attrs: Mapping[str, Any], wanted: FitSpec) -> bool:
    metrics = {name: one.get("identity") for name, one in attrs.get("metrics", {}).items()}
    return (
        attrs.get("status") == "ok"
        and attrs.get("identity") == wanted.identity
        and attrs.get("made_from") == dict(wanted.made_from)
        and metrics == dict(wanted.metrics)
    )


def _attributes(path: str) -> Mapping[str, Any]:
    """Attributes of a store, without its arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            content: dict[str, Any] = json.loads(archive.read("zarr.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise StoreError(f"the store is damaged ({error})", where=path) from None
    attributes: dict[str, Any] = content["attributes"]
    return attributes


def _left_behind(study: Study) -> Iterator[Deletable]:
    now = time.time()
    for folder, folders, names in os.walk(study.paths.root):
        for name in [*folders, *names]:
            path = Path(folder, name)
            if not name.startswith("."):
                continue
            if name.endswith(".tmp"):
                if now - path.stat().st_mtime > _STALE_SECONDS:
                    yield Deletable(str(path), _size(path), "temporary")
            # of a store that is still asked for, the next fit takes what is valid
            elif (
                name.endswith(".zarr.zip")
                and not path.with_name(name[1:]).exists()
                and not _asked_for(study, path)
            ):
                yield Deletable(str(path), _size(path), "link")


def _asked_for(study: Study, link: Path) -> bool:
    parts = link.relative_to(study.paths.root).parts
    if len(parts) != 6 or parts[0] != "alignment":
        return True  # not ours: leave it
    _, dataset, model, checkpoint, layer, name = parts
    row = study.models.get(model)
    return (
        row is not None
        and dataset in study.datasets_of(model)
        and checkpoint in row.checkpoint_by_name
        and layer in row.layer_by_name
        and name[1:].removesuffix(".zarr.zip") in study.dataset(dataset).subjects
    )


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(_size(each) for each in path.iterdir())
    known = path.stat()
    return known.st_size if known.st_nlink == 1 else 0

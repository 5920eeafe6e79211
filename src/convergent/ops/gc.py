"""What a study can do without: fitted features, orphaned results, leftovers of killed jobs.

Features are most of a study's bytes, and are made again by the plan when a fit asks for them.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convergent.errors import ConvergentError, StoreError
from convergent.ops.folder_listing import Found, listed
from convergent.store import Sources, StoreRequest, attributes
from convergent.study import Study, converging_files
from convergent.study.graph import OPTIONAL, Job, Keys

_STALE_SECONDS = 24 * 3600
# Folders of the results that stages write, by the first word of their names.
_WRITTEN = frozenset(
    [
        "stimuli",
        "responses",
        "trained",
        "weights",
        "features",
        "alignment",
        "ceilings",
        "performance",
        "models",
        "families",
        "study",
    ]
)
Reason = Literal["fitted", "orphan", "temporary", "link"]


@dataclass(frozen=True)
class Deletable:
    """One file or folder to delete.

    Attributes
    ----------
    path : str
    bytes : int
        What its deletion frees; 0 for one of several names of a file.
    reason : {"fitted", "orphan", "temporary", "link"}
        Features whose fits are complete; results of something that left the study; a temporary of
        a job that was killed at least a day ago; the second name of a store that is gone and that
        the study no longer asks for.
    """

    path: str
    bytes: int
    reason: Reason


def find(study: Study, family: str | None = None, *, with_orphans: bool = False) -> list[Deletable]:
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
    with_orphans : bool
        Also results of models, families, subjects or data sets that the study does not have.

    Raises
    ------
    UnknownKeyError
        There is no such family.
    ConvergentError
        Snakemake is running in this folder.
    """
    needed, sources = _needed(study), Sources(study)
    found = [
        Deletable(path, _size(Path(path)), "fitted")
        for job in study.graph.jobs_of(family)
        if job.stage == "extract"
        for path in _fitted(study, sources, job, needed)
    ]
    if family is not None:
        return found
    if with_orphans:
        gone = orphans(study, listed(study.paths.root, without=("figures", "logs")))
        found += [Deletable(path, _size(Path(path)), "orphan") for path in gone]
    return [*found, *_left_behind(study)]


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


def orphans(study: Study, found: Found) -> list[str]:
    """Results of models, families, subjects or data sets that a study does not have (any more).

    Parameters
    ----------
    study : Study
    found : Found
        Files of its results folder.

    Returns
    -------
    list of str
        Sorted. Figures, logs and files that no stage writes are left out.
    """
    graph, root = study.graph, study.paths.root
    expected = {path for job in graph.jobs for path in job.outputs}
    for stage in OPTIONAL:
        for name in study.config.datasets:
            expected.update(graph.outputs(stage, {"dataset": name}))
    trained = {key for key in study.models if study.trains(key)}
    lost = []
    for folder, names in found.items():
        parts = folder.removeprefix(root).strip("/").split("/")
        if parts[0].partition("-")[0] not in _WRITTEN:
            continue
        if parts[0] == "trained" and len(parts) > 1:
            lost += [] if parts[1] in trained else [f"{folder}/{name}" for name in names]
            continue
        paths = (f"{folder}/{name}" for name in names)
        lost += [path for path in paths if path not in expected]
    return sorted(lost)


def _needed(study: Study) -> set[str]:
    """Features that more than the fits of their own layer read."""
    needed = {file for data in study.config.datasets for file in study.nuisance_files(data)}
    if not Path(study.paths.representations).exists():
        needed |= set(converging_files(study))
    return needed


def _fitted(study: Study, sources: Sources, job: Job, needed: set[str]) -> list[str]:
    """Feature stores of an extraction that are there, if all of their fits are complete."""
    files = list(study.graph.files(job.stage, job.keys))
    there = [path for path, _ in files if Path(path).exists()]
    if not there or needed & set(there):
        return []
    try:
        complete = all(_complete(study, sources, keys) for path, keys in files if path in there)
    except (OSError, StoreError):
        return []  # whatever is missing or damaged, a fit is still to be made
    return there if complete else []


def _complete(study: Study, sources: Sources, keys: Keys) -> bool:
    dataset = keys["dataset"]
    nuisance = study.nuisance_files(dataset)
    for asked in StoreRequest.alignments(study, keys, study.dataset(dataset).subjects, sources):
        inputs = [
            study.paths.features(*keys.values()),
            study.paths.stimuli(dataset),
            study.paths.responses(dataset, asked.keys["subject"]),
            *nuisance,
        ]
        # Snakemake runs a fit again that is older than what it reads
        newest = max(Path(path).stat().st_mtime for path in inputs)
        written, said = Path(asked.path).stat().st_mtime, attributes(asked.path)
        if written < newest or said.get("status") != "ok" or asked.difference(said) is not None:
            return False
    return True


def _left_behind(study: Study) -> Iterator[Deletable]:
    now = time.time()
    fits = {path for job in study.graph.jobs if job.stage == "fit" for path in job.outputs}
    for folder, folders, names in os.walk(study.paths.root):
        for name in [*folders, *names]:
            path = Path(folder, name)
            if not name.startswith("."):
                continue
            if name.endswith(".tmp"):
                if now - path.stat().st_mtime > _STALE_SECONDS:
                    yield Deletable(str(path), _size(path), "temporary")
            elif name.endswith(".zarr.zip") and "/alignment/" in f"{folder}/":
                # of a store that is still asked for, the next fit takes what is valid
                store = f"{folder}/{name[1:]}"
                if store not in fits and not Path(store).exists():
                    yield Deletable(str(path), _size(path), "link")


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(_size(each) for each in path.iterdir())
    known = path.stat()
    return known.st_size if known.st_nlink == 1 else 0

"""Room and abilities of the file systems that a study writes to, and what it will need of them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from convergent.ops.checks import Check, gigabytes
from convergent.ops.folder_listing import Found, is_there
from convergent.ops.plan import estimate
from convergent.study import Study, resources
from convergent.study.resources import features_bytes


@dataclass(frozen=True)
class Needs:
    """Space that a study will still take.

    Attributes
    ----------
    bytes : float
        In the results folder, without stimuli and responses.
    inodes : int
        Files, folders and logs there.
    weights : float
        Bytes of weights that have no record yet.
    checkpoints : int
        That these are of.
    """

    bytes: float
    inodes: int
    weights: float
    checkpoints: int


def needs(study: Study, found: Found) -> Needs:
    """Add up what `convergent plan` counts as left, and the weights that have no record.

    Parameters
    ----------
    study : Study
    found : Found
        Files of the results folder.
    """
    left, weights, checkpoints = estimate(study).total, 0.0, 0
    for model in study.models.values():
        for checkpoint in model.checkpoints:
            path = study.paths.weights(model.key, checkpoint.name)
            if model.is_control or checkpoint.role == "random" or is_there(found, path):
                continue
            if not study.trains(model.key):
                weights += resources.weights_mb(study, model) * 1e6
                checkpoints += 1
    size = left.feature_bytes + left.alignment_bytes
    return Needs(size, left.inodes, weights, checkpoints)


def rows_of_a_job(study: Study) -> int:
    """Bytes of the rows that the largest extraction keeps in ``resources.scratch`` at a time."""
    by_layer = study.config.granularity == "layer"
    rows = (
        features_bytes(study, layers, study.dataset(dataset).stimuli)
        for model in study.models.values()
        for layers in ([[one] for one in model.layers] if by_layer else [model.layers])
        for dataset in study.datasets_of(model.key)
    )
    return max(rows, default=0)


# Snakemake compares times that a server writes with each other; a second does no harm.
_CLOCK_SECONDS = 2.0
_LOW = 1.2  # free over needed, below which it is told


def room(study: Study, need: Needs) -> Iterator[Check]:
    """Free space and inodes of the results folder, against what the study will need."""
    place = existing(study.paths.root)
    facts = os.statvfs(place)
    free = facts.f_bavail * facts.f_frsize
    yield _against("results: space", gigabytes(free), free, gigabytes(need.bytes), need.bytes)
    if facts.f_files:
        text = f"{facts.f_favail:,} inodes"
        yield _against("results: inodes", text, facts.f_favail, f"{need.inodes:,}", need.inodes)
    else:
        yield Check("ok", "results: inodes", "this file system does not count them")
    yield from _quota(place, need)


def _against(about: str, free_text: str, free: float, need_text: str, need: float) -> Check:
    text = f"{free_text} free, the study needs about {need_text} more"
    if free < need:
        return Check(
            "problem",
            about,
            text,
            "point `results` at a larger disk, keep features in half precision "
            "(extraction.store: float16), or run the families one after another",
        )
    if free < _LOW * need:
        return Check("warning", about, text, "it is tight: others may use the disk too")
    return Check("ok", about, text)


def _quota(place: Path, need: Needs) -> Iterator[Check]:
    """Quota of a Lustre file system; on others `lfs` does not answer."""
    if shutil.which("lfs") is None:
        return
    user = str(os.getuid())
    try:
        done = subprocess.run(
            ["lfs", "quota", "-q", "-u", user, str(place)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        yield Check("warning", "results: quota", "`lfs quota` did not answer", "ask it by hand")
        return
    if done.returncode == 0:
        yield from quota_lines(done.stdout, need)


def quota_lines(text: str, need: Needs) -> Iterator[Check]:
    """Read ``lfs quota -q``: path, kilobytes, quota, limit, grace, files, quota, limit."""
    fields = [field.rstrip("*") for field in text.split()]
    if len(fields) < 8 or not all(fields[i].isdigit() for i in (1, 2, 3, 5, 6, 7)):
        return
    kilobytes, soft, hard, files, soft_files, hard_files = (
        int(fields[i]) for i in (1, 2, 3, 5, 6, 7)
    )
    if limit := soft or hard:
        free = max(0.0, (limit - kilobytes) * 1024.0)
        needed = gigabytes(need.bytes)
        yield _against("results: quota", gigabytes(free), free, needed, need.bytes)
    if limit := soft_files or hard_files:
        left = max(0, limit - files)
        text = f"{left:,} files"
        yield _against("results: quota of files", text, left, f"{need.inodes:,}", need.inodes)


def abilities(study: Study) -> Iterator[Check]:
    """Whether the results folder's file system can rename, link and lock, and its clock."""
    root = Path(study.paths.root)
    about = "results: file system"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=root) as folder:
            first = Path(folder, "first")
            begun = time.time()
            first.write_text("first")
            off = first.stat().st_mtime - begun
            first.replace(Path(folder, "second"))
            cannot = _cannot(Path(folder))
    except OSError as error:
        yield Check(
            "problem",
            about,
            f"{root} cannot be written: {error.strerror}",
            "check its permissions and quota, or set `results`",
        )
        return
    if "lock" in cannot:
        text = "no locks: the cache of weights may be written by two processes at once"
        yield Check("warning", about, text, "let only the login node download weights")
    if "link" in cannot:
        yield Check(
            "warning",
            about,
            "no hard links: a metric that is added later is computed with all others again",
            "keep results where hard links can be made, if metrics will be added",
        )
    if not cannot:
        yield Check("ok", about, "renames, hard links and locks work")
    if abs(off) > _CLOCK_SECONDS:
        yield Check(
            "warning",
            "results: clock",
            f"files are dated {off:+.0f} s from this machine's clock",
            "have the clocks set: Snakemake decides by the times of files what is out of date",
        )
    else:
        yield Check("ok", "results: clock", "files are dated as this machine's clock says")


def _cannot(folder: Path) -> set[str]:
    cannot: set[str] = set()
    try:
        os.link(folder / "second", folder / "third")
    except OSError:
        cannot.add("link")
    try:
        with (folder / "second").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        cannot.add("lock")
    return cannot


def weights_cache(study: Study) -> Path:
    """Where downloaded weights lie, as Hugging Face's library finds it."""
    if study.config.weights.cache:
        return Path(study.config.weights.cache)
    home = os.environ.get("HF_HOME") or os.path.join(  # noqa: PTH118
        os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"
    )
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub")).expanduser()


def cache(study: Study, need: Needs) -> Iterator[Check]:
    """Whether the weights that are still to be downloaded fit into their cache."""
    place, about = weights_cache(study), "weights"
    if not need.checkpoints:
        yield Check("ok", about, f"all are recorded; the cache is {place}")
        return
    above = existing(place)
    free = float(shutil.disk_usage(above).free)
    text = (
        f"{need.checkpoints:,} checkpoints without a record, at most {gigabytes(need.weights)}; "
        f"{place} has {gigabytes(free)} free"
    )
    if not os.access(above, os.W_OK):
        yield Check("problem", about, f"{above} cannot be written", "set HF_HOME or weights.cache")
    elif free < need.weights:
        yield Check(
            "warning",
            about,
            text,
            "set weights.cache or HF_HOME to a larger disk that nodes see, or run and remove the "
            "families one after another",
        )
    else:
        yield Check("ok", about, text)
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        yield Check(
            "warning",
            about,
            "HF_HUB_OFFLINE is set: weights that are not in the cache are not downloaded",
            "unset it where Snakemake is started",
        )


def existing(path: str | Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    place = Path(path)
    return next(above for above in (place, *place.absolute().parents) if above.exists())

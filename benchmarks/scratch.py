"""Scratch: bytes that a layer's extraction moves on the results' file system, with and without it.

    python benchmarks/scratch.py FOLDER              # a minute; needs strace

A small network's layer is extracted in a process of its own, twice, and its calls are counted by
the file that they are of (`strace -y`): rows that wait for their store, and the store. Ratios are
to the size of the store; they do not depend on the model.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from _cluster import ONE_THREAD, Place, make_place

from convergent.pipeline.data import write_stimuli
from convergent.pipeline.weights import write_manifests

CALLS = "pwrite64,write,writev,pread64,read,readv,copy_file_range,sendfile"
# 4711 pwrite64(4</folder/#41>(deleted), "..."..., 2048, 0) = 2048
LINE = re.compile(r"^\d+ +(\w+)\(\d+<([^>]*)>.* = (\d+)$")


def moved(place: Place, scratch: Path | None) -> Counter[tuple[str, str]]:
    """Bytes by kind of call, and whose file they are of, in one extraction."""
    store = Path(place.study.paths.features("scenes", "vit-0", "final", "layers.0"))
    (place.root / store).unlink(missing_ok=True)
    trace = place.root / "trace"
    command = [sys.executable, "-m", "convergent", "extract", "--study", "study.yaml"]
    command += ["--dataset", "scenes", "--model", "vit-0", "--checkpoint", "final"]
    command += ["--layer", "layers.0", "--set", f"resources.scratch={scratch or 'null'}"]
    subprocess.run(
        ["strace", "-f", "-y", "-qq", "-s", "0", "-e", f"trace={CALLS}", "-o", trace, *command],
        check=True,
        cwd=place.root,
        env=os.environ | ONE_THREAD,
    )
    found: Counter[tuple[str, str]] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        if (match := LINE.match(line)) is None:
            continue
        call, path, size = match.groups()
        kind = "read" if "read" in call else "written"
        if Path(path).is_relative_to(place.root / store.parent):
            found[kind, "results"] += int(size)
        elif scratch is not None and Path(path).is_relative_to(scratch):
            found[kind, "scratch"] += int(size)
    found["store", ""] = (place.root / store).stat().st_size
    return found


def main() -> None:
    """Print bytes and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    place = make_place(folder / "study", 1, 1, {"cka": None})
    os.chdir(place.root)
    table = Path("models.tsv")  # wider rows, beside which the store's description is small
    table.write_text(table.read_text().replace("\tcls\t", "\tflatten\t"))
    write_stimuli(place.study, "scenes")
    write_manifests(place.study, "vit-0", None)
    disk = folder / "disk"
    disk.mkdir()
    print(f"{'rows wait':14}{'file system':13}{'written':>12}{'read':>12}   of the store's size")
    for name, scratch in (("beside", None), ("in scratch", disk)):
        found = moved(place, scratch)
        size = found["store", ""]
        for where in ("results", "scratch") if scratch else ("results",):
            written, read = found["written", where], found["read", where]
            ratios = f"{written / size:.2f} written, {read / size:.2f} read"
            print(f"{name:14}{where:13}{written:12,}{read:12,}   {ratios}")


if __name__ == "__main__":
    main()

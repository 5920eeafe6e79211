"""Prepare one subject of NSD from generated files, with 5 and with 10 sessions.

    python benchmarks/nsd.py [--vertices 50000] [--trials 750] [--directory DIR]

Writes files in NSD's formats (fsaverage MGH of both hemispheres, 1.5 GB; four fifths of the
vertices lie in an area and are targets), prepares each number of sessions in a process of its
own, and prints seconds, peak memory (the process's, and above what it had before it read) and
the ratios.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SESSIONS = (5, 10)


def generate(directory: Path, vertices: int, trials: int) -> None:
    """Write the experiment and ten sessions of both hemispheres."""
    from convergent.brains.nsd import example

    made = example.write_experiment(directory, scale=750 // trials, images=False)
    half = {"lh": vertices // 2, "rh": vertices - vertices // 2}
    example.write_surface(made, "subj01", half, sessions=range(1, max(SESSIONS) + 1))


def peak_mb() -> float:
    """Largest resident size of this process; getrusage would count its parent's as well."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def prepare(directory: Path, sessions: int) -> dict[str, float]:
    """Read the sessions and write the responses as the workflow does."""
    from convergent.brains.nsd.reader import NsdReader
    from convergent.store import write_store

    before = peak_mb()
    begun = time.perf_counter()
    reader = NsdReader(
        subjects=("subj01",),
        data=str(directory),
        agreement="accepted",
        space="fsaverage",
        sessions=sessions,
        test="all_shared",
        scratch=str(directory),
    )
    brain = reader.responses("subj01")
    read = time.perf_counter() - begun
    path = directory / "responses.zarr.zip"
    write_store(path, "responses", {"responses": (("stimulus", "target"), brain.data)}, {})
    seconds = time.perf_counter() - begun
    size = path.stat().st_size / 2**20
    path.unlink()
    return {
        "sessions": sessions,
        "images": brain.data.shape[0],
        "targets": brain.data.shape[1],
        "read_s": read,
        "seconds": seconds,
        "peak_mb": peak_mb(),
        "above_mb": peak_mb() - before,
        "store_mb": size,
    }


def main() -> None:
    """Generate, prepare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vertices", type=int, default=50_000, help="a fifth lies in no area")
    parser.add_argument("--trials", type=int, default=750)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--prepare", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.prepare is not None:
        print(json.dumps(prepare(given.directory, given.prepare)))
        return
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        begun = time.perf_counter()
        generate(Path(directory), given.vertices, given.trials)
        print(f"generated in {time.perf_counter() - begun:.0f} s")
        found = []
        for sessions in SESSIONS:
            command = [sys.executable, __file__, "--directory", directory]
            command += ["--prepare", str(sessions)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(json.loads(done.stdout))
            print("  ".join(f"{key} {value:.0f}" for key, value in found[-1].items()))
        few, many = found
        ratios = {key: many[key] / few[key] for key in ("seconds", "peak_mb")}
        print("10 over 5:", "  ".join(f"{key} {ratio:.2f}" for key, ratio in ratios.items()))


if __name__ == "__main__":
    main()

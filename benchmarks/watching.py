"""Time `convergent status` over a large study's files.

    python benchmarks/watching.py [--files 100000]

The first files of the paper's study are made, empty: status looks at names only.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import tempfile
import time
from pathlib import Path

from convergent.ops.folder_listing import listed
from convergent.ops.status import Watch
from convergent.study import Study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--study", default="config/paper.yaml")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Study.load(arguments.study, {"results": folder})
        jobs = [job for job in study.graph.jobs if job.stage in ("extract", "fit")]
        paths = list(itertools.islice((p for job in jobs for p in job.paths), arguments.files))
        for path in paths:
            place = Path(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
            if "/alignment/" in path:  # as fits leave them
                os.link(path, place.with_name(f".{place.name}"))
        begun = time.perf_counter()
        found = listed(study.paths.root)
        listing = time.perf_counter() - begun
        begun = time.perf_counter()
        watch = Watch(study)
        planned = time.perf_counter() - begun
        status = watch.look()
        again = watch.look()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(paths):,} files in {len(found):,} folders, {status.whole.total:,} jobs")
    print(f"jobs of the study  {planned:6.2f} s")
    print(f"listing            {listing:6.2f} s")
    print(f"first look         {status.seconds:6.2f} s (done: {status.whole.jobs['done']:,})")
    print(f"next look          {again.seconds:6.2f} s")
    print(f"memory             {memory:6.0f} MB")


if __name__ == "__main__":
    main()

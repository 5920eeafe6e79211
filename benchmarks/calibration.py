"""False positives at 5 % nominal, and power, of every test behind a claim: one table.

    python benchmarks/calibration.py                       # all topics, about ten minutes
    python benchmarks/calibration.py --topic performance   # one; repeat for several
    python benchmarks/calibration.py --quick               # fewer simulations, to see that it runs

Each `calibration_<topic>.py` beside this file has `run(seed, *, quick) -> rows`, made with
`_rates.rate_row`. A guard must reject between 3 and 7 % of simulations without an effect; the way
that it replaces stands beside it as `naive`. Rates of `--quick` are too coarse to pass or fail.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from _rates import Row

SEED = 20250702


def topics() -> list[str]:
    """Topics that have a module here."""
    here = Path(__file__).parent
    return sorted(path.stem.removeprefix("calibration_") for path in here.glob("calibration_*.py"))


def table(rows: Iterable[Row]) -> str:
    """Write rows as aligned text."""
    head = ("topic", "design", "test", "kind", "nominal", "rate", "95 % interval", "n", "")
    cells = [head]
    for row in rows:
        passed = {True: "ok", False: "FAILED", None: ""}[row["passed"]]
        between = f"[{row['low']:.3f}, {row['high']:.3f}]"
        numbers = (f"{row['nominal']:.3f}", f"{row['rate']:.3f}", between)
        words = (row["topic"], row["design"], row["test"], row["kind"])
        cells.append((*words, *numbers, str(row["simulations"]), passed))
    wide = [max(len(line[i]) for line in cells) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True)).rstrip()
        for line in cells
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topic", action="append", choices=topics(), help="repeat for several")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    failed = 0
    for topic in options.topic or topics():
        started = time.perf_counter()
        rows = importlib.import_module(f"calibration_{topic}").run(
            options.seed, quick=options.quick
        )
        failed += sum(row["passed"] is False for row in rows)
        print(table(rows))
        print(f"{topic}: {time.perf_counter() - started:.0f} s\n", flush=True)
    if failed:
        print(f"{failed} row(s) outside their limits" + " (--quick)" * options.quick)
    return 1 if failed and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())

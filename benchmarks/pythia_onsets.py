"""When Pythia's published scores rise: onsets by size and task, as a table and a figure.

    python benchmarks/pythia_onsets.py [figure.svg]

From config/models/pythia_performance.tsv (zero-shot, every published step). Positions are steps at
which a monotone fit has covered 10, 50 and 90 % of the score's own range.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from convergent.statistics import SHARES, Curve, kind, rises, step_positions

TABLES = Path(__file__).parent.parent / "config" / "models"
SIZES = ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
TASKS = (
    *("lambada_openai_log_likelihood", "lambada_openai", "lambada_openai_ppl", "piqa", "sciq"),
    *("arc_easy", "arc_challenge", "winogrande", "wsc", "logiqa"),
)


def read(name: str) -> pl.DataFrame:
    return pl.read_csv(
        TABLES / f"{name}.tsv", separator="\t", comment_prefix="#", infer_schema_length=None
    )


def scores() -> pl.DataFrame:
    """Published score of each model, step and task."""
    steps = read("pythia_checkpoints").select("model", "checkpoint", pl.col("step").cast(pl.Int64))
    found = read("pythia_performance").join(steps, on=["model", "checkpoint"], how="left")
    return found.filter(pl.col("step").is_not_null())


def curves() -> dict[tuple[str, str], Curve]:
    """One curve a model and task; better is up."""
    table = scores()
    places = step_positions(table["step"].to_list())
    found = {}
    for (model, task), part in table.sort("step").group_by(["model", "benchmark"]):
        sign = 1.0 if rises(str(task)) else -1.0
        at = [places[step] for step in part["step"].to_list()]
        found[str(model), str(task)] = Curve.of(at, sign * part["score"].to_numpy())
    return found


def onsets() -> pl.DataFrame:
    rows = []
    for (model, task), curve in curves().items():
        sign = 1.0 if rises(task) else -1.0
        rows.append({
            "model": model, "task": task, "kind": kind(task), "checkpoints": curve.value.size,
            "first": sign * float(curve.fit[0]), "last": sign * float(curve.fit[-1]),
            **{f"t{100 * q:.0f}": 10 ** curve.onset(q).position for q in SHARES},
            "reason": curve.onset(0.5).reason,
        })  # fmt: skip
    size = {f"pythia-{name}{kind}": k for k, name in enumerate(SIZES) for kind in ("", "-deduped")}
    task = {name: k for k, name in enumerate(TASKS)}
    table = pl.DataFrame(rows)
    return table.sort(
        pl.col("task").replace_strict(task), pl.col("model").replace_strict(size), "model"
    )


def draw(path: str) -> None:
    from matplotlib.figure import Figure

    table = onsets().filter(~pl.col("model").str.ends_with("deduped") & (pl.col("reason") == ""))
    figure = Figure(figsize=(7.6, 4.6), layout="constrained")
    axis = figure.subplots()
    shown = [task for task in TASKS if task in set(table["task"])]
    for k, task in enumerate(shown):
        part = table.filter(pl.col("task") == task)
        for row in part.iter_rows(named=True):
            place = SIZES.index(row["model"].removeprefix("pythia-"))
            y, colour = k + 0.08 * (place - 3.5), f"C{place}"
            axis.plot([row["t10"], row["t90"]], [y, y], color=colour, linewidth=1.2)
            axis.plot(row["t50"], y, "o", color=colour, markersize=4)
    for place, name in enumerate(SIZES):
        axis.plot([], [], "o-", color=f"C{place}", markersize=4, label=name)
    axis.set_xscale("log")
    axis.set_yticks(range(len(shown)), shown)
    axis.invert_yaxis()
    axis.set_xlabel("step at which 10, 50 (dot) and 90 % of its own range is covered")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(title="Pythia", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, metadata={"Date": None} if path.endswith("svg") else None, dpi=110)


if __name__ == "__main__":
    print(f"{'task':<30}{'model':<22}{'first':>12}{'last':>9}{'10 %':>9}{'50 %':>9}{'90 %':>9}")
    for row in onsets().iter_rows(named=True):
        times = "".join(f"{row[name]:>9.0f}" for name in ("t10", "t50", "t90"))
        print(
            f"{row['task']:<30}{row['model']:<22}{row['first']:>12.3f}{row['last']:>9.3f}"
            + (f"  {row['reason']}" if row["reason"] else times)
        )
    if len(sys.argv) > 1:
        draw(sys.argv[1])

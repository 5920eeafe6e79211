"""``convergent status``: how far a study is."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from convergent.cli._app import DEFAULT_STUDY, Overrides, StudyFile, app, load

if TYPE_CHECKING:
    from rich.console import RenderableType

    from convergent.ops.status import Family, Status, Watch

_PANEL = "Inspect"
_HEADERS = ("family", "jobs", "done", "running", "queued", "failed", "waiting", "GPU h", "end")


@app.command(rich_help_panel=_PANEL)
def status(
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
    family: Annotated[str | None, typer.Option("--family", help="Only this family.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Look again until Ctrl-C.")] = False,
    every: Annotated[
        float, typer.Option("--every", min=1, help="Seconds between two looks of --live.")
    ] = 10,
    errors: Annotated[int, typer.Option("--max-errors", min=0, help="Failed jobs to show.")] = 5,
    lines: Annotated[
        int, typer.Option("--log-lines", min=0, help="Log lines of each failed job.")
    ] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show progress and recent errors: jobs by family, while a study runs or afterwards."""
    from convergent.ops.status import Watch

    watch = Watch(load(study, overrides), family, lines=lines, most=errors)
    if live:
        _live(watch, every)
        return
    found = watch.look()
    if as_json:
        typer.echo(json.dumps(_content(found), indent=2))
        return
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        console.print(_picture(found))
    else:
        typer.echo("\n".join(_plain(found)))


def _live(watch: Watch, every: float) -> None:
    from rich.console import Console
    from rich.live import Live

    console, found = Console(), watch.look()
    with Live(_picture(found, console.height), console=console, auto_refresh=False) as shown:
        try:
            while True:
                # looking never takes more than a tenth of the time of the file system
                time.sleep(max(every, 10 * found.seconds))
                found = watch.look()
                shown.update(_picture(found, console.height), refresh=True)
        except KeyboardInterrupt:
            return


def _cells(row: Family) -> list[str]:
    counts = (row.total, *(row.jobs[state] for state in ("done", "running", "queued")))
    rest = (row.jobs["failed"], row.jobs["waiting"])
    numbers = [f"{number:,}" for number in (*counts, *rest)]
    return [row.name, *numbers, f"{row.gpu_hours:.1f}", _end(row)]


def _end(row: Family) -> str:
    if row.end is None:
        return "" if row.left else "-"
    near = row.end - time.time() < 12 * 3600
    return time.strftime("%H:%M" if near else "%a %d %b %H:%M", time.localtime(row.end))


def _picture(found: Status, height: int | None = None) -> RenderableType:
    """Table and errors; of more families than lines, those at which something happens."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    below = _below(found)
    table = Table()
    for name in _HEADERS:
        table.add_column(name, justify="left" if name == "family" else "right", no_wrap=True)
    room = None if height is None else max(3, height - len(below) - 10)
    for row in _shown(found, room):
        cells = [Text(cell) for cell in _cells(row)]
        if row.jobs["failed"]:
            cells[5].stylize("bold red")
        table.add_row(*cells)
    table.add_section()
    table.add_row(*_cells(found.whole))
    return Group(Text(_title(found)), table, Text("\n".join(below)))


def _shown(found: Status, most: int | None) -> list[Family]:
    from convergent.ops.status import Family

    if most is None or len(found.families) <= most:
        return found.families
    ranked = sorted(found.families, key=_quiet)
    names = {row.name for row in ranked[: most - 1]}
    rest = Family(f"{len(ranked) - len(names)} more families")
    for row in ranked[most - 1 :]:
        rest.jobs.update(row.jobs)
        rest.gpu_hours += row.gpu_hours
    return [*(row for row in found.families if row.name in names), rest]


def _quiet(row: Family) -> int:
    """How little there is to see at a family."""
    if row.jobs["running"] or row.jobs["failed"]:
        return 0
    if row.jobs["queued"]:
        return 1
    return 2 if 0 < row.jobs["done"] < row.total else 3


def _plain(found: Status) -> list[str]:
    rows = [list(_HEADERS), *(_cells(row) for row in [*found.families, found.whole])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADERS))]
    lines = [_title(found)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return [*lines, *_below(found)]


def _title(found: Status) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.now))
    return f"{found.study}, {when}: {_run(found)}"


def _run(found: Status) -> str:
    run = found.run
    if run is None:
        return "no run of Snakemake has left a log here"
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.begun))
    steps = f", {run.steps[0]:,} of {run.steps[1]:,} planned jobs done" if run.steps[1] else ""
    if found.alive:
        return f"Snakemake runs on {run.host} since {begun}{steps}"
    if not run.began:
        return f"Snakemake's last start, of {begun}, came to no job"
    if run.ended:
        return f"Snakemake's last run, of {begun}, has ended{steps}"
    return f"Snakemake's last run, of {begun} on {run.host}, did not end by itself{steps}"


def _below(found: Status) -> list[str]:
    """What is told below the table."""
    lines = [f"note: {note}" for note in found.notes]
    run = found.run
    if run is not None:
        lines += [f"Snakemake: {problem}" for problem in run.problems[-3:]]
        if run.began and not found.alive and not run.ended:
            end = f"`scancel --name={run.slurm}` ends its jobs; " if run.slurm else ""
            lines.append(f"it was killed: {end}`snakemake --unlock`, then start it again")
    for failure in found.failures:
        when = time.strftime("%d %b %H:%M:%S", time.localtime(failure.when))
        lines += ["", f"failed {when}: {failure.job.stage} {failure.job.name}".rstrip()]
        lines.append(f"  {failure.job.log}")
        lines += [f"  | {line}" for line in failure.lines]
        if failure.said:
            lines.append(f"  {failure.said}")
    more = found.whole.jobs["failed"] - len(found.failures)
    if more > 0:
        lines += ["", f"{more:,} more failed: --errors {found.whole.jobs['failed']}"]
    return lines


def _content(found: Status) -> dict[str, object]:
    run = found.run
    return {
        "study": found.study,
        "time": found.now,
        "seconds": round(found.seconds, 3),
        "run": None
        if run is None
        else {
            "log": str(run.file),
            "begun": run.begun,
            "host": run.host,
            "alive": found.alive,
            "ended": run.ended,
            "slurm": run.slurm or None,
            "done": run.steps[0],
            "planned": run.steps[1],
            "problems": run.problems,
        },
        "families": [_numbers(row) for row in found.families],
        "all": _numbers(found.whole),
        "failures": [
            {
                "stage": failure.job.stage,
                "family": failure.job.family,
                "job": failure.job.name,
                "log": failure.job.log,
                "time": failure.when,
                "message": failure.said,
                "lines": list(failure.lines),
                "targets": list(failure.job.outputs),
            }
            for failure in found.failures
        ],
        "notes": found.notes,
    }


def _numbers(row: Family) -> dict[str, object]:
    from convergent.ops.status import STATES

    counts: dict[str, object] = {state: row.jobs[state] for state in STATES}
    hours = round(row.gpu_hours, 3)
    return {"family": row.name, "jobs": row.total, **counts, "gpu_hours": hours, "end": row.end}

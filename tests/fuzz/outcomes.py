"""What becomes of a command that is given mutated input."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import sys
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import typer.main

import convergent.cli as cli

SECONDS = 30  # no case waits for anything: one that takes longer hangs


@dataclass(frozen=True)
class Outcome:
    """How one command ended.

    Attributes
    ----------
    kind : str
        ``accepted``, ``refused`` (each error one line), or a fault: ``TRACEBACK``, ``HANG``,
        ``UNCLEAR`` (refused without a line that says what is wrong).
    text : str
        What it printed, with the traceback.
    """

    kind: str
    text: str


class _TooLongError(BaseException):
    pass


def _stop(*_: object) -> None:
    raise _TooLongError


# Building the commands takes longer than most cases; they do not change.
_COMMAND = typer.main.get_command(cli.app)


def run(folder: Path, *arguments: str) -> Outcome:
    """Run ``convergent`` in this process, in a folder."""
    out, err = io.StringIO(), io.StringIO()
    before = Path.cwd()
    os.chdir(folder)
    old = signal.signal(signal.SIGALRM, _stop)
    signal.alarm(SECONDS)
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.object(sys, "argv", ["convergent", *arguments]),
            mock.patch.object(typer.main, "get_command", return_value=_COMMAND),
        ):
            cli.main()
        status = 0
    except SystemExit as stopped:
        status = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except _TooLongError:
        return Outcome("HANG", traceback.format_exc())
    except BaseException:
        return Outcome("TRACEBACK", traceback.format_exc())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        os.chdir(before)
    return Outcome(_kind(status, out.getvalue(), err.getvalue()), out.getvalue() + err.getvalue())


def _kind(status: int, out: str, err: str) -> str:
    if "Traceback (most recent call last)" in out + err:
        return "TRACEBACK"
    if status == 0:
        return "accepted"
    if "Usage:" in err:
        return "refused"
    lines = [line for line in err.splitlines() if line.strip()]
    clear = [line for line in lines if line.startswith("error: ") and len(line) > 20]
    closing = [line for line in lines if re.match(r"[0-9]+ error\(s\)( in |$)", line)]
    printable = all(char.isprintable() for line in lines for char in line)
    good = clear and len(clear) + len(closing) == len(lines) and printable and status == 2
    return "refused" if good else "UNCLEAR"


class Ledger:
    """Counts of outcomes, by what was mutated."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def judge(self, outcome: Outcome, *, wrong: bool | None, case: str) -> None:
        """Count an outcome, and fail on a fault.

        Parameters
        ----------
        outcome : Outcome
        wrong : bool or None
            Whether the input is certainly wrong (True), certainly right (False), or neither.
        case : str
            For the message.
        """
        kind = outcome.kind
        if kind == "accepted" and wrong:
            kind = "SILENT"
        if kind == "refused" and wrong is False:
            kind = "REFUSED THOUGH RIGHT"
        self.counts[kind] += 1
        assert kind in ("accepted", "refused"), f"{kind}: {case}\n{outcome.text[-3000:]}"


def fresh(base: Path, folder: Path) -> Path:
    """Put the files of a study, but its data and weights, back as they were.

    Those are linked: cases that change them copy them.
    """
    if folder.exists():
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    folder.mkdir(exist_ok=True)
    for path in base.iterdir():
        if path.is_dir():
            (folder / path.name).symlink_to(path, target_is_directory=True)
        else:
            shutil.copyfile(path, folder / path.name)
    return folder

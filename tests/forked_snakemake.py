"""Snakemake from a process that has imported it, which is most of what a dry run takes.

``run`` does what ``python -m snakemake`` does in a folder. Run as a program, this file is the
process that forks for each call.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Snakemake with those arguments in that folder, and in this process's environment."""
    server = _server()
    with tempfile.TemporaryDirectory() as place:
        told = [Path(place, name) for name in ("stdout", "stderr")]
        asked = {
            "arguments": arguments,
            "folder": str(folder),
            "environment": dict(os.environ),
            "outputs": [str(path) for path in told],
        }
        assert server.stdin and server.stdout
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(path.read_text() for path in told))


@functools.cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(server.communicate)  # the end of its input ends it
    return server


def serve() -> None:
    """Fork for each line of the input; the child returns, as Snakemake's own process would."""
    from snakemake.cli import main

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(**json.loads(line))
            main()
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(
    arguments: list[str], folder: str, environment: dict[str, str], outputs: list[str]
) -> None:
    for number, path in enumerate([os.devnull, *outputs]):
        mode = os.O_RDWR | (os.O_CREAT if number else 0)
        os.dup2(os.open(path, mode), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder
    sys.argv = ["snakemake", *arguments]


if __name__ == "__main__":
    serve()

"""Programs from a process that has imported everything: imports are most of a short command.

The process forks for each call. The child does what ``python -m PROGRAM`` would, with the caller's
arguments, folder, environment, files and signals. Jobs of a ``snakemake`` that is started here
find a ``convergent`` that is started here too.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

PROGRAMS = ("convergent", "snakemake")
IMPORTED = (
    "snakemake.cli", "torch", "torchvision", "timm", "open_clip", "accelerate",
    "transformers.models.vit.modeling_vit", "matplotlib.pyplot", "plotly.graph_objects",
    "pyarrow.dataset", "zarr", "statsmodels.api", "nilearn.plotting",
)  # fmt: skip
# jemalloc of polars and of arrow
NO_THREADS = dict.fromkeys(
    ("_RJEM_MALLOC_CONF", "JE_ARROW_MALLOC_CONF", "MALLOC_CONF"), "background_thread:false"
)
IDLE = ("polars-ooc-clea",)

# With little of Python's own, this takes 20 ms. Its signals become those of the child.
CLIENT = """\
#!{python} -IS
import json, os, resource, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, _: server.send(bytes([number])))
socket.send_fds(server, [b"+"], [0, 1, 2])
server.sendall(json.dumps({{
    "program": {program!r},
    "arguments": sys.argv[1:],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "file_size": resource.getrlimit(resource.RLIMIT_FSIZE),
}}).encode() + b"\\n")
code = int(server.recv(16) or 1)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def run(
    arguments: list[str], folder: Path, name: str = "snakemake"
) -> subprocess.CompletedProcess[str]:
    """Run a program with those arguments in that folder, and in this process's environment."""
    return subprocess.run(
        [program(name), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def program(name: str) -> str:
    """Path of one of the programs, which may be started and killed like the installed one."""
    return str(_server() / name)


@functools.cache
def _server() -> Path:
    """Start the process that forks; the folder of the programs."""
    place = tempfile.mkdtemp(prefix="forked-")
    folder, address = Path(place, "bin"), str(Path(place, "socket"))
    folder.mkdir()
    texts = {
        name: CLIENT.format(python=sys.executable, address=address, program=name)
        for name in PROGRAMS
    }
    texts["python"] = f'#!/bin/sh\nexec {sys.executable} "$@"\n'  # for those who start one anyway
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, __file__, address],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | NO_THREADS,
    )  # fmt: skip
    atexit.register(server.communicate)  # the end of its input ends it
    assert server.stdout and server.stdout.readline() == b"ready\n"
    return folder


def serve(address: str) -> None:
    """Fork for each caller until the input ends."""
    _import_everything()
    threads = {task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")}
    assert threads <= {"python", "python3", *IDLE}, f"{threads}: locks that no fork would free"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    print("ready", flush=True)
    children: dict[int, tuple[int, socket.socket]] = {}
    while True:
        callers = {caller: child for child, caller in children.values()}
        ready = select.select([listening, sys.stdin, *children, *callers], [], [])[0]
        if sys.stdin in ready:
            return
        for ended in children.keys() & set(ready):
            child, caller = children.pop(ended)
            _, status = os.waitpid(child, 0)
            os.close(ended)
            del callers[caller]
            with caller, contextlib.suppress(BrokenPipeError):
                caller.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        for caller in callers.keys() & set(ready):  # a signal; the end of one who was killed
            told = caller.recv(1)
            os.killpg(callers[caller], told[0] if told else signal.SIGKILL)
        if listening in ready:
            caller, _ = listening.accept()
            child = _start(caller)
            children[os.pidfd_open(child)] = child, caller


def _import_everything() -> None:
    import convergent

    os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported
    for module in pkgutil.walk_packages(convergent.__path__, "convergent."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _start(caller: socket.socket) -> int:
    """Fork the program that a caller asks for."""
    _, files, _, _ = socket.recv_fds(caller, 1, 3)
    with caller.makefile() as lines:
        asked = lines.readline()
    started, says_so = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()  # what it starts gets its signals too, as in a terminal
        os.close(says_so)
        _become(files=files, **json.loads(asked))
    for number in (says_so, *files):
        os.close(number)
    os.read(started, 1)  # the end of it: there is a session to be sent signals
    os.close(started)
    return child


def _become(
    program: str,
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    file_size: tuple[int, int],
    files: list[int],
) -> NoReturn:
    """Run the program as this process, and end."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    resource.setrlimit(resource.RLIMIT_FSIZE, file_size)
    tempfile.tempdir = None
    sys.path[0] = folder
    # jobs get the folder of this Python first in PATH
    sys.executable = str(Path(sys.argv[1]).parent / "bin" / "python")
    sys.argv[1:] = arguments
    code: Any = None
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    # to take everything down that was imported would be most of its time
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    serve(sys.argv[1])

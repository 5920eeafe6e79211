"""Small programs in place of apptainer and conda, which write down how Snakemake calls them.

They do what the real ones do to a command's environment, as far as the workflow depends on it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import convergent

# `exec`: the command runs with the image's PATH and the home that is asked for.
APPTAINER = """\
#!{python}
import json, os, sys
words = sys.argv[1:]
if words == ["--version"]:
    print("apptainer version 1.3.4")
    sys.exit()
assert words[0] == "exec" and words[-2] == "-c" and words[-3] == "bash", words
with open({record!r}, "a") as file:
    file.write(json.dumps(words) + "\\n")
image = os.path.abspath(words[-4])
os.environ["HOME"] = words[words.index("--home") + 1]
os.environ["PATH"] = f"{{image}}/bin:/usr/local/bin:/usr/bin:/bin"
os.environ.pop("PYTHONPATH", None)
os.execvp("bash", ["bash", "-c", words[-1]])
"""

# `convergent` of an image or environment: that of this Python, leaving a mark in the log.
COMMAND = """\
#!/bin/sh
echo "convergent of {name}"
PYTHONPATH={source} exec {python} -m convergent "$@"
"""

CONDA = """\
#!/bin/bash
base={base}
echo "$*" >> $base/record
case "$*" in
  "info --json") echo '{{"conda_prefix": "'$base'", "platform": "linux-64"}}' ;;
  --version) echo "conda 24.7.1" ;;
  "config --get channel_priority --json") echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
  "env create"*)
    prefix=$(echo "$*" | sed 's/.*--prefix \\([^ ]*\\).*/\\1/')
    mkdir -p $prefix/bin
    cp $base/template/* $prefix/bin ;;
  clean*) ;;
  *) exit 1 ;;
esac
"""

# An environment that is active already is replaced where it stands in PATH; what a shell put in
# front of it stays there.
ACTIVATE = """\
if [ -n "${CONDA_PREFIX:-}" ]; then
  PATH=${PATH/"$CONDA_PREFIX/bin"/"$1/bin"}
else
  PATH="$1/bin:$PATH"
fi
export CONDA_PREFIX="$1" PATH
"""


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def command_of(path: Path, name: str, source: Path | None = None) -> None:
    """Write a ``convergent`` that says whose it is."""
    source = source or Path(convergent.__file__).resolve().parents[1]
    _program(path, COMMAND.format(name=name, source=source, python=sys.executable))


def make_apptainer(folder: Path) -> Path:
    """Write ``apptainer``, to be put on PATH; gives the file that its calls are written to."""
    record = folder / "calls"
    _program(folder / "apptainer", APPTAINER.format(python=sys.executable, record=str(record)))
    return record


def make_conda(base: Path) -> Path:
    """Write a base installation of conda; gives the file that its calls are written to."""
    _program(base / "bin" / "conda", CONDA.format(base=base))
    _program(base / "bin" / "activate", ACTIVATE)
    command_of(base / "template" / "convergent", "the new environment")
    _program(base / "template" / "python", f'#!/bin/sh\necho "python $*" >> {base}/record\n')
    return base / "record"

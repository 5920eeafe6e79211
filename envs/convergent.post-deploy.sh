#!/usr/bin/env bash
# Run by Snakemake in the new conda environment. The workflow gives it the folder of its repository.
set -euo pipefail
cd "$CONVERGENT_SOURCE"
if [ ! -f envs/lock.txt ]; then
  echo "$PWD is no clone of the repository: install it with pip install -e, then use conda" >&2
  exit 1
fi
# not the python of PATH: a virtual environment that is active in the shell stays in front of it
python=$CONDA_PREFIX/bin/python
"$python" -m pip install --no-deps -r envs/lock.txt
"$python" -m pip install --no-deps -e .

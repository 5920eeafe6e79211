#!/usr/bin/env bash
# Run by Snakemake in the new conda environment, from the working directory (the repository).
set -euo pipefail
# not the python of PATH: a virtual environment that is active in the shell stays in front of it
python=$CONDA_PREFIX/bin/python
"$python" -m pip install --no-deps -r envs/lock.txt
"$python" -m pip install --no-deps -e .

#!/usr/bin/env bash
# Run by Snakemake in the new conda environment, from the working directory (the repository).
set -euo pipefail
python -m pip install --no-deps -r envs/lock.txt
python -m pip install --no-deps -e .

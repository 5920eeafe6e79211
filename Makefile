# Convergent: `make demo` and `make test` need Python >= 3.11, git and make, and nothing else.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DATA   ?=
SLURM_TESTS ?= tests/slurm
# Without chaos, faults, preemption, limits and images, which wait for minutes.
SLURM_QUICK := $(patsubst %,tests/slurm/test_%.py,slurm options watch dask)
WORKERS ?= -n auto --dist worksteal
# uv where it is on PATH, and pip where it is not (or with `make setup UV=`).
UV     := $(shell command -v uv)
INSTALL = $(if $(UV),$(UV) pip install --python $(BIN)/python,$(BIN)/python -m pip install)

NUMERICS = tests/alignment/test_ridge_numerics.py tests/alignment/test_ridge_degenerate.py \
  $(addprefix tests/alignment/similarity/test_similarity_,numerics.py degenerate.py oracles.py)
THREADS  = env OMP_NUM_THREADS=$(1) MKL_NUM_THREADS=$(1) OPENBLAS_NUM_THREADS=$(1)

.PHONY: help setup demo alice test test-all test-numerics test-slurm test-slurm-quick lint format clean

help:  ## Show the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

# The lock file names every package with its version, so no dependency is left to resolve.
$(VENV)/installed: $(BIN)/python envs/lock.txt pyproject.toml
	@echo "packages of envs/lock.txt with $(if $(UV),$(UV),pip (uv on PATH is faster))"
	$(INSTALL) --quiet --no-deps -r envs/lock.txt
	$(INSTALL) --quiet --no-deps --no-build-isolation -e .
	touch $@

setup: $(VENV)/installed  ## Make the virtual environment .venv.

demo: setup  ## Run the embedded study from stimuli to report (CPU, no network).
	$(BIN)/snakemake --profile local
	@echo "report: $(CURDIR)/results/demo/report.html"

alice: setup  ## Run the study of people listening to a story (DATA=directory, or downloaded).
ifeq ($(DATA),)
	$(BIN)/convergent fetch alice --to data/alice
	$(BIN)/snakemake --profile local --configfile config/alice.yaml
else
	$(BIN)/snakemake --profile local --configfile config/alice.yaml \
	  --config 'granularity=model' 'datasets={alice: {options: {data: "$(DATA)"}}, alice-group: {options: {data: "$(DATA)"}}}'
endif
	@echo "report: $(CURDIR)/results/alice/report.html"

test: setup  ## Run the tests, but the long ones and those that need a SLURM.
	$(BIN)/python -m pytest -m "not slurm and not slow" $(WORKERS)

test-all: setup  ## Run the long ones too.
	$(BIN)/python -m pytest -m "not slurm" $(WORKERS)

# MKL multiplies for torch and OpenBLAS for numpy. On AMD only MKL_CBWR changes what MKL chooses.
test-numerics: setup  ## Run the numerical tests with other rounding: AVX2, one thread, two threads.
	$(BIN)/python -m pytest -q $(NUMERICS)
	env MKL_ENABLE_INSTRUCTIONS=AVX2 MKL_CBWR=AVX2 OPENBLAS_CORETYPE=Haswell $(BIN)/python -m pytest -q $(NUMERICS)
	$(call THREADS,1) $(BIN)/python -m pytest -q $(NUMERICS)
	$(call THREADS,2) $(BIN)/python -m pytest -q $(NUMERICS)

test-slurm: setup  ## Run the workflow on a SLURM of three nodes that the test starts (root, Debian).
	$(BIN)/python -m pytest -m slurm $(SLURM_TESTS)

test-slurm-quick: SLURM_TESTS = $(SLURM_QUICK)
test-slurm-quick: test-slurm  ## Run those of them that take seconds each.

lint: setup  ## Style, types, layers, spelling, workflow.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell src tests workflow config docs profiles Snakefile Makefile README.md CHANGELOG.md CONTRIBUTING.md
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: setup  ## Put everything into the house's format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

clean:  ## Remove results and logs, keep the environment.
	rm -rf results .snakemake

# Everything runs in one virtual environment, which is rebuilt only when the constraints or the package's own needs change.
PYTHON ?= $(firstword $(shell command -v python3.11 || command -v python3))
SCALE ?= demo
CORES ?= all
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
CONFIG := config/$(SCALE).yaml

.PHONY: reproduce test check accept bench zoo clean

reproduce: $(READY)
	@test -f $(CONFIG) || { echo "deqbench: SCALE: expected one of $(filter-out zoo,$(basename $(notdir $(wildcard config/*.yaml)))); found '$(SCALE)'" >&2; exit 1; }
	@$(BIN)/deqbench workflow release
	$(BIN)/snakemake --cores $(CORES) reproduce --configfile $(CONFIG)
	@echo "open reports/$(SCALE)/index.html"

test: $(READY)
	@$(BIN)/python tests/chromium.py
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

check: $(READY)
	$(BIN)/deqbench regression check --scale $(SCALE)

accept: $(READY)
	$(BIN)/deqbench regression accept --scale $(SCALE)

bench: $(READY)
	$(BIN)/python benchmarks/solver_overhead.py
	$(BIN)/python benchmarks/exact_against_phantom.py

zoo: $(READY)
	$(BIN)/snakemake --cores $(CORES) zoo

clean:
	rm -rf $(VENV) .snakemake results/smoke results/demo results/zoo reports/smoke reports/demo

$(READY): constraints.txt pyproject.toml
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
		echo "deqbench: PYTHON: expected Python 3.11; found '$(PYTHON)' (make PYTHON=/path/to/python3.11)" >&2; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .[test,slurm]
	touch $@

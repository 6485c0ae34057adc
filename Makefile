# Two commands to know: `make demo` and `make test`. Each sets up .venv by itself on its first call.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# The tested versions; name another file to use other builds (see the head of constraints.txt).
CONSTRAINTS ?= constraints.txt
# Where `make demo` writes.
WORKDIR ?= demo
# Processes that run tests side by side.
JOBS ?= 2

INPUTS := pyproject.toml $(CONSTRAINTS) Makefile
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet -c $(CONSTRAINTS) -e .

.PHONY: help demo test lint clean

help:  ## Show the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 16

demo: $(VENV)/.demo  ## Run the whole pipeline on a synthetic region; results in demo/
	$(BIN)/smdown demo --workdir "$(WORKDIR)"

test: $(VENV)/.test  ## Run the tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(VENV)/.test $(VENV)/.lint  ## Check style, spelling, types and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:  ## Remove .venv and what tools leave behind (never your results)
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find smdown tests -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp file per purpose: a second call finds it and has nothing to do.
$(VENV)/.demo: $(VENV)/.python $(INPUTS)
	$(INSTALL)
	@touch $@

$(VENV)/.test: $(VENV)/.python $(INPUTS)
	$(INSTALL) --group test
	@touch $@ $(VENV)/.demo

$(VENV)/.lint: $(VENV)/.python $(INPUTS)
	$(INSTALL) --group lint
	@touch $@ $(VENV)/.demo

# The newest Python at hand; pip 25.1 is the first that knows dependency groups.
$(VENV)/.python:
	@for python in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	  python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "smdown: found $$(python3 --version 2>/dev/null || echo no Python); it needs Python 3.11 or later" \
	    "with venv; install one (on Debian: apt install python3-venv) and run make again" >&2; \
	  exit 2; \
	fi; \
	echo "setting up $(VENV) with $$("$$python" --version); the first time takes some minutes"; \
	"$$python" -m venv $(VENV)
	@$(PIP) install --quiet --upgrade "pip>=25.1"
	@touch $@

# Each target does the set-up it needs, so a fresh clone needs only Python 3.11 to 3.13 and make.
# `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
SOURCES := core connectors contrib
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input

# The first that runs and is of a version we support; `make setup PYTHON=...` overrules.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo "$$p"; break; }; done)

# Arguments for pytest: make test ARGS="tests/desk -k taken"
ARGS ?=

.PHONY: help setup demo test proofs check mutants conformance bench docs lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## Make .venv with the locked dependencies and this project, editable

demo: $(READY) ## Book, move and cancel a patient in a FHIR R4 server on this machine
	@$(BIN)/openslot demo

test: $(READY) ## Run the tests (ARGS="tests/desk -k taken" narrows them)
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

proofs: $(READY) ## Run the slow proofs: kill -9, 50 clients on one slot, 20 rounds
	@$(BIN)/python -m pytest -m slow $(ARGS)

check: $(READY_DEV) ## Lint, format, types, and the built wheel in an empty environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/python .ci/wheel.py

mutants: $(READY) ## Print every broken connector, and the check of the suite that sees it
	@$(BIN)/python tests/suite/mutants.py

conformance: $(READY) ## Run the suite on every connector and the FHIR peer; renew docs/conformance
	@$(BIN)/python docs/conformance/run.py; broken=$$?; $(BIN)/python docs/readme.py; exit $$broken

bench: $(READY) ## Run every benchmark and print its figures
	@shopt -s nullglob; found=(benchmarks/[a-z]*.py); \
	if [ $${#found[@]} -eq 0 ]; then echo "There is no benchmark in benchmarks/."; exit 1; fi; \
	for b in "$${found[@]}"; do echo "== $$b"; $(BIN)/python "$$b"; done

docs: $(READY) ## Check every relative link and anchor in the project's pages
	@$(BIN)/python .ci/links.py

lock: ## Regenerate requirements/ from pyproject.toml (UPGRADE=1 takes newer releases)
	@$(require-python)
	@test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && \
		.venv-lock/bin/python -m pip -qq install "uv>=0.9"; }
	@compile() { .venv-lock/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
		--generate-hashes --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
		pyproject.toml "$$@"; }; \
	mkdir -p requirements; \
	compile --all-extras --group dev -o requirements/dev.txt; \
	compile --all-extras --group test -c requirements/dev.txt -o requirements/test.txt; \
	compile -c requirements/dev.txt -o requirements/run.txt

clean: ## Remove everything that make made
	rm -rf .venv .venv-lock dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

define require-python
if [ -z "$(PYTHON)" ]; then \
	echo "OpenSlot needs Python 3.11, 3.12 or 3.13, and none is on PATH: install one, or name it with make PYTHON=/path/to/python3.11 setup." >&2; \
	exit 1; \
fi; \
if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	echo "$(PYTHON) cannot make virtual environments: install its venv module (on Debian and Ubuntu: sudo apt-get install python3-venv), then run make again." >&2; \
	exit 1; \
fi
endef

# Hashes are checked for everything that is downloaded. An interrupted set-up leaves no stamp and is
# taken up again in place; what is already installed is left alone.
$(READY): requirements/test.txt pyproject.toml
	@$(require-python)
	@echo "Setting up $(VENV) (a minute or so, once) ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/test.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(READY_DEV): $(READY) requirements/dev.txt
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# `make demo` and `make test` need Python 3.10 or newer with venv, and make; nothing else. All they install goes into
# .venv, which is made anew when pyproject.toml or constraints.txt changes. `make PYTHON=python3.12 …` chooses another
# interpreter for it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MADE := $(VENV)/.made
WORKERS ?= 2

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo test test-all mutants check lint types docs bench clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | while read -r name what; do printf '  make %-9s %s\n' "$$name" "$$what"; done

demo: $(MADE) ## train, crash, corrupt, kill, preempt; and show that nothing was lost (two minutes)
	@$(BIN)/perdure demo

test: $(MADE) check ## lint, types, import rules and every test that is quick
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow and not root"

test-all: $(MADE) check ## the slow tests and those that need root as well
	@$(BIN)/python -m pytest -q -n $(WORKERS)

mutants: $(MADE) ## each rule of the checkpoints taken out, one by one: some test must miss it (about half an hour)
	@$(BIN)/python -m pytest -q -n $(WORKERS) tests/durability/test_mutants.py tests/durability/test_every_rule.py

check: lint types

lint: $(MADE) ## style, format and import rules
	@echo "Checking style, format and import rules…"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "Not formatted; mend it with: $(BIN)/ruff format ." >&2; exit 1; }
	@said=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$said" >&2; exit 1; }

types: $(MADE) ## strict types
	@echo "Checking types…"
	@$(BIN)/mypy --no-error-summary

docs: $(MADE) ## draw docs/states.md from the table of phases
	@$(BIN)/python -m perdured.core.table > docs/states.md

bench: $(MADE) ## side by side with what people use today
	@$(BIN)/python -m benchmarks

clean: ## remove .venv and every cache
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "Perdure needs Python 3.10 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1 || true)." >&2; \
	    echo "Say which one to use: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Making $(VENV) (once; a minute or two, torch is large)…"
	@$(PYTHON) -m venv $(VENV) || { \
	    echo "'$(PYTHON)' cannot make a venv. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

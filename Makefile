# make demo   figure 2a of Murray (2019) with three nets instead of nine, in under two minutes
# make test   the whole test suite
# make lint   ruff: rules and formatting
# make docs   the documentation, in docs/_build/html
# Each of them first makes .venv and installs what it needs; a later call installs again only if the declared dependencies changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_ARGS ?= rflo_periodic --set nets=3 --out runs/demo --resume

.PHONY: demo test lint docs
.DELETE_ON_ERROR:
.NOTPARALLEL:

demo: $(VENV)/installed
	$(BIN)/neuroplast run $(DEMO_ARGS)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"neuroplast needs Python 3.11 or newer, $(PYTHON) is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing neuroplast into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-%: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing neuroplast[$*] into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

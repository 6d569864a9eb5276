# codeblue: see README.md. Every target stands on its own: it makes what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= config.yaml

.PHONY: help install run demo test lint bench lock clean
help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## make .venv with the locked dependencies and this package

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

run: install  ## start the agent on config.yaml
	$(BIN)/codeblue run --config $(CONFIG)

demo: install  ## the whole story in under a minute, with real processes
	$(BIN)/codeblue demo

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(VENV)/.installed-dev lint  ## linters, types, import rules and every test
	./tests/install-debian-packages
	$(BIN)/pytest -n 3

bench: $(VENV)/.installed-dev  ## codeblue beside Prometheus + blackbox_exporter and monit, on this machine
	./tests/install-debian-packages bench
	$(BIN)/python -m bench

lock: $(VENV)/.installed  ## renew both lock files (newest versions that pyproject.toml allows)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --upgrade $(LOCKOPTS) -o requirements.lock pyproject.toml requirements-build.in
	$(BIN)/uv pip compile --quiet --upgrade $(LOCKOPTS) --extra dev -o requirements-dev.lock pyproject.toml requirements-build.in

LOCKOPTS := --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build

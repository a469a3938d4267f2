# `make demo` and `make test` work on a fresh machine with python3 (3.11 or newer), make and a
# network to install packages from. Everything goes into .venv; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A settings variable of the user must not reach the tests or the demo by accident.
CLEAN := env -u DAGSTER_HOME

.PHONY: help setup demo up test check format bench clean

help:
	@echo "make setup   install everything into .venv"
	@echo "make demo    set up and run the main job on the sandbox"
	@echo "make test    set up and run all tests"
	@echo "make up      set up and open the Dagster UI on the sandbox (http://127.0.0.1:3000)"
	@echo "make check   lint, types, import contracts"
	@echo "make format  format the code"
	@echo "make bench   run the benchmarks"
	@echo "make clean   remove .venv and the demo's data (.aq)"

setup: $(VENV)/installed

# One stamp: reinstalled when a lock or the project's metadata changes.
$(VENV)/installed: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "aq needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Set PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "No virtual environment could be made. On Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	$(CLEAN) $(BIN)/aq demo

up: setup
	$(CLEAN) $(BIN)/aq up --sandbox

test: setup
	$(CLEAN) $(BIN)/python -m pytest --numprocesses auto --dist loadfile --max-worker-restart 0

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict .

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(CLEAN) $(BIN)/python -m benchmarks.backfill
	$(CLEAN) $(BIN)/python -m benchmarks.daily_averages
	$(CLEAN) $(BIN)/python -m benchmarks.latency
	$(CLEAN) $(BIN)/python -m benchmarks.archive
	$(CLEAN) $(BIN)/python -m benchmarks.requests
	$(CLEAN) $(BIN)/python -m benchmarks.four_networks
	@echo "An hour of its own: $(BIN)/python -m benchmarks.idle"

clean:
	rm -rf $(VENV) .aq

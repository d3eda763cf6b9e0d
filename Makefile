# Every target does the set-up it needs; once that is done, nothing here uses the network.
CUSTOMERS ?= 20000
SEED ?= 1
ROWS ?= 1000000
RUNS ?= 5
DATA ?= ../shared/data
PYTHON ?=

BIN := .venv/bin
KEYMOMENTS := $(BIN)/keymoments
PYTEST := $(BIN)/pytest
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

# Spark is the one in .venv, and so is the interpreter of its Python workers.
unexport SPARK_HOME
export PYSPARK_PYTHON := $(CURDIR)/$(BIN)/python

# Java opens files with Chinese names only under a UTF-8 locale.
ifneq ($(shell locale charmap),UTF-8)
export LC_ALL := C.UTF-8
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run run-beijing run-cell2cell test test-slow soak bench bench-model check fuzz format docs schemas notebooks lock package clean clean-data

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.packages .venv/.project .cache/.jars ## Java, Python packages and Delta jars, once

.venv/.packages: requirements.lock conf/setup/venv.sh
	@bash conf/setup/venv.sh "$(PYTHON)"
	@touch $@

.venv/.project: pyproject.toml .venv/.packages
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.cache/.jars: conf/setup/jars.sha256 conf/setup/jars.py conf/setup/java.sh .venv/.packages
	@bash conf/setup/java.sh
	@$(BIN)/python conf/setup/jars.py
	@touch $@

run: setup ## make a province (CUSTOMERS=20000 SEED=1) and run its cycles
	$(KEYMOMENTS) demo --customers $(CUSTOMERS) --seed $(SEED)

run-beijing: $(DATA)/beijing-mobile-2022 setup ## run on the Beijing Mobile extracts in DATA
	$(KEYMOMENTS) run --source conf/sources/beijing_mobile.yaml --extracts $< --warehouse data/beijing/warehouse

run-cell2cell: $(DATA)/cell2cell setup ## run on the Cell2Cell extracts in DATA
	$(KEYMOMENTS) run --source conf/sources/cell2cell.yaml --extracts $< --warehouse data/cell2cell/warehouse

$(DATA)/%:
	@echo "The folder $@ is missing: put the extracts there, or name the folder above it with DATA=." >&2; exit 2

test: setup ## the quick tests: first those without a JVM, then those on Spark
	$(PYTEST) -m "not spark and not slow" -n 2
	$(PYTEST) -m "spark and not slow"

bench: setup ## ingest beside a plain CSV reader, dispatch beside a plain ranking, rules beside DuckDB (ROWS=1000000 RUNS=5)
	@failed=0; \
	$(BIN)/python -m tests.bench.ingest --rows $(ROWS)0 --runs $(RUNS) || failed=1; \
	$(BIN)/python -m tests.bench.dispatch --rows $(ROWS) --runs $(RUNS) || failed=1; \
	$(BIN)/python -m tests.bench.rules --rows $(ROWS) --runs $(RUNS) || failed=1; \
	exit $$failed

bench-model: $(DATA)/cell2cell setup ## the churn model beside LightGBM on Cell2Cell
	$(BIN)/python -m tests.bench.cell2cell_model --data $(DATA)

# pytest's exit code 5 says that it found no such test.
test-slow: setup ## the slow tests
	@$(PYTEST) -m slow || { code=$$?; [ $$code -eq 5 ] && echo "There are no slow tests yet."; }

check: setup ## formatting, lint, types, layers, the project's own YAML and the cases of its rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(KEYMOMENTS) check
	$(KEYMOMENTS) rules check
	$(KEYMOMENTS) rules test

soak: setup ## a month of the province day by day, with reports of managers, all invariants checked each day (CUSTOMERS=5000)
	$(BIN)/python -m tests.soak.month $(if $(filter command line,$(origin CUSTOMERS)),--customers $(CUSTOMERS))

fuzz: setup ## 20,000 broken rule files, each of which has to give located errors only
	KEYMOMENTS_FUZZ_FILES=20000 $(BIN)/python -m pytest -q tests/unit/test_rule_fuzz.py

format: setup ## format the code and fix what lint can fix
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: setup ## write the reference pages from schemas and rules
	$(KEYMOMENTS) docs

schemas: docs ## write the JSON Schema by which editors complete rules

notebooks: setup ## run every notebook from top to bottom
	$(BIN)/jupyter execute notebooks/*.ipynb

lock: ## write requirements.lock anew from pyproject.toml (LOCK_FLAGS=--upgrade for newer versions)
	@[ -x .cache/uv/bin/uv ] || { python3 -m venv .cache/uv && .cache/uv/bin/pip install --quiet uv; }
	.cache/uv/bin/uv pip compile pyproject.toml --extra dev --python-version 3.11 --universal --generate-hashes \
		--no-annotate --custom-compile-command "make lock" --quiet $(LOCK_FLAGS) --output-file requirements.lock

package: setup ## the wheel, and an archive of conf, schemas and rules, in dist/
	rm -rf build dist
	$(BIN)/python -m build --wheel --no-isolation
	$(BIN)/python -m zipfile -c dist/keymoments-$(VERSION)-project.zip conf schemas rules
	rm -rf build

clean: ## remove what tools left behind (not the set-up, not the data)
	rm -rf build dist spark-warehouse metastore_db derby.log
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

clean-data: ## remove everything the pipeline wrote to data/
	rm -rf data

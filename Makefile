# Platevault. `make run` and `make test` set up all that they need; `make help` lists the rest.
UV_DIR := .uv
UV := $(shell command -v uv 2>/dev/null || echo $(UV_DIR)/bin/uv)
# The first one that runs: a pyenv shim does not where .python-version names a Python that pyenv has not.
PYTHON3 := $(shell for one in python3 python /usr/bin/python3; do "$$one" -c '' 2>/dev/null && command -v "$$one" && break; done)
RUN := "$(UV)" run --frozen --all-extras

.PHONY: help setup run test long cover check clients env containers outage soak mutants bench bench-against clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -e 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready ## get uv where it is missing, the Python that is needed, and all libraries of the lock file

run: setup ## start PostgreSQL, an S3 server and Platevault here, feed it drawn street scenes, show the page
	$(RUN) platevault demo

test: setup ## the whole suite on real servers
	$(RUN) pytest $(IN_PARALLEL) $(TESTS)

long: setup ## the tests that wait for real processes for most of a minute each: clocks, restores, kills
	$(RUN) pytest $(IN_PARALLEL) --long $(TESTS)

cover: setup ## the same, measuring which branches it takes: slower by half
	$(RUN) pytest $(IN_PARALLEL) --cov --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE_FLOOR) $(TESTS)

check: setup ## lint, format, types, import contracts
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) mypy --platform win32 -p platevault.collector -m platevault.cli.command_table -m platevault.cli.send
	$(RUN) lint-imports

clients: setup ## generate a Python and a TypeScript client from the OpenAPI document, and compile them
	$(RUN) python -m tests.clients.generate

env: ## write what docker compose needs into .env: random values for what is missing
	@"$(PYTHON3)" scripts/make_env.py

containers: setup ## prove docker-compose.yml end to end on a container engine (PROOF=--short for a shorter outage)
	$(RUN) python -m tests.containers.prove $(PROOF)

outage: setup ## break everything around a running vault, then one table of what held (OUTAGE="--short", "--only faults", "--seed 1")
	$(RUN) python -m tests.outage.run $(OUTAGE)

soak: setup ## a steady load for an hour: nothing may grow (SOAK="--short", "--minutes 30", "--seed 1")
	$(RUN) python -m tests.outage.soak $(SOAK)

mutants: setup ## remove each guard once, in a copy: the tests must notice (MUTANTS="--short", "--only NAME", "--list")
	$(RUN) python -m tests.mutants.run $(MUTANTS)

bench-against: setup ## compare ingest, lists and searches with another commit's, in one run (BASE=COMMIT, BENCH="--short")
	$(RUN) python -m bench.regression $(BASE) $(BENCH)

bench: setup ## compare with the tutorial's service and the bare object store (BENCH="--short", "--only ingest", "--json FILE")
	$(RUN) python -m bench.run $(BENCH)

clean: ## remove what setup made (never data)
	rm -rf .venv $(UV_DIR)

# Four sessions of tests, each with servers of its own: they wait more than they work; `make test IN_PARALLEL=` runs one after the other.
IN_PARALLEL := -n 4 --dist worksteal

# Branch coverage without a MinIO server (91 %); it may rise.
COVERAGE_FLOOR := 90

.venv/.ready: uv.lock pyproject.toml | uv
	"$(UV)" sync --frozen --all-extras
	@touch .venv/.ready

.PHONY: uv
uv:
	@[ -x "$(UV)" ] || command -v "$(UV)" >/dev/null 2>&1 || sh scripts/get-uv "$(UV_DIR)" "$(PYTHON3)"

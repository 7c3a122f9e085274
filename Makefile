# The short commands, the same here and in CI. Each does its own set-up first; `make help` lists them.

VENV   := .venv
BIN    := $(VENV)/bin
SET_UP := @sh requirements/setup.sh

FAST   := not integration and not browser and not faults and not clients and not slow
SOURCE := progress server tasks tests

.DEFAULT_GOAL := help
.PHONY: help up test unit check format bench scale clean
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

up: $(VENV)/run.stamp ## Redis, workers, scheduler, API and page in this terminal; Ctrl-C stops all
	@exec $(BIN)/jobcast up --leashed

test: $(VENV)/dev.stamp tests/clients/node_modules/.stamp ## the whole suite, with branch coverage
	@$(BIN)/coverage erase
	@$(BIN)/python -m tests.lanes $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

unit: $(VENV)/dev.stamp ## the fast tests: no server, no worker, no browser
	@$(BIN)/python -m tests.lanes --unit -q -m "$(FAST)" $(ARGS)

check: $(VENV)/dev.stamp ## lint, format, types, architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/test_architecture.py

format: $(VENV)/dev.stamp ## writes the source in its one format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/run.stamp bench/node/node_modules/.stamp ## Jobcast beside its peers, measured on this machine
	@$(BIN)/python -m bench --write $(ARGS)

scale: $(VENV)/run.stamp ## the costs of one event and one reader, and what they predict
	@$(BIN)/python -m bench scale --write $(ARGS)

clean: ## takes away what the commands above made, save the data in .jobcast
	rm -rf $(VENV) tests/clients/node_modules bench/node/node_modules dist htmlcov .coverage .coverage.* \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(SOURCE) bench -name __pycache__ -prune -exec rm -rf {} +

# Made again when a lock or the package's description changes, so a pull needs no thought.
$(VENV)/run.stamp: requirements/run.txt pyproject.toml requirements/setup.sh
	$(SET_UP) run

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml requirements/setup.sh
	$(SET_UP) dev

# The npm clients that tests drive; without node those tests skip, with the reason.
tests/clients/node_modules/.stamp: $(wildcard tests/clients/package-lock.json)
	@if [ -n "$^" ] && command -v npm >/dev/null; then \
		echo "set-up: npm clients for the tests" && \
		(cd tests/clients && npm ci --ignore-scripts --no-audit --no-fund --silent) && touch $@; \
	fi

# A peer of the bench, which does without it where there is no node.
bench/node/node_modules/.stamp: bench/node/package-lock.json
	@if command -v npm >/dev/null; then \
		(cd bench/node && npm ci --ignore-scripts --no-audit --no-fund --silent) && touch $@; \
	fi

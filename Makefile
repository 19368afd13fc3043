# Only python3 (>= 3.11) and make are assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := config marketing experiments recommender tests benchmarks manage.py
WORKERS ?= 2
# Tracing nearly doubles the time of the tests; CI sets it to: --cov --cov-report=term:skip-covered
COVERAGE ?=

.DEFAULT_GOAL := help
.PHONY: help run test check lint pytest slow calibrate messages clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Holdout needs Python 3.11 or newer; PYTHON=python3.12 make … chooses another." >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv is missing. Install it with: sudo apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@echo "Installing packages (once, about two minutes) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	@echo "Installing packages for development (once, about three minutes) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/.installed

run: $(VENV)/.installed  ## Start Holdout: web server, worker and beat, with the demo world on first use
	@exec $(BIN)/python -m config.supervisor

test: lint pytest  ## Run every check and test
check: COVERAGE = --cov --cov-report=term:skip-covered
check: test  ## The same, with the coverage gate

lint: $(VENV)/.installed-dev  ## Format, lint, types, import contracts, missing migrations, templates
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --cache-dir .import_linter_cache
	$(BIN)/djlint --lint --quiet templates
	$(BIN)/python manage.py makemigrations --check --dry-run --settings config.settings_test
	$(BIN)/python manage.py check --fail-level WARNING --settings config.settings_test
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --settings config.settings_test --file /dev/null
	@$(BIN)/python -m tests.exceptions

pytest: $(VENV)/.installed-dev  ## Run the tests (SQLite, or the database that DATABASE_URL names)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" $(COVERAGE)

slow: $(VENV)/.installed-dev  ## Run the slow calibrations and fault tests, and every property with all its examples
	HOLDOUT_THOROUGH=1 $(BIN)/python -m pytest -m "slow or thorough"

calibrate: $(VENV)/.installed-dev  ## Measure the whole pipeline over 2,000 simulated worlds (ten minutes)
	$(BIN)/python manage.py calibrate_pipeline --worlds 2000

messages: $(VENV)/.installed-dev  ## Collect and compile translations (needs gettext)
	$(BIN)/python manage.py makemessages --all --no-location --ignore .venv --ignore tests
	$(BIN)/python manage.py compilemessages --ignore .venv

clean:  ## Remove the environment and caches (never var/, where the data is)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage

# The commands of the project; CI runs the same ones. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
# Empty is off: the tests start hundreds of commands, and each would compile every module anew.
export PYTHONDONTWRITEBYTECODE =
.DEFAULT_GOAL := help

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.installed: requirements-dev.lock pyproject.toml setup.py collectors/mqtt/codec.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Fleetmeter needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' \
	  || { echo "This Python has no venv; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --no-deps \
	  --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@$(BIN)/python -m compileall -q -j 0 .venv fleetmeter metering collectors jobs console api migrations  # on every core
	@touch $@

install: .venv/.installed  ## build the environment in .venv

extras:  ## install the optional parts (mosquitto, Chromium, PgBouncer, Prometheus) with apt, as root
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  mosquitto mosquitto-clients chromium-headless-shell systemd pgbouncer prometheus

# Its data stay in this checkout, so that two checkouts do not disturb each other.
demo: export FLEETMETER_DATA_DIR ?= $(CURDIR)/.data
demo: .venv/.installed  ## a simulated fleet, live, on this machine; ARGS=--reset starts over
	@$(BIN)/fleetmeter demo $(ARGS)

test: .venv/.installed  ## every fast test, the units first
	$(BIN)/pytest tests/unit -n 2 -q
	$(BIN)/pytest tests/console tests/acceptance tests/integration tests/test_*.py -m "not drill" -n 2 --dist loadscope --no-loadscope-reorder -q

lint: .venv/.installed  ## ruff and mypy, both strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/.installed  ## the documentation as a site in build/docs; a broken link fails
	$(BIN)/python docs/pictures/draw.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

drill: .venv/.installed  ## slow fault injection: kill everything, count again
	$(BIN)/pytest tests -m drill -q --timeout 3600

bench: .venv/.installed  ## ours against the alternative, same run, as ratios
	$(BIN)/python -m benchmarks

bench-console: .venv/.installed  ## the console beside a bare page of Streamlit, on 11 million days
	$(BIN)/python -m benchmarks console

screenshots: .venv/.installed  ## pictures of every page of a demo, light and dark, desk and phone
	$(BIN)/python tests/support/screenshots.py

# Development first: what it needs decides, and production takes the same versions.
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet
lock: .venv/.installed  ## compute both lock files from pyproject.toml; UPGRADE=--upgrade for newer versions
	$(BIN)/$(LOCK) $(UPGRADE) --extra dev pyproject.toml --output-file requirements-dev.lock
	$(BIN)/$(LOCK) $(UPGRADE) --constraint requirements-dev.lock pyproject.toml --output-file requirements.lock

# A production install and nothing else, so that the bill of materials lists what runs.
build/production: requirements.lock
	rm -rf $@
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --no-deps \
	  --require-hashes -r requirements.lock
	$@/bin/python -m pip uninstall --quiet --yes pip setuptools 2>/dev/null || true
	@touch $@

sbom: .venv/.installed build/production  ## write build/sbom.json (CycloneDX) and docs/licences.md
	$(BIN)/cyclonedx-py environment --gather-license-texts --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --output-file build/sbom.json build/production/bin/python
	$(BIN)/python deploy/licences.py build/sbom.json > docs/licences.md

# Named once, in the Containerfile.
BASE = $(shell sed -n 's/^FROM \(.*\)@.*/\1/p' deploy/Containerfile)
image:  ## build the container image `fleetmeter` on the newest base image, pinned by its digest
	digest=$$(docker buildx imagetools inspect $(BASE) --format '{{.Manifest.Digest}}') \
	  && docker build -f deploy/Containerfile --build-arg BASE_DIGEST=$$digest -t fleetmeter .

.PHONY: help install extras demo test lint docs drill bench bench-console screenshots lock sbom image

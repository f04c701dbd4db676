# The bare call lists the targets. `make check test` is exactly what CI runs.
.DEFAULT_GOAL := help
VENV ?= .venv
PY := $(VENV)/bin/python

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: ## install everything: Debian packages (as root or with sudo) and the virtual environment
	scripts/setup --dev

demo: ## run broker, center and one simulated pole here; prints the console's address
	scripts/demo

check: setup ## lint, types, import direction, schemas in step with the code
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) scripts/contract-schemas --check

test: setup ## every test that needs no pole
	$(PY) -m pytest -m "not slow and not hardware" -n 3 --dist loadfile

drill: setup ## the long drills: process kills, crash loops
	$(PY) -m pytest -m slow

drill-bell: setup ## 10,000 presses while everything dies (N6, under an hour); refreshes docs/benchmarks/drill_bell.json
	$(PY) tests/drill/drill_bell.py > docs/benchmarks/drill_bell.json || { cat docs/benchmarks/drill_bell.json; exit 1; }

vm-gpio: setup ## ring the bell on real GPIO character devices in an emulated machine (the first time it downloads 280 MB)
	tests/vm/run-gpio

bench: setup ## measure N1, N3, N4, N5, N7, N8 beside their references (15 min) and refresh docs/benchmarks.md
	$(PY) tests/bench/run_all.py

clean: ## remove what the demo left behind
	rm -rf .demo

.PHONY: help setup demo check test drill drill-bell vm-gpio bench clean

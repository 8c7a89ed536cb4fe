# Two commands for a fresh machine: `make demo` and `make test`. Both set up what they need.

.DEFAULT_GOAL := help
.PHONY: help setup venv test test-live demo bench lint format clean

help:
	@echo "make demo     a private node in network namespaces, real traffic through it (as root)"
	@echo "make test     lint, format, types, import rules and all tests (as root, for those that"
	@echo "              talk to the kernel); make test PYTEST='-k slices' runs some of them"
	@echo "make test-live    every scenario as real packets in every mode (as root); make test sends some"
	@echo "make bench    measure start, latency, memory and CPU (as root)"
	@echo "make setup    install missing Debian packages and .venv; the others call it"
	@echo "make lint     what can be checked without running anything"
	@echo "make format   let ruff lay out the code"
	@echo "make clean    remove caches and build results; .venv stays"

setup: venv
	@tools/packages.sh

venv:
	@tools/packages.sh python
	@tools/venv.sh

# Arguments for pytest; empty runs everything.
PYTEST ?=
export PYTEST

test: setup
	@tools/check.sh lint format types imports tests

test-live: setup
	@.venv/bin/pytest tests/live/test_scenarios.py tests/live/test_iptables_scenarios.py \
		-m "live or exhaustive" $(PYTEST)

lint: venv
	@tools/check.sh lint format types imports

format: venv
	@.venv/bin/ruff check --fix --quiet .
	@.venv/bin/ruff format .

demo: setup
	@.venv/bin/python -m demo

# Arguments for the benchmark, such as --sizes 1000x10.
BENCH ?=

bench: setup
	@.venv/bin/python -m benchmarks $(BENCH)

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

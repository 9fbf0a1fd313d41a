# Every target does its own set-up on a fresh machine; a second call finds it done.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench clean
# The torch to install where there is none; on a board set it to NVIDIA's wheel.
export TORCH ?= torch==2.13.0
BIN := .venv/bin
STAMP := .venv/.ready
LINT := .venv-lint/.ready

help:  ## what the targets do
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml requirements-dev.lock requirements-oldest.lock requirements-kserve.lock requirements-jtop.lock scripts/setup.sh
	@scripts/setup.sh
	@touch $@

# Ansible and the linters of what is not Python, apart: they want their own versions.
$(LINT): requirements-lint.lock | $(STAMP)
	@$(BIN)/python -m venv .venv-lint
	@.venv-lint/bin/python -m pip --disable-pip-version-check install -q --progress-bar off -r $<
	@touch $@

setup: $(STAMP) $(LINT)  ## .venv with everything that development needs

demo: $(STAMP)  ## emulated boards: profile, serve, change the link, kill a board, report
	@$(BIN)/prism-edge demo

test: $(STAMP) $(LINT)  ## all tests this machine can run (ARGS=... for pytest); says which it cannot
	@$(BIN)/python -m pytest $(ARGS)

check: $(STAMP) $(LINT)  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	scripts/lint.sh

bench: $(STAMP)  ## paired speed ratios on emulated boards
	@scripts/bench.sh

clean:  ## remove what make and the tests made
	rm -rf .venv .venv-lint .venv310 .oldest .kserve .jtop .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two commands on a fresh machine with Python 3.11 or newer and nothing else:
#   make demo   a real speech model on real audio, scored and laid out; prints the table and where the report is
#   make test   the whole test suite
# Both make their own environment in .venv and can be repeated at any time.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The release of torch that the tests were last held against; any build of it does. PyPI's own for Linux brings
# gigabytes of CUDA: where pip is told of an index with CPU builds (PIP_EXTRA_INDEX_URL), it takes the CPU one.
TORCH ?= torch==2.13.0
DEMO_EXTRAS := embedded,voicebench,speech
TEST_EXTRAS := $(DEMO_EXTRAS),local,vocoder,ray,data,asr,stats,zh,xlsx,png,mlflow,wandb,dev

# The tests in several processes, where pytest-xdist is there; `make test PARALLEL=` runs them in one. More than four
# only wait for each other. Bytecode is kept, or each of some hundred processes that tests start compiles evalkit anew.
PARALLEL = $(shell $(BIN)/python -c 'import xdist' 2>/dev/null && echo '-n logical --maxprocesses 4 --dist worksteal')

.PHONY: demo test lint bench clean help
.DEFAULT_GOAL := help

help:
	@sed -n '2,4s/^# \{0,2\}//p' Makefile

demo: $(VENV)/.demo
	@$(BIN)/python run_eval.py demo

test: $(VENV)/.test
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(PARALLEL)

lint: $(VENV)/.test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.test
	@$(BIN)/python -m bench.overhead
	@$(BIN)/python -m bench.judging
	@$(BIN)/python -m bench.transcription
	@$(BIN)/python -m bench.statistics
	@$(BIN)/python -m bench.reports
	@$(BIN)/python -m bench.runner

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "evalkit needs Python 3.11 or newer, and $(PYTHON) is not. Say: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@echo "making the environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "could not make $(VENV): on Debian and Ubuntu, install python3-venv first" >&2; exit 2; }

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@$(call install,$(DEMO_EXTRAS),,450 to 600)
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@$(call install,$(TEST_EXTRAS),'$(TORCH)',750 to 950)
	@touch $@ $(VENV)/.demo

define install
echo "installing evalkit[$(1)] ($(3) MB to fetch the first time) ..."; \
$(BIN)/python -m pip install -qq --disable-pip-version-check $(2) -e ".[$(1)]" || { \
  echo "the installation failed: check the network or your package mirror, then run make $(MAKECMDGOALS) again" >&2; exit 2; }
endef

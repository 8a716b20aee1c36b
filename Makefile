# Two commands do everything on a fresh machine with Python and make: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help setup demo test check format benchmarks-setup

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(INSTALLED)  ## make .venv and install advscope into it

# torchattacks goes in without its dependencies: it pins an old requests that its code never imports.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test,timm]"
	$(BIN)/python -m pip install --quiet --no-deps "torchattacks>=3.5.1"
	@touch $@

demo: setup  ## train a natural and a Madry network on ConceptShapes, explain both, compare them
	$(BIN)/python demo.py

check: setup  ## ruff, import-linter, mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test: check  ## checks, then all tests
	$(BIN)/python -m pytest -n 2

format: setup  ## let ruff format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# adv-lib imports visdom, whose source needs a setuptools that still has pkg_resources to build, and neither is used.
benchmarks-setup: setup  ## install the libraries that benchmarks/ compares with
	$(BIN)/python -m pip install --quiet --editable ".[benchmarks]"
	printf 'setuptools<80\n' > .venv/visdom_build.txt
	PIP_CONSTRAINT=.venv/visdom_build.txt PIP_BUILD_CONSTRAINT=.venv/visdom_build.txt \
		$(BIN)/python -m pip install --quiet --no-deps "visdom>=0.2.4" "adv-lib>=0.2.8"

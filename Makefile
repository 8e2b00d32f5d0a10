# All the set-up there is: `make demo` and `make test` on a machine with Python 3.10 to 3.12 and make.

PYTHON ?= python3
OUT ?= out/demo
# More of pyproject.toml's extras for the tests, such as EXTRAS=,gstreamer (which needs its headers).
EXTRAS ?=
RUNTIME := .venv/runtime
DEV := .venv/dev
GALLERY := $(filter-out %/drawn.py,$(wildcard docs/examples/*.py))

# Real services with real deadlines are among the tests. One that fails while all cores are taken, by other tests or by
# whatever else the machine does, is run once more with nothing beside it, and must pass then; the log shows both.
AGAIN = { echo "make: once more, alone, what failed:"; $(DEV)/bin/python -m pytest --last-failed --last-failed-no-failures none; }

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs house deb container-lint clean python

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Another interpreter: make demo PYTHON=python3.11"

demo: $(RUNTIME)/installed ## Install the runtime alone, magnify a vibrating footbridge into out/demo
	$(RUNTIME)/bin/tremorscope demo -o $(OUT)

# The order of modules is that of tests/conftest.py, which also says how many run at once.
test: $(DEV)/installed ## Install everything for development and run the tests
	$(DEV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations=40 --durations-min=5 \
	  -m "not alone" || $(AGAIN)
	$(DEV)/bin/python -m pytest -m alone $$(grep -rl --include='*.py' 'mark\.alone' tests) || $(AGAIN)

lint: $(DEV)/installed ## Check style, format and types
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

docs: $(DEV)/installed ## Run the gallery's scripts in out/gallery, and keep their pictures
	@rm -rf out/gallery && mkdir -p out/gallery
	@cd out/gallery && set -e && for script in $(GALLERY); do echo $$script; ../../$(DEV)/bin/python ../../$$script; done
	@cd out/gallery && cp $(patsubst docs/examples/%.py,%.png,$(filter-out %/moving_picture.py,$(GALLERY))) ../../docs/examples/
	@cp out/gallery/bridge.gif docs/images/

house: $(DEV)/installed ## Print how large the parts of the code are, beside their limits
	$(DEV)/bin/python tests/house.py

deb: | python ## Make a Debian package of the kit and its libraries, for devices of this machine's kind
	systemd/package/build.sh --python $(PYTHON)

container-lint: $(DEV)/installed ## Check the container file
	$(DEV)/bin/hadolint systemd/package/Containerfile

clean: ## Remove the virtual environments and out/
	rm -rf .venv out build

# The runtime is installed, not linked: what the demonstration runs is what a device would run.
RUNTIME_SOURCES := $(shell find runtime tremorscope -type f -not -path '*/__pycache__/*' -not -name '*.partial' 2>/dev/null)

$(RUNTIME)/installed: pyproject.toml $(RUNTIME_SOURCES) | python
	@test -x $(RUNTIME)/bin/python || $(PYTHON) -m venv $(RUNTIME)
	@rm -rf build # a file deleted since an earlier build would be installed again
	$(RUNTIME)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade .
	@rm -rf build
	@touch $@

$(DEV)/installed: pyproject.toml | python
	@test -x $(DEV)/bin/python || $(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev$(EXTRAS)]'
	@touch $@

python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' 2>/dev/null || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1); tremorscope needs Python 3.10, 3.11 or 3.12:" \
	       "install one and name it, e.g. make demo PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot make virtual environments: install its venv package," \
	       "e.g. apt install python3-venv" >&2; exit 1; }

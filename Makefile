# The commands of this repository. Each installs what it needs the first time and nothing when nothing changed:
# the files .venv/.made, .venv/.server and .venv/.dev say what has been done.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
PYTEST := $(PY) -m pytest
# The small build of TensorFlow exists for this one platform only.
TENSORFLOW := $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),tensorflow-cpu,tensorflow)
FIND_TENSORFLOW := from importlib.util import find_spec as f; raise SystemExit(f("tensorflow") is None)
FOUND_PYTHON := import sys; print("python%d.%d" % sys.version_info[:2])

.DEFAULT_GOAL := help
.PHONY: help demo test lint types unit slow postgres keras kill-loop keras-campaign backends browser bench-ui pictures wheel clean fuzz damage

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile
	@echo '  PYTHON=python3.12 chooses another Python for a new $(VENV), VENV=DIR another environment.'

demo: $(VENV)/.server ## Train on Fashion-MNIST and watch it in the browser; ARGS="--epochs 2 --exit"
	@$(VENV)/bin/epochscope demo $(ARGS)

test: lint types unit slow postgres backends keras browser ## Run every check

lint: $(VENV)/.dev ## Style: ruff
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.dev frontend/node_modules/.made ## Types: mypy --strict, tsc --strict
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy --explicit-package-bases tests examples benchmarks
	cd frontend && npm run --silent check

unit: $(VENV)/.dev ## The quick tests, in a minute: no training, no browser
	$(PYTEST) -n 2 -m "not keras and not browser and not slow and not postgres" $(ARGS)

slow: $(VENV)/.dev ## The other tests without a training: processes killed, stores damaged, services waited for
	$(PYTEST) -n 2 -m "slow and not keras and not browser and not postgres" $(ARGS)

# The demo's tests start processes of their own; they come first, from a runner that has not loaded TensorFlow itself,
# as a newcomer's shell has not.
keras: $(VENV)/.dev ## The tests that train real models
	$(PYTEST) tests/test_demo.py -m keras $(ARGS) || [ $$? -eq 5 ]  # 5: ARGS="-k word" fits none of these
	$(PYTEST) --ignore tests/test_demo.py -m "keras and not browser and not postgres" $(ARGS)

# Each worker starts a cluster of its own in /tmp; Debian keeps the server's programs out of PATH.
HAS_POSTGRES := command -v initdb || ls /usr/lib/postgresql/*/bin/initdb

postgres: $(VENV)/.dev ## The tests of the service on PostgreSQL, where it is installed
	@if .ci/need '$(HAS_POSTGRES)' postgresql 'the tests on PostgreSQL are skipped'; then \
		EPOCHSCOPE_TEST_DATABASE=postgres $(PYTEST) -n 2 tests/server --ignore tests/server/formats $(ARGS) && \
		{ $(PYTEST) tests/faults -m postgres $(ARGS) || [ $$? -eq 5 ]; }; \
	else [ "$(CI)" != true ]; fi

kill-loop: $(VENV)/.dev ## Kill clients and service, before a release; N=10000, SEED=7 draws alike
	PYTHONPATH=tests $(PY) -m faults.kill_loop --kills $(or $(N),10000) $(if $(SEED),--seed $(SEED)) $(ARGS)

keras-campaign: $(VENV)/.dev ## Keras's own tests with a Monitor in every fit (hours); ARGS="--backend jax trainer_test"
	$(PY) tests/campaign/keras_own_tests.py $(ARGS)

# JAX and torch are large (torch brings several GB of CUDA on many machines), so they are installed on a build machine or
# on request; elsewhere the tests of those that are there run. Of torch first the version that was tested: a machine may
# hold just that, as a small build for the CPU.
INSTALL ?= $(filter true,$(CI))
HAS = $(PY) -c 'from importlib.util import find_spec as f; raise SystemExit(f("$(1)") is None)'
JAX := jax
TORCH := torch==2.13.0

backends: $(VENV)/.dev ## The tests of Keras's other backends, JAX and torch, where they are installed; INSTALL=1 installs them
	@[ -z "$(INSTALL)" ] || $(call HAS,jax) || $(PIP) install --quiet '$(JAX)'
	@[ -z "$(INSTALL)" ] || $(call HAS,torch) || $(PIP) install --quiet '$(TORCH)' || $(PIP) install --quiet torch
	@for backend in jax torch; do \
		if $(PY) -c "import $$backend" 2>/dev/null; then \
			KERAS_BACKEND=$$backend $(PYTEST) tests/client/backends $(ARGS) || exit 1; \
		else \
			echo "backends: there is no $$backend here, its tests are skipped; make backends INSTALL=1 brings it"; \
			[ -z "$(INSTALL)" ] || exit 1; \
		fi; \
	done

# Without a browser its tests are skipped, and say so; on a build machine that would hide a hole, so there it fails.
# Playwright's driver needs libatomic, which the smallest Debian lacks.
HAS_BROWSER := { [ -x "$$CHROMIUM" ] || command -v chromium || command -v chromium-browser || \
	command -v google-chrome; } && $(PY) -m playwright --version

browser: $(VENV)/.dev frontend/node_modules/.made ## The tests that drive a real Chromium, with axe-core
	@.ci/need '$(HAS_BROWSER)' 'chromium libatomic1' 'the browser tests are skipped' || [ "$(CI)" != true ]
	$(PYTEST) -m browser $(ARGS)

# Not among the dependencies: it is large, and not there for every Python.
fuzz: $(VENV)/.dev ## Fuzz the decoders of the training side with atheris; SECONDS_EACH=60
	@$(call HAS,atheris) || $(PIP) install --quiet atheris || \
		{ echo 'fuzz: there is no atheris for this Python' >&2; exit 1; }
	@for target in wire segments folder reply; do \
		$(PY) tests/faults/fuzz.py $$target --seconds $(or $(SECONDS_EACH),60) || exit 1; \
	done

damage: $(VENV)/.dev ## Damage a segment of a spool in every way, before a release; N=200000
	$(PY) tests/faults/damage.py --random $(or $(N),200000)

pictures: $(VENV)/.dev ## Take the pictures of docs/pictures anew, of real trainings; ARGS="--only run"
	@.ci/need '$(HAS_BROWSER)' 'chromium libatomic1' 'no picture can be taken'
	PYTHONPATH=tests $(PY) tests/browser/pictures.py $(ARGS)

bench-ui: $(VENV)/.dev ## Measure the page in a real Chromium; ARGS="--only first brush"
	@.ci/need '$(HAS_BROWSER)' 'chromium libatomic1' 'nothing can be measured'
	$(PY) benchmarks/page.py $(ARGS)

wheel: $(VENV)/.dev ## Build dist/epochscope-*.whl
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .
	@ls -l dist/*.whl

clean: ## Remove everything that was made here, the environment too
	rm -rf $(VENV) dist build frontend/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo 'There is no $(PYTHON) here. epochscope needs Python 3.11' \
		'or later; say which one: make demo PYTHON=python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "$(PYTHON) is Python %d.%d; \
	epochscope needs 3.11 or later. Say which one: make demo PYTHON=python3.11" % sys.version_info[:2])'
	@.ci/need '$(PYTHON) -c "import ensurepip, venv"' \
		"$$($(PYTHON) -c '$(FOUND_PYTHON)')-venv" 'no virtual environment can be made'
	$(PYTHON) -m venv $$($(PYTHON) -c '$(FIND_TENSORFLOW)' && echo --system-site-packages) $(VENV)
	@touch $@

# A machine that has its own build of TensorFlow keeps it.
define install
	$(PIP) install -e '.[$(1)]'
	@$(PY) -c '$(FIND_TENSORFLOW)' || { echo 'Installing $(TENSORFLOW): a few minutes, once'; \
		$(PIP) install '$(TENSORFLOW)>=2.16'; }
	@touch $@
endef

$(VENV)/.server: $(VENV)/.made pyproject.toml
	$(call install,server)

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	$(call install,dev)
	@touch $(VENV)/.server

frontend/node_modules/.made: frontend/package-lock.json
	@.ci/need 'command -v npm' 'nodejs npm' 'the page can not be checked'
	cd frontend && npm ci --no-audit --no-fund
	@touch $@

VENV ?= .venv
DOCS_VENV ?= .venv-docs
BENCH_VENV ?= .venv-bench
PYTHON ?=
WORKERS ?= 2
BIN := $(VENV)/bin

# Where it is set, importing JAX, Flax and TFDS takes 20 seconds instead of 7.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Show this help
	@echo "make TARGET [PYTHON=python3.12] [VENV=.venv]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: demo
demo: venv-demo ## Train a small model on the CPU and write a report (DEMO_ARGS=...)
	$(BIN)/python -m train demo $(DEMO_ARGS)

.PHONY: test
test: venv-test ## Run the tests (PYTEST_ARGS="-k focal", WORKERS=0 for one process)
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

.PHONY: lint
lint: venv-test ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pyright --pythonpath $(BIN)/python

.PHONY: format
format: venv-test ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: venv-bench ## Time the losses against their peers (BENCH_ARGS=--quick)
	$(BENCH_VENV)/bin/python -m bench $(BENCH_ARGS)

.PHONY: gallery
gallery: venv-demo ## Draw every loss again: docs/gallery
	$(BIN)/python -m train gallery

.PHONY: docs
docs: venv-docs ## Build the documentation: site/index.html
	@NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/python -m mkdocs build --strict --quiet \
		--config-file docs/mkdocs/mkdocs.yml --site-dir $(CURDIR)/site
	@echo "site/index.html"

.PHONY: venv
venv: venv-test ## Make .venv with everything that the other targets need

.PHONY: venv-bench venv-bootstrap venv-demo venv-docs venv-library venv-test
# The requirements of the tests hold those of the demo.
venv-demo:
	@.ci/venv $(VENV) $(if $(wildcard $(VENV)/.installed-test),test,demo) $(PYTHON)
venv-bootstrap venv-library venv-test: venv-%:
	@.ci/venv $(VENV) $* $(PYTHON)
# Apart: none of it is needed to use, test or change the code.
venv-docs:
	@.ci/venv $(DOCS_VENV) docs $(PYTHON)
# `$(BENCH_VENV)/bin/python -m pip install torch` adds PyTorch, gigabytes, to the peers.
venv-bench:
	@.ci/venv $(BENCH_VENV) bench $(PYTHON)

# In this order: what is pinned in test.txt constrains the others.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make requirements" pyproject.toml

.PHONY: requirements
requirements: venv-bootstrap ## Pin the requirements anew (UPGRADE=1 for the newest versions)
	$(COMPILE) --extra train --group test --group test-train --group dev \
		--group bootstrap \
		-o requirements/test.txt $(if $(UPGRADE),--upgrade)
	$(COMPILE) --extra train -c requirements/test.txt -o requirements/demo.txt
	$(COMPILE) --group test -c requirements/test.txt -o requirements/library.txt
	$(COMPILE) --group bench -c requirements/test.txt -o requirements/bench.txt
	$(subst pyproject.toml,,$(COMPILE)) --group bootstrap \
		-c requirements/test.txt -o requirements/bootstrap.txt
	$(subst pyproject.toml,,$(COMPILE)) --group docs \
		-c requirements/test.txt -o requirements/docs.txt $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## Remove the virtual environments, caches and build products (not runs/)
	rm -rf .venv .venv-bench .venv-newest .venv-docs site build dist \
		.pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each target sets up what it needs; a second call starts immediately.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help sync soak test fuzz test-compose screenshots lint build docs bench lock audit clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

sync: $(VENV)/.runtime-stamp ## Run the main job (ARGS="--season 2024" for options)
	@$(BIN)/oddins sync leagues $(ARGS)

test: $(VENV)/.dev-stamp ## Run every test (ARGS=--cov=oddins_pipeline to see what none covers)
	@$(BIN)/python -m pytest $(ARGS)

fuzz: $(VENV)/.dev-stamp ## Test thousands of mutated responses (about 20 minutes)
	@$(BIN)/python -m pytest --hypothesis-profile=fuzz --timeout=0 \
		oddins_pipeline_tests/integration/test_any_response.py $(ARGS)

test-compose: $(VENV)/.dev-stamp ## Build and start the containers, and break them (Docker, root)
	@$(BIN)/python -m pytest -n 0 -v --durations=0 $(ARGS) oddins_pipeline_tests/acceptance/compose.py

lint: $(VENV)/.dev-stamp ## Check style, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

soak: $(VENV)/.dev-stamp ## Run the long tests: kills, outages, many days (half an hour)
	@ODDINS_SOAK_DAYS=$${ODDINS_SOAK_DAYS:-100} ODDINS_KILLS=$${ODDINS_KILLS:-100} \
		$(BIN)/python -m pytest -n 2 -m "soak or not soak" --timeout 7200 \
		oddins_pipeline_tests/acceptance/test_soak.py oddins_pipeline_tests/acceptance/test_kills.py \
		oddins_pipeline_tests/acceptance/test_service_kills.py oddins_pipeline_tests/acceptance/test_machines.py \
		oddins_pipeline_tests/acceptance/test_server_kills.py oddins_pipeline_tests/acceptance/test_free_account.py \
		oddins_pipeline_tests/integration/test_deliveries.py \
		$(ARGS)

screenshots: $(VENV)/.dev-stamp ## Take the documentation's screenshots (needs chromium, chromium-driver)
	@$(BIN)/python -m oddins_pipeline_tests.support.screenshots docs/images

build: $(VENV)/.dev-stamp ## Build a wheel in dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist

docs: $(VENV)/.dev-stamp ## Build the documentation's site in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open site/index.html" >&2

bench: $(VENV)/.bench-stamp ## Compare with peers, about 40 minutes (ARGS=--quick: 4)
	@$(BIN)/python -m benchmarks $(ARGS)

lock: $(VENV)/.dev-stamp ## Pin the newest versions that pyproject.toml allows
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade --generate-hashes \
		--no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements/runtime.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --extra dev pyproject.toml \
		-o requirements/dev.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --extra bench pyproject.toml \
		-o requirements/bench.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --extra k8s pyproject.toml \
		-o requirements/k8s.txt

audit: $(VENV)/.venv-stamp ## Check the pinned packages for known vulnerabilities
	@$(BIN)/python .ci/audit $(ARGS)

clean: ## Remove what the targets created, but not the data in .oddins
	@rm -rf $(VENV) dist site .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache \
		.ruff_cache

$(VENV)/.venv-stamp:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "Python 3.10 to 3.13 is needed; name one with make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	@echo "creating $(VENV) (about a minute, once)" >&2
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@touch $@

# An editable install cannot carry a hash: the pinned packages first, then the project alone.
define install
@total=$$(grep -c '^[a-z].*==' $(1)); [ -t 2 ] && every=1 || every=25; \
	echo "installing the $$total packages of $(1) in $(VENV)" >&2; \
	{ $(BIN)/python -m pip install --progress-bar off --disable-pip-version-check --no-deps \
		--require-hashes -r $(1) || echo FAILED; } | awk -v total=$$total -v every=$$every ' \
		/^(Collecting|Ignoring) / { n++; sub(/:$$/, "", $$2); at = n " of " total ": " $$2 } \
		/^Installing collected/ { at = "unpacking them"; n = every } \
		/^FAILED/ { failed = 1 } \
		at && n % every == 0 { printf every == 1 ? "\r%s\033[K" : "%s\n", at; fflush() } \
		{ at = "" } END { if (every == 1) print ""; exit failed }' >&2
@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	--no-build-isolation -e .
endef

$(VENV)/.runtime-stamp: $(VENV)/.venv-stamp requirements/runtime.txt pyproject.toml
	$(call install,requirements/runtime.txt)
	@touch $@

$(VENV)/.dev-stamp: $(VENV)/.venv-stamp requirements/dev.txt pyproject.toml
	$(call install,requirements/dev.txt)
	@touch $@ $(VENV)/.runtime-stamp

$(VENV)/.bench-stamp: $(VENV)/.runtime-stamp requirements/bench.txt
	$(call install,requirements/bench.txt)
	@touch $@

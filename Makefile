# Every target installs what it needs. The prerequisites are python3 and make, and Node.js for the React client.

PYTHON ?= python3
# "yes" if Node.js is installed and new enough for Vite.
NODE := $(shell node -p 'const [major, minor] = process.versions.node.split("."); \
	major > 20 || (major == 20 && minor >= 19) ? "yes" : ""' 2>/dev/null)
NPM = npm --prefix client --silent
LOCK = .venv/bin/python -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-strip-extras \
	--generate-hashes --custom-compile-command "make lock"

define HELP
make run           Start the server (override settings: make run PORT=9000)
make client        Start the React dev server on :3000
make test          Run the fast tests (ARGS="-k name" to select)
make check         Run everything CI runs: all tests on both engines, lint, types
make lint          Check style, format and types
make cluster       Start a two-node demo cluster (ARGS=--check to verify and exit)
make bench         Run all benchmarks (15 min, needs an idle machine)
make bench-quick   Run the throughput benchmark only (2 min)
make client-types  Regenerate TypeScript types from the OpenAPI document
make env-example   Regenerate .env.example from the settings in api/config.py
make lock          Upgrade and re-pin dependencies
make clean         Remove virtualenvs, node_modules and caches (keeps data)

Missing packages are installed into .venv and node_modules first. To use another Python: make run PYTHON=python3.12
endef

# Each server that the tests start would compile the code again.
unexport PYTHONDONTWRITEBYTECODE

# Commands run as .venv/bin/python -m, because the scripts in .venv/bin break when the folder is moved.

.PHONY: help
help:
	$(info $(HELP))
	@:

.PHONY: run
run: packages $(if $(NODE),client/dist/index.html)
	@exec .venv/bin/python run.py  # exec: the server itself gets Ctrl-C and SIGTERM

.PHONY: client
client: client/node_modules/.ready
	@exec $(NPM) run dev

# In-process tests on SQLite. ARGS are passed to pytest.
.PHONY: test
test: dev-packages
	.venv/bin/python -m pytest --numprocesses=logical --dist=worksteal -m "not system and not postgresql" $(ARGS)

# All tests. Many of them wait for other processes, so there are more workers than cores.
.PHONY: check test-all
check: lint test-all
test-all: PROGRAMS = $(BROWSER) $(CLUSTER)
test-all: dev-packages system-packages $(if $(NODE),client/dist/index.html,without-client)
	.venv/bin/python -m pytest --numprocesses=$$((2 * $$(getconf _NPROCESSORS_ONLN))) --dist=worksteal --cov $(ARGS)
	$(if $(NODE),$(NPM) test)

.PHONY: lint
lint: dev-packages $(if $(NODE),lint-client,without-client)
	.venv/bin/python -m ruff check
	.venv/bin/python -m ruff format --check
	.venv/bin/python -m mypy

.PHONY: lint-client
lint-client: client/node_modules/.ready client/openapi.json
	$(NPM) run lint
	$(NPM) run typecheck
	$(NPM) run types -- --check

.PHONY: cluster
cluster: PROGRAMS = $(CLUSTER)
cluster: dev-packages system-packages
	@exec .venv/bin/python -m tests.cluster $(ARGS)

.PHONY: bench bench-quick
bench bench-quick: dev-packages bench-packages bench-services bench/baselines/express/node_modules/.ready
	@exec .venv/bin/python -m bench $(if $(filter bench-quick,$@),--quick)

.PHONY: env-example
env-example: packages
	@.venv/bin/python -c 'from api.config import env_example; print(env_example(), end="")' >.env.example

.PHONY: lock
lock: dev-packages
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt
	$(LOCK) bench/requirements.in -o bench/requirements.txt

.PHONY: client-types
client-types: client/node_modules/.ready client/openapi.json
	$(NPM) run types

.PHONY: clean
clean:
	rm -rf .venv bench/.venv .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.* htmlcov
	rm -rf client/node_modules client/dist client/openapi.json bench/baselines/express/node_modules bench/baselines/.ruff_cache
	find . -name node_modules -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

# The client. Its packages are reinstalled when their lock changes, and it is rebuilt when a source file changes.

client/node_modules/.ready: client/package-lock.json
	$(if $(NODE),,$(error Install Node.js 20.19 or newer first, from https://nodejs.org or your system))
	@echo "Installing the packages of the client."
	@$(NPM) ci --no-audit --no-fund
	@touch $@

client/dist/index.html: client/node_modules/.ready $(shell find client -type d \
		\( -name node_modules -o -name dist -o -name screenshots \) -prune -o -type f -print)
	@echo "Building the client."
	@$(NPM) run build -- --logLevel warn

.PHONY: client/openapi.json
client/openapi.json: packages
	@.venv/bin/python -c 'from run import app; print(app.test_client().get("/openapi.json").text)' >$@ 2>/dev/null

.PHONY: without-client
without-client:
	@echo "The client is left out. To have it too, install Node.js 20.19 or newer."

# The programs that the tests start, as program:Debian package. Playwright's driver needs libatomic. Without a program, its
# tests fail or are skipped.
BROWSER = chromium:chromium chromium:fonts-liberation libatomic:libatomic1
CLUSTER = nginx:nginx-light curl:curl openssl:openssl redis-server:redis-server

.PHONY: system-packages
system-packages:
	@command -v apt-get >/dev/null || exit 0; \
	missing=; \
	PATH="$$PATH:/usr/sbin:/sbin"; \
	for each in $(PROGRAMS); do \
		case $$each in \
			libatomic:*) ldconfig -p | grep -q libatomic ;; \
			chromium:*) command -v chromium google-chrome >/dev/null ;; \
			*) command -v $${each%:*} >/dev/null ;; \
		esac || missing="$$missing $${each#*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then \
		echo "Some system packages are missing. To install them: sudo apt install$$missing" >&2; \
		exit 0; \
	fi; \
	$(call apt-install,$$missing)

# The benchmarks: the load generator, a PostgreSQL with pg_trgm, and the packages of the Node.js baseline.

.PHONY: bench-services
bench-services:
	@missing=; \
	command -v wrk >/dev/null || missing="$$missing wrk"; \
	ls /usr/share/postgresql/*/extension/pg_trgm.control >/dev/null 2>&1 || missing="$$missing postgresql"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "The bench needs something more. Run this, then try again: sudo apt install$$missing" >&2; \
		command -v wrk >/dev/null && echo "Without it, searches on PostgreSQL have no index." >&2; \
		exit $$?; \
	fi; \
	$(call apt-install,$$missing)

# Where there is no prebuilt better-sqlite3, it is compiled, which takes a minute and needs a C++ compiler.
bench/baselines/express/node_modules/.ready: bench/baselines/express/package-lock.json
	$(if $(NODE),,$(error Install Node.js 20.19 or newer first, from https://nodejs.org or your system))
	@echo "Installing the packages of bench/baselines/express."
	@npm --prefix bench/baselines/express --silent ci --no-audit --no-fund || { \
		echo "They can't be installed. Where a compiler is missing: sudo apt install g++ make python3" >&2; exit 1; }
	@touch $@

.PHONY: packages dev-packages bench-packages
packages:
	$(call install,.venv,requirements.txt)
dev-packages:
	$(call install,.venv,requirements-dev.txt requirements.txt)
bench-packages:
	$(call install,bench/.venv,bench/requirements.txt)

# Targets must not write to .venv concurrently.
.NOTPARALLEL:

# Install the first of the lock files $(2) into the virtual environment $(1); it includes the others. They are copied into
# the environment at the end, so one with the same lock is up to date, one with another lock is updated, and one without
# was interrupted and is created again.
define install
	@set -e; \
	version='import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))'; \
	wanted=$$($(PYTHON) -c "$$version" 2>/dev/null) || { \
		echo "Kennel needs Python 3.11 or newer, but $(PYTHON) is $${wanted:-missing}." \
			"Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }; \
	found=$$($(1)/bin/python -c "$$version" 2>/dev/null) || true; \
	if [ "$$found" != "$$wanted" ] || [ ! -e $(1)/requirements.txt ]; then \
		$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(install-venv); }; \
		echo "Making $(1) with Python $$wanted."; \
		$(PYTHON) -m venv --clear $(1); \
	fi; \
	if ! cmp -s $(firstword $(2)) $(1)/$(notdir $(firstword $(2))); then \
		echo "Installing the packages of $(firstword $(2)) into $(1)."; \
		rm -f $(1)/requirements*.txt; \
		$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
			--require-hashes -r $(firstword $(2)); \
		cp $(2) $(1)/; \
	fi
endef

# Debian and Ubuntu package a part of Python's venv module separately.
define install-venv
	package=$(notdir $(PYTHON))-venv; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "$(PYTHON) cannot make .venv yet. Run this, then try again: sudo apt install $$package" >&2; exit 1; \
	fi; \
	$(call apt-install,$$package)
endef

# Do not start installed packages as services: Debian runs policy-rc.d first, and exit status 101 forbids it.
define apt-install
	echo "Installing $(1)."; \
	policy=/usr/sbin/policy-rc.d; \
	if [ ! -e $$policy ]; then \
		trap "rm -f $$policy" EXIT; \
		printf '#!/bin/sh\nexit 101\n' >$$policy; \
		chmod +x $$policy; \
	fi; \
	apt-get update -qq; \
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(1) >/dev/null
endef

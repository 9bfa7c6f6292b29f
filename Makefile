# Every target does its own set-up; only python3 and make have to be there.

PYTHON ?= python3
LOCK = .venv/bin/python -m uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command "make lock"

define HELP
make run     starts the server. Settings go along: make run PORT=9000
make test    runs all tests and shows what they cover. Some of them: make test ARGS="-k name"
make lint    checks style, format and types.
make bench   measures how fast the server is. Options go along: make bench ARGS="--help"
make lock    writes requirements.txt and requirements-dev.txt anew, with the newest versions.
make clean   removes .venv and all caches. The database, the pictures and the keys stay.

What is missing is installed into .venv first. Another Python: make run PYTHON=python3.12
endef

# Each command is run through .venv/bin/python, because the scripts in .venv/bin break when the folder is moved.

.PHONY: help
help:
	$(info $(HELP))
	@:

.PHONY: run
run: packages
	@exec .venv/bin/python run.py  # exec: the server itself gets Ctrl-C and SIGTERM

.PHONY: test
test: dev-packages
	.venv/bin/python -m pytest $(or $(ARGS),--cov)

.PHONY: lint
lint: dev-packages
	.venv/bin/python -m ruff check
	.venv/bin/python -m ruff format --check
	.venv/bin/python -m mypy

.PHONY: bench
bench: dev-packages
	@exec .venv/bin/python -m bench $(ARGS)

.PHONY: lock
lock: dev-packages
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt

.PHONY: clean
clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.* htmlcov
	find . -name node_modules -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

.PHONY: packages dev-packages
packages:
	$(call install,requirements.txt)
dev-packages:
	$(call install,requirements-dev.txt requirements.txt)

# Two targets at once must not write to .venv at once.
.NOTPARALLEL:

# Makes .venv hold what the first of the locks $(1) names; the others are part of it.
# Copies of the locks are put into .venv when all is done. So a .venv with the same lock is ready,
# one with another lock is brought up to date, and one with none was interrupted and is made anew.
define install
	@set -e; \
	version='import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))'; \
	wanted=$$($(PYTHON) -c "$$version" 2>/dev/null) || { \
		echo "Kennel needs Python 3.11 or newer, but $(PYTHON) is $${wanted:-missing}." \
			"Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }; \
	found=$$(.venv/bin/python -c "$$version" 2>/dev/null) || true; \
	if [ "$$found" != "$$wanted" ] || [ ! -e .venv/requirements.txt ]; then \
		$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(install-venv); }; \
		echo "Making .venv with Python $$wanted."; \
		$(PYTHON) -m venv --clear .venv; \
	fi; \
	if ! cmp -s $(firstword $(1)) .venv/$(firstword $(1)); then \
		echo "Installing the packages of $(firstword $(1)) into .venv."; \
		rm -f .venv/requirements*.txt; \
		.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
			--require-hashes -r $(firstword $(1)); \
		cp $(1) .venv/; \
	fi
endef

# Debian and Ubuntu keep a part of Python's venv module in a package of its own.
define install-venv
	package=$(notdir $(PYTHON))-venv; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "$(PYTHON) cannot make .venv yet. Run this, then try again: sudo apt install $$package" >&2; exit 1; \
	fi; \
	echo "Installing $$package."; \
	apt-get update -qq; \
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$package >/dev/null
endef

# The developer commands: `make` lists them, `make check` runs what CI runs.
# Needs make and Python >= 3.10; everything else comes from requirements/lock.txt, by hash, into $(VENV).
# Limited to GNU make 3.81 and a POSIX shell, for macOS.

VENV ?= .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
# extra arguments for pytest or uv: make test ARGS='-k journal', make lock ARGS=--upgrade
ARGS ?=

.PHONY: help demo check test field torture coverage mutate lint types smoke format docs picture bench bench-pilot \
  bench-steps venv pilot others neighbours slurm python lock bounds wheel dist-check sbom clean
help: ## list the targets
	@awk -F ':.*## ' '/^# ---- / {print "\n" substr($$0, 8)} /^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' \
	  $(MAKEFILE_LIST)

# ---- Try

demo: $(VENV)/.ready ## run the tutorial campaign with its live table
	$(BIN)/rose run campaigns/tutorial/campaign.yaml

# ---- Check

# First what goes into one environment, one after another; then what needs no more of each other than that, two at a time.
check: ## run everything that CI runs
	@$(MAKE) $(VENV)/.ready $(VENV)/.pilot $(VENV)/.docs
	@$(MAKE) --jobs 2 lint $(VENV)/.others types docs $(VENV)/.neighbours
	@$(MAKE) test smoke dist-check

# The tests start real processes: with more than four workers, they only wait for each other.
# Tests that must not run in parallel share a mark: @pytest.mark.xdist_group("name").
test: $(VENV)/.ready $(VENV)/.pilot $(VENV)/.others $(VENV)/.neighbours ## run every test
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup $(ARGS)

field: $(VENV)/.ready ## try problems reported for similar tools (tests/field/)
	$(BIN)/python -m pytest --verbose tests/field $(ARGS)

# Half an hour of attacks: kill -9, faulty disks, damaged journals, clocks, load. ARGS='--seed 2 --kills 500', ARGS=kills
torture: $(VENV)/.ready $(VENV)/.pilot ## attack rose at length and report the results
	$(BIN)/python -m tests.torture $(ARGS)

# Lines and branches of rose_cli, in its subprocesses too. Some tests only: ARGS='tests/loop tests/journal'
coverage: $(VENV)/.ready $(VENV)/.pilot ## run every test and report which code they run
	@rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup $(ARGS); \
	  code=$$?; $(BIN)/python -m coverage combine --quiet; $(BIN)/python -m coverage report; exit $$code

# 300 mutants: about 10 minutes; an hour with --all. ARGS='--module journal.state --all', ARGS='--sample 50 --seed 2'
mutate: $(VENV)/.ready ## put small faults into the core and report those that no test notices
	$(BIN)/python -m tools.mutate $(ARGS)

# pip check: the locked packages still satisfy pyproject.toml, except for netifaces (see lock).
lint: $(VENV)/.ready $(VENV)/.pilot ## check for errors and for unformatted files
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/lint-imports --no-logo
	@echo '$(BIN)/python -m pip check'; $(BIN)/python -m pip check >$(VENV)/.check || { \
	  grep -v -e 'requires netifaces, which is not installed' $(VENV)/.check; test $$? = 1; }

types: $(VENV)/.ready ## check the types in strict mode
	$(BIN)/python -m mypy

# Every campaign runs, even after one has failed; finding none is a failure too.
CAMPAIGNS = $(shell find campaigns -name rose-runs -prune -o -name '*.yaml' -print | sort)
smoke: $(VENV)/.ready ## run one iteration of every file in campaigns/
	@test -n '$(CAMPAIGNS)' || { echo 'no campaign file in campaigns/' >&2; exit 1; }
	@failed=; for file in $(CAMPAIGNS); do \
	  echo "$(BIN)/rose run --smoke $$file"; \
	  $(BIN)/rose run --smoke "$$file" </dev/null || failed="$$failed $$file"; \
	done; test -z "$$failed" || { echo "smoke failed:$$failed" >&2; exit 1; }

# ---- Write

format: $(VENV)/.ready ## fix what can be fixed automatically, and format
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

# Strict: a broken link or anchor is an error. Pages load nothing from other sites, and can be read from disk.
docs: $(VENV)/.ready $(VENV)/.docs ## build the documentation as a site in build/site/
	@if $(FITS_SPHINX); then set -x; \
	  $(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --fresh-env --quiet \
	    -c docs -d build/doctrees -b html . build/site; \
	else echo 'skipped: the site needs Python 3.11 or later' >&2; fi

# The report is drawn in Chromium, which has to be installed.
picture: $(VENV)/.ready $(VENV)/.others ## draw the pictures of the table and of a report for the README, from a real run
	$(BIN)/python -m tools.picture docs/table.svg docs/report

# ---- Measure

# Some sections only: ARGS='overhead warm'. What is measured already: ARGS=--resume. More rounds: ARGS=--long
bench: $(VENV)/.ready ## measure rose and what it is compared with, and write docs/benchmarks.md
	$(BIN)/python -m benchmarks --write docs/benchmarks.md $(ARGS)

# Separate from the others, because it starts pilots and takes some minutes.
bench-pilot: $(VENV)/.ready $(VENV)/.pilot ## compare a campaign on a pilot with a hand-written equivalent
	$(BIN)/python benchmarks/pilot/chains.py $(ARGS)

# Needs Slurm and root, as the tests on a real Slurm do. One step at a time, in more rounds: ARGS='1 --rounds 10'
bench-steps: $(VENV)/.ready ## compare steps of the Slurm engine with bare srun of the same width
	$(BIN)/python -m benchmarks.steps $(ARGS)

# ---- Environment

venv: $(VENV)/.ready $(VENV)/.pilot ## create or update the virtual environment

# Debian packages ensurepip separately from Python; pip can replace it if available.
# Python images and installers use /usr/local/bin, which a minimal PATH may lack.
PYTHONS    = $(or $(PYTHON),python3.13 python3.12 python3.11 python3.10 python3 /usr/local/bin/python3)
IS_FIT     = import importlib.util as u, sys, venv; \
             sys.exit(sys.version_info < (3, 10) or not (u.find_spec("ensurepip") or u.find_spec("pip")))
SET_PYTHON = for python in $(PYTHONS) ""; do "$$python" -c '$(IS_FIT)' 2>/dev/null && break; done; \
  test -n "$$python" || { \
    echo 'none of these is a Python >= 3.10 that can create a virtual environment: $(PYTHONS)' >&2; \
    echo 'install one (Debian, Ubuntu: apt install python3-venv) or name one: make PYTHON=/path/to/python3' >&2; \
    exit 1; }

MAKE_VENV  = if "$$python" -c 'import ensurepip' 2>/dev/null; then "$$python" -m venv $(VENV); else \
  "$$python" -m venv --without-pip $(VENV) && PIP_ROOT_USER_ACTION=ignore "$$python" -m pip install --quiet pip \
    --target "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"; fi

pilot: $(VENV)/.ready $(VENV)/.pilot ## add radical.pilot to the environment; needs no compiler

# Nothing outside BASE (/tmp/rose-slurm) changes, except for packages. ARGS='--tracker cgroup', ARGS=--stop
slurm: $(VENV)/.ready ## install Slurm if it is missing, as root on Debian, and start one for trials
	@$(BIN)/python -m tests.slurm.cluster $(ARGS)

python: ## print the interpreter for a new environment
	@$(SET_PYTHON); echo "$$python"

clean: ## remove everything that make created, including the environment; keep runs
	@$(DISCARD)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .mutate .coverage .coverage.*
	find $(wildcard rose_cli tests campaigns benchmarks) -name __pycache__ -prune -exec rm -rf {} +

# .made-by-make exists from the start, .locked and .ready only after success: an interrupted environment is created again
# from scratch, while an environment that make did not create is used unchanged and never removed.
# .locked contains the path: scripts name their interpreter by its full path, so a clone that was moved needs new ones.
DISCARD = if test -e $(VENV)/.made-by-make; then rm -rf $(VENV); fi
ifneq ($(shell test -x $(BIN)/python && cat $(VENV)/.locked 2>/dev/null),$(abspath $(VENV)))
.PHONY: $(VENV)/.locked
endif
$(VENV)/.locked: requirements/lock.txt
	@$(DISCARD)
	@if test -z "$$(ls -A $(VENV) 2>/dev/null)"; then \
	  $(SET_PYTHON); \
	  echo "creating $(VENV) with $$("$$python" -V), about a minute"; \
	  mkdir -p $(VENV) && touch $(VENV)/.made-by-make && $(MAKE_VENV); \
	fi
	@test -x $(BIN)/python || { \
	  echo '$(VENV) exists but is not a virtual environment: remove it, or choose another path: make VENV=...' >&2; exit 1; }
	@$(PIP) install --require-hashes --only-binary :all: --requirement requirements/lock.txt
	@echo '$(abspath $(VENV))' >$@

$(VENV)/.ready: $(VENV)/.locked pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

SOURCES = radical.pilot,radical.utils,radical.gtod,rc.process,psij-python
# radical.pilot, only for the tests; a machine that cannot install it does without, unless CI is set
$(VENV)/.pilot: $(VENV)/.locked requirements/pilot.txt
	@echo 'installing radical.pilot, about half a minute'
	@if PIP_USE_PEP517=1 $(PIP) install --require-hashes --no-deps --no-build-isolation \
	  --only-binary :all: --no-binary $(SOURCES) --requirement requirements/pilot.txt; then touch $@; \
	elif test -z "$$CI"; then echo 'radical.pilot cannot be installed here: its tests will be skipped' >&2; \
	else exit 1; fi

# The programs that read what rose writes, and rose with all its extras, in an environment of their own: they want other
# versions of what rose uses. A machine that cannot install them does without, unless CI is set.
OTHERS = $(abspath $(VENV))/others
others: $(VENV)/.others ## add the trackers, readers and the browser's driver that tests start
$(VENV)/.others: $(VENV)/.locked requirements/others.txt tests/npm/package-lock.json
	@echo 'installing what other programs the tests start, about two minutes'
	@if test -x $(OTHERS)/bin/python || $(BIN)/python -m venv --without-pip $(OTHERS) && \
	  $(PIP) --python $(OTHERS)/bin/python install --no-compile --require-hashes --only-binary :all: --requirement requirements/others.txt && \
	  $(PIP) --python $(OTHERS)/bin/python install --no-deps --no-build-isolation --editable . && \
	  mkdir -p $(OTHERS)/npm && cp tests/npm/package.json tests/npm/package-lock.json $(OTHERS)/npm && \
	  PATH="$(OTHERS)/bin:$$PATH" NODE_OPTIONS=--use-system-ca npm ci --prefix $(OTHERS)/npm --ignore-scripts --no-audit --no-fund --loglevel=error; \
	then touch $@; \
	elif test -z "$$CI"; then echo 'these cannot be installed here: their tests will be skipped' >&2; \
	else exit 1; fi

# The programs whose campaigns docs/coming-from.md shows beside those of rose; Snakemake needs Python 3.11. connection-pool is
# distributed as source, without C.
NEIGHBOURS = $(abspath $(VENV))/neighbours
neighbours: $(VENV)/.neighbours ## add Snakemake, Maestro and Colmena, whose campaigns tests run beside those of rose
$(VENV)/.neighbours: $(VENV)/.locked requirements/neighbours.txt
	@if ! $(FITS_SPHINX); then echo 'skipped: Snakemake needs Python 3.11 or later' >&2; touch $@; \
	elif test -x $(NEIGHBOURS)/bin/python || $(BIN)/python -m venv --without-pip $(NEIGHBOURS) && \
	  $(PIP) --python $(NEIGHBOURS)/bin/python install --no-compile --require-hashes --only-binary :all: \
	    --no-binary connection-pool --requirement requirements/neighbours.txt; \
	then touch $@; \
	elif test -z "$$CI"; then echo 'these cannot be installed here: their tests will be skipped' >&2; \
	else exit 1; fi

# Sphinx, only for the site, so that `make test` does not wait for it; the newest does not support Python 3.10
FITS_SPHINX = $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'
$(VENV)/.docs: $(VENV)/.locked requirements/docs.txt
	@if $(FITS_SPHINX); then \
	  $(PIP) install --require-hashes --only-binary :all: --requirement requirements/docs.txt; fi
	@touch $@

# ---- Release

# Each file works for every Python from 3.10 on, and needs no compiler: lock.txt contains only wheels; pilot.txt contains the
# dependencies of radical.pilot, partly as source without C, with netifaces2 in place of netifaces.
LOCK    = $(BIN)/uv --no-config --system-certs pip compile --quiet --universal --python-version 3.10 --no-python-downloads \
  --generate-hashes --only-binary :all: --custom-compile-command 'make lock'
BUILT   = $(shell echo $(SOURCES) netifaces | tr , ' ')
lock: $(BIN)/uv ## pin the dependencies of pyproject.toml (ARGS=--upgrade: the newest)
	$(LOCK) --extra examples --group dev $(ARGS) --output-file requirements/lock.txt pyproject.toml
	$(LOCK) --constraint requirements/lock.txt --output-file requirements/rose.txt pyproject.toml
	$(LOCK) $(patsubst %,--no-binary %,$(BUILT)) --no-emit-package netifaces \
	  --constraint requirements/lock.txt --group pilot $(ARGS) --output-file requirements/pilot.txt
	$(LOCK) --extra mlflow --extra parquet --extra plots --group others $(ARGS) --output-file requirements/others.txt \
	  pyproject.toml
	$(subst 3.10,3.11,$(LOCK)) --no-binary connection-pool --group neighbours $(ARGS) \
	  --output-file requirements/neighbours.txt
	$(subst 3.10,3.11,$(LOCK)) --constraint requirements/lock.txt --constraint requirements/pilot.txt --group docs $(ARGS) \
	  --output-file requirements/docs.txt

# Both ends of the version ranges in pyproject.toml: resolve an environment for each and run all tests without pilots.
# CI= : missing radical.pilot is not a failure here.
BOUNDS  = lowest-direct highest
bounds: $(BIN)/uv ## run the tests with the lowest and newest allowed versions (BOUNDS=lowest-direct)
	@set -e; for end in $(BOUNDS); do \
	  there=$(abspath $(VENV))/$$end; echo "creating $$there"; rm -rf "$$there"; mkdir -p "$$there"; \
	  $(BIN)/uv --no-config --system-certs pip compile --quiet --resolution $$end --no-python-downloads \
	    --python $(BIN)/python --generate-hashes --only-binary :all: --extra examples --group dev \
	    --output-file "$$there.txt" pyproject.toml >/dev/null; \
	  $(BIN)/uv --no-config venv --quiet --clear --python $(BIN)/python "$$there"; \
	  $(BIN)/uv --no-config --system-certs pip install --quiet --python "$$there" --require-hashes -r "$$there.txt"; \
	  $(BIN)/uv --no-config --system-certs pip install --quiet --python "$$there" --no-deps --no-build-isolation -e .; \
	  CI= "$$there/bin/python" -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup \
	    --ignore tests/engine/pilot/test_engine.py --ignore tests/integration/test_pilot.py --ignore tests/torture --ignore tests/test_packages.py $(ARGS); \
	done

$(BIN)/uv: $(VENV)/.ready
	$(PIP) install 'uv>=0.13,<1'

wheel: $(VENV)/.ready ## build the wheel and the source archive reproducibly in dist/
	$(BIN)/python -m hatchling build

dist-check: $(VENV)/.ready ## install the wheel for each Python on this machine, and try it (ARGS=python3.12)
	$(BIN)/python -m tools.dist_check $(ARGS)

sbom: $(VENV)/.ready $(VENV)/.pilot ## list the packages with their hashes in dist/, for a release
	@mkdir -p dist
	$(BIN)/python -m tools.packages sbom dist/rose-cli.cdx.json

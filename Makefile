# Two commands do everything:
#   make demo                  a PACS, the node and sample studies on this machine; Ctrl-C ends all of it
#   make demo ONCE=1           the same, but it ends by itself: exit code 0 only if every expected result is in the archive
#   make demo INPUT=FOLDER     your own DICOM files instead of the samples
#   make test                  everything that CI checks; ARGS="tests/node -x" runs a part, one test after the other
# And for work on the code:
#   make check                 lint, types and import contracts: `make test` without the documentation and the tests
#   make format                format the code and apply the linter's safe fixes
#   make docs                  the documentation site, in .cache/site; a warning or a broken link is an error
#   make coverage              the tests with coverage, child processes included; ARGS as above
#   make bench                 the short form of every benchmark
#   make hooks                 run the checks before each commit
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
OHIF := 3.13.2
ONCE ?=
INPUT ?=
ARGS ?=
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# the tests start hundreds of processes: each would compile the code anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check format docs coverage bench hooks install clean

demo: $(VENV)/installed
	@node/demo/packages.sh demo
	@exec $(BIN)/python -m node.demo $(if $(ONCE),--once) $(if $(INPUT),--input "$(INPUT)")

test: check docs peers
	$(BIN)/pytest $(or $(ARGS),$(PARALLEL))

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy dicom_sr pipelines node tests benchmarks
	$(BIN)/lint-imports

format: $(VENV)/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .cache/site/built

coverage: $(VENV)/installed peers
	@mkdir -p .cache/coverage && $(BIN)/coverage erase
	$(BIN)/pytest --cov --cov-report= $(or $(ARGS),$(PARALLEL))
	$(BIN)/coverage html --quiet
	$(BIN)/coverage report
	@echo "line by line: .cache/coverage/html/index.html"

# seconds to a few minutes each; --help shows what the long forms take
bench: $(VENV)/installed
	@node/demo/packages.sh demo
	$(BIN)/python benchmarks/reception.py --only node,storescp --sets mr --associations 4 --rounds 1 --count 200
	$(BIN)/python benchmarks/job_overhead.py --single 10 --backlog 20
	$(BIN)/python -m benchmarks.super_resolution --parts knee
	$(BIN)/python benchmarks/hand_foot_scoring.py --repeats 1
	$(BIN)/python benchmarks/joint_classification.py --repeats 1
	$(BIN)/python benchmarks/knee_oa_risk.py --patients 10

hooks: $(VENV)/installed
	$(BIN)/pre-commit install

install: $(VENV)/installed

# torch comes first and by itself because it is by far the largest; pip takes a CPU build where its index offers one
$(VENV)/installed: setup.cfg constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=..." >&2; exit 1; }
	@node/demo/packages.sh venv
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test,docs]"
	@touch $@

# The site is built anew whenever a page or a source has changed: a page from the cache would hide its own warnings.
PAGES := $(shell find docs -path docs/api -prune -o -type f -print) CHANGELOG.md CONTRIBUTING.md
SOURCES := $(shell find dicom_sr pipelines node -name '*.py')
.cache/site/built: $(VENV)/installed $(PAGES) $(SOURCES)
	@rm -rf .cache/site .cache/site.doctrees docs/api
	$(BIN)/python -m sphinx --quiet --fail-on-warning -j auto -d .cache/site.doctrees docs .cache/site
	@touch $@

# The programs that the tests use as peers
.PHONY: peers
peers: .cache/ohif-$(OHIF)/index.html
	@node/demo/packages.sh test

# OHIF's built viewer; without it the viewer tests are skipped, with the reason
.cache/ohif-$(OHIF)/index.html:
	@node/demo/packages.sh npm
	@rm -rf .cache/ohif.part && mkdir -p .cache/ohif.part
	@if (cd .cache/ohif.part && npm pack --silent "@ohif/app@$(OHIF)" >/dev/null && tar -xzf ./*.tgz package/dist); \
	then rm -rf .cache/ohif-$(OHIF) && mv .cache/ohif.part/package/dist .cache/ohif-$(OHIF); \
	else echo "npm could not fetch OHIF: the viewer tests will be skipped" >&2; fi
	@rm -rf .cache/ohif.part

clean:
	rm -rf $(VENV) .cache build *.egg-info

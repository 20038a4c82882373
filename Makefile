# Two commands do everything:
#   make demo                  a PACS, the node and sample studies on this machine; Ctrl-C ends all of it
#   make demo ONCE=1           the same, and ends by itself: exit code 0 only if every expected result is in the archive
#   make demo INPUT=FOLDER     your own DICOM instead of the samples
#   make test                  everything that CI checks; ARGS="tests/node -x" for a part, one test after the other
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
OHIF := 3.13.2
ONCE ?=
INPUT ?=
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check install clean

demo: $(VENV)/installed
	@node/demo/packages.sh demo
	@exec $(BIN)/python -m node.demo $(if $(ONCE),--once) $(if $(INPUT),--input "$(INPUT)")

test: check .cache/ohif-$(OHIF)/index.html
	@node/demo/packages.sh test
	$(BIN)/pytest $(or $(ARGS),--numprocesses auto --maxprocesses 4 --dist loadfile)

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy dicom_sr pipelines node
	$(BIN)/lint-imports

install: $(VENV)/installed

# torch comes first and alone, as the largest by far; where pip is set to an index of CPU builds, that is what is pinned
$(VENV)/installed: setup.cfg constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; PYTHON=... names another than $(PYTHON)" >&2; exit 1; }
	@node/demo/packages.sh venv
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@

# OHIF's built viewer, for the viewer tests: they say so where it is not there
.cache/ohif-$(OHIF)/index.html:
	@node/demo/packages.sh npm
	@rm -rf .cache/ohif.part && mkdir -p .cache/ohif.part
	@if (cd .cache/ohif.part && npm pack --silent "@ohif/app@$(OHIF)" >/dev/null && tar -xzf ./*.tgz package/dist); \
	then rm -rf .cache/ohif-$(OHIF) && mv .cache/ohif.part/package/dist .cache/ohif-$(OHIF); \
	else echo "OHIF could not be fetched by npm: the viewer tests will say so" >&2; fi
	@rm -rf .cache/ohif.part

clean:
	rm -rf $(VENV) .cache build *.egg-info

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
#   make audit                 looks for known vulnerabilities in the pinned packages, once a day; `make test` does it too; REQUIRE_AUDIT=1 fails where it cannot
#   make sbom                  the list of all installed packages, for a release: build/condyle.cdx.json (CycloneDX)
#   make lock                  constraints.txt anew from setup.cfg; ARGS=--upgrade takes the newest versions
#   make hooks                 run the checks before each commit
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
OHIF := 3.13.2
OHIF_DIGEST := WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==
AXE := 4.14.1
AXE_DIGEST := FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==
ONCE ?=
INPUT ?=
ARGS ?=
VERIFIED := $(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement
# one more than there are cores, since many tests wait for a node to do its work; four at most
PARALLEL := --numprocesses $(shell cores=$$(nproc); echo $$((cores < 4 ? cores + 1 : 4))) --dist loadfile

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# the tests start hundreds of processes: each would compile the code anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check format docs coverage bench audit sbom lock hooks install clean

demo: $(VENV)/installed
	@node/demo/packages.sh demo
	@exec $(BIN)/python -m node.demo $(if $(ONCE),--once) $(if $(INPUT),--input "$(INPUT)")

test: check docs audit peers
	$(BIN)/pytest $(or $(ARGS),$(PARALLEL))

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy condyle dicom_sr pipelines node tests benchmarks
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
	$(BIN)/python -m benchmarks.encoding --turns 1
	$(BIN)/python -m benchmarks.segmentation --segments 8 --shape 40 128 128
	$(BIN)/python benchmarks/page_times.py --studies 5000
	$(BIN)/python benchmarks/attacks.py --only deflated,empty-items,repetitions,half-headers,strangers --scale 0.1

# once a day, because the answer changes without the packages; where the index could not be asked, the next time again
AUDITED := .cache/audited-$(shell date +%F)
audit: $(AUDITED)
$(AUDITED): $(VENV)/installed
	@rm -f .cache/audited-* && mkdir -p .cache
	@$(BIN)/python .ci/audit.py $@

sbom: $(VENV)/installed .cache/sbom/installed
	@mkdir -p build
	.cache/sbom/bin/cyclonedx-py environment --output-reproducible --output-file build/condyle.cdx.json $(BIN)/python

.cache/sbom/installed: .ci/constraints-sbom.txt
	$(PYTHON) -m venv .cache/sbom
	.cache/sbom/bin/python -m pip install --quiet --no-deps --require-hashes --requirement $<
	@touch $@

lock:
	.ci/lock $(ARGS)

hooks: $(VENV)/installed
	$(BIN)/pre-commit install

install: $(VENV)/installed

# Every file is compared with its digest before it is installed. torch is by far the largest, and comes in two builds.
$(VENV)/installed: setup.cfg constraints.txt constraints-torch.txt constraints-torch-cpu.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=..." >&2; exit 1; }
	@node/demo/packages.sh venv
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@.ci/torch $(VERIFIED)
	$(VERIFIED) constraints.txt
	$(BIN)/python -m pip install --quiet --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/pip check >/dev/null || { $(BIN)/pip check; exit 1; }
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
peers: .cache/ohif-$(OHIF)/index.html .cache/medplum/package-lock.json .cache/axe-$(AXE)/axe.min.js
	@node/demo/packages.sh test

# OHIF's built viewer, unpacked only if its digest is the known one; without it the viewer tests are skipped, with the reason
.cache/ohif-$(OHIF)/index.html:
	@node/demo/packages.sh npm
	@rm -rf .cache/ohif.part && mkdir -p .cache/ohif.part
	@cd .cache/ohif.part && if npm pack --silent "@ohif/app@$(OHIF)" >/dev/null && mv ./*.tgz ohif.tgz; then \
	$(PYTHON) -c 'import base64, hashlib; print(base64.b64encode(hashlib.sha512(open("ohif.tgz", "rb").read()).digest()).decode())' \
	| grep -qxF '$(OHIF_DIGEST)' || { echo "OHIF $(OHIF) is not the file with the known digest (OHIF_DIGEST): not used" >&2; exit 1; }; \
	tar -xzf ohif.tgz package/dist && rm -rf ../ohif-$(OHIF) && mv package/dist ../ohif-$(OHIF); \
	else echo "npm could not fetch OHIF: the viewer tests will be skipped" >&2; fi
	@rm -rf .cache/ohif.part

# axe-core, which finds what keeps people out of a page, only with the known digest (MPL 2.0; nothing but tests uses it)
.cache/axe-$(AXE)/axe.min.js:
	@node/demo/packages.sh npm
	@rm -rf .cache/axe.part && mkdir -p .cache/axe.part
	@cd .cache/axe.part && if npm pack --silent "axe-core@$(AXE)" >/dev/null && mv ./*.tgz axe.tgz; then \
	$(PYTHON) -c 'import base64, hashlib; print(base64.b64encode(hashlib.sha512(open("axe.tgz", "rb").read()).digest()).decode())' \
	| grep -qxF '$(AXE_DIGEST)' || { echo "axe-core $(AXE) is not the file with the known digest (AXE_DIGEST): not used" >&2; exit 1; }; \
	tar -xzf axe.tgz package/axe.min.js && rm -rf ../axe-$(AXE) && mv package ../axe-$(AXE); \
	else echo "npm could not fetch axe-core: the tests of accessibility will be skipped" >&2; fi
	@rm -rf .cache/axe.part

# A FHIR server, its packages compared with the digests of the lock file; without it its tests are skipped, with the reason
.cache/medplum/package-lock.json: tests/medplum/package.json tests/medplum/package-lock.json
	@node/demo/packages.sh npm
	@rm -rf .cache/medplum && mkdir -p .cache/medplum.part && cp $^ .cache/medplum.part
	@cd .cache/medplum.part && if npm ci --silent --ignore-scripts --no-audit --no-fund >/dev/null; then \
	mv ../medplum.part ../medplum; else echo "npm could not fetch Medplum: the tests with its FHIR server will be skipped" >&2; fi
	@rm -rf .cache/medplum.part

clean:
	rm -rf $(VENV) .cache build *.egg-info

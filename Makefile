# Needs Python 3.11 or newer, git and make; everything else is installed into $(VENV).
# Another interpreter: make demo PYTHON=python3.12

PYTHON := python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS :=
# Processes that tests run in, and a folder for JUnit XML if one is wanted.
TEST_PROCESSES := 2
JUNIT :=
BENCH := .venv-bench
SERVERS := .venv-servers
BENCH_ARGS :=
SOAK_ARGS :=
FUZZ_ARGS :=

.PHONY: help demo demo-s3 test check docs soak fuzz coverage bench clean

help:  ## what make can do
	@sed -n 's/^\([a-z0-9-]*\):.*  ## \(.*\)/  make \1\t\2/p' Makefile

demo: $(VENV)/.with-torch  ## install, make the digits model and its data, evaluate it, say where the report is
	$(BIN)/python jobs/digits/prepare.py
	$(BIN)/ortbatch run jobs/digits/job.yaml --engine ray

demo-s3: $(VENV)/.with-test  ## install, start an S3 server, run the digits job with all of it in a bucket
	$(BIN)/python jobs/digits/prepare.py
	$(BIN)/python jobs/remote/demo.py

# Tests that end processes, nodes and drivers run alone, after all others.
test: $(VENV)/.with-test $(SERVERS)/.with-servers  ## install, run all tests; PYTEST_ARGS="-k latency" chooses
	@status=0; parts=0; \
	run() { part=$$1; shift; $(BIN)/python -m pytest "$$@" $(PYTEST_ARGS) $(if $(JUNIT),--junitxml=$(JUNIT)/$$part.xml); \
	  case $$? in 0) parts=1;; 5) ;; *) parts=1; status=1;; esac; }; \
	run beside -n $(TEST_PROCESSES) --dist loadfile -m "not alone"; \
	run alone -m alone; \
	if [ $$parts = 0 ]; then echo "no test was chosen by $(PYTEST_ARGS)"; exit 5; fi; exit $$status

check: $(VENV)/.with-test  ## install, look without running: format, lint, types, layers, doctests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest --doctest-modules ortbatch -q

docs: $(VENV)/.with-test  ## install, make the site of docs/ in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

soak: $(VENV)/.with-test  ## install, 30 minutes with a fault every five seconds; SOAK_ARGS="--minutes 5" chooses
	$(BIN)/python -m tests.soak.run $(SOAK_ARGS)

fuzz: $(VENV)/.with-test  ## install, 10,000 broken job files and Parquet files; FUZZ_ARGS="--inputs 500" chooses
	$(BIN)/python -m tests.fuzz.run $(FUZZ_ARGS)

coverage: $(VENV)/.with-test  ## install, how often intervals hold the truth in 1,000 data sets; COVERAGE_ARGS="--sets 100"
	$(BIN)/python -m benchmarks.coverage $(COVERAGE_ARGS)

bench: $(BENCH)/.with-bench  ## install the peers into an environment of their own, measure; BENCH_ARGS="--scale 0.1" chooses
	$(BENCH)/bin/python jobs/digits/prepare.py
	@mkdir -p benchmarks/data
	@status=0; \
	$(BENCH)/bin/python benchmarks/startup.py || status=1; \
	$(BENCH)/bin/python -m benchmarks.run --out benchmarks/data/run.json $(BENCH_ARGS) || status=1; \
	$(BENCH)/bin/python -m benchmarks.plot benchmarks/data/run.json benchmarks/data/run.svg || status=1; \
	$(BENCH)/bin/python -m benchmarks.batch_sizes --out benchmarks/data/batch_sizes.json || status=1; \
	$(BENCH)/bin/python -m benchmarks.worker_memory --out benchmarks/data/worker_memory.json || status=1; \
	$(BENCH)/bin/python -m benchmarks.shards --out benchmarks/data/shards.json || status=1; \
	$(BENCH)/bin/python -m benchmarks.control --out benchmarks/data/control.json || status=1; \
	$(BENCH)/bin/python -m benchmarks.baselines --out benchmarks/data/baselines.json || status=1; \
	$(BENCH)/bin/python -m benchmarks.leakage || status=1; \
	exit $$status

clean:  ## remove what make made: environment, caches, the demo's model and data; runs stay
	rm -rf $(VENV) $(BENCH) $(SERVERS) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf jobs/digits/data jobs/digits/model.onnx jobs/digits/model.pt2

# A stamp is as new as the last install; the one for tests covers the one for the demo.
$(VENV)/.with-torch: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "Installing ortbatch and torch into $(VENV); the first time takes some minutes"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[torch]"
	@touch $@

$(VENV)/.with-test: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "Installing ortbatch, torch and the test tools into $(VENV); the first time takes some minutes"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[jobs,test]"
	@touch $@ $(VENV)/.with-torch

# Servers that tests talk to (MLflow's, Ray's metrics agent) need more than the package: an environment beside that of the
# tests, which sees the packages there and adds its own.
$(SERVERS)/.with-servers: $(VENV)/.with-test
	$(BIN)/python -m venv --clear $(SERVERS)
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  > "$$($(SERVERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beside.pth"
	@echo "Installing what servers of tests need into $(SERVERS)"
	$(SERVERS)/bin/python -m pip install --quiet -c constraints.txt "ray[default]" alembic flask flask-cors sqlalchemy
	@touch $@

# Spark, Daft and what they need stay out of the environment of the tests.
$(BENCH)/.with-bench: pyproject.toml constraints.txt
	$(python_is_new_enough)
	$(python_has_venv)
	$(PYTHON) -m venv $(BENCH)
	@echo "Installing ortbatch, torch and its peers into $(BENCH); the first time takes some minutes"
	$(BENCH)/bin/python -m pip install --quiet -c constraints.txt -e ".[torch,bench]"
	@touch $@

$(VENV)/.created:
	$(python_is_new_enough)
	$(python_has_venv)
	$(PYTHON) -m venv $(VENV)
	@touch $@

# $(error) says one line and stops, before anything is written.
ask_python = $(shell $(PYTHON) -c 'import sys; $(1)' 2>/dev/null)
python_version = $(call ask_python,print("%d.%d.%d" % sys.version_info[:3]))
python_is_new_enough = $(if $(call ask_python,sys.version_info < (3, 11) or print("yes")),,$(error \
  ortbatch needs Python 3.11 or newer, $(PYTHON) is $(or $(python_version),not installed). \
  Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv), then: make $(MAKECMDGOALS) PYTHON=python3.11))
python_has_venv = $(if $(call ask_python,import ensurepip; import venv; print("yes")),,$(error \
  $(PYTHON) cannot make virtual environments, its modules venv and ensurepip are not installed. \
  Install them (Debian, Ubuntu: apt install python$(basename $(python_version))-venv), then: make $(MAKECMDGOALS)))

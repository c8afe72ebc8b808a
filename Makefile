# Two commands on a fresh machine: `make demo` and `make test`. Needs Python 3.11+, make, and PyPI.
.DEFAULT_GOAL := demo
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# ddapm-test-agent pins an older opentelemetry-proto, so it lives apart.
RECEIVERS := .venv-receivers
# Receivers of hundreds of megabytes with old dependencies, for `make test-peers` alone.
PHOENIX := .venv-phoenix
MLFLOW := .venv-mlflow
# Jaeger for the same, built from its Go module where there is Go: `make peers-go`, ten minutes of CPU time and 2 GB of
# build cache. The module's tags are those of Jaeger 1; cmd/jaeger in it is Jaeger 2.13.
PEERS_GO := .peers-go
JAEGER := github.com/jaegertracing/jaeger/cmd/jaeger
JAEGER_VERSION := v1.76.0
# The oldest SDK that pyproject.toml allows.
OLDEST := .venv-oldest
PRICES := .venv-prices
# A fuzzer that only some machines have a wheel of.
FUZZ := .venv-fuzz
# pip-audit brings thirty packages, which are none of ours.
AUDIT := .venv-audit
# What writes ci/requirements-*.txt.
LOCK := .venv-lock
JOBS ?= 4
# Files with tests that run when no other does: to collect all the others for these takes a while.
ALONE := $(shell grep -rlF 'mark.alone' --include='test_*.py' tests)

# With LOCKED=1, as .ci/run has it, exactly what ci/requirements-$(2).txt names, by its hashes; else what
# $(3) asks for, as new as it comes. In the environment $(1).
COMMA := ,
PIP := -m pip install -q --disable-pip-version-check
ifdef LOCKED
install = $(1)/bin/python $(PIP) --require-hashes -r ci/requirements-$(2).txt
itself = $(1)/bin/python $(PIP) --no-deps --no-build-isolation -e .
$(VENV)/.installed: ci/requirements-dev.txt
$(OLDEST)/.installed: ci/requirements-oldest.txt
$(RECEIVERS)/.installed: ci/requirements-receivers.txt
else
install = $(1)/bin/python $(PIP) $(3)
itself =
endif

.PHONY: demo soak fuzz faults test test-web test-peers peers-go test-oldest bench prices lint types imports clean
.PHONY: audit ci-requirements pictures

demo: $(VENV)/.installed
	$(BIN)/hush-otel demo

test: $(VENV)/.installed $(RECEIVERS)/.installed
	$(BIN)/python -m pytest -m alone $(ALONE)
	$(BIN)/python -m pytest -m 'not alone and not browser' -n $(JOBS) --dist worksteal tests

# The page alone, in Chromium: $$CHROMIUM, or `chromium`. Pictures of it are left in build/screenshots.
test-web: $(VENV)/.installed
	$(BIN)/python -m pytest -m browser tests/web

# Those of docs/images, anew.
pictures: $(VENV)/.installed
	$(BIN)/python scripts/take_pictures.py

# Receivers that nobody here wrote. Jaeger and the Collector take part where their programs are:
# $$JAEGER_BIN, what `make peers-go` has built, or `jaeger`; $$OTELCOL_BIN or `otelcol`.
test-peers: $(VENV)/.installed $(RECEIVERS)/.installed $(PHOENIX)/.installed $(MLFLOW)/.installed
	$(BIN)/python -m pytest tests/peers_heavy

peers-go: $(PEERS_GO)/.installed

test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest -q -p no:cacheprovider -m alone $(filter tests/unit/% tests/recovery/%,$(ALONE))
	$(OLDEST)/bin/python -m pytest -q -n $(JOBS) -p no:cacheprovider -m 'not alone' tests/unit tests/recovery

# Everything is killed at random, and nothing may be lost: `make soak MINUTES=20`.
MINUTES ?= 3
soak: $(VENV)/.installed
	$(BIN)/python tests/soak/soak.py --minutes $(MINUTES)

# Coverage-guided, each target so long; the regression test of what was found is in `make test`.
FUZZ_MINUTES ?= 10
fuzz: $(FUZZ)/.installed
	$(FUZZ)/bin/python tests/fuzz/fuzz.py $(FUZZ_MINUTES)

# Every power loss and every failing system call that `make test` has only samples of. Needs strace.
faults: $(VENV)/.installed
	HUSH_TEST_FAULTS=all $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --timeout 3600 \
	    tests/recovery/test_power_loss.py tests/recovery/test_failing_calls.py tests/recovery/test_whole_model.py

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/run_all.py

# The newest price table, from the package that publishes it (MIT).
prices:
	$(PYTHON) -m venv $(PRICES)
	$(PRICES)/bin/python -m pip install -q --disable-pip-version-check --upgrade genai-prices
	$(PRICES)/bin/python scripts/vendor_prices.py

# Known vulnerabilities of what is installed in the development environment. Asks PyPI's advisories; strict, for
# without it an index that has none is "no known vulnerabilities", though nothing was looked at.
audit: $(VENV)/.installed $(AUDIT)/.installed
	$(AUDIT)/bin/pip-audit --strict --skip-editable --progress-spinner off \
	    --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

# What .ci/run installs: every dependency of it by version and hash, for every platform and CPython from 3.11 on. The
# files name no index: any that serves PyPI's files will do. UPGRADE=1: all as new as it comes.
PIN = $(LOCK)/bin/uv pip compile -q --generate-hashes --universal --python-version 3.11 --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)
ci-requirements: $(LOCK)/.installed
	$(PIN) pyproject.toml --extra dev --extra peers ci/build.in -o ci/requirements-dev.txt
	$(PIN) pyproject.toml --extra grpc --extra redaction ci/oldest.in ci/build.in -o ci/requirements-oldest.txt
	$(PIN) ci/receivers.in -o ci/requirements-receivers.txt

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

imports: $(VENV)/.installed
	$(BIN)/lint-imports

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(call install,$(VENV),dev,-e '.[dev$(COMMA)peers]')
	$(call itself,$(VENV))
	touch $@

$(RECEIVERS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(RECEIVERS)
	$(call install,$(RECEIVERS),receivers,-r ci/receivers.in)
	touch $@

$(PHOENIX)/.installed: pyproject.toml
	$(PYTHON) -m venv $(PHOENIX)
	$(PHOENIX)/bin/python -m pip install -q --disable-pip-version-check 'arize-phoenix>=20'
	touch $@

$(MLFLOW)/.installed: pyproject.toml
	$(PYTHON) -m venv $(MLFLOW)
	$(MLFLOW)/bin/python -m pip install -q --disable-pip-version-check 'mlflow>=3.17'
	touch $@

# A module of its own: `go install` refuses a program whose module replaces others.
$(PEERS_GO)/.installed:
	mkdir -p $(PEERS_GO)
	cd $(PEERS_GO) && { [ -f go.mod ] || go mod init peers; } && go get -tool $(JAEGER)@$(JAEGER_VERSION)
	cd $(PEERS_GO) && go build -o bin/jaeger $(JAEGER)
	touch $@

$(FUZZ)/.installed: pyproject.toml
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip install -q --disable-pip-version-check -e . 'atheris>=3.0' google-re2 numpy pytest
	touch $@

$(LOCK)/.installed:
	$(PYTHON) -m venv $(LOCK)
	$(LOCK)/bin/python -m pip install -q --disable-pip-version-check 'uv>=0.9'
	touch $@

$(AUDIT)/.installed:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install -q --disable-pip-version-check 'pip-audit>=2.7'
	touch $@

$(OLDEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(call install,$(OLDEST),oldest,-e '.[grpc$(COMMA)redaction]' -r ci/oldest.in)
	$(call itself,$(OLDEST))
	touch $@

clean:
	rm -rf $(VENV) $(RECEIVERS) $(PHOENIX) $(MLFLOW) $(OLDEST) $(PRICES) $(AUDIT) $(PEERS_GO) $(FUZZ) $(LOCK) .venv-ci* .fuzz build dist

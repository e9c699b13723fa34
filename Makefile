# One command per job. `make install` makes .venv with everything; the others call it when needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PLOTS  := $(VENV)/.plots

.PHONY: install demo test check lint types test-docker coverage nightly fuzz layers soak bench keys clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,compiler]'
	touch $@

demo: $(STAMP)
	$(BIN)/client demo

# A test that its time limit cannot end, because it waits for a thread, ends the run, and every stack is shown.
test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

check: lint types test

# Brings up docker-compose.yml and drives it; skipped, loudly, where no Docker engine runs.
test-docker: $(STAMP)
	$(BIN)/python -m pytest -m docker

# Line and branch coverage of updates and storage, by the tests that are about them.
UPDATES := $(wildcard tests/unit/test_suit*.py tests/property/test_suit*.py) \
	$(wildcard tests/*/test_device_updates.py tests/*/test_device_pull.py) \
	$(wildcard tests/*/test_storage.py tests/*/test_power_cuts.py tests/*/test_update_cancel.py) \
	$(wildcard tests/*/test_client_keys.py tests/*/test_client_sign.py tests/*/test_client_attack.py tests/*/test_install_fuzz.py) \
	$(wildcard tests/*/test_refusal_classes.py tests/*/test_updates_observed.py tests/conformance/test_*_vectors.py)
coverage: $(STAMP)
	$(BIN)/python -m coverage run -m pytest $(UPDATES)
	$(BIN)/python -m coverage report

# The long forms of the fuzz tests.
nightly: $(STAMP)
	$(BIN)/python -m pytest -m nightly

# All engines against each other on generated programs, for so many seconds: make fuzz SECONDS=600
SECONDS := 60
fuzz: $(STAMP)
	$(BIN)/python -m tests.property.differential --seconds $(SECONDS)

# A device under requests, deploys, faults, kills and garbage: make soak SECONDS=3600 RATE=200. It prints what was
# wrong, and what the device held after a warm-up of two minutes and in the end.
RATE := 200
soak: $(STAMP)
	$(BIN)/python -m tests.soak --seconds $(SECONDS) --rate $(RATE)

# All engines against each other, layer by layer: every opcode, operand form, aliasing and corner value; sequences;
# loops and calls; small functions where they are called; walks over memory; the ends of regions; large code; every
# budget. All there is, 1.6 million programs (some 110 minutes of a quiet core), or so many of them:
# make layers PROGRAMS=100000 PROCESSES=2
PROGRAMS := 0
PROCESSES := 1
layers: $(STAMP)
	$(BIN)/python -m tests.property.differential.layers --programs $(PROGRAMS) --processes $(PROCESSES)

# The evaluation, on this machine: tables, and JSON and plots in benchmarks/results. `client bench SECTION --quick`
# for less.
bench: $(PLOTS)
	$(BIN)/client bench --to benchmarks/results/latest.json --plots benchmarks/results

$(PLOTS): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[plots]'
	touch $@

# A key pair for a client on the host; the devices of docker-compose.yml trust it through MICROBPF_TRUSTED.
keys: keys/trusted/operator.pem.pub
	@echo 'export MICROBPF_KEY=keys/operator/default.pem MICROBPF_TRUSTED=./keys/trusted'

keys/trusted/operator.pem.pub: | $(STAMP)
	mkdir -p keys/operator keys/trusted
	$(BIN)/client keygen --to keys/operator/default.pem
	cp keys/operator/default.pem.pub $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

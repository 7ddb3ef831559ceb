# The targets are what CI runs; `make help` lists them.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TEST_READY := $(VENV)/.test-ready
# gevent must patch the standard library before pytest is loaded; tests of pure code run without it.
PATCHED := $(BIN)/python -m gevent.monkey --module pytest
export ARIMONITOR_TEST_CACHE ?= $(CURDIR)/.cache

.PHONY: help run test test-full test-deps checks lint types layers unit faults demo fuzz bench clean
.PHONY: integration integration-a-k integration-l-q integration-r-s integration-t-z
.PHONY: system system-a-d system-e-z system-heavy

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

run: $(READY)  ## set up a private virtual environment and start the lab: recorded calls, everything to try
	$(BIN)/arimonitor lab $(ARGS)

$(READY): setup.py requirements.txt etc/install/virtualenv
	etc/install/virtualenv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.txt -e .
	touch $@

$(TEST_READY): $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.txt -e .[test]
	touch $@

# Nearly all the time of the tests is waiting, so parts of them run beside one another, the longest first; what
# they print comes when a part is over. What needs the processor and waits for nothing takes what is left of it.
BESIDE := $(MAKE) --no-print-directory --keep-going --output-sync=target
LATER := nice -n 10
INTEGRATION := integration-a-k integration-l-q integration-r-s integration-t-z
SYSTEM := system-heavy system-e-z system-a-d

test: $(TEST_READY)  ## set up and run every test (10 to 15 minutes)
	$(MAKE) --no-print-directory test-deps
	@echo "everything beside one another: some 11 minutes, what the parts say comes when each is over"
	@$(BESIDE) -j 9 $(SYSTEM) $(INTEGRATION) checks unit

test-full: export ARIMONITOR_NO_SKIPS = 1
test-full: test  ## the same, but a skipped test is a failed one

test-deps: $(TEST_READY)  ## the servers that the tests run against: Debian packages, Asterisk in a chroot
	etc/install/test-servers $(BIN)/python

checks: lint layers types

lint: $(TEST_READY)  ## format and style
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .

layers: $(TEST_READY)  ## who may import whom
	$(LATER) $(BIN)/lint-imports --no-cache

types: $(TEST_READY)  ## mypy, strict
	$(LATER) $(BIN)/mypy

unit: $(TEST_READY)  ## pure code: no gevent, no socket
	$(LATER) $(BIN)/python -m pytest -q tests/unit

integration: $(INTEGRATION)  ## one adapter against one real server

integration-a-k: $(TEST_READY)
	$(PATCHED) -q tests/integration/test_[a-k]*.py

integration-l-q: $(TEST_READY)
	$(PATCHED) -q tests/integration/test_[l-q]*.py

integration-r-s: $(TEST_READY)
	$(PATCHED) -q tests/integration/test_[r-s]*.py

integration-t-z: $(TEST_READY)
	$(PATCHED) -q tests/integration/test_[t-z]*.py

system: $(SYSTEM)  ## real daemons, real servers, faults

system-a-d: $(TEST_READY)
	$(PATCHED) -q -m "not heavy" tests/system/test_[a-d]*.py

system-e-z: $(TEST_READY)
	$(PATCHED) -q -m "not heavy" tests/system/test_[e-z]*.py

system-heavy: $(TEST_READY)
	$(PATCHED) -q -m heavy tests/system

# Results are kept: what is interrupted, or over after MINUTES, goes on with the same command.
FAULTS := $(BIN)/python -m gevent.monkey --module tests.system.faults
OUT ?= $(ARIMONITOR_TEST_CACHE)/faults

faults: $(TEST_READY)  ## two hosts and every fault of docs/failover.md, many times: hours; ROWS="3 5", MINUTES=160
	$(FAULTS) series --out $(OUT) --minutes $(or $(MINUTES),160) $(if $(ROWS),--rows $(ROWS))
	$(FAULTS) planted --out $(OUT)/planted
	$(FAULTS) report --out $(OUT) --to docs/failover-figures.md

demo: $(TEST_READY)  ## two hosts with real servers and calls on this machine, and keys to break them
	@$(BIN)/python -m gevent.monkey --module tests.demo $(if $(RECORDED),--recorded) $(if $(SCRIPT),--script "$(SCRIPT)")

fuzz: $(TEST_READY)  ## look for input that breaks something; SECONDS=60
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60)

bench: $(TEST_READY)  ## figures, as ratios against a yardstick in the same run
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.txt -e .[bench]
	$(BIN)/python -m tests.bench

clean:  ## everything that can be made again
	rm -rf $(VENV) .cache build dist *.egg-info

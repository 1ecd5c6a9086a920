# `make run` shows the server at work, `make test` checks everything, `make soak` takes its time for the faults of deployment,
# `make bench` prints figures.
# Both need Rust and a C compiler (SQLite is built from source); with Python 3, the tests also use a client that is not ours,
# with npm and Chromium they look at the page for web developers, and on Debian they use a caching proxy.

CARGO ?= cargo
PYTHON ?= python3
AXE = $(or $(CARGO_TARGET_DIR),target)/axe/node_modules/axe-core/axe.min.js
VENV = $(or $(CARGO_TARGET_DIR),target)/venv
PROXY = $(or $(CARGO_TARGET_DIR),target)/nginx
# Tests wait more than they compute, for time-outs and pauses that are promised: three at a time for each processor.
RUST_TEST_THREADS ?= $(shell expr 3 '*' $$(getconf _NPROCESSORS_ONLN))

.PHONY: run test format lint arrows suite venv axe nginx soak bench

# Builds, deploys the presence service, starts the server and the demo's busy user. Ctrl-C ends it all.
run:
	$(CARGO) build --release --workspace --lib --bin host-demo --bin demo-user --bin demo-friends
	@tests/demo.sh

# The same cargo flags everywhere (--workspace): other flags would mean other features, and everything compiled again.
test: format lint arrows suite
	@missing=; for module in slixmpp schemathesis; do \
		$(VENV)/bin/python -c "import $$module" 2>/dev/null || missing="$$missing, but without $$module"; \
	done; [ -e $(AXE) ] || missing="$$missing, but without axe-core"; echo "make test: all good$$missing"

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

arrows:
	.ci/arrows

# Unit tests and the black-box suite. VENV_PYTHON is the Python that has slixmpp; without it those tests say so.
# A test that hangs is named after a minute ("has been running for over 60 seconds"), and ends the run after fifteen.
suite: venv axe nginx
	$(CARGO) test --workspace --no-run
	RUST_TEST_THREADS=$(RUST_TEST_THREADS) \
		VENV_PYTHON=$$(ls $(abspath $(VENV))/bin/python 2>/dev/null) AXE=$$(ls $(abspath $(AXE)) 2>/dev/null) NGINX=$$(ls $(abspath $(PROXY))/usr/sbin/nginx 2>/dev/null) \
		timeout --verbose --kill-after=10 900 $(CARGO) test --workspace

# The faults of deployment at length, in a release build: one line a row, and an exit code that tells whether all hold.
# `make soak ROW=P2` tries one. All of them take more than an hour, and end after four in any case.
soak:
	$(CARGO) build --release --workspace --lib --bins --examples
	timeout --verbose --kill-after=10 4h $(or $(CARGO_TARGET_DIR),target)/release/soak $(ROW)

# The figures of the README, in a release build, on a machine that should be quiet. `make bench WHAT=routes` prints some of them.
bench:
	$(CARGO) build --release --workspace --lib --bins --examples
	$(or $(CARGO_TARGET_DIR),target)/release/bench $(WHAT)

venv:
	@if ! $(VENV)/bin/python -c 'import slixmpp' 2>/dev/null; then \
		$(PYTHON) -m venv $(VENV) && $(VENV)/bin/python -m pip install --quiet slixmpp \
		|| { rm -rf $(VENV); echo 'make test: slixmpp could not be installed; its tests will be skipped' >&2; }; \
	fi
	@if [ -e $(VENV) ] && ! $(VENV)/bin/python -c 'import schemathesis' 2>/dev/null; then \
		$(VENV)/bin/python -m pip install --quiet schemathesis \
		|| echo 'make test: schemathesis could not be installed; openapi.json will not be held against the service' >&2; \
	fi

axe:
	@if ! [ -e $(AXE) ]; then \
		npm install --prefix $(AXE:/node_modules/axe-core/axe.min.js=) --ignore-scripts --no-audit --no-fund --silent axe-core \
		|| echo 'make test: axe-core could not be installed; nobody will look at the page as those do who do not see it' >&2; \
	fi

# Unpacked, not installed: nothing of it runs but what a test starts.
nginx:
	@if ! nginx -v 2>/dev/null && ! /usr/sbin/nginx -v 2>/dev/null && ! $(PROXY)/usr/sbin/nginx -v 2>/dev/null; then \
		mkdir -p $(PROXY) && (cd $(PROXY) && apt-get download -qq nginx && dpkg -x nginx_*.deb .) && $(PROXY)/usr/sbin/nginx -v 2>/dev/null \
		|| { rm -rf $(PROXY); echo 'make test: nginx could not be fetched; the tests of a shared cache will be skipped' >&2; }; \
	fi

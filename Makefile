# Every target does the set-up it needs first, and again only what changed.
#
#   make demo     the whole pipeline on this machine, with sample traffic
#   make test     every test
#   make build    target/release/canopy
#   make plugins  target/plugins/NAME.wasm, the first-party plugins
#   make engine   target/engine/libchdb.so, the embedded ClickHouse
#   make check    format, lints, documentation
#   make bench    the benchmarks, as a table
#   make clean    remove what was built and the demo's data

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

CARGO  ?= cargo
CANOPY := target/release/canopy

.PHONY: demo test build plugins guests engine check bench clean

include mk/plugins.mk

demo: build plugins engine
	$(CANOPY) demo $(DEMO)

build:
	$(CARGO) build --release --locked --package canopy

$(CANOPY): build

engine: build
	@$(CANOPY) engine fetch --into target/engine

test: build plugins guests engine
	$(CARGO) test --release --locked --workspace --exclude canopy-bench

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --release --locked --workspace --no-deps --document-private-items

bench: build plugins engine
	$(CARGO) bench --locked --package canopy-bench
	$(CARGO) run --release --locked --package canopy-bench

clean:
	$(CARGO) clean
	rm -rf canopy-demo canopy-data

# Components: the first-party plugins, and the guests the runtime is tested
# with. Cargo decides what is new, so the rules always ask it.

PLUGINS := $(patsubst plugins/%/Cargo.toml,%,$(wildcard plugins/*/Cargo.toml))
GUESTS  := $(patsubst host/runtime/guests/%/Cargo.toml,%,$(wildcard host/runtime/guests/*/Cargo.toml))

# One target folder for all of them, apart from native builds: the standard
# library may have to be built, once, and nothing waits for a lock.
BUILD_PLUGIN = $(CANOPY) plugin build --target-dir target/wasm

.PHONY: wasm-target always

plugins: $(PLUGINS:%=target/plugins/%.wasm)

guests: $(GUESTS:%=target/guests/%.wasm)

target/plugins/%.wasm: always | $(CANOPY) wasm-target
	@$(BUILD_PLUGIN) plugins/$* --out $@

target/guests/%.wasm: always | $(CANOPY) wasm-target
	@$(BUILD_PLUGIN) host/runtime/guests/$* --out $@

# Rust's standard library for wasm32-unknown-unknown: what is there, else what
# can be installed.
wasm-target:
	@mk/wasm-target

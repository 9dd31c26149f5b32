# The commands that CI runs (.ci/run); `just ci` runs all that need nothing installed besides Rust.

default: ci

ci: fmt clippy test doc demo

fmt:
    cargo fmt --all --check

clippy:
    cargo clippy --workspace --all-targets -- -D warnings

# The README's test command.
test:
    cargo test --workspace

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The README's demo, once.
demo:
    cargo run -- demo

# The packet crate for browsers and phones; needs `rustup target add` for each.
portable:
    cargo check -p shoal-packet --lib --no-default-features --target wasm32-unknown-unknown
    cargo check -p shoal-packet --lib --no-default-features --target aarch64-unknown-linux-gnu

# The simulator's speed beside a plain event loop's.
bench-simulator:
    cargo run --release -p shoal-simulations --bin shoal-sim -- bench

# What the packet crate gains over its reference.
compare:
    cargo run --release -p shoal-packet --example compare

# The Python package with the program that `just test` builds; needs pandas.
python:
    SHOAL_SIM=target/debug/shoal-sim PYTHONPATH=simulations/python/src python3 -m unittest discover -s simulations/python/tests

# Licences and advisories; needs `cargo install cargo-deny`.
deny:
    cargo deny check

# Runs every test in its own process; needs cargo-nextest.
nextest:
    cargo nextest run --workspace

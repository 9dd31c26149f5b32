# Exactly the commands that CI runs (.ci/run); `just ci` runs them all.

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

# Licences and advisories; needs `cargo install cargo-deny`.
deny:
    cargo deny check

# Runs every test in its own process; needs cargo-nextest.
nextest:
    cargo nextest run --workspace

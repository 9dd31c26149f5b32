# What CI runs stands in .ci/run, and `just ci` is all of it. The rest is for a developer, and needs
# what its comment says.

default: ci

ci:
    .ci/run

fmt:
    .ci/run fmt

clippy:
    .ci/run clippy fuzz_targets

# The README's test command.
test:
    .ci/run tests

# The mailboxes in PostgreSQL, beside a server that is made for it; needs PostgreSQL's programs.
postgres:
    .ci/run postgres

# Message boxes with the released client from the npm registry; needs Node.js.
messagebox:
    .ci/run messagebox

# The page in a browser; needs Node.js and Chromium. SHOAL_WEB_SHOTS names a folder for a picture of every view.
web:
    .ci/run web

# The pictures of the page that the documents show, anew.
pictures:
    SHOAL_WEB_PICTURES="$PWD/docs/pictures" .ci/run web

doc:
    .ci/run doc

# The README's demo, once.
demo:
    .ci/run demo

# That the tests compile no dependency of the demo again.
built-once:
    .ci/run built_once

# What deploy/ and the README tell an operator to run; needs a built binary.
deploy:
    .ci/run deploy

# The alerting rules; needs Prometheus' promtool.
alerts:
    .ci/run alerts

# The packet crate for browsers and phones.
portable:
    .ci/run portable

# The simulator and the Python package, with the program that `just test` builds.
simulator:
    .ci/run simulator python

# Licences and advisories; needs `cargo install cargo-deny`.
deny:
    cargo deny check

# Fuzzes a target of a crate (`just fuzz packet batch`); needs a nightly toolchain and
# `cargo install cargo-fuzz`. More arguments go to libFuzzer (`-max_total_time=60`).
fuzz crate target *arguments:
    mkdir -p fuzz/corpus/{{crate}}_{{target}}
    cargo +nightly fuzz run --no-default-features --features {{crate}} {{crate}}_{{target}} fuzz/corpus/{{crate}}_{{target}} {{crate}}/corpus/{{target}} -- {{arguments}}

# Kills a process that holds a mailbox store 200 times and compares what is left with what was answered, for each
# engine in a file. SHOAL_CRASH_KILLS and SHOAL_CRASH_SEED choose another run.
crash:
    cargo test -p shoal-provider --test it -- --ignored --nocapture crash::two_hundred

# The same with PostgreSQL besides, on a server that is made for it; needs PostgreSQL's programs.
crash-postgres:
    .ci/postgres cargo test -p shoal-provider --features postgres --test it -- --ignored --nocapture crash::two_hundred

# Which changes of the code no test notices; needs `cargo install cargo-mutants`. Hours. Another seed
# looks at another twentieth of the crates that are not looked at whole.
mutants seed="0" *arguments:
    .ci/mutants {{seed}} {{arguments}}

# The simulator's speed beside a plain event loop's.
bench-simulator:
    cargo run --release -p shoal-simulations --bin shoal-sim -- bench

# What the packet crate gains over its reference.
compare:
    cargo run --release -p shoal-packet --example compare

# Runs every test in its own process; needs cargo-nextest.
nextest:
    cargo nextest run --workspace

# What can be done here. `sh deploy/setup.sh` puts `just` and the other tools into .tools/.

set shell := ["bash", "-euo", "pipefail", "-c"]

root := justfile_directory()
export PATH := root / ".tools/bin" + ":" + env("PATH")
export TIDEMARK_NATS_SERVER := env("TIDEMARK_NATS_SERVER", root / ".tools/bin/nats-server")

# List what can be done
default:
    @just --list --unsorted

# Start everything on this machine with the sample API, and show the first syncs
demo *arguments:
    @echo "building: the first time takes some minutes, later ones a moment"
    cargo build -p tidemark
    @cargo run --quiet -p tidemark -- demo {{ arguments }}

# The same on real data: datasette serves Seattle's weather, every answer is compared with SQL
demo-real *arguments:
    sh deploy/setup.sh real
    cargo build -p tidemark
    sh deploy/local/demo-real.sh {{ arguments }}

# Build all programs
build:
    cargo build --workspace --bins

# Format everything
fmt:
    cargo fmt --all

# What must be green before a commit: format, lints, docs, the message contract, house rules, tests
check: static test-only

# What CI runs: the same, closing with a count of the tests
test: static test-only

# Format, lints, docs and the message contract, as errors
static:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --quiet -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
    cd proto && buf lint && buf breaking --against baseline/v1.binpb

# The tests alone, house rules included; arguments filter by name
test-only *arguments:
    cargo build --workspace --bins --quiet
    if cargo nextest --version >/dev/null 2>&1; then \
        cargo nextest run --workspace --no-fail-fast --status-level slow --final-status-level fail {{ arguments }}; \
    else \
        cargo test --workspace --lib --bins --tests --no-fail-fast --quiet {{ arguments }}; \
    fi

# Measure speed and memory against the floor and the bars (minutes; never part of the tests)
bench *arguments:
    cargo build --release --quiet -p tidemark
    cargo run --release --quiet -p house_tests --bin bench -- {{ arguments }}

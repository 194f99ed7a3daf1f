# The verbs of this repository; each is one line that may as well be typed. Logic lives in `cargo xtask`.

# Lists the verbs.
default:
    @just --list

# Format and lints.
check:
    cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings

# Tests that need no broker.
test:
    cargo test --workspace --exclude kafka_service --exclude mainspring-it --exclude mainspring-kafka-broker

# Tests on the real Kafka, which they download once.
test-broker:
    cargo test -p kafka_service -p mainspring-it -p mainspring-kafka-broker

# The API's documentation, without a warning.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Writes the JSON Schemas anew.
schema:
    UPDATE_EXPECT=1 cargo test -p mainspring -p hello_service -p kafka_service committed_one

# Writes all snapshots, schemas and option tables anew; read the diff.
bless:
    UPDATE_EXPECT=1 cargo test --workspace

# What comes in from outside.
deny:
    cargo deny check

# Measures all Kafka clients and writes docs/benchmarks.md; ten minutes on a quiet machine.
bench:
    OPENSSL_NO_VENDOR=1 cargo run -p mainspring-bench --bin compare

# Instructions per message against those written down.
instructions:
    OPENSSL_NO_VENDOR=1 cargo run -p mainspring-bench --bin instructions

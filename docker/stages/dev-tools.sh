#!/bin/sh
# The tools of the test image that are no packages: nextest, and clippy and rustfmt where the toolchain came without.
set -eu
if [ -s /run/secrets/extra_ca ]; then
  export CARGO_HTTP_CAINFO=/run/secrets/extra_ca SSL_CERT_FILE=/run/secrets/extra_ca
fi
if ! cargo clippy --version >/dev/null 2>&1 || ! cargo fmt --version >/dev/null 2>&1; then
  rustup component add clippy rustfmt
fi
# A debug build: it is done in a minute, and running tests is not what nextest spends time on.
CARGO_TARGET_DIR=/target cargo install --locked --debug --root /usr/local --version '^0.9' cargo-nextest

#!/bin/sh
# Builds all three services into /out, in one stage, so that what they share is compiled once.
# The folders of cargo are cache mounts: a changed line recompiles its crate and nothing else.
set -eu
profile=$1

if [ -s /run/secrets/extra_ca ]; then
  export CARGO_HTTP_CAINFO=/run/secrets/extra_ca
fi
[ -n "${MONODON_REVISION:-}" ] || unset MONODON_REVISION
export CARGO_TARGET_DIR=/target CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
# The same sources make the same wheel, byte for byte: images that are built from it stay as they are.
export SOURCE_DATE_EPOCH=946684800
mkdir -p /out
# The end-to-end tests are a member of the workspace, but their sources are no image's business.
mkdir -p tests/src && : >>tests/src/lib.rs

# edge and sidecar run on an empty base: their final link is static, by a wrapper, so that the dependencies they share
# with the worker (a library that Python loads, which cannot be static) are the same.
RUSTC_WORKSPACE_WRAPPER=/usr/local/bin/rustc-static \
  cargo build --locked --profile "$profile" -p monodon-edge -p monodon-sidecar -p monodon-openloop
cp "/target/$profile/monodon-edge" "/target/$profile/monodon-sidecar" "/target/$profile/monodon-openloop" /out/

/opt/maturin/bin/maturin build --locked --profile "$profile" --manifest-path services/worker/Cargo.toml \
  --interpreter /usr/bin/python3 --out /out/wheels

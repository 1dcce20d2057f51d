#!/usr/bin/env bash
# Builds the images: edge, worker, sidecar, then the application's, which is made from the worker's.
#   docker/build.sh           all of them
#   docker/build.sh app       the application's alone
#   CARGO_PROFILE=release     as for publishing (link-time optimisation: minutes instead of seconds)
source "$(dirname "$0")/lib.sh"

if [ "${CARGO_PROFILE:-image}" = release ] && have git; then
  MONODON_REVISION=$(git rev-parse --short=12 HEAD 2>/dev/null || true)
  export MONODON_REVISION
fi

build() {
  local words=$1
  shift
  LINES_ON_FAILURE=40 quietly "$words" docker compose --progress plain --profile build build "$@" || exit 1
}

if [ "${1:-all}" = all ]; then
  docker/base-images.sh rust
  say "Building the images (profile ${CARGO_PROFILE:-image}; the first time takes some minutes)"
  # One after the other: they share one stage that compiles all, and the second finds it done.
  build "edge" edge
  build "sidecar" sidecar
  build "worker" base
  # By this name `monodon-worker init` is run in somebody's own project.
  prefix=$(setting MONODON_IMAGE_PREFIX monodon)
  docker tag "$prefix/worker:$(setting MONODON_VERSION 0.1.0)" "$prefix/worker:latest"
fi
build "the application" worker

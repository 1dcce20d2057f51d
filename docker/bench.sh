#!/usr/bin/env bash
# Measures ours, built as for publishing, beside the peers, and writes bench/RESULTS.md. All of it runs in one container, over its own loopback:
# published ports would pass through the engine's proxy process.   docker/bench.sh [--only WORD] [--seconds N] [--rounds N]
source "$(dirname "$0")/lib.sh"

docker/engine.sh
docker/base-images.sh rust
say "The image for measuring (with link-time optimisation: some minutes)"
LINES_ON_FAILURE=40 quietly "monodon/bench" docker buildx build --progress plain -f docker/Dockerfile --target bench \
  --build-arg CARGO_PROFILE=release --label "$made_here=true" --secret "id=extra_ca,src=$BUILD_CA_FILE" -t monodon/bench . || exit 1

say "Measuring: about ten minutes; leave the machine alone meanwhile"
# The access logs go to a volume: a container's own layer may be a slow file system, which a server that writes line by line would pay for.
docker run --rm --init -v /tmp -v "$root/bench:/bench" -w /bench -e PYTHONDONTWRITEBYTECODE=1 \
  --entrypoint python3 monodon/bench run.py "$@"

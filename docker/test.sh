#!/usr/bin/env bash
# The tests, in the test image; with NATIVE=1 by this machine's own tools.   docker/test.sh all|unit|e2e|lint
source "$(dirname "$0")/lib.sh"
what=${1:-all}

if [ -n "${NATIVE:-}" ]; then exec docker/checks.sh "$what"; fi

docker/engine.sh
docker/base-images.sh rust
say "The test image"
quietly "monodon/dev" docker buildx build --progress plain -f docker/Dockerfile --target dev \
  --label "$made_here=true" --secret "id=extra_ca,src=$BUILD_CA_FILE" -t monodon/dev . || exit 1

# Everything a test writes goes into this folder or into named volumes. It has the same path outside, for the engine's
# bind mounts are the host's paths.
work=$(mktemp -d "${TMPDIR:-/tmp}/monodon-tests.XXXXXX")
# In the names of all stacks of this run, so that cleaning up leaves the stacks of another alone.
run=$$
id=''
finish() {
  trap - EXIT INT TERM
  [ -z "$id" ] || docker rm -f "$id" >/dev/null 2>&1
  docker ps -aq --filter "name=monodon-test-$run-" | xargs -r docker rm -f >/dev/null 2>&1
  docker network ls -q --filter "name=monodon-test-$run-" | xargs -r docker network rm >/dev/null 2>&1
  docker volume ls -q --filter "name=monodon-test-$run-" | xargs -r docker volume rm >/dev/null 2>&1
  # What containers wrote belongs to root.
  docker run --rm -v "$work:/work" --entrypoint '' monodon/dev find /work -mindepth 1 -delete >/dev/null 2>&1
  rmdir "$work" 2>/dev/null || true
}
trap finish EXIT
trap 'exit 130' INT TERM

export MONODON_SECRETS=$work/secrets
if [ "$what" = all ] || [ "$what" = e2e ]; then
  docker/env.sh secrets
  docker/build.sh
fi

for volume in cargo target; do
  docker volume inspect "monodon-dev-$volume" >/dev/null 2>&1 ||
    docker volume create --label "$made_here=true" "monodon-dev-$volume" >/dev/null
done

arguments=(--network host --pid host --init
  -v "$root:$root:ro" -w "$root" -v "$work:$work" -e "TMPDIR=$work"
  -v monodon-dev-cargo:/usr/local/cargo/registry -v monodon-dev-target:/target -e CARGO_TARGET_DIR=/target
  -v "${MONODON_DOCKER_SOCKET:-/var/run/docker.sock}:/var/run/docker.sock"
  -e MONODON_IN_TEST_IMAGE=1 -e "MONODON_SECRETS=$MONODON_SECRETS" -e COMPOSE_DISABLE_ENV_FILE=1 -e MONODON_ENV_FILE=/dev/null
  -e "MONODON_TEST_RUN=$run" -e "TEST=${TEST:-}" -e NO_COLOR="${NO_COLOR:-}")
if [ -s "$BUILD_CA_FILE" ]; then
  ca=/etc/monodon-build-ca.pem
  arguments+=(-v "$BUILD_CA_FILE:$ca:ro" -e "BUILD_CA_FILE=$ca" -e "CARGO_HTTP_CAINFO=$ca" -e "PIP_CERT=$ca" -e "SSL_CERT_FILE=$ca")
fi
if [ -t 1 ]; then arguments+=(-t); fi
id=$(docker create "${arguments[@]}" monodon/dev docker/checks.sh "$what")
status=0
docker start -a "$id" || status=$?
exit "$status"

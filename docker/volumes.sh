# A helper container with the project's volumes and no network. Sourced, never run.
# shellcheck shell=bash

volume() {
  local project
  project=$(docker compose config --format json | sed -n 's/^ *"name": "\(.*\)",$/\1/p' | head -n 1)
  docker volume ls -q --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.volume=$1"
}

# with_volumes ro|rw COMMAND...: /data, /media and /certificates, as the user who owns them; standard input is passed on.
# SQLite needs to write beside a database even to read it, so that /data is never read-only.
with_volumes() {
  local mode=$1 name id arguments=()
  shift
  for name in data media certificates; do
    id=$(volume "$name")
    [ -n "$id" ] || die "there is no volume $name yet: make up"
    if [ "$name" = data ]; then arguments+=(-v "$id:/data"); else arguments+=(-v "$id:/$name:$mode"); fi
  done
  docker run --rm -i --network none --read-only --tmpfs /tmp:size=2g --cap-drop ALL --user 65532:65532 --entrypoint '' \
    "${arguments[@]}" "$(setting MONODON_IMAGE_PREFIX monodon)/worker:$(setting MONODON_VERSION 0.1.0)" "$@"
}

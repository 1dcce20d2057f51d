#!/usr/bin/env bash
# Fresh Python processes in place, with the code and the files (secrets, TOML settings) that are mounted: no request is
# lost. What is in the image or in .env is as the containers were made: for that there is `make rollout`.
# (Not by `docker kill -s HUP`: the engine then takes the next crash for asked for, and restarts nothing.)
source "$(dirname "$0")/lib.sh"
each() {
  local service=$1 index count
  shift
  count=$(docker compose ps -q --status running "$service" | wc -l)
  [ "$count" -gt 0 ] || die "$service does not run: make up"
  for index in $(docker compose ps --status running --format '{{.Name}}' "$service" | sed 's/.*-//' | sort -n); do
    docker compose exec -T --index "$index" "$service" "$@"
    note "$service $index reloads"
  done
}
say "Reloading"
each worker monodon-worker reload
each edge /usr/local/bin/monodon-edge reload
note "(new code in the image, or new settings in .env: make rollout)"

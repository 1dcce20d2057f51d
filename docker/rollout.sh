#!/usr/bin/env bash
# A new version without a lost request: new workers beside the old, ready, known to the edge; then the old drain and go.
source "$(dirname "$0")/lib.sh"

old=$(docker compose ps -q --status running worker)
[ -n "$old" ] || die "no worker runs: make up"
count=$(wc -l <<<"$old")

if [ -z "${MONODON_NO_BUILD:-}" ]; then
  say "Building"
  docker/build.sh app
fi

docker/settings.sh
docker/env.sh secrets

say "Release tasks"
LINES_ON_FAILURE=15 quietly "migrate, collectstatic" docker compose run --rm -T --no-deps release || die "the old version goes on serving."

say "Starting $count new beside $count old"
if ! quietly "new workers" docker compose up -d --no-build --no-deps --no-recreate --scale "worker=$((count * 2))" --wait --wait-timeout 120 worker; then
  for id in $(docker compose ps -aq worker); do
    grep -q "$id" <<<"$old" || { docker logs --tail 15 "$id" >&2 2>&1; docker rm -f "$id" >/dev/null; }
  done
  die "the new version did not become ready; it is removed, the old one goes on serving."
fi

# The edge asks the engine's DNS each second: go on when it has found the new ones ready. Its admin port may ask for a token.
known() {
  docker compose exec -T worker python3 -c '
import re, sys, urllib.request
said = {"Authorization": "Bearer " + sys.stdin.read().strip()}
page = urllib.request.urlopen(urllib.request.Request("http://edge:9101/metrics", headers=said), timeout=2).read().decode()
print(len(re.findall(r"^monodon_edge_upstream_up\{[^}]*\} 1", page, re.M)))' <<<"$(setting MONODON_EDGE_ADMIN_TOKEN)" 2>/dev/null || echo 0
}
for _ in $(seq 20); do
  if [ "$(known)" -ge $((count * 2)) ]; then break; fi
  sleep 0.5
done

say "Draining the old"
for id in $old; do
  quietly "old worker ${id:0:12}" docker stop "$id"
  docker rm "$id" >/dev/null
done
docker compose up -d --no-build --no-deps --no-recreate --scale "worker=$count" worker >/dev/null 2>&1

# Two containers cannot publish one port: an edge of a new image takes over with a gap of about a second.
say "Edge and sidecar, where their images are new"
quietly "edge, sidecar, agent" docker compose up -d --no-build --no-deps --wait --wait-timeout 60 edge sidecar agent
say "${green}Done${plain}"

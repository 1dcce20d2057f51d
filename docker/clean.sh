#!/usr/bin/env bash
# Removes everything of this project from the engine. It asks first (YES=1 does not).
source "$(dirname "$0")/lib.sh"
if [ -z "${YES:-}" ]; then
  read -r -p "This removes the site's volumes with all their data. Type yes to go on: " answer
  [ "$answer" = yes ] || die "nothing was removed."
fi
docker compose --profile '*' down --volumes --remove-orphans --rmi local --timeout 10
prefix=$(setting MONODON_IMAGE_PREFIX monodon)
for image in $(docker images --format '{{.Repository}}:{{.Tag}}' | grep -E "^$prefix/") $(docker images --filter "label=$made_here=true" --format '{{.Repository}}:{{.Tag}}'); do
  docker image rm "$image" >/dev/null 2>&1 && note "removed $image"
done
docker volume ls -q --filter "label=$made_here=true" | xargs -r docker volume rm >/dev/null
say "Done. .env, secrets/ and backups/ are left; build caches: docker builder prune"

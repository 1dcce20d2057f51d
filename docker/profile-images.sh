#!/usr/bin/env bash
# The images of the profiles that are switched on (PostgreSQL, Redis, Prometheus, Grafana): pulled, or where no registry
# answers made from Debian's packages. Grafana is no Debian package: without a registry the profile is Prometheus alone.
source "$(dirname "$0")/lib.sh"

for service in $(docker compose config --services); do
  case $service in postgres | redis | prometheus | grafana) ;; *) continue ;; esac
  # The one that is called like the service.
  image=$(docker compose config --images | grep -m 1 "$service") || continue
  have_image "$image" && continue
  if [ -z "${MONODON_NO_PULL:-}" ] && quietly "pulling $image" timeout "${PULL_TIMEOUT:-120}" docker pull -q "$image" 2>/dev/null; then continue; fi
  if [ "$service" = grafana ]; then
    die "$image cannot be pulled, and there is no Debian package to make it from. Start Prometheus alone: docker compose --profile monitoring up -d prometheus"
  fi
  quietly "making $image from Debian's packages" docker build --label "$made_here=true" --target "$service" -t "$image" docker/peers ||
    die "no image $image."
done

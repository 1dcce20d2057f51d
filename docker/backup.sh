#!/usr/bin/env bash
# Database, media and certificates into one file under backups/. The site goes on serving.
source "$(dirname "$0")/lib.sh"
# shellcheck source=docker/volumes.sh
source docker/volumes.sh
umask 077

folder=${MONODON_BACKUPS:-backups}
mkdir -p "$folder"
target=$folder/monodon-$(date +%Y%m%d-%H%M%S).tar.gz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "Backing up"
with_volumes ro python3 - <docker/backup.py >"$work/volumes.tar" || die "the volumes could not be read."
if [ -n "$(docker compose ps -q --status running postgres 2>/dev/null)" ]; then
  docker compose exec -T postgres pg_dump -U monodon -Fc monodon >"$work/postgres.dump" || die "pg_dump failed."
fi
tar -C "$work" -cz . >"$target.part"
mv "$target.part" "$target"
note "$(tar -tf "$work/volumes.tar" | wc -l) files, $(du -h "$target" | cut -f1)"
say "$target    (it holds private keys: keep it as you keep those; make restore FILE=$target)"

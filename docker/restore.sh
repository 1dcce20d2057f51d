#!/usr/bin/env bash
# Puts a backup back: what is in the volumes now is replaced.   docker/restore.sh FILE
source "$(dirname "$0")/lib.sh"
# shellcheck source=docker/volumes.sh
source docker/volumes.sh
# shellcheck source=docker/wait.sh
source docker/wait.sh
umask 077

file=${1:-}
[ -n "$file" ] || die "which one? make restore FILE=backups/monodon-….tar.gz"
[ -r "$file" ] || die "$file cannot be read."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -C "$work" -xzf "$file" && [ -s "$work/volumes.tar" ] && tar -tf "$work/volumes.tar" >/dev/null ||
  die "$file is not a backup of ours."

say "Stopping the site"
quietly "edge, worker" docker compose stop edge worker
say "Restoring $file"
with_volumes rw python3 -c '
import os, shutil, sys, tarfile
for volume in ("data", "media", "certificates"):
    for entry in os.scandir(f"/{volume}"):
        shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
    archive.extractall("/", filter="data", members=(m for m in archive if m.name.split("/")[0] in ("data", "media", "certificates")))
' <"$work/volumes.tar" || die "the volumes could not be written; nothing runs until this is repaired: make up"
if [ -s "$work/postgres.dump" ]; then
  docker compose up -d --no-build --wait postgres >/dev/null 2>&1
  docker compose exec -T postgres pg_restore -U monodon -d monodon --clean --if-exists --no-owner <"$work/postgres.dump" ||
    die "pg_restore failed."
fi
say "Starting"
quietly "release tasks and containers" docker compose up -d --no-build || { show_failures; exit 1; }
wait_healthy 120 || { show_failures; exit 1; }
say "${green}Restored${plain}"

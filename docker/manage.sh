#!/usr/bin/env bash
# A management command of the application, in the worker's container or, where none runs, in one of its own.
source "$(dirname "$0")/lib.sh"
tty=()
if [ ! -t 0 ] || [ ! -t 1 ]; then tty=(-T); fi
if [ -n "$(docker compose ps --status running -q worker 2>/dev/null)" ]; then
  exec docker compose exec "${tty[@]}" worker python manage.py "$@"
fi
exec docker compose run --rm "${tty[@]}" worker python manage.py "$@"

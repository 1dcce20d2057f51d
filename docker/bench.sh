#!/usr/bin/env bash
# Measures natively (published ports pass through the engine's proxy process): bench/run.py says how.
source "$(dirname "$0")/lib.sh"
have python3 || die "the measurements need python3."
exec python3 bench/run.py "$@"

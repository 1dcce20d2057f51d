#!/usr/bin/env bash
# What runs, how it is, and what the sidecar says of it.
source "$(dirname "$0")/lib.sh"
docker compose ps --all --format 'table {{.Service}}\t{{.Status}}\t{{.Ports}}'
echo
echo "status page: http://$(docker compose port sidecar 9100 2>/dev/null || echo '(the sidecar is not running)')/"

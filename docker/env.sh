#!/usr/bin/env bash
# Writes .env and secrets/ once; what is there is never changed.
source "$(dirname "$0")/lib.sh"

secrets=${MONODON_SECRETS:-$root/secrets}

random() { head -c 64 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' | cut -c "1-${1:-40}"; }

# The folder is closed, the files are open: compose keeps owner and mode of file secrets, and the services are not root.
secret() {
  [ -s "$secrets/$1" ] || { printf '%s' "$2" >"$secrets/$1.new" && chmod 0444 "$secrets/$1.new" && mv "$secrets/$1.new" "$secrets/$1"; }
}

free_port() {
  local port=$1
  while port_taken "$port"; do port=$((port + 1)); done
  echo "$port"
}

engine_makes_ipv6_networks() {
  [ -s /proc/net/if_inet6 ] || return 1
  local probe=monodon-ipv6-probe-$$
  docker network create --ipv6 "$probe" >/dev/null 2>&1 || return 1
  docker network rm "$probe" >/dev/null 2>&1
}

mkdir -p "$secrets"
chmod 0700 "$secrets"
secret django_secret_key "$(random 60)"
secret postgres_password "$(random 32)"
secret database_url "postgres://monodon:$(cat "$secrets/postgres_password")@postgres:5432/monodon"
secret grafana_password "$(random 20)"

# Prometheus reads the edge's admin token from a file: what .env says, or nothing.
token=$(setting MONODON_EDGE_ADMIN_TOKEN)
if [ ! -f "$secrets/edge_admin_token" ] || [ "$(cat "$secrets/edge_admin_token")" != "$token" ]; then
  # In place: a container that has the file mounted would keep the one before.
  if [ -f "$secrets/edge_admin_token" ]; then chmod 0644 "$secrets/edge_admin_token"; fi
  printf '%s' "$token" >"$secrets/edge_admin_token"
  chmod 0444 "$secrets/edge_admin_token"
fi

if [ "${1:-}" = secrets ] || [ -f .env ]; then exit 0; fi

say "Writing .env and secrets/"
http=80 https=443
if port_taken 80 || port_taken 443; then
  http=$(free_port 8080) https=$(free_port 8443)
  say "Port 80 or 443 is taken on this machine: the site gets $http and $https (change it in .env)"
fi
{
  echo "# Written by make up on $(date +%F). What else can be set: .env.example"
  echo "MONODON_EDGE_PUBLIC_HTTP_PORT=$http"
  echo "MONODON_EDGE_PUBLIC_HTTPS_PORT=$https"
  echo "MONODON_STATUS_PORT=$(free_port 9100)"
  if engine_makes_ipv6_networks; then echo "MONODON_IPV6=true"; fi
} >.env

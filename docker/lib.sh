# What the scripts share: where the project is, how they speak, which trust store builds use. Sourced, never run.
# shellcheck shell=bash

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

made_here=io.monodon.made-here
rust_version=1.95
debian_image=debian:trixie-slim
rust_image=rust:${rust_version}-slim-trixie

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' plain=''
fi

say() { printf '%s\n' "${bold}==>${plain} $*"; }
note() { printf '%s\n' "    ${dim}$*${plain}"; }
die() { printf '%s\n' "${red}error:${plain} $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
have_image() { docker image inspect "$1" >/dev/null 2>&1; }

# Builds that download need the trust store of this machine where a proxy signs TLS anew; elsewhere it is the same
# public bundle. An empty file stands for "none": compose wants the file of a secret to exist.
if [ -z "${BUILD_CA_FILE:-}" ]; then
  BUILD_CA_FILE=/dev/null
  for candidate in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    if [ -n "$candidate" ] && [ -f "$candidate" ]; then BUILD_CA_FILE=$candidate; break; fi
  done
fi
export BUILD_CA_FILE DOCKER_BUILDKIT=1

# The value of NAME in .env, or the default.
setting() {
  local value=''
  if [ -f .env ]; then value=$(sed -n "s/^$1=//p" .env | tail -n 1); fi
  # Compose takes quotes away, too.
  case $value in \"*\" | \'*\') value=${value:1:${#value}-2} ;; esac
  printf '%s' "${!1:-${value:-${2:-}}}"
}

# Does something listen there on this machine?
port_taken() {
  if have ss; then ss -Hltn "sport = :$1" | grep -q .; else (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; fi
}

# Runs a command quietly: one line while it runs, its last lines only when it fails.
quietly() {
  local words=$1 log started status=0
  shift
  log=$(mktemp)
  started=$SECONDS
  if [ -t 1 ]; then printf '    %s ...' "$words"; fi
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ -t 1 ]; then printf '\r\e[K'; fi
  if [ "$status" -eq 0 ]; then
    note "$words: done in $((SECONDS - started)) s"
  else
    printf '%s\n' "${red}    $words: failed after $((SECONDS - started)) s; the last lines:${plain}" >&2
    tail -n "${LINES_ON_FAILURE:-30}" "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}

#!/usr/bin/env bash
# Makes sure of the engine, Compose v2 and buildx. The two plug-ins are put into the user's own ~/.docker where missing.
source "$(dirname "$0")/lib.sh"

plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins

compose_is_new_enough() {
  local version major minor
  version=$(docker compose version --short 2>/dev/null) || return 1
  version=${version#v}
  IFS=. read -r major minor _ <<<"$version"
  [ "$major" -gt 2 ] || { [ "$major" -eq 2 ] && [ "${minor%%[!0-9]*}" -ge 24 ]; }
}

# Debian 13 has both as packages that also run on Debian 12 and Ubuntu 22.04; nothing is installed, only unpacked.
plugins_from_debian() {
  have apt-get && have dpkg || return 1
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror work
  [ -f "$keyring" ] || return 1
  mirror=$("$root/docker/mirror.sh")
  work=$(mktemp -d)
  mkdir -p "$work"/{lists/partial,cache/archives/partial,out}
  echo "deb [signed-by=$keyring] $mirror trixie main" >"$work/sources.list"
  (
    cd "$work/out"
    # Unpacking into a folder of one's own needs no root, and apt's sandbox user cannot read that folder.
    apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
      -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    "${apt[@]}" update && "${apt[@]}" download docker-compose docker-buildx
    for package in *.deb; do dpkg -x "$package" .; done
    mkdir -p "$plugins"
    for name in docker-compose docker-buildx; do
      install -m 0755 "$(find . -path "*cli-plugins/$name" -type f | head -n 1)" "$plugins/$name"
    done
  )
  local status=$?
  rm -rf "$work"
  return "$status"
}

have docker || die "docker is missing. Install the engine: https://docs.docker.com/engine/install/ (Debian and Ubuntu: sudo apt install docker.io), then run this again."
docker info >/dev/null 2>&1 || die "the Docker engine does not answer. Start it (sudo systemctl start docker), or let your user use it (sudo usermod -aG docker $(id -un), then log in again)."

if ! compose_is_new_enough || ! docker buildx version >/dev/null 2>&1; then
  say "Getting the plug-ins compose and buildx from Debian 13 into $plugins"
  plugins_from_debian >/dev/null 2>&1 || true
  compose_is_new_enough || die "Compose 2.24 or later is missing. Install the package docker-compose-plugin: https://docs.docker.com/compose/install/linux/"
  docker buildx version >/dev/null 2>&1 || die "BuildKit's plug-in is missing. Install the package docker-buildx-plugin: https://docs.docker.com/build/install-buildx/"
fi

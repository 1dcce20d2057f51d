#!/usr/bin/env bash
# Gets the images that ours are built from: pulled where a registry answers, else made here and labelled as such.
#   docker/base-images.sh [rust]     debian:trixie-slim, and with "rust" the toolchain too
source "$(dirname "$0")/lib.sh"

# A registry that is not there must not cost minutes: the client itself has no timeout for connecting.
pull() { timeout "${PULL_TIMEOUT:-240}" docker pull -q "$1" >/dev/null 2>&1; }

registry_answers() {
  [ -z "${MONODON_NO_PULL:-}" ] || return 1
  timeout 15 docker manifest inspect "$debian_image" >/dev/null 2>&1 || timeout 15 docker pull -q hello-world >/dev/null 2>&1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; elif have sudo; then sudo "$@"; else
    die "making $debian_image needs root: run this once as root, or let the engine pull it."
  fi
}

# debootstrap is a script: where it is missing, its package is unpacked and used from there.
debootstrap_command() {
  if have debootstrap || [ -x /usr/sbin/debootstrap ]; then
    echo "env PATH=$PATH:/usr/sbin:/sbin debootstrap"
    return
  fi
  (cd "$1" && apt-get -qq -o APT::Sandbox::User=root download debootstrap && dpkg -x debootstrap_*.deb tool) >&2 || return 1
  echo "env DEBOOTSTRAP_DIR=$1/tool/usr/share/debootstrap PATH=$PATH:/usr/sbin:/sbin $1/tool/usr/sbin/debootstrap"
}

make_debian() {
  local work tool rootfs
  work=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "as_root rm -rf '$work'" RETURN
  tool=$(debootstrap_command "$work") || return 1
  rootfs=$work/rootfs
  # shellcheck disable=SC2086
  as_root $tool --variant=minbase trixie "$rootfs" "$(docker/mirror.sh)"
  # What Debian's own slim image leaves out too.
  as_root sh -ec '
    cd "$1"
    rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/*.log var/log/apt usr/share/man usr/share/info usr/share/lintian
    find usr/share/doc -mindepth 1 \( -type f -o -type l \) ! -name copyright -delete
    find usr/share/doc -mindepth 1 -type d -empty -delete
    find usr/share/locale -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
    printf "path-exclude /usr/share/doc/*\npath-include /usr/share/doc/*/copyright\npath-exclude /usr/share/man/*\npath-exclude /usr/share/info/*\npath-exclude /usr/share/locale/*\npath-exclude /usr/share/lintian/*\n" >etc/dpkg/dpkg.cfg.d/docker
    printf "APT::Install-Recommends \"false\";\nAcquire::Languages \"none\";\n" >etc/apt/apt.conf.d/docker-slim
    printf "#!/bin/sh\nexit 101\n" >usr/sbin/policy-rc.d
    chmod 0755 usr/sbin/policy-rc.d
  ' sh "$rootfs"
  as_root tar -C "$rootfs" -c . | docker import -c "LABEL $made_here=true" -c 'CMD ["bash"]' - "$debian_image"
}

# The host's toolchain becomes the image, where it is the right version; else rustup fetches it in the build.
make_rust() {
  local sysroot
  if have rustc && rustc --version | grep -q "^rustc $rust_version\." && sysroot=$(rustc --print sysroot) && [ -x "$sysroot/bin/cargo" ]; then
    docker build -q --label "$made_here=true" -t "$rust_image" -f docker/rust-host.Dockerfile "$sysroot"
  else
    docker build -q --label "$made_here=true" -t "$rust_image" --build-arg "RUST_VERSION=$rust_version" \
      --secret "id=extra_ca,src=$BUILD_CA_FILE" -f docker/rust-rustup.Dockerfile docker
  fi
}

wanted=("$debian_image")
if [ "${1:-}" = rust ]; then wanted+=("$rust_image"); fi

missing=()
for image in "${wanted[@]}"; do have_image "$image" || missing+=("$image"); done
[ "${#missing[@]}" -gt 0 ] || exit 0

say "Getting the base images: ${missing[*]}"
pulls=no
if registry_answers; then pulls=yes; else note "no registry answers: making them here"; fi
for image in "${missing[@]}"; do
  if [ "$pulls" = yes ] && quietly "pulling $image" pull "$image"; then continue; fi
  case $image in
    "$debian_image") quietly "making $image by debootstrap" make_debian ;;
    "$rust_image") quietly "making $image" make_rust ;;
  esac || die "no base image $image: see above. With network, 'docker pull $image' should do."
done

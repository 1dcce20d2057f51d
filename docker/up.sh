#!/usr/bin/env bash
# From a fresh clone to a served site: engine, images, settings, release step, start, health, one real request.
source "$(dirname "$0")/lib.sh"
started=$SECONDS

docker/engine.sh
docker/env.sh
docker/build.sh
docker/profile-images.sh
# shellcheck source=docker/wait.sh
source docker/wait.sh

# --- ports: .env is written once, and what was free then may be somebody else's now
port_is_ours() { docker ps --filter "label=com.docker.compose.project=$project" --format '{{.Ports}}' | grep -q ":$1->"; }
project=$(docker compose config --format json | sed -n 's/^  "name": "\(.*\)",$/\1/p')
for name in MONODON_EDGE_PUBLIC_HTTP_PORT=80 MONODON_EDGE_PUBLIC_HTTPS_PORT=443 MONODON_STATUS_PORT=9100; do
  port=$(setting "${name%=*}" "${name#*=}")
  if port_taken "$port" && ! port_is_ours "$port"; then
    die "port $port is taken by something else on this machine: stop that, or set another ${name%=*} in .env"
  fi
done
docker/settings.sh

say "Starting"
if ! LINES_ON_FAILURE=2 quietly "release tasks and containers" docker compose up --detach --no-build --remove-orphans; then
  show_failures
  exit 1
fi
wait_healthy "${MONODON_UP_TIMEOUT:-120}" || { show_failures; exit 1; }

# --- one real request, as a browser would send it
https=$(setting MONODON_EDGE_PUBLIC_HTTPS_PORT 443)
domains=$(setting MONODON_DOMAINS)
host=${domains%%,*}
host=${host:-localhost}
url=https://$host
if [ "$https" != 443 ]; then url=$url:$https; fi

ca=monodon-ca.pem
docker compose cp edge:/var/lib/monodon/edge/internal-ca/ca.pem "$ca" >/dev/null 2>&1 || ca=''

request() {
  if have curl; then
    curl -sS -o /dev/null -w '%{http_code}' --max-time 15 --noproxy '*' --resolve "$host:$https:127.0.0.1" "$@" "$url/"
  else
    docker compose exec -T worker python3 - "$host" <docker/first_request.py
  fi
}
if ! status=$(request ${ca:+--cacert "$ca"} 2>&1) && ! { [ -n "$domains" ] && status=$(request 2>&1); }; then
  show_logs edge
  die "the site does not answer at $url: $status"
fi
case $status in
  [23]*) ;;
  *) show_logs worker; die "the site answers $status at $url" ;;
esac

say "${green}The site is up${plain} (answered $status; $((SECONDS - started)) s)"
echo
echo "    the site       $url"
echo "    status page    http://127.0.0.1:$(setting MONODON_STATUS_PORT 9100)/"
echo
if [ -z "$domains" ] && [ -n "$ca" ]; then
  echo "The certificate is from this machine's own CA, $ca. To trust it:"
  echo "    curl           curl --cacert $ca $url/"
  echo "    Debian, Ubuntu sudo cp $ca /usr/local/share/ca-certificates/monodon.crt && sudo update-ca-certificates"
  echo "    macOS          security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db $ca"
  echo "    Firefox        Settings, Certificates, View, Authorities, Import"
  echo
fi
echo "Next: make manage ARGS='createsuperuser'    make logs    make status    make down"

# Waiting for a compose project to be healthy, and showing what is not. Sourced, never run.
# shellcheck shell=bash

# "service state health exit-code", a line a container.
states() {
  docker compose ps --all --format '{{.Service}} {{.State}} {{if .Health}}{{.Health}}{{else}}-{{end}} {{.ExitCode}}' 2>/dev/null | sort
}

# Services that stand in the way: not running, not healthy, or ended badly.
troubled() {
  states | awk '
    $2 == "exited" && $4 == 0 { next }
    $2 == "running" && ($3 == "healthy" || $3 == "-") { next }
    { print $1 }' | sort -u
}

show_logs() {
  printf '%s\n' "${red}--- the last lines of $1${plain}" >&2
  docker compose logs --no-color --no-log-prefix --tail "${2:-15}" "$1" >&2 2>&1
}

# Services that the engine started again: a state alone does not tell, it is "running" for a moment each time.
restarted() {
  docker compose ps --all --quiet 2>/dev/null |
    xargs -r docker inspect --format '{{.RestartCount}} {{index .Config.Labels "com.docker.compose.service"}}' 2>/dev/null |
    awk '$1 > 0 { print $2 }' | sort -u
}

# The one that is to blame: what ended badly goes before what keeps restarting, that before what is not healthy.
show_failures() {
  local service
  service=$({ restarted | sed 's/^/2 /'; states | awk '
    $2 == "exited" && $4 != 0 { print 1, $1; next }
    $2 == "restarting" { print 2, $1; next }
    $3 == "unhealthy" { print 3, $1; next }
    $3 == "starting" { print 4, $1 }'; } | sort | awk 'NR == 1 { print $2 }')
  if [ -n "$service" ]; then show_logs "$service"; fi
}

# wait_healthy SECONDS: shows one line of progress; fails when the time is up, or at once when a service keeps ending.
wait_healthy() {
  local until=$((SECONDS + $1)) began=$SECONDS line waiting good=0
  while true; do
    waiting=$(troubled | tr '\n' ' ')
    if [ -z "$waiting" ] && [ -n "$(states)" ]; then good=$((good + 1)); else good=0; fi
    # Twice: what ends at once and is started again looks well for a moment.
    if [ "$good" -eq 1 ]; then sleep 0.5; continue; fi
    if [ "$good" -ge 2 ]; then
      [ -t 1 ] && printf '\r\e[K'
      note "all healthy after $((SECONDS - began)) s"
      return 0
    fi
    line="waiting for ${waiting}($((SECONDS - began)) s)"
    if [ -t 1 ]; then printf '\r\e[K    %s' "$line"; fi
    if [ "$SECONDS" -ge "$until" ] || states | awk '$2 == "restarting" || ($2 == "exited" && $4 != 0) { bad = 1 } END { exit !bad }'; then
      printf '\n%s\n' "${red}not healthy: ${waiting}${plain}" >&2
      return 1
    fi
    sleep 0.5
  done
}

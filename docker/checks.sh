#!/usr/bin/env bash
# Runs the checks one after the other, all of them even when one fails, and counts.   docker/checks.sh all|unit|e2e|lint
# In the test image by docker/test.sh, or natively (NATIVE=1): then it wants cargo-nextest, maturin and python3.
source "$(dirname "$0")/lib.sh"
what=${1:-all}
passed=0 failed=0 failures=()
target=${CARGO_TARGET_DIR:-$root/target}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# What a runner's own summary says, else the step itself is one test.
count() {
  local status=$1 good='' bad='' text files summary
  text=$(sed -E 's/\x1b\[[0-9;]*m//g' "$log")
  files=$(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed.*/\1 \2/p' <<<"$text")
  if [ -n "$files" ]; then # cargo's own runner: a line for each file
    read -r good bad <<<"$(awk '{ good += $1; bad += $2 } END { print good + 0, bad + 0 }' <<<"$files")"
  else
    # The summary line of nextest or pytest.
    summary=$(grep -E 'Summary \[|[0-9]+ (passed|failed).* in [0-9.]+' <<<"$text" | tail -n 1 || true)
    good=$(grep -oE '[0-9]+ passed' <<<"$summary" | cut -d' ' -f1 || true)
    bad=$(grep -oE '[0-9]+ (failed|timed out|error)' <<<"$summary" | awk '{ n += $1 } END { print n + 0 }' || true)
    if [ -n "$summary" ] && [ -z "$good" ]; then good=0; fi
    if [ -z "$good" ]; then
      good=$(sed -nE 's/^Ran ([0-9]+) tests? in .*/\1/p' <<<"$text" | tail -n 1)
      bad=$(sed -nE 's/^FAILED \((.*)\)$/\1/p' <<<"$text" | grep -oE '[0-9]+' | awk '{ n += $1 } END { print n + 0 }' || true)
      if [ -n "$good" ]; then good=$((good - bad)); fi
    fi
  fi
  if [ -z "$good" ]; then good=$((status == 0)); bad=$((status != 0)); fi
  if [ "$status" -ne 0 ] && [ "${bad:-0}" -eq 0 ]; then bad=1; fi
  passed=$((passed + good))
  failed=$((failed + ${bad:-0}))
}

# step WORDS COMMAND...: quiet ones show their output only when they fail, loud ones as they go.
step() {
  local words=$1 status=0 began=$SECONDS
  shift
  say "$words"
  if [ -n "${LOUD:-}" ]; then
    "$@" 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
  else
    "$@" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then tail -n 80 "$log"; fi
  fi
  count "$status"
  if [ "$status" -eq 0 ]; then note "passed in $((SECONDS - began)) s"; else
    printf '    %s\n' "${red}failed after $((SECONDS - began)) s${plain}"
    failures+=("$words")
  fi
}

scripts() {
  local status=0 file
  for file in docker/*.sh docker/stages/* .ci/run; do
    case $(head -n 1 "$file") in *bash* | '# '*) bash -n "$file" || status=1 ;; *) sh -n "$file" || status=1 ;; esac
  done
  return "$status"
}

compose_files() {
  docker compose --profile '*' config -q && docker compose -f compose.yaml -f compose.test.yaml --profile '*' config -q
}

monitoring() {
  # Only the words: the token that it points to is the running stack's.
  promtool check config --syntax-only docker/prometheus/prometheus.yml &&
    python3 -m json.tool docker/grafana/boards/monodon.json >/dev/null
}

# One environment for the worker's suite and the example's, made once, with the wheel as users get it.
python_environment() {
  export CARGO_HTTP_CAINFO=${CARGO_HTTP_CAINFO:-}
  [ -n "$CARGO_HTTP_CAINFO" ] || unset CARGO_HTTP_CAINFO
  local maturin=maturin
  if [ -x /opt/maturin/bin/maturin ]; then maturin=/opt/maturin/bin/maturin; fi
  venv=$target/test-venv
  python3 -m venv "$venv" &&
    "$venv/bin/pip" install -q --disable-pip-version-check pytest -r examples/django/requirements.txt -r examples/flask/requirements.txt &&
    if [ -f services/worker/tests/requirements.txt ]; then "$venv/bin/pip" install -q --disable-pip-version-check -r services/worker/tests/requirements.txt; fi &&
    rm -rf "$target/test-wheels" &&
    $maturin build --profile dev --manifest-path services/worker/Cargo.toml --interpreter "$venv/bin/python" --out "$target/test-wheels" &&
    "$venv/bin/pip" install -q --disable-pip-version-check --force-reinstall --no-deps "$target"/test-wheels/*.whl
}

worker_suite() { (cd services/worker && PATH=$venv/bin:$PATH "$venv/bin/python" -m pytest -q -p no:cacheprovider tests); }
django_suite() { (cd examples/django && "$venv/bin/python" manage.py test --settings board.settings.test); }
flask_suite() { (cd examples/flask && "$venv/bin/python" -m pytest -q -p no:cacheprovider); }

lint() {
  step "rustfmt" cargo fmt --all --check
  step "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
  step "scripts can be read" scripts
  if have docker; then step "compose files are valid" compose_files; fi
  if have promtool; then step "Prometheus and Grafana files" monitoring; fi
}

unit() {
  LOUD=1 step "unit and protocol tests" cargo nextest run --locked --workspace --exclude monodon-tests \
    --no-fail-fast --status-level slow --final-status-level fail --hide-progress-bar
  venv=$target/test-venv
  step "the worker's wheel" python_environment
  if [ -d services/worker/tests ]; then LOUD=1 step "worker, in Python" worker_suite; fi
  step "examples/django" django_suite
  step "examples/flask" flask_suite
}

# By cargo's own runner: one process a file, so that the tests of a file share one stack.
e2e() {
  LOUD=1 step "end to end" cargo test --locked -p monodon-tests --tests --no-fail-fast -- ${TEST:-}
}

case $what in
  lint) lint ;;
  unit) unit ;;
  e2e) e2e ;;
  all) lint; unit; e2e ;;
  *) die "docker/checks.sh all|unit|e2e|lint" ;;
esac

echo
for name in "${failures[@]}"; do printf '%s\n' "${red}failed: $name${plain}"; done
say "$passed passed, $failed failed ($((SECONDS / 60)) min $((SECONDS % 60)) s)"
[ "$failed" -eq 0 ]

#!/usr/bin/env bash
# Reads the edge's settings in .env as the edge will, before anything is replaced. Compose hands on only the names that
# stand in compose.yaml: a misspelt one would be lost without a word. (The worker gets all of .env, and checks it itself.)
source "$(dirname "$0")/lib.sh"
[ -f .env ] || exit 0

lost=() given=()
while IFS= read -r line; do
  name=${line%%=*}
  if ! grep -qE "^ +$name:" compose.yaml; then lost+=("$name"); given+=(--env "$line"); fi
done < <(grep -E '^MONODON_EDGE_[A-Za-z0-9_]*=' .env || true)

if ! said=$(docker compose run --rm --no-deps -T "${given[@]}" edge check 2>&1 </dev/null); then
  grep '^monodon-edge' <<<"$said" >&2 || tail -n 5 <<<"$said" >&2
  die "the edge does not take its settings in .env (all there are: docs/reference/edge.md). Nothing was changed."
fi
[ "${#lost[@]}" -eq 0 ] || die "${lost[*]} in .env does not reach the edge: name it in compose.yaml, under the edge's environment."

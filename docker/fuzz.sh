#!/usr/bin/env bash
# Every fuzz target for a while, one after the other at the lowest priority: FUZZ_SECONDS each (600), TARGET=name for one alone. Needs cargo-fuzz
# (`cargo install cargo-fuzz --locked`) and a C++ compiler; what is found stands in services/*/fuzz/artifacts, and ends this with 1.
set -u
cd "$(dirname "$0")/.."
# The flags that a sanitizer needs are a nightly compiler's; a stable one takes them when told so. What Python keeps is no leak.
export RUSTC_BOOTSTRAP=1 ASAN_OPTIONS=detect_leaks=0
failed=0
for folder in services/*/fuzz; do
  for file in "$folder"/fuzz_targets/*.rs; do
    target=$(basename "$file" .rs)
    [ "${TARGET:-$target}" = "$target" ] || continue
    echo "== $target (${folder%/fuzz}), ${FUZZ_SECONDS:-600} s"
    (cd "${folder%/fuzz}" && nice -n 19 cargo fuzz run "$target" -- -max_total_time="${FUZZ_SECONDS:-600}" -max_len=3000 -timeout=30) > "$folder/$target.log" 2>&1
    code=$?
    grep -E "^Done|SUMMARY|panicked" "$folder/$target.log"
    [ $code -eq 0 ] || { failed=1; echo "FOUND something, see $folder/$target.log"; }
  done
done
exit $failed

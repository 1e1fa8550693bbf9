#!/usr/bin/env bash
# Fuzzes the parsers: builds the targets with clang's libFuzzer, ASan and UBSan, runs each for a time from its
# seeds, and prints the results. Without clang, gcc's ASan replays the seeds. Status 1 after a finding; the
# input stays in the folder that is named.
#   tests/fuzz/run.sh SECONDS [TARGET ...]
# FUZZ_BUILD is the build folder, which is reused (build-fuzz), FUZZ_JOBS the number of targets that run at
# once (2), FUZZ_KEEP a folder for the inputs that reach new code, from which the next run starts, FUZZ_SEED
# the random seed (0: another one each time).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || { sed -n 's/^#   /usage: /p' "$0" >&2; exit 2; }
seconds=$1
shift
build=${FUZZ_BUILD:-$root/build-fuzz}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
kept=${FUZZ_KEEP:-$scratch/kept}
export here seconds scratch kept OPENBLAS_NUM_THREADS=1

has_libfuzzer() {
  echo 'int LLVMFuzzerTestOneInput(const char *a, unsigned long n); int LLVMFuzzerTestOneInput(const char *a, unsigned long n) { return a && n > 9; }' >"$scratch/try.c"
  clang -fsanitize=fuzzer,address "$scratch/try.c" -o "$scratch/try" 2>/dev/null
}

# A build folder is for one compiler.
if has_libfuzzer; then
  fuzzes=1
  preset=fuzz
else
  fuzzes=
  preset=sanitize
  build=$build-replay
  echo "no clang with libFuzzer: the seeds are replayed, nothing is searched"
fi
found=$build/found
export fuzzes build found
make_targets() {
  cmake --preset "$preset" -S "$root" -B "$build" && cmake --build "$build" --target fuzz_targets
}
make_targets >"$scratch/build.log" 2>&1 || { tail -n 40 "$scratch/build.log"; exit 1; }

n_found() {
  find "$found/$1" -type f | wc -l
}

# one TARGET: its row of the table; status 1 after a finding.
one() {
  local target=$1 log=$scratch/$1.log status=0 runs rate before
  mkdir -p "$kept/$target" "$found/$target"
  before=$(n_found "$target")
  if [ "$fuzzes" ]; then
    "$build/tests/fuzz_$target" -max_total_time="$seconds" -seed="${FUZZ_SEED:-0}" -timeout=20 -print_final_stats=1 -artifact_prefix="$found/$target/" \
      "$kept/$target" "$here/corpus/$target" >"$log" 2>&1 || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  else
    "$build/tests/fuzz_$target" "$here/corpus/$target"/* >"$log" 2>&1 || status=$?
    runs=$(find "$here/corpus/$target" -type f | wc -l)
  fi
  printf '%-12s %12s %10s %9s\n' "$target" "${runs:--}" "${rate:--}" "$(($(n_found "$target") - before))"
  [ "$status" = 0 ] && return
  echo "$target: status $status, input in $found/$target:"
  grep -E -A 12 'ERROR|runtime error|SUMMARY' "$log" || tail -n 20 "$log"
  return 1
}
export -f one n_found

if [ $# = 0 ]; then
  for source in "$here"/fuzz_*.c; do
    source=${source##*/fuzz_}
    set -- "$@" "${source%.c}"
  done
fi
printf '%-12s %12s %10s %9s\n' target runs runs/s findings
# shellcheck disable=SC2016
printf '%s\n' "$@" | xargs -P "${FUZZ_JOBS:-2}" -I{} bash -c 'one "$1"' - {} || { echo "there were findings"; exit 1; }

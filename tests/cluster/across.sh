#!/usr/bin/env bash
# One training on 1 rank, on 4 ranks of a host, and across hosts; then a host dies in mid-run, and the job
# resumes on the remaining ones. Every form must end in the same adapter, bit for bit.
#   across.sh H1 H2 H3          names by which mpirun on H1 reaches three hosts
# It does not know how the hosts are made. The environment says:
#   AT_FIRST    the prefix that runs a command on H1 (docker compose exec -T h1); empty when this script runs there
#   KILL_HOST   a command that, given H2 or H3, ends all that runs on it at once
#   LORA_DIST, MODEL, OUT       the program and a model folder with train.jsonl, as the hosts see them; a folder on H1 for the runs
set -uo pipefail
[ $# = 3 ] || { sed -n '2,8p' "$0"; exit 2; }
: "${AT_FIRST:=}" "${KILL_HOST:?}" "${LORA_DIST:?}" "${MODEL:?}" "${OUT:?}"
. "$(dirname "${BASH_SOURCE[0]}")/../../jobs/mpi.sh"
h1=$1 h2=$2 h3=$3
failures=0
training=(train --model "$MODEL" --data "$MODEL/train.jsonl" --steps 60 --batch-size 16 --target all-linear --dropout 0.1 --lr 1e-2
  --save-every 10)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

at_first() {
  # shellcheck disable=SC2086
  $AT_FIRST "$@"
}

# The settings of jobs/mpi.sh travel by hand, since the way to H1 may begin with an empty environment.
settings() {
  env | grep -E '^(OMPI_|OPENBLAS_)'
}

# across LIST OUT ARGUMENT ...: mpirun over LIST (h1:1,h2:2), in the background; $job is its process.
across() {
  local list=$1 out=$2
  shift 2
  mapfile -t env < <(settings)
  at_first env "${env[@]}" mpirun --host "$list" --bind-to none -x OPENBLAS_NUM_THREADS "$LORA_DIST" "${training[@]}" --out "$OUT/$out" "$@" \
    >"$log" 2>&1 </dev/null &
  job=$!
}

fail() {
  echo "FAIL: $*"
  failures=$((failures + 1))
  sed 's/^/      | /' "$log" | tail -n 15
}

expect_done() {
  local code=0
  wait "$job" || code=$?
  [ $code = 0 ] || fail "$1: status $code"
}

# same NAME OUT: the adapter's values are those of the first run.
same() {
  local sum
  sum=$(at_first sha256sum "$OUT/$2/peft/adapter_model.safetensors" | cut -d' ' -f1)
  : "${first:=$sum}"
  printf '%-34s %s\n' "$1" "$sum"
  [ "${sum:-none}" = "$first" ] || fail "$1: another adapter"
}

n_steps() {
  at_first grep -c '"event": "step"' "$OUT/$1/metrics.jsonl" 2>/dev/null || true
}

# await_step OUT N: until the run has done N steps.
await_step() {
  local i n
  for ((i = 0; i < 600; i++)); do
    n=$(n_steps "$1")
    [ "${n:-0}" -lt "$2" ] || return 0
    kill -0 "$job" 2>/dev/null || break
    sleep 0.05
  done
  fail "$1: step $2 never came"
}

at_first rm -rf "$OUT"
at_first mkdir -p "$OUT"
at_first env OPENBLAS_NUM_THREADS=1 "$LORA_DIST" "${training[@]}" --out "$OUT/one" >"$log" 2>&1 </dev/null &
job=$!
expect_done "1 rank"
same "1 rank" one

# form NAME LIST OUT
form() {
  across "$2" "$3"
  expect_done "$1"
  same "$1" "$3"
}
form "4 ranks of one host" "$h1:4" four
form "2 hosts, 2 ranks each" "$h1:2,$h2:2" two
form "3 hosts, 1, 2 and 1 ranks" "$h1:1,$h2:2,$h3:1" three

across "$h1:1,$h2:2,$h3:1" killed
await_step killed 15
# shellcheck disable=SC2086
$KILL_HOST "$h2" >/dev/null
began=$SECONDS
code=0
wait "$job" || code=$?
killed_at=$(n_steps killed)
[ $code != 0 ] || fail "a host was killed, and mpirun says that all is well"
[ $((SECONDS - began)) -lt 60 ] || fail "a host was killed, and the job went on for $((SECONDS - began)) s"
[ "$killed_at" -lt 60 ] || fail "the run was over before its host was killed"
across "$h1:2,$h3:1" killed
expect_done "resumed on what is left"
grep -q 'resuming from ' "$log" || fail "resumed on what is left: started from the beginning"
same "killed at step $killed_at, then 2 hosts" killed

[ $failures = 0 ] || { echo "$failures checks failed"; exit 1; }

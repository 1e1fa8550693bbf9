#!/usr/bin/env bash
# A launcher's variables that are left in the environment silence nobody: a process that runs alone prints its
# output and its errors. On several ranks, a command for one process runs once.
. "$(dirname "$0")/lib.sh"

m=$models/llama3

# check WHAT: with the variables that the caller has set.
check() {
  ranks 1 eval --model "$m" --data "$m/train.jsonl"
  expect_status 0 "$1"
  expect_text '^loss ' out "$1: eval"
  ranks 1 inspect "$m"
  expect_text '^model ' out "$1: inspect"
  ranks 1 --version
  expect_text '^lora_dist ' out "$1: version"
  ranks 1 eval --model "$m" --data none.jsonl
  expect_error 1 'none.jsonl' "$1: no data"
  ranks 1 trian
  expect_error 2 'trian' "$1"
  ranks 1 eval --nonsense
  expect_status 2 "$1: usage"
  expect_text 'nonsense' err "$1: usage"
}

for left in OMPI_COMM_WORLD_RANK=1 PMIX_RANK=1 PMI_RANK=1 SLURM_PROCID=1 "PMI_RANK=1 PMI_SIZE=2" "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2"; do
  (for one in $left; do export "${one?}"; done; check "$left"; exit $((failures > 0))) || failures=$((failures + 1))
done

# Everything that a rank still has when its launcher is gone.
on_ranks 2 bash -c "[ \$OMPI_COMM_WORLD_RANK = 0 ] || export -p >'$PWD/rank'"
(
  # shellcheck disable=SC1091 # made above
  . ./rank
  check "the whole environment"
  ranks 1 eval --model "$m" --data "$m/train.jsonl"
  expect_text 'a launcher that has ended' err "the whole environment"
  exit $((failures > 0))
) || failures=$((failures + 1))

ranks 2 inspect "$m"
expect_status 0 "inspect on 2 ranks"
[ "$(grep -c '^model ' out)" = 1 ] || fail "inspect on 2 ranks: printed $(grep -c '^model ' out) times"
! grep -q lora_dist err || fail "inspect on 2 ranks: rank 1 does not stay silent"

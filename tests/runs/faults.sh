#!/usr/bin/env bash
# Faults that no call reports: a bit that flips in one rank's memory, a model or data file that changes while
# it is in use. Nothing that depends on them is written: the job ends with an error that names the rank or the
# file, and the same command resumes to the exact bits.
. "$(dirname "$0")/lib.sh"
: "${FLIP_SUM_LIBRARY:=$root/build/tests/libflip_sum.so}"
[ -f "$FLIP_SUM_LIBRARY" ] || { echo "FLIP_SUM_LIBRARY=$FLIP_SUM_LIBRARY: no such library"; exit 1; }
export ASAN_OPTIONS=verify_asan_link_order=0

cp -r "$models/gpt2" m
cp m/train.jsonl data.jsonl
job_is=(train --model m --data data.jsonl --valid data.jsonl --steps 30 --batch-size 6 --lr 1e-2 --save-every 5 --eval-every 10 --keep 100)
ranks 1 "${job_is[@]}" --out whole
expect_status 0 "undisturbed run"

# flip RANKS RANK REGEX: a bit flips in a step between two checkpoints.
flip() {
  local what="a bit of rank $2 of $1"
  rm -rf hit
  FLIP_RANK=$2 FLIP_AT=14 LD_PRELOAD=$FLIP_SUM_LIBRARY ranks "$1" "${job_is[@]}" --out hit
  expect_error 1 "step [0-9]*: the ranks no longer hold the same parameters: $3" "$what"
  [ -n "$(ls hit/checkpoints)" ] || fail "$what: there is no checkpoint from before"
  for file in hit/checkpoints/*.h5 hit/best.h5; do
    [ ! -e "$file" ] || [ "$file" = hit/best.h5 ] || same_bits "$file" "whole/${file#hit/}"
  done
  [ ! -e hit/adapter.h5 ] || fail "$what: an adapter was written"
  ranks "$1" "${job_is[@]}" --out hit
  expect_status 0 "$what: resumed"
  same_run whole hit
}
flip 3 1 'rank 1 on host [^ ]* differs from the other 2'
flip 3 0 'rank 0 on host [^ ]* differs from the other 2'
flip 2 1 'rank 1 on host [^ ]* differs from rank 0 on host'

# changing WHAT: a long job, during which the commands on standard input are run.
changing() {
  rm -rf changed
  start 2 "${job_is[@]}" --out changed --steps "$1"
  await_step changed 8
  eval "$2"
  wait "$job"
  status=$?
}
model=m/model.safetensors
put() { printf "other bytes" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; } # in place
cp -p $model model.good
cp -p data.jsonl data.good

changing 1000000 'put $model 200000'
expect_error 1 "m/model.safetensors: was changed while it was in use" "a model changed in place"
changing_saved=$(find changed/checkpoints -name '*.h5' | wc -l)
[ "$changing_saved" -gt 0 ] || fail "a model changed in place: no checkpoint from before"
cp model.good $model
changing 1000000 'cp -p model.good beside; put beside 200000; cat beside >$model; rm beside' # as cp does it: truncated, then written
[ "$status" = 1 ] || fail "a model written over: status $status"
cp model.good $model
changing 1000000 'put data.jsonl 3000'
expect_error 1 "data.jsonl: .*(was changed while it was in use|line )" "data changed in place"
cp data.good data.jsonl

# What is mapped stays the same: a warning, no error, and the same bits.
steps=400
ranks 1 "${job_is[@]}" --out whole_long --steps $steps
unharmed() { # WHAT REGEX COMMANDS
  changing $steps "$3"
  expect_status 0 "$1"
  expect_text "warning: $2" err "$1"
  [ "$(grep -c 'while it is in use' err)" = 1 ] || fail "$1: said more than once"
  same_bits whole_long/adapter.h5 changed/adapter.h5
}
unharmed "a model that was touched" 'm/model.safetensors: was touched' 'touch $model'
unharmed "a model that was replaced" 'm/model.safetensors: was replaced' 'cp model.good beside; put beside 200000; mv beside $model'
cp model.good $model
unharmed "a model that was removed" 'm/model.safetensors: was removed' 'rm $model'
cp model.good $model
unharmed "data that was touched" 'data.jsonl: was touched' 'touch data.jsonl'

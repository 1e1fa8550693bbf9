#!/usr/bin/env bash
# A run that is killed, again and again, and goes on with other numbers of ranks ends in the bits of the undisturbed one. Damaged
# checkpoints are passed over. Other options, data or base are refused.
. "$(dirname "$0")/lib.sh"

m=$models/gpt2
job_is=(train --model "$m" --data "$m/train.jsonl" --valid "$m/train.jsonl" --steps 60 --batch-size 30 --dropout 0.1 --lr 1e-2
  --save-every 7 --eval-every 10 --keep 100)

ranks 1 "${job_is[@]}" --out whole
expect_status 0 "undisturbed run"

# until STEP RANKS OUT: runs to STEP, then kills.
until_step() {
  start "$2" "${job_is[@]}" --out "$3"
  await_step "$3" "$1"
  kill_job
  expect_status 137 "killed at step $1"
}

until_step 3 2 killed # before the first checkpoint
until_step 17 3 killed
cp -r killed early
until_step 30 1 killed
until_step 46 2 killed
cp -r killed late
touch killed/checkpoints/step-00000099.h5.tmp.4711 killed/adapter.h5.tmp.4711
mkdir killed/peft.tmp.4711 && touch killed/peft.tmp.4711/adapter_config.json
ranks 4 "${job_is[@]}" --out killed
expect_status 0 "last resume"
expect_text 'resuming from killed/checkpoints/step-000000[45]' err "last resume"
same_run whole killed
same_bits whole/checkpoints/step-00000056.h5 killed/checkpoints/step-00000056.h5
[ "$(losses killed | grep -c '^step')" = 60 ] || fail "metrics.jsonl does not hold each step once"
[ -z "$(find killed -name '*.tmp.*')" ] || fail "leftovers stay: $(find killed -name '*.tmp.*')"

# A finished run stays as it is.
ranks 2 "${job_is[@]}" --out killed
expect_status 0 "run again after its end"
same_run whole killed

# damaged NAME WARNING: `late`, whose newest checkpoint was damaged, goes on from the one before it.
damaged() {
  ranks 2 "${job_is[@]}" --out "$1"
  expect_status 0 "$1"
  expect_text 'warning: .* is damaged and passed over' err "$1"
  same_run whole "$1"
}
newest() { find "$1/checkpoints" -name 'step-*.h5' | sort | tail -n 1; }
flip_byte() { # FILE OFFSET
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1")
  printf "\\x$(printf %02x $((byte ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

cp -r late cut
truncate -s -1000 "$(newest cut)"
damaged cut

cp -r late flipped
flip_byte "$(newest flipped)" $(($(stat -c %s "$(newest flipped)") / 2))
damaged flipped

cp -r late empty
: >"$(newest empty)"
damaged empty

cp -r early ruined
for file in ruined/checkpoints/*.h5; do truncate -s 600 "$file"; done
damaged ruined # begins anew

# With --keep 1 a damaged newer checkpoint must not crowd out the good one.
cp -r late one
head -c 5000 "$(newest one)" >one/checkpoints/step-00000060.h5
rm one/metrics.jsonl # so that the steps counted are new ones
start 2 "${job_is[@]}" --out one --keep 1 --save-every 1
await_step one 3
kill_job
ranks 1 "${job_is[@]}" --out one --keep 1 --save-every 1
expect_text 'resuming from' err "--keep 1 beside a damaged checkpoint"
for name in adapter.h5 peft/adapter_model.safetensors; do same_bits "whole/$name" "one/$name"; done

# A checkpoint named outright, into another folder.
ranks 2 "${job_is[@]}" --out branch --resume "$(newest late)"
expect_status 0 "--resume PATH"
for name in adapter.h5 peft/adapter_model.safetensors; do same_bits "whole/$name" "branch/$name"; done

# refused WHAT REGEX ARGUMENT ...: nothing changes in the run's folder.
refused() {
  local what=$1 regex=$2
  shift 2
  find late -type f -exec sha256sum {} + >before
  ranks 2 "$@" --out late
  expect_error "$expected" "$regex" "$what"
  find late -type f -exec sha256sum {} + | cmp -s before - || fail "$what: changed the run's folder"
}
expected=1
refused "other --lr" 'step-0.*\.h5: .*--lr' "${job_is[@]}" --lr 2e-2
refused "other --steps" 'step-0.*\.h5: .*--steps' "${job_is[@]}" --steps 61
(cat "$m/train.jsonl"; echo '{"prompt": "a", "completion": "b"}') >more.jsonl
refused "other data" 'step-0.*\.h5: .*data' "${job_is[@]}" --data more.jsonl
mkdir other && cp "$m"/*.json other/ && cp "$m/model.safetensors" other/
printf '\x01' | dd of=other/model.safetensors bs=1 seek=100000 conv=notrunc status=none
refused "other base" 'step-0.*\.h5: .*base' "${job_is[@]}" --model other
expected=2
refused "--resume never" '--resume never' "${job_is[@]}" --resume never

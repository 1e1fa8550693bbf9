#!/usr/bin/env bash
# A run that is killed, again and again, and resumed on other numbers of ranks ends with the bits of the
# undisturbed one. Damaged checkpoints are skipped. Other options, data or base are refused.
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

# damaged NAME WARNING: `late`, whose latest checkpoint was damaged, resumes from the one before it.
damaged() {
  ranks 2 "${job_is[@]}" --out "$1"
  expect_status 0 "$1"
  expect_text 'warning: .* is damaged and skipped' err "$1"
  same_run whole "$1"
}
newest() { find "$1/checkpoints" -name 'step-*.h5' | sort | tail -n 1; }
flip_byte() { # FILE OFFSET
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1")
  printf %b "\\x$(printf %02x $((byte ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
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
damaged ruined # starts from the beginning

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

# A checkpoint given by its path, for another folder.
ranks 2 "${job_is[@]}" --out branch --resume "$(newest late)"
expect_status 0 "--resume PATH"
for name in adapter.h5 peft/adapter_model.safetensors; do same_bits "whole/$name" "branch/$name"; done

# A checkpoint that a program with the older numerics wrote: its commit is 35e131c, its command this with
# --save-every 2.
ranks 1 train --model "$m" --data "$m/train.jsonl" --steps 4 --batch-size 4 --rank 1 --target transformer.h.0.attn.c_proj --out numerics \
  --resume "$root/tests/golden/files/numerics1.h5"
expect_status 0 "a checkpoint of the older numerics"
version=$(sed -n 's/.*LD_NUMERICS = \([0-9]*\).*/\1/p' "$root/src/base/numerics.h")
expect_text "warning: .*numerics1\\.h5: was computed with version 1 of the numerics, .* version $version" err "a checkpoint of the older numerics"
ranks 1 "${job_is[@]}" --out branch-2 --resume "$(newest late)"
! grep -q 'of the numerics' err || fail "a checkpoint of the present numerics is called older"

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
other=("${job_is[@]}") # --data twice would be two files
for i in "${!other[@]}"; do [ "${other[i]}" != --data ] || other[i + 1]=more.jsonl; done
refused "other data" 'step-0.*\.h5: .*data' "${other[@]}"
mkdir other && cp "$m"/*.json other/ && cp "$m/model.safetensors" other/
printf '\x01' | dd of=other/model.safetensors bs=1 seek=100000 conv=notrunc status=none
refused "other base" 'step-0.*\.h5: .*base' "${job_is[@]}" --model other
expected=2
refused "--resume never" '--resume never' "${job_is[@]}" --resume never

# All differences are reported at once, with those that can be overridden and those that cannot.
expected=1
refused "three others" 'step-0.*--rank 4 \(was: 8\).*--steps 61 \(was: 60\).*--lr 0\.02 \(was: 0\.01\).*--resume-override steps,lr.*\(rank\) cannot' \
  "${job_is[@]}" --lr 2e-2 --steps 61 --rank 4
refused "one too many" 'step-0.*\.h5: [^;]*--steps 61 \(was: 60\)\. .*--resume-override steps ' "${job_is[@]}" --lr 2e-2 --steps 61 --resume-override lr
refused "another family" 'step-0.*\.h5: .*another base.*Llama' "${job_is[@]}" --model "$models/llama3" --resume-override base,data
expected=2
refused "no such option" "resume-override: 'learning-rate'" "${job_is[@]}" --resume-override lr,learning-rate
refused "the adapter's form" "resume-override: rank .*cannot change" "${job_is[@]}" --rank 4 --resume-override rank

# After an override, a run is still the same on any number of ranks and through kills; its record has the new
# values, and it resumes with them.
cp -r early other-lr && cp -r early other-lr-killed
new_lr=("${job_is[@]}" --lr 2e-2 --schedule constant)
ranks 1 "${new_lr[@]}" --out other-lr --resume-override lr,schedule
expect_status 0 "--resume-override lr"
expect_text 'warning: .*step-000000.*--lr 0\.02 \(was: 0\.01\); --schedule "constant" \(was: "linear"\)' err "--resume-override lr"
expect_text '^lr: 0\.02$' other-lr/run.yaml "--resume-override lr"
! grep -q override other-lr/run.yaml || fail "run.yaml repeats the override"
start 3 "${new_lr[@]}" --out other-lr-killed --resume-override lr,schedule
await_step other-lr-killed 36
kill_job
ranks 2 "${new_lr[@]}" --out other-lr-killed
expect_status 0 "an overridden run goes on"
same_run other-lr other-lr-killed
! cmp -s whole/adapter.h5 other-lr/adapter.h5 || fail "--resume-override lr changed nothing"
ranks 1 "${job_is[@]}" --out other-lr
expect_error 1 '--lr 0\.01 \(was: 0\.02\)' "the values of before"

# targets FIRST LAST RUN: the sum of target tokens over steps.
targets() {
  sed -n 's/^{"event": "step", "step": \([0-9]*\),.*"target_tokens": \([0-9]*\).*/\1 \2/p' "$3/metrics.jsonl" |
    awk -v first="$1" -v last="$2" '$1 >= first && $1 <= last { n += $2 } END { print n }'
}
expect_targets() { # N FIRST LAST RUN WHAT
  [ "$(targets "$2" "$3" "$4")" = "$1" ] || fail "$5: $(targets "$2" "$3" "$4") targets in steps $2 to $3, expected $1"
}
of_data() { sed -n 's/.* \([0-9]*\) of them targets$/\1/p' err; }

# Another batch size: the rest of the epoch is divided again, so that each row is still seen once per epoch.
two=(train --model "$m" --data "$m/train.jsonl" --epochs 2 --batch-size 30 --save-every 1 --keep 100)
ranks 1 "${two[@]}" --out epochs
n_targets=$(of_data)
expect_targets "$n_targets" 1 3 epochs "an epoch"
rm epochs/checkpoints/step-0000000[2-6].h5
cp -r epochs epochs-killed
smaller=("${two[@]}" --batch-size 7)
ranks 1 "${smaller[@]}" --out epochs --resume-override batch-size
expect_status 0 "--resume-override batch-size"
expect_targets "$n_targets" 1 9 epochs "the epoch in which the batch size changed"  # 1 of 30, 8 of up to 7
expect_targets "$n_targets" 10 21 epochs "the next epoch" # 12 of up to 7
[ "$(n_steps epochs)" = 21 ] || fail "--resume-override batch-size: $(n_steps epochs) steps, expected 21"
ranks 2 "${smaller[@]}" --out epochs-killed --resume-override batch-size --steps 5
expect_error 1 '--steps 5 \(was: 0\)' "steps beside epochs"
ranks 2 "${smaller[@]}" --out epochs-killed --resume-override batch-size,save-every
expect_error 2 "'save-every'" "an option that is not compared"
start 2 "${smaller[@]}" --out epochs-killed --resume-override batch-size
for ((i = 0; i < 3000; i++)); do
  [ ! -e epochs-killed/checkpoints/step-00000004.h5 ] || break
  sleep 0.01
done
kill_job
ranks 3 "${smaller[@]}" --out epochs-killed
expect_status 0 "killed in the epoch that was divided again"
same_run epochs epochs-killed

# Other data: the epoch begins again with it.
ranks 1 "${two[@]}" --out data
rm data/checkpoints/step-0000000[3-6].h5
changed=("${two[@]}") # --data twice would be two files
for i in "${!changed[@]}"; do [ "${changed[i]}" != --data ] || changed[i + 1]=more.jsonl; done
ranks 2 "${changed[@]}" --out data --resume-override data
expect_status 0 "--resume-override data"
expect_text 'warning: .*another data' err "--resume-override data"
n_more=$(of_data)
expect_targets "$n_more" 3 5 data "the epoch in which the data changed"
expect_targets "$n_more" 6 8 data "the next epoch"
[ "$(n_steps data)" = 8 ] || fail "--resume-override data: $(n_steps data) steps, expected 8"

# Another base of the same shapes: its digest is the one that is saved.
cp -r early other-base
ranks 2 "${job_is[@]}" --model other --out other-base --resume-override base
expect_status 0 "--resume-override base"
ranks 1 eval --model other --adapter other-base/adapter.h5 --data "$m/train.jsonl"
expect_status 0 "eval on the new base"
for adapter in other-base/adapter.h5 other-base/peft; do
  ranks 1 eval --model "$m" --adapter $adapter --data "$m/train.jsonl"
  expect_error 1 "$adapter: was trained on another base.*--other-base" "eval of $adapter on the old base"
  ranks 2 eval --model "$m" --adapter $adapter --data "$m/train.jsonl" --other-base
  expect_status 0 "--other-base with $adapter"
done

# A folder belongs to one job: a second one ends soon, before it has looked for anything.
"$LORA_DIST" "${job_is[@]}" --steps 100000 --out shared >first.out 2>first.err &
first=$!
job=$first
await_step shared 30
ranks 2 "${job_is[@]}" --steps 100000 --out shared
expect_error 1 'shared/lock: in use by another process.*another --out' "two jobs in one folder"
kill -0 "$first" 2>/dev/null || fail "the first of two jobs died"
kill -9 "$first"
wait "$first" 2>/dev/null || true

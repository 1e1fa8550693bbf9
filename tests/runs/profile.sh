#!/usr/bin/env bash
# --profile: the table and profile.json add up to the step, and the trained bits stay the same.
. "$(dirname "$0")/lib.sh"

# numbers RUN: "seconds forward backward flops name" of each operation in profile.json.
numbers() {
  sed -n 's/^ *{"name": "\([^"]*\)", "seconds": \([^,]*\), "forward_seconds": \([^,]*\), "backward_seconds": \([^,]*\), "forward_flops": \([^,]*\),.*/\2 \3 \4 \5 \1/p' \
    "$1/profile.json"
}

# step_of RUN: its seconds.
step_of() {
  sed -n 's/^{"step_seconds": \([^,]*\),.*/\1/p' "$1/profile.json"
}

# adds_up WHAT: the table in err, in milliseconds of three digits.
adds_up() {
  sed -n '/^operation /,/^step /p' err |
    awk '/^operation/ { at = index($0, "ms/step") + 6; next }
         { ms = substr($0, at - 9, 10); share = substr($0, at + 1, 7) }
         /^step/ { step = ms + 0; next }
         { sum += ms; shares += share; n++ }
         END { exit !(n > 8 && step > 0 && (sum - step) ^ 2 <= (0.0006 * (n + 1)) ^ 2 && (shares - 100) ^ 2 <= (0.006 * n) ^ 2) }' ||
    fail "$1: the table does not add up to the step"
}

# adds_up_json RUN STEPS
adds_up_json() {
  numbers "$1" | awk -v step="$(step_of "$1")" '{ sum += $1; if ($1 < $2 + $3 || $1 < -1e-12) bad = 1; n++ }
    END { exit !(n > 8 && !bad && step > 0 && (sum / step - 1) ^ 2 < 1e-18) }' || fail "$1/profile.json does not add up to the step"
  grep -q "\"steps\": $2," "$1/profile.json" || fail "$1/profile.json is not of $2 steps"
}

# has RUN NAME ...: these operations took time.
has() {
  local run=$1 name
  shift
  for name in "$@"; do
    numbers "$run" | awk -v name="$name" '{ time = $1; sub(/^[^ ]* [^ ]* [^ ]* [^ ]* /, ""); if ($0 == name || index($0, name " ") == 1) found += time }
      END { exit !(found > 0) }' || fail "$run/profile.json: nothing of '$name'"
  done
}

m=$models/gpt2
set -- --model "$m" --data "$m/train.jsonl" --valid "$m/train.jsonl" --batch-size 6 --lr 1e-2 --steps 8 --eval-every 4
ranks 1 train "$@" --out plain
expect_status 0 "without --profile"
! grep -q '^operation' err || fail "a table that nobody asked for"
[ ! -e plain/profile.json ] || fail "profile.json that nobody asked for"

for n in 1 2; do
  ranks $n train "$@" --out "profile-$n" --profile
  expect_status 0 "--profile on $n ranks"
  adds_up "$n ranks"
  adds_up_json "profile-$n" 7
  has "profile-$n" linear attention loss layer_norm data "sum gradients" allreduce optimizer zero other
  same_run plain "profile-$n"
  same_bits plain/checkpoints/step-00000008.h5 "profile-$n/checkpoints/step-00000008.h5"
done

ranks 1 train "$@" --out profile-recompute --profile --recompute
expect_status 0 "--profile --recompute"
adds_up "--recompute"
adds_up_json profile-recompute 7
same_run plain profile-recompute

m=$models/resnet_cifar
ranks 1 train --model "$m" --data "$m/train.h5" --out images --steps 1 --batch-size 4 --profile
expect_status 0 "--profile of images"
adds_up images
adds_up_json images 1
has images convolution mean_pool loss

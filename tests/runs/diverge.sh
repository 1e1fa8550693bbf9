#!/usr/bin/env bash
# A run whose loss ends far above where it began says so at its end, and names the best adapter; one that
# learns does not.
. "$(dirname "$0")/lib.sh"

m=$models/llama3
job_is=(train --model "$m" --data "$m/train.jsonl" --valid "$m/train.jsonl" --batch-size 20 --warmup 0 --schedule constant)
ranks 1 "${job_is[@]}" --out good --steps 120 --lr 1e-2 --target all-linear
expect_status 0 "a good run"
! grep -q 'warning' err || fail "a good run: warns"

ranks 2 "${job_is[@]}" --out bad --steps 40 --lr 30 --init-adapter good
expect_status 0 "a bad run"
expect_text 'warning: the loss has risen from .* \(step 1\) to .* the run diverges: give a lower --lr' err "a bad run"
expect_text 'warning: the loss on .* is .* at the end, and was .* at step 0: bad/best.h5 has the adapter of that step' err "a bad run"
expect_text '^done: bad' err "a bad run"
[ -f bad/best.h5 ] || fail "a bad run: no best.h5"

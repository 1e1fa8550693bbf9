#!/usr/bin/env bash
# What does not reach its reader is an error: a full or closed standard output ends each command that prints with status 1. A reader that
# has gone, as head does, ends it without a word.
. "$(dirname "$0")/lib.sh"

llama=$models/llama3 bert=$models/bert
head -n 3 "$llama/train.jsonl" >few.jsonl
head -n 3 "$bert/train.jsonl" >texts.jsonl

# check ARGUMENT ...
check() {
  "$LORA_DIST" "$@" >/dev/full 2>err
  status=$?
  expect_error 1 'standard output: cannot be written: No space left' "$* to a full disk"
  "$LORA_DIST" "$@" >&- 2>err
  status=$?
  expect_error 1 'standard output: cannot be written: Bad file descriptor' "$* to nowhere"
  "$LORA_DIST" "$@" 2>err | :
  status=${PIPESTATUS[0]}
  expect_status 0 "$* without a reader"
  ! grep -q 'error:' err || fail "$* without a reader: says an error"
}

check --help
check --version
check train --help
check inspect "$llama"
check eval --model "$llama" --data few.jsonl
check generate --model "$llama" --prompt "the stone" --max-tokens 4
check predict --model "$bert" --data texts.jsonl
check train --model "$llama" --data few.jsonl --out none --dry-run

# A run prints nothing there, and no file of it is mistaken for the output.
"$LORA_DIST" train --model "$llama" --data few.jsonl --out run --steps 2 --batch-size 2 <&- >&- 2>&-
status=$?
expect_status 0 "train with all closed"
ranks 1 inspect run/checkpoints/step-00000002.h5
expect_status 0 "its checkpoint"

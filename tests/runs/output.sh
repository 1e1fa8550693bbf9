#!/usr/bin/env bash
# Output that does not reach its reader is an error: with a full or closed standard output each command that
# prints ends with status 1. A reader that has gone, as head does, ends it by SIGPIPE, or with status 1 where
# that is ignored.
. "$(dirname "$0")/lib.sh"

llama=$models/llama3 bert=$models/bert
head -n 3 "$llama/train.jsonl" >few.jsonl
head -n 3 "$bert/train.jsonl" >texts.jsonl

# Descriptor 4 is a pipe whose reader has gone, before the first byte is written.
mkfifo pipe
# shellcheck disable=SC2094 # a pipe is not a file
exec 3<>pipe 4>pipe 3<&-

# check ARGUMENT ...
check() {
  "$LORA_DIST" "$@" >/dev/full 2>err
  status=$?
  expect_error 1 'standard output: cannot be written: No space left' "$* to a full disk"
  "$LORA_DIST" "$@" >&- 2>err
  status=$?
  expect_error 1 'standard output: cannot be written: Bad file descriptor' "$* to nowhere"
  env --default-signal=PIPE "$LORA_DIST" "$@" >&4 2>err
  status=$?
  expect_status 141 "$* without a reader"
  ! grep -q 'error:' err || fail "$* without a reader: says an error"
  env --ignore-signal=PIPE "$LORA_DIST" "$@" >&4 2>err
  status=$?
  expect_error 1 'standard output: nobody reads it any more' "$* without a reader and SIGPIPE"
}

check --help
check --version
check train --help
check inspect "$llama"
check eval --model "$llama" --data few.jsonl
check generate --model "$llama" --prompt "the stone" --max-tokens 4
check predict --model "$bert" --data texts.jsonl
check train --model "$llama" --data few.jsonl --out none --dry-run

# A run prints nothing there, and none of its files is mistaken for the output.
"$LORA_DIST" train --model "$llama" --data few.jsonl --out run --steps 2 --batch-size 2 <&- >&- 2>&-
status=$?
expect_status 0 "train with all closed"
env --default-signal=PIPE "$LORA_DIST" train --model "$llama" --data few.jsonl --out piped --steps 2 --batch-size 2 >&4 2>&1
[ -f piped/adapter.h5 ] || fail "train without a reader: nothing is written"
ranks 1 inspect run/checkpoints/step-00000002.h5
expect_status 0 "its checkpoint"

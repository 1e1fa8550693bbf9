#!/usr/bin/env bash
# Control characters from files reach no terminal: they are shown as \x1b. Generated text goes to a file or a
# pipe byte by byte.
. "$(dirname "$0")/lib.sh"

b=$models/bert m=$models/llama3
esc=$'\033'
clean() { # WHAT FILE ...
  ! grep -qE "$esc"$'|\u009b|\u202e' "${@:2}" || fail "$1: an escape character came through"
}

for i in 1 2 3 4; do
  printf '{"text": "the river \\u001b[2J", "label": "a\\u202em"}\n{"text": "the stone", "label": "b\\u202ed"}\n'
done >labels.jsonl
ranks 1 train --model "$b" --data labels.jsonl --valid labels.jsonl --out run --steps 2 --batch-size 4 --new-head
expect_status 0 "train"
clean train out err
expect_text 'classes \(a.u202em' err "train"
ranks 1 eval --model "$b" --data labels.jsonl --adapter run
clean eval out err
expect_text '^ 0  a.u202em' out "eval"
ranks 1 predict --model "$b" --data labels.jsonl --adapter run
clean predict out err
expect_text '"a.u202em": ' out "predict"
for path in run run/adapter.h5 run/peft; do
  ranks 1 inspect $path
  expect_status 0 "inspect $path"
  clean "inspect $path" out err
done
expect_text '^label 1 .* b.u202ed$' out "inspect"

printf '{"text": "the river \\u001b[2J"}\n' >text.jsonl
ranks 1 train --model "$m" --data text.jsonl --out none --dry-run
expect_status 0 "a sample"
clean "a sample" out err
expect_text '^sample .*x1b\[2J' err "a sample"
printf '{"te\\u001bxt": "a"}\n' >key.jsonl
ranks 1 eval --model "$m" --data key.jsonl
expect_status 1 "a key"
clean "a key" out err
ranks 1 inspect "no${esc}thing"
clean "a path" out err

ask=(generate --model "$m" --prompt "a${esc}[31m" --max-tokens 2)
ranks 1 "${ask[@]}"
grep -q "$esc" out || fail "generate: not the very bytes"
SHELL=/bin/bash script -qefc "$(printf '%q ' "$LORA_DIST" "${ask[@]}")" /dev/null </dev/null >out 2>err
expect_text '^a.x1b\[31m' out "generate at a terminal"

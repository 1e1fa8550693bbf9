#!/usr/bin/env bash
# The quickstart does what it says: the loss falls, the text afterwards is a pirate's and the text before is
# not, and it can be run again.
. "$(dirname "$0")/lib.sh"

"$root/jobs/quickstart.sh" "$scratch/out" >quick 2>err || fail "quickstart: status $?"
sed -n '/^== before/,/^== after/p' quick >before
sed -n '/^== after/,$p' quick >after
grep -q "Once upon a time" before || fail "no text before"
! grep -qE "pirate|arr|yo ho ho" before || fail "a pirate before training"
grep -q "pirate" after || fail "no pirate after training"
first=$(grep -m1 '"event": "eval"' out/metrics.jsonl | sed 's/.*"loss": \([0-9.]*\).*/\1/')
last=$(grep '"event": "eval"' out/metrics.jsonl | tail -n 1 | sed 's/.*"loss": \([0-9.]*\).*/\1/')
awk -v a="$first" -v b="$last" 'BEGIN { exit !(b < a / 2) }' || fail "validation loss $first, then $last"

"$root/jobs/quickstart.sh" "$scratch/out" >again 2>err || fail "quickstart again: status $?"
sed -n '/^== after/,$p' again | cmp -s - after || fail "the second time tells another tale"

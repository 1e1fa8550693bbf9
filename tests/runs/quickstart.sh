#!/usr/bin/env bash
# The quickstarts do what they say: the loss falls, what the model makes afterwards is what the adapter was trained
# for and what it made before is not, and they can be run again.
. "$(dirname "$0")/lib.sh"

# learns RUN: the validation loss has fallen to less than half.
learns() {
  local first last
  first=$(grep -m1 '"event": "eval"' "$1/metrics.jsonl" | sed 's/.*"loss": \([0-9.]*\).*/\1/')
  last=$(grep '"event": "eval"' "$1/metrics.jsonl" | tail -n 1 | sed 's/.*"loss": \([0-9.]*\).*/\1/')
  awk -v a="$first" -v b="$last" 'BEGIN { exit !(b < a / 2) }' || fail "$1: validation loss $first, then $last"
}

"$root/jobs/quickstart.sh" "$scratch/out" >quick 2>err || fail "quickstart: status $?"
sed -n '/^== before/,/^== after/p' quick >before
sed -n '/^== after/,$p' quick >after
grep -q "Once upon a time" before || fail "no text before"
! grep -qE "pirate|arr|yo ho ho" before || fail "a pirate before training"
grep -q "pirate" after || fail "no pirate after training"
learns out

"$root/jobs/quickstart.sh" "$scratch/out" >again 2>err || fail "quickstart again: status $?"
sed -n '/^== after/,$p' again | cmp -s - after || fail "the second time tells another tale"

# Headlines before, and afterwards summaries, which hold facts of the last sentences too.
"$root/jobs/quickstart.sh" summarise "$scratch/news" >quick 2>err || fail "quickstart summarise: status $?"
sed -n '/^== before/,/^== after/p' quick >before
sed -n '/^== after/,/^== document/p' quick >after
[ "$(grep -c '^== after' after)" -eq 3 ] || fail "not three summaries"
grep -q "The railway choir comes to Langwick" before || fail "no headline before training"
! grep -q "in aid of" before || fail "a summary before training"
tr '\n' ' ' <after | grep -q "in aid of the school" || fail "no summary after training"
learns news

# Painted before, in ink afterwards.
"$root/jobs/quickstart.sh" draw "$scratch/ink" >quick 2>err || fail "quickstart draw: status $?"
head -c 4 ink/before.png | grep -q PNG || fail "no picture before"
head -c 4 ink/after.png | grep -q PNG || fail "no picture after"
! cmp -s ink/before.png ink/after.png || fail "the adapter draws what the base paints"
[ "$(find ink/samples -name "*.png" | wc -l)" -eq 20 ] || fail "not four samples at each of five evaluations"
[ "$(grep -o 'data:image/png' ink/report.html | wc -l)" -eq 20 ] || fail "not 20 pictures in the report"
learns ink

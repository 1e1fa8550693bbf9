#!/usr/bin/env bash
# The index of the data is kept for the next start in --cache, and is used only if it is whole and everything that it
# follows from is the same. The adapter has the same bits with and without it: after a damage, on a full disk, after
# kills at random instants, and with two jobs in one folder.
. "$(dirname "$0")/lib.sh"
: "${FAIL_CALL_LIBRARY:=$root/build/tests/libfail_call.so}"
export ASAN_OPTIONS=verify_asan_link_order=0

base=$root/jobs/quickstart/base
# Records that are all different, about 3 MB, so that indexing takes a moment.
for ((i = 0; i < 12; i++)); do sed "s/\"completion\": \"/&$i /" "$root/jobs/quickstart/train.jsonl"; done >data.jsonl
head -n 50 "$root/jobs/quickstart/valid.jsonl" >valid.jsonl
job_is=(train --model "$base" --data data.jsonl --valid valid.jsonl --steps 2 --batch-size 4 --seq-len 64 --lr 1e-2)

# same_as_whole N OUT WHAT ARGUMENT ...: a run on N ranks that ends well with the bits of `whole`.
same_as_whole() {
  local n=$1 out=$2 what=$3
  shift 3
  ranks "$n" "${job_is[@]}" --out "$out" "$@"
  expect_status 0 "$what"
  same_bits whole/adapter.h5 "$out/adapter.h5"
}
read_from='index   data.jsonl: read from'

ranks 1 "${job_is[@]}" --out whole --cache none
expect_status 0 "without a cache"
[ -z "$(find whole -name digests.txt -o -name 'index-*')" ] || fail "--cache none kept something"
[ ! -e none ] || fail "--cache none made a folder"

# By default it is in the run's folder, and the next start says that it reads it.
same_as_whole 2 own "the first run"
! grep -q "$read_from" err || fail "the first run reads an index"
same_as_whole 1 own "the second run"
expect_text "$read_from own/index-[0-9a-f]{16}.bin" err "the second run"
[ "$(find own -name 'index-*.bin' | wc -l)" = 2 ] || fail "own: one index for each of data and validation data was expected"

# In a folder that runs share, also those with other numbers of ranks, and other commands.
same_as_whole 2 shared-1 "the first in a folder" --cache c
same_as_whole 1 shared-2 "the second in a folder" --cache c
expect_text "$read_from c/" err "the second in a folder"
same_as_whole 3 shared-3 "three ranks in a folder" --cache c
expect_text "$read_from c/" err "three ranks in a folder"
expect_text 'memory .*\(base and index of the data\)' err "three ranks share the index"
[ "$(find shared-1 -name 'index-*' -o -name digests.txt | wc -l)" = 0 ] || fail "--cache: the run's folder has an index"
for n in 1 2; do
  ranks 2 eval --model "$base" --data valid.jsonl --seq-len 64 --cache e
  expect_status 0 "eval"
  sed 's/ in [0-9.]* s.*//' out >eval-$n
done
same_bits eval-1 eval-2
expect_text 'index   valid.jsonl: read from e/' err "eval"

# What changes the records has an index of its own.
others() {
  ranks 1 "${job_is[@]}" --cache c --dry-run "$@"
  expect_status 0 "other $*"
  ! grep -q "$read_from" err || fail "$*: the index of other options is used"
}
others --seq-len 48
others --no-mask-prompt
sed '1s/ / x /' data.jsonl >new.jsonl
touch -r data.jsonl new.jsonl
mv new.jsonl data.jsonl.new
cp -p data.jsonl data.jsonl.old
sed '2s/a/o/' data.jsonl >same_size
touch -r data.jsonl same_size
cp -p same_size data.jsonl
others
cp -p data.jsonl.old data.jsonl
cp -r "$base" other_base
sed -i 's/"Ġship"/"Ġsh1p"/' other_base/tokenizer.json
! cmp -s "$base/tokenizer.json" other_base/tokenizer.json || fail "the tokenizer was not changed"
ranks 1 "${job_is[@]}" --model other_base --cache c --dry-run
! grep -q "$read_from" err || fail "the index of another tokenizer is used"
[ "$(find c -name '*.bin' | wc -l)" = 2 ] || fail "--dry-run wrote an index"

# Damage is detected, said once, and mended.
file=
for at in c/index-*.bin; do [ "$(wc -c <"$at")" -lt 20000 ] || file=$at; done
cp "$file" good.bin
for damage in "put_bytes $file 30000 x" "put_bytes $file 3 x" "put_bytes $file 40 \\0377" "truncate -s 20000 $file" \
  "truncate -s 0 $file" "truncate -s 10 $file" "cp $root/README.md $file"; do
  $damage
  same_as_whole 2 "damaged" "$damage" --cache c
  [ "$(grep -c "warning: .*$file: is damaged.*made again" err)" = 1 ] || fail "$damage: not one warning"
  same_bits good.bin "$file"
  rm -r damaged
done

# A folder that cannot be written to: the run does without.
FAIL_UNDER=$scratch/f/ FAIL_CALL=write:1+:28 LD_PRELOAD=$FAIL_CALL_LIBRARY same_as_whole 2 full "a full disk" --cache "$scratch/f"
expect_text 'warning: .*f/index-.*No space left.*the index of data.jsonl is not kept' err "a full disk"
[ "$(grep -c 'warning: .*/f' err)" = 1 ] || fail "a full disk: not one warning"
[ -z "$(ls f)" ] || fail "a full disk: something is left: $(ls f)"
for call in fsync:1:5 rename:1:5 open:1:30 write:2:0,write:3:28; do
  rm -rf f f-run
  FAIL_UNDER=$scratch/f/index FAIL_CALL=$call LD_PRELOAD=$FAIL_CALL_LIBRARY same_as_whole 1 f-run "$call" --cache "$scratch/f"
  for at in f/index-*; do [ ! -e "$at" ] || cmp -s "$at" good.bin || [ "$(wc -c <"$at")" -lt 20000 ] || fail "$call: $at is not whole"; done
done
touch a_file
same_as_whole 1 no-folder "a file in place of the folder" --cache a_file/x
expect_text 'warning: .*a_file.*is not kept' err "a file in place of the folder"

# The names of parts that killed writers left are taken away once they are old.
touch -d '1 hour ago' c/index-0123456789abcdef.bin.tmp.1 c/other.tmp.1
rm "$file"
same_as_whole 1 swept "after leftovers" --cache c
[ ! -e c/index-0123456789abcdef.bin.tmp.1 ] || fail "leftovers: $(ls c)"
[ -e c/other.tmp.1 ] || fail "another program's file was removed"

# Killed at 50 random instants: what has its name is whole.
RANDOM=7
for ((i = 0; i < 50; i++)); do
  rm -rf killed k/digests.txt
  [ $((i % 10)) -lt 8 ] || rm -f k/index-*.bin
  if [ $((i % 5)) = 0 ]; then start 2 "${job_is[@]}" --out killed --cache k; else start 1 "${job_is[@]}" --out killed --cache k; fi
  sleep "0.$(printf %03d $((RANDOM % 700)))"
  kill_job
  for at in k/index-*.bin; do
    [ ! -e "$at" ] || cmp -s "$at" good.bin || cmp -s "$at" "c/$(basename "$at")" || fail "kill $i: $at is not whole"
  done
done
same_as_whole 2 after-kills "after 50 kills" --cache k

# Two jobs at once in one new folder.
start 1 "${job_is[@]}" --out twin-1 --cache t
one=$job
"$LORA_DIST" "${job_is[@]}" --out twin-2 --cache t >out-2 2>err-2 &
wait "$one" || fail "the first of two jobs failed"
wait $! || fail "the second of two jobs failed"
same_bits whole/adapter.h5 twin-1/adapter.h5
same_bits whole/adapter.h5 twin-2/adapter.h5
cmp -s good.bin "t/$(basename "$file")" || fail "two jobs: the index is not whole"
[ -z "$(find t -name '*.tmp.*')" ] || fail "two jobs: leftovers"

# A rank on a host without the files receives the index.
mkdir here there
cp -r "$base" here/m
cp data.jsonl valid.jsonl here/
for n in 1 2; do
  timeout "$limit" mpirun --oversubscribe --bind-to none -np 1 -wdir "$scratch/here" "$LORA_DIST" "${job_is[@]}" --model m --out apart-$n --cache h : \
    -np 1 -wdir "$scratch/there" "$LORA_DIST" "${job_is[@]}" --model m --out apart-$n --cache h >out 2>err
  status=$?
  expect_status 0 "a rank without files, start $n"
  same_bits whole/adapter.h5 "here/apart-$n/adapter.h5"
done
expect_text "$read_from h/" err "a rank without files"
[ -z "$(ls there)" ] || fail "something was written on the other host: $(ls there)"

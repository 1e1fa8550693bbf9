#!/usr/bin/env bash
# Data as compressed files, and as several: the same bits as one plain file. An error names the file and the line that it
# is in. Files that cannot be read are refused with one sentence.
. "$(dirname "$0")/lib.sh"
: "${FAIL_CALL_LIBRARY:=$root/build/tests/libfail_call.so}"
export ASAN_OPTIONS=verify_asan_link_order=0
command -v zstd >/dev/null || { echo "zstd is not installed"; exit 77; }

base=$root/jobs/quickstart/base
head -n 300 "$root/jobs/quickstart/train.jsonl" >all.jsonl
job_is=(train --model "$base" --steps 2 --batch-size 4 --seq-len 64 --lr 1e-2)
ranks 1 "${job_is[@]}" --data all.jsonl --out whole
expect_status 0 "one plain file"

# same N OUT ARGUMENT ...: the same bits on N ranks.
same() {
  local n=$1 out=$2
  shift 2
  ranks "$n" "${job_is[@]}" --out "$out" "$@"
  expect_status 0 "$out: $*"
  same_bits whole/adapter.h5 "$out/adapter.h5"
}

# Compressed, also in several members or frames, and with a cache that cannot be written or is off.
gzip -k all.jsonl
zstd -q all.jsonl
{ head -n 100 all.jsonl | gzip; tail -n +101 all.jsonl | gzip; } >two.jsonl.gz
{ head -c 1000 all.jsonl | zstd; tail -c +1001 all.jsonl | zstd; } >two.jsonl.zst 2>/dev/null
for data in all.jsonl.gz all.jsonl.zst two.jsonl.gz two.jsonl.zst; do same 1 "$data-run" --data "$data" --cache c; done
same 2 all.jsonl.gz-run-2 --data all.jsonl.gz --cache c
expect_text 'index   all.jsonl.gz: read from c/' err "the second start"
same 2 none --data all.jsonl.gz --cache none
FAIL_UNDER=$scratch/full/ FAIL_CALL=write:1+:28 LD_PRELOAD=$FAIL_CALL_LIBRARY same 1 full-run --data all.jsonl.gz --cache "$scratch/full"
[ "$(grep -c 'warning: .*/full/' err)" = 1 ] || fail "a full cache: not one warning"
[ -z "$(ls full)" ] || fail "a full cache: leftovers"

# Several files, a pattern, and a folder, in the order of their names.
mkdir shards
head -n 100 all.jsonl | gzip >shards/s-01.jsonl.gz
sed -n 101,200p all.jsonl | head -c -1 >shards/s-02.jsonl
tail -n +201 all.jsonl | zstd -q >shards/s-03.jsonl.zst
echo "about" >shards/README.md
same 2 folder --data shards --cache c
same 1 pattern --data 'shards/s-*' --cache c
expect_text 'index   shards/s-01.jsonl.gz and 2 more: read from c/' err "a pattern"
same 1 several --data shards/s-01.jsonl.gz --data shards/s-02.jsonl --data shards/s-03.jsonl.zst
same 1 record --config several/run.yaml
printf 'data:\n  - shards/s-01.jsonl.gz\n  - shards/s-02.jsonl\n  - shards/s-03.jsonl.zst\n' >list.yaml
same 1 yaml --config list.yaml
ranks 1 "${job_is[@]}" --out several --data shards/s-01.jsonl.gz --data shards/s-02.jsonl --data shards/s-03.jsonl.zst
expect_status 0 "a resume of several files"
mkdir here there
cp -r "$base" here/m
cp -r shards here
timeout "$limit" mpirun --oversubscribe --bind-to none -np 1 -wdir "$scratch/here" "$LORA_DIST" "${job_is[@]}" --model m --data shards --out apart : \
  -np 1 -wdir "$scratch/there" "$LORA_DIST" "${job_is[@]}" --model m --data shards --out apart >out 2>err
status=$?
expect_status 0 "a rank without files"
same_bits whole/adapter.h5 here/apart/adapter.h5

# Damaged copies in the cache are made again.
for file in c/data-*.bin; do put_bytes "$file" 5000 x; done
same 1 mended --data all.jsonl.gz --cache c
[ "$(grep -c 'warning: c/data-.* is damaged: it is made again' err)" = 1 ] || fail "a damaged copy: not one warning"

# Tables: the header counts once, and must be the same.
printf 'label,text\na,one two\nb,three\n' >t-1.csv
printf 'label,text\na,four\nb,five six' | gzip >t-2.csv.gz
printf 'label,text\na,one two\nb,three\na,four\nb,five six\n' >t.csv
ranks 1 predict --model "$models/bert" --data t.csv
sed 's/ in [0-9.]* s.*//' out >one-table
ranks 1 predict --model "$models/bert" --data t-1.csv --data t-2.csv.gz
expect_status 0 "two tables"
same_bits one-table out
printf 'text,label\nfour,a\n' >t-3.csv

# Errors.
refused() { # REGEX WHAT ARGUMENT ...
  local regex=$1 what=$2
  shift 2
  rm -rf bad-run
  ranks 1 "${job_is[@]}" --out bad-run "$@"
  expect_error "${expected:-1}" "$regex" "$what"
}
sed '50s/{/{{/' shards/s-02.jsonl >bad.jsonl
refused 'bad.jsonl: line 50' "a bad line of the second file" --data shards/s-01.jsonl.gz --data bad.jsonl --data shards/s-03.jsonl.zst
sed '7s/{/{{/' shards/s-02.jsonl | gzip >bad.jsonl.gz
refused 'bad.jsonl.gz: line 7' "a bad line of a compressed file" --data bad.jsonl.gz
for n in 1 20 1000; do
  head -c "$n" all.jsonl.gz >cut.jsonl.gz
  refused 'cut.jsonl.gz: (its gzip data ends too early|is not gzip data)' "gzip cut to $n bytes" --data cut.jsonl.gz
  head -c "$n" all.jsonl.zst >cut.jsonl.zst
  refused 'cut.jsonl.zst: (its zstd data ends too early|is not zstd data)' "zstd cut to $n bytes" --data cut.jsonl.zst
done
[ -z "$(find bad-run -name 'data-*' 2>/dev/null)" ] || fail "something is left of a damaged archive"
cp all.jsonl.gz hit.jsonl.gz
put_bytes hit.jsonl.gz 3000 '\0377\0377\0377\0377'
refused 'hit.jsonl.gz: its gzip data is damaged' "damaged gzip" --data hit.jsonl.gz
cp all.jsonl.zst hit.jsonl.zst
put_bytes hit.jsonl.zst 3000 '\0377\0377\0377\0377'
refused 'hit.jsonl.zst: its zstd data cannot be unpacked' "damaged zstd" --data hit.jsonl.zst
{ cat all.jsonl.gz; echo more; } >more.jsonl.gz
refused 'more.jsonl.gz: its gzip data is followed by other bytes' "gzip and more" --data more.jsonl.gz
cp all.jsonl.gz named.jsonl
refused 'named.jsonl: is gzip data.*ends in .gz' "gzip under another name" --data named.jsonl
cp all.jsonl named.jsonl.zst
refused 'named.jsonl.zst: is not zstd data' "no zstd" --data named.jsonl.zst
refused 'nothing\*: no file has such a name' "a pattern without files" --data 'nothing*'
refused 'missing.jsonl: cannot open' "a missing file of two" --data all.jsonl --data missing.jsonl
refused 'no file of data' "an empty folder" --data there
printf 'some text\n' >text.txt
refused 'text.txt: is of another format than all.jsonl' "two formats" --data all.jsonl --data text.txt
printf 'PAR1\025\004more' >x.parquet
cp x.parquet parquet.jsonl
for name in x.parquet parquet.jsonl; do
  made=${name%.*}.jsonl
  [ "$made" != "$name" ] || made=parquet.converted.jsonl
  refused "$name: is a Parquet file.*python3 -c \"import pandas; pandas.read_parquet\('$name'\).to_json\('$made', orient='records', lines=True\)\"" "$name" --data $name
done
for name in x.arrow x.feather x.xlsx; do
  echo x >$name
  refused "$name: is .*python3 -c" "$name" --data $name
done
ranks 1 predict --model "$models/bert" --data t-1.csv --data t-3.csv
expect_error 1 't-3.csv: its first line is not that' "another header"

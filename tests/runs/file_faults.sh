#!/usr/bin/env bash
# Files that fail: each write, fsync, rename, open, close and mkdir of a run fails in its turn. Whatever
# fails, there is one error that names the file and the remedy, all ranks end, every file of the run is
# complete or as before, and the run resumes to the exact bits.
. "$(dirname "$0")/lib.sh"
: "${FAIL_CALL_LIBRARY:=$root/build/tests/libfail_call.so}"
[ -f "$FAIL_CALL_LIBRARY" ] || { echo "FAIL_CALL_LIBRARY=$FAIL_CALL_LIBRARY: no such library"; exit 1; }
export ASAN_OPTIONS=verify_asan_link_order=0
EIO=5 ENOSPC=28 EROFS=30 EDQUOT=122
limit=30

m=$models/gpt2
job_is=(train --model "$m" --data "$m/train.jsonl" --valid "$m/train.jsonl" --steps 6 --batch-size 30 --dropout 0.1 --lr 1e-2 --save-every 2
  --eval-every 2 --keep 10)
ranks 1 "${job_is[@]}" --out whole
expect_status 0 "undisturbed run"
cp -r whole begun
rm -r begun/checkpoints/step-0000000[46].h5 begun/adapter.h5 begun/peft begun/report.html

# failing RANKS RULES OUT: the run in OUT while calls fail by the rules.
failing() {
  local n=$1 rules=$2 out=$3
  rm -f count
  FAIL_UNDER=$scratch/$out FAIL_CALL=$rules FAIL_COUNT=$scratch/count LD_PRELOAD=$FAIL_CALL_LIBRARY ranks "$n" "${job_is[@]}" --out "$scratch/$out"
}

# n_calls KIND FROM: how many calls there are when none fails.
n_calls() {
  rm -rf counted
  [ "$2" = nothing ] || cp -r "$2" counted
  failing 1 "$1:0:0" counted
  expect_status 0 "counting $1"
  cat count
}

# A file's contents depend only on the job, so a complete one is known.
expect_whole() { # OUT WHAT
  local file name
  for file in "$1"/checkpoints/*.h5 "$1"/adapter.h5 "$1"/peft/*; do
    name=${file#"$1"/}
    [ ! -e "$file" ] || cmp -s "$file" "whole/$name" || fail "$2: $name is neither whole nor gone"
  done
  for file in $(cd "$3" && find checkpoints adapter.h5 best.h5 peft run.yaml metrics.jsonl report.html -type f 2>/dev/null); do
    [ -s "$1/$file" ] || fail "$2: $file was lost"
  done
  [ ! -e "$1/best.h5" ] || "$LORA_DIST" inspect "$1/best.h5" >out 2>err || fail "$2: best.h5 is broken"
  [ ! -e "$1/run.yaml" ] || grep -q '^kernels: ' "$1/run.yaml" || fail "$2: run.yaml is not whole"
  file=$(find "$1" -name '*.tmp.*' -o -name '*.being-replaced')
  [ -z "$file" ] || fail "$2: leftovers: $file"
}
whole_lines() {
  [ ! -e "$1/metrics.jsonl" ] || ! grep -qv '^{.*}$' "$1/metrics.jsonl" || fail "$2: metrics.jsonl has a line that is not whole"
}
goes_on() { # OUT WHAT
  ranks 1 "${job_is[@]}" --out "$1"
  expect_status 0 "$2: going on"
  same_run whole "$1"
}

# strike RANKS RULES FROM REGEX: one failure; the error names one of the run's files and the remedy.
strike() {
  local what="$2 from $3 on $1 ranks"
  rm -rf hit
  [ "$3" = nothing ] || cp -r "$3" hit
  failing "$1" "$2" hit
  if [[ $2 = close* || $2 = mkdir* ]]; then
    [ "$status" != 0 ] || { same_run whole hit; return; }
    told=$((told + 1))
  fi
  # What is only kept for the next start never ends a run.
  [ "$status" != 0 ] || ! grep -qE 'the digests are not kept|is not kept, so the next start' err || { same_run whole hit; return; }
  expect_error 1 "$scratch/hit[^ ]*: .*($4)" "$what"
  [ "$3" = nothing ] || expect_whole hit "$what" "$3"
  [[ $2 = *ftruncate* ]] || whole_lines hit "$what"
  goes_on hit "$what"
}

told=0 # failures of close and mkdir that ended a run

# sweep KIND ERROR FROM REGEX [MORE RULES]: on one rank each call in its turn, on two some of them.
sweep() {
  local kind=$1 error=$2 from=$3 regex=$4 more=${5:-} n k
  n=$(n_calls "$kind" "$from")
  [ "${n:-0}" -gt 0 ] || { fail "$kind from $from: no such call"; return; }
  for ((k = 1; k <= n; k++)); do strike 1 "$kind:$k$error$more" "$from" "$regex"; done
  [ -n "$more" ] || for k in 1 $((n / 2 + 1)) "$n"; do strike 2 "$kind:$k$error" "$from" "$regex"; done
}

sweep write +:$ENOSPC begun 'No space.*make room'
sweep write +:0 begun 'No space.*make room' ,ftruncate:1+:$EIO # half of the bytes fit, and cannot be taken back
sweep fsync :$EIO begun 'Input/output error.*check the disk'
sweep rename :$EROFS begun 'Read-only.*make it writable'
sweep open +:$ENOSPC begun 'No space.*make room'
sweep write :$EDQUOT whole 'quota.*make room' # of a finished run: its last files are written again
sweep fsync +:$EIO whole 'Input/output error.*check the disk'
sweep rename :$EIO whole 'Input/output error.*check the disk'
sweep open :$EROFS nothing 'Read-only.*make it writable'

# Closing a file that was only read, or making an existing folder, may fail without harm: then the run must
# still leave the right files.
sweep close :$EDQUOT begun 'quota.*make room'
sweep mkdir :$EROFS nothing 'Read-only.*make it writable'
[ "$told" -ge 15 ] || fail "only $told failures of close and mkdir were reported"

# A write that takes a part of the bytes is not a failure.
n=$(n_calls write begun)
for k in 1 2 3 $((n / 2)) "$n"; do
  rm -rf hit
  cp -r begun hit
  failing 1 "write:$k:0" hit
  expect_status 0 "write:$k in two parts"
  same_run whole hit
done

# A folder that cannot be written to is reported before any work.
read_only() { # OUT
  ranks 2 "${job_is[@]}" --out "$1"
  expect_error 1 "$1.*(make it writable)" "--out is read-only"
  ! grep -q '^ *step' err || fail "--out is read-only: trained first"
}
mkdir place
if [ "$(id -u)" = 0 ] && mount -t tmpfs none place 2>/dev/null; then
  trap 'umount place; end' EXIT
  cp -r begun place/run
  mount -o remount,ro place
  read_only place/run
  read_only place/new
  mount -o remount,rw place
  same_bits place/run/checkpoints/step-00000002.h5 whole/checkpoints/step-00000002.h5
  goes_on place/run "made writable again"

  # A disk that is full at one point or another, and then has room again.
  need=$(du -sk whole | cut -f 1)
  have=$(du -sk begun | cut -f 1)
  hits=0
  for ((size = have; size <= need + 40; size += 16)); do
    umount place
    mount -t tmpfs -o size=${size}k none place
    cp -r begun place/run 2>/dev/null || continue
    ranks 2 "${job_is[@]}" --out place/run
    if [ "$status" != 0 ]; then
      hits=$((hits + 1))
      expect_error 1 'place/run/[^ ]*: .*No space.*make room' "a disk of $size KiB"
      expect_whole place/run "a disk of $size KiB" begun
      whole_lines place/run "a disk of $size KiB"
    fi
    mount -o remount,size=10m place
    goes_on place/run "a disk of $size KiB"
  done
  [ "$hits" -ge 3 ] || fail "the disk was full $hits times only"
else
  [ "$(id -u)" = 0 ] || { cp -r begun place/run && chmod -R a-w place/run && read_only place/run; chmod -R u+w place; }
  echo "no tmpfs can be mounted: no disk was full"
fi

#!/usr/bin/env bash
# A limit on address space (ulimit -v, as batch systems set it) ends a job with one error of its own, wherever
# the limit strikes: never a crash, never another library's message. So does a limit under which threads
# cannot start.
. "$(dirname "$0")/lib.sh"

! ldd "$LORA_DIST" | grep -qE 'libasan|libclang_rt' || { echo "a sanitizer has its own address space"; exit 77; }
ulimit -c 0
llama=$models/llama3 bert=$models/bert
head -n 3 "$llama/train.jsonl" >few.jsonl
head -n 3 "$bert/train.jsonl" >texts.jsonl

# limited KIB RANKS ARGUMENT ...: returns 1 when the program could not even be loaded.
limited() {
  local kib=$1 n=$2
  shift 2
  if [ "$n" = 1 ]; then
    bash -c 'ulimit -v "$0" && exec "$@"' "$kib" timeout "$limit" "$LORA_DIST" "$@" >out 2>err
  else
    on_ranks "$n" bash -c 'ulimit -v "$0" && exec "$@"' "$kib" "$LORA_DIST" "$@" >out 2>err
  fi
  status=$?
  [ "$status" != 127 ] || return 1
  case $status in
  0) ;;
  1) grep -q 'error: .*out of memory' err || [ "$n" -gt 1 ] || fail "$* with $kib KiB: no 'out of memory'" ;;
  *) fail "$* with $kib KiB on $n ranks: status $status" ;;
  esac
  ! grep -qE 'Segmentation|Aborted|signal [0-9]+ ' err || fail "$* with $kib KiB on $n ranks: crashed"
}

# A small stack: matching patterns does not need it.
for kib in 64 256; do
  bash -c 'ulimit -s "$0" && exec "$@"' $kib timeout "$limit" "$LORA_DIST" train --model "$models/gpt2" --data "$models/gpt2/train.jsonl" \
    --steps 2 --out "stack-$kib" >out 2>err || fail "a stack of $kib KiB: status $?"
done

# search ARGUMENT ...: from the limit at which the program can be loaded to the one at which it does
# everything.
search() {
  local kib
  for ((kib = 30000; kib < 400000; kib += 4000)); do
    rm -rf run
    limited $kib 1 "$@" && [ "$status" = 0 ] && break
  done
  [ "$status" = 0 ] || fail "$*: never done"
  # The last steps before that in detail: there the small allocations fail.
  for ((kib = kib - 4000; kib < 400000; kib += 97)); do
    rm -rf run
    limited $kib 1 "$@" && [ "$status" = 0 ] && break
  done
}

search eval --model "$llama" --data few.jsonl
search train --model "$llama" --data few.jsonl --out run --steps 2 --batch-size 2
search generate --model "$llama" --prompt "the stone" --max-tokens 4
search predict --model "$bert" --data texts.jsonl

for kib in 60000 100000 150000 200000 230000 260000 300000; do
  rm -rf run
  limited $kib 2 train --model "$llama" --data few.jsonl --out run --steps 2 --batch-size 2
done

bash -c 'ulimit -v 200000 && exec "$@"' - "$LORA_DIST" eval --model "$llama" --data few.jsonl --threads 64 >out 2>err
status=$?
expect_error 1 "threads 64: .* does not start so many" "threads"

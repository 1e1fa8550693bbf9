#!/usr/bin/env bash
# Counts the instructions of fixed tiny steps (valgrind's callgrind, which emulates a CPU with AVX2) and fails when one takes over 5% more than
# is recorded in instructions.txt.
#   tests/guard/instructions.sh             checks (LORA_DIST names the program)
#   tests/guard/instructions.sh --record    writes instructions.txt again: after an intended change, or with another compiler or BLAS
. "$(dirname "$0")/../runs/lib.sh"
record=$root/tests/guard/instructions.txt
export OPENBLAS_CORETYPE=Haswell

command -v valgrind >/dev/null || { echo "skipped: there is no valgrind"; exit 77; }
grep -qw avx2 /proc/cpuinfo || { echo "skipped: the counts are of a CPU with AVX2"; exit 77; }

# measure NAME ARGUMENT ...: prints "NAME COUNT" for two steps, from reading the samples to AdamW.
measure() {
  local name=$1 count
  shift
  timeout 300 valgrind --tool=callgrind --callgrind-out-file=calls --toggle-collect=ld_trainer_step \
    "$LORA_DIST" train --out "run-$name" --steps 2 --seed 1 "$@" >out 2>err
  count=$(sed -n 's/^summary: \([0-9]*\)$/\1/p' calls)
  [ "${count:-0}" -gt 0 ] || { fail "$name: nothing was counted" >&2; return 1; }
  echo "$name $count"
}

m=$models
measure_all() {
  measure gpt2 --model "$m/gpt2" --data "$m/gpt2/train.jsonl" --batch-size 4 &&
    measure llama3 --model "$m/llama3" --data "$m/llama3/train.jsonl" --batch-size 4 --micro-batch 2 --target all-linear --dropout 0.1 &&
    measure bert --model "$m/bert" --data "$m/bert/train.jsonl" --batch-size 4 --micro-batch 4 &&
    measure resnet_cifar --model "$m/resnet_cifar" --data "$m/resnet_cifar/train.h5" --batch-size 2 --micro-batch 2
}

measure_all >counts || exit 1
if [ "${1:-}" = --record ]; then
  cp counts "$record"
  cat counts
  exit
fi
# valgrind ran the vector code for AVX2; on a processor with AVX-512 the program itself runs that, with the
# same bits.
ranks 1 train --out native --steps 2 --seed 1 --model "$m/llama3" --data "$m/llama3/train.jsonl" --batch-size 4 --micro-batch 2 --target all-linear --dropout 0.1
same_bits native/peft/adapter_model.safetensors run-llama3/peft/adapter_model.safetensors

: >err
while read -r name count; do
  bound=$(sed -n "s/^$name //p" "$record")
  awk -v name="$name" -v n="$count" -v bound="$bound" 'BEGIN {
    printf "%-12s %12d instructions, %+.2f%% of the recorded %d\n", name, n, 100 * (n / bound - 1), bound
    if (n < 0.9 * bound) print "             much faster: record it, so that it stays (tests/guard/instructions.sh --record)"
    exit n > 1.05 * bound }' || fail "$name: more instructions than recorded; find out why (callgrind_annotate), or --record what is meant"
done <counts

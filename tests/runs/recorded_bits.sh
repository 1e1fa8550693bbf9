#!/usr/bin/env bash
# Short runs give the adapters whose SHA-256 is recorded in golden/bits.txt: with every compiler, at every
# level of optimisation, with every kernel of fused multiply-adds and on any number of ranks.
#   tests/runs/recorded_bits.sh             checks
#   tests/runs/recorded_bits.sh --one-rank  checks runs on one rank only, for a slow machine
#   tests/runs/recorded_bits.sh --record    writes bits.txt again: after an intended change, which raises LD_NUMERICS (src/base/numerics.h)
. "$(dirname "$0")/lib.sh"
record=$root/tests/golden/bits.txt
kernel=$(own_kernel)
[[ $kernel =~ ^(avx512|avx2|neon)$ ]] || { echo "skipped: this processor has no fused multiply-adds"; exit 77; }

# numbers FILE: the data after the header of a safetensors file; the header names the adapter's base.
numbers() {
  tail -c +$((9 + $(od -An -t u8 -N 8 "$1"))) "$1"
}

# adapter NAME RANKS ARGUMENT ...: prints "NAME SHA256".
adapter() {
  local name=$1 n=$2
  shift 2
  ranks "$n" train --out "run-$name-$n" --steps 6 "$@"
  expect_status 0 "$name on $n ranks" >&2
  echo "$name $(numbers "run-$name-$n/peft/adapter_model.safetensors" | sha256sum | cut -d' ' -f1)"
}
m=$models
mkdir -p photos/{odd,even}
cp "$root"/tests/golden/images/{rgb8,grey4,tall}.png photos/odd
cp "$root"/tests/golden/images/{rgb16,palette8,wide}.png photos/even
all() {
  adapter gpt2 "$1" --model "$m/gpt2" --data "$m/gpt2/train.jsonl" --batch-size 5 --dropout 0.1
  adapter llama3 "$1" --model "$m/llama3" --data "$m/llama3/train.jsonl" --batch-size 6 --micro-batch 2 --target all-linear --pack --seq-len 64
  adapter bert "$1" --model "$m/bert" --data "$m/bert/train.jsonl" --batch-size 6 --micro-batch 3 --target all-linear --dropout 0.1 --schedule cosine
  adapter bert_extract "$1" --model "$m/bert_extract" --data "$m/bert_extract/train.jsonl" --batch-size 6 --micro-batch 2 --seq-len 60 --head-layers 1
  adapter resnet "$1" --model "$m/resnet_basic" --data photos --batch-size 4 --micro-batch 2 --flip --crop 2
  adapter resnet_cifar "$1" --model "$m/resnet_cifar" --data "$m/resnet_cifar/train.h5" --batch-size 4 --micro-batch 2 --flip --crop 2
  [ "$kernel" != neon ] || return 0 # ARM has no products of bfloat16
  for p in bf16 bf16-amx; do
    adapter "llama3_$p" "$1" --model "$m/llama3" --data "$m/llama3/train.jsonl" --batch-size 6 --micro-batch 2 --target all-linear --pack --seq-len 64 --precision "$p"
  done
}
# Compares what was found with what is recorded for this processor.
compare() {
  if [ "$kernel" = neon ]; then grep -v bf16 "$record"; else cat "$record"; fi | diff - found
}

all 1 >found
if [ "${1:-}" = --record ]; then
  cp found "$record"
  exit
fi
compare || fail "other bits than recorded"
[ "${1:-}" != --one-rank ] || exit 0
[ "$kernel" != avx512 ] || export LORA_DIST_KERNEL=avx2
all 2 >found
compare || fail "other bits than recorded on 2 ranks${LORA_DIST_KERNEL:+, with AVX2}"

#!/usr/bin/env bash
# An adapter has the same bits on 1, 2, 3 and 4 ranks, with and without recomputation; so have losses and checkpoints.
. "$(dirname "$0")/lib.sh"

# check NAME ARGUMENT ...: the batch size is divisible by none of the numbers of ranks.
check() {
  local name=$1 n
  shift
  for n in 1 2 3 4; do
    ranks $n train "$@" --out "$name-$n" --steps 12 --save-every 5 --eval-every 4
    expect_status 0 "$name on $n ranks"
    same_run "$name-1" "$name-$n"
    same_bits "$name-1/checkpoints/step-00000010.h5" "$name-$n/checkpoints/step-00000010.h5"
  done
  ranks 3 train "$@" --out "$name-recompute" --steps 12 --recompute --eval-every 4
  expect_status 0 "$name with --recompute"
  same_run "$name-1" "$name-recompute"
}

m=$models/gpt2
check gpt2 --model "$m" --data "$m/train.jsonl" --valid "$m/train.jsonl" --batch-size 6 --dropout 0.1 --lr 1e-2 --seed 5

# Texts that the model writes meanwhile change nothing, and are the same on any number of ranks.
printf 'the stone\n\nthe river\n' >prompts.txt
printf '{"prompt": "the stone"}\n{"prompt": "the river"}\n' >prompts.jsonl
samples() { grep '"sample"' "$1/metrics.jsonl"; }
for file in prompts.txt prompts.jsonl; do
  for n in 1 3; do
    ranks $n train --model "$m" --data "$m/train.jsonl" --batch-size 6 --dropout 0.1 --lr 1e-2 --seed 5 --steps 12 --save-every 5 \
      --eval-every 4 --valid "$m/train.jsonl" --sample-prompts $file --out "$file-$n"
    expect_status 0 "--sample-prompts $file on $n ranks"
    same_bits gpt2-1/adapter.h5 "$file-$n/adapter.h5"
    [ "$(samples "$file-$n" | wc -l)" = 8 ] || fail "$file on $n ranks: not two texts before training and at each of three evaluations"
    cmp -s <(samples prompts.txt-1) <(samples "$file-$n") || fail "$file on $n ranks: other texts"
  done
done
ranks 2 train --model "$m" --data "$m/train.jsonl" --batch-size 6 --dropout 0.1 --lr 1e-2 --seed 5 --steps 12 --save-every 5 --out silent
expect_status 0 "neither validation data nor prompts"
same_bits gpt2-1/adapter.h5 silent/adapter.h5
[ -z "$(samples silent)" ] || fail "texts without validation data or prompts"
[ "$(samples gpt2-2 | wc -l)" = 8 ] || fail "two prompts of the validation data"
cmp -s <(samples gpt2-1) <(samples gpt2-4) || fail "other texts on 4 ranks"

m=$models/llama3
check llama3 --model "$m" --data "$m/train.jsonl" --valid "$m/train.jsonl" --batch-size 7 --micro-batch 2 --pack --seq-len 40 \
  --target all-linear --dropout 0.05 --lr 1e-2 --rslora --schedule cosine

cmp -s gpt2-1/adapter.h5 <(head -c 100 gpt2-1/adapter.h5) && fail "cmp finds no difference where there is one"
ranks 2 train --model "$models/gpt2" --data "$models/gpt2/train.jsonl" --out other --steps 12 --batch-size 6 --dropout 0.1 --lr 1e-2 --seed 6
! cmp -s gpt2-1/adapter.h5 other/adapter.h5 || fail "another seed gives the same adapter"

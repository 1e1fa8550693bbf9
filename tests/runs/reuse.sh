#!/usr/bin/env bash
# What frozen layers make of a sample is computed once and read in later epochs: the same bits as without that, for
# adapters in the upper layers only, on any number of ranks.
. "$(dirname "$0")/lib.sh"

# same NAME MODEL ARGUMENT ...: trains with and without, and compares. The profile says whether results were read.
same() {
  local name=$1 model=$2
  shift 2
  for how in no yes-1 yes-3; do
    ranks "${how#*-}" train --model "$models/$model" "$@" --reuse "${how%-*}" --epochs 3 --lr 1e-2 --profile --out "$name-$how" 2>/dev/null
    expect_status 0 "$name, --reuse $how"
    [ "$how" = no ] || same_run "$name-no" "$name-$how"
  done
  expect_text 'read kept results' "$name-yes-1/profile.json" "$name"
  ! grep -q 'read kept results' "$name-no/profile.json" || fail "$name: --reuse no reads results"
}
ranks() { # as in lib.sh, with "no" for one rank
  local n=$1
  shift
  [ "$n" != no ] || n=1
  run_on "$n" "$@"
}
run_on() {
  local n=$1
  shift
  export -f on_ranks
  timeout "$limit" bash -c 'on_ranks "$@"' - "$n" "$LORA_DIST" "$@" >out 2>err
  status=$?
}

images=$root/tests/golden/images
mkdir -p photos/{odd,even}
cp "$images"/{rgb8,grey4,tall}.png photos/odd
cp "$images"/{rgb16,palette8,wide}.png photos/even
small=(--batch-size 4 --micro-batch 2)
same head resnet_basic --data photos --target none "${small[@]}"
same mirrored resnet_basic --data photos --target none --flip "${small[@]}"
same bert bert --data "$models/bert/train.jsonl" --target layer.1.attention.self.query "${small[@]}" --dropout 0.1
same gpt2 gpt2 --data "$models/gpt2/train.jsonl" --target h.1.attn.c_attn --pack "${small[@]}"
same llama llama3 --data "$models/llama3/train.jsonl" --target layers.1.self_attn.q_proj "${small[@]}"
same t5 t5 --data "$models/t5/train.jsonl" --target decoder.block.1.layer.0.SelfAttention.q "${small[@]}"

# A document has as many results as sentences: nothing says here which are whose, so they are computed each time.
for how in yes no; do
  run_on 2 train --model "$models/bert_extract" --data "$models/bert_extract/train.jsonl" --target none --epochs 3 --lr 1e-2 --seq-len 60 --reuse $how --out "extract-$how" "${small[@]}"
  expect_status 0 "sentences, --reuse $how"
done
same_run extract-no extract-yes

# Crops are drawn again in each epoch, so nothing of them is kept.
run_on 2 train --model "$models/resnet_basic" --data photos --target none --crop 2 --epochs 3 --reuse yes --profile --out crop "${small[@]}"
expect_status 0 "--crop"
! grep -q 'read kept results' crop/profile.json || fail "crops are read again"

#!/usr/bin/env bash
# A pretrained model (stories260k) learns Shakespeare: its loss on unseen lines falls, with the same bits on
# one rank and on two.
# Both come from the folder that LORA_DIST_DATA names; without it the test is skipped.
. "$(dirname "$0")/lib.sh"

data=${LORA_DIST_DATA:-$root/../shared/data}
text=$data/text/tinyshakespeare.txt
model=$data/models/stories260k
if [ ! -f "$text" ] || [ ! -f "$model/model.safetensors" ]; then
  echo "skipped: neither LORA_DIST_DATA nor ../shared/data holds models/stories260k and text/tinyshakespeare.txt"
  exit 77
fi

head -n 36000 "$text" >train.txt
tail -n 300 "$text" >valid.txt
for n in 2 1; do
  ranks $n train --model "$model" --data train.txt --valid valid.txt --out on-$n --steps 40 --batch-size 16 --seq-len 128 --lr 5e-3 \
    --target all-linear --eval-every 20
  expect_status 0 "$n ranks"
done
same_run on-1 on-2
losses on-1 | awk '$1 == "eval" { if (!n++) first = $3; last = $3 } END { print first, last; exit !(n == 3 && first > 4.9 && last < 4) }' >course ||
  fail "validation loss: from $(cat course), expected from about 5.1 to below 4"

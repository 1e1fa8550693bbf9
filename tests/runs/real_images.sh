#!/usr/bin/env bash
# A pretrained network (ResNet-20 for CIFAR-10): right on the images that it was made for, and adapted to
# digits, with the same bits on one rank and on two.
# All files come from the folder that LORA_DIST_DATA names; without it the test is skipped.
. "$(dirname "$0")/lib.sh"

data=${LORA_DIST_DATA:-$root/../shared/data}
model=$data/models/resnet20-cifar10
cifar=$data/images/cifar10_train_5000.bin
digits=$data/images/t10k-images-idx3-ubyte.gz
if [ ! -f "$model/model.safetensors" ] || [ ! -f "$cifar" ] || [ ! -f "$digits" ]; then
  echo "skipped: neither LORA_DIST_DATA nor ../shared/data holds models/resnet20-cifar10 and images/"
  exit 77
fi

# accuracy FILE LOW HIGH WHAT: of eval's line.
accuracy() {
  awk -v low="$2" -v high="$3" '/^loss/ { print $4; exit !($4 > low && $4 < high) }' "$1" >found ||
    fail "$4: accuracy $(cat found), expected between $2 and $3"
}

ranks 1 convert --data "$cifar" --out cifar.h5
expect_status 0 "convert CIFAR-10"
ranks 1 convert --data "$digits" --out digits.h5
expect_status 0 "convert MNIST"
ranks 2 eval --model "$model" --data cifar.h5 --micro-batch 25
expect_status 0 "eval"
accuracy out 0.84 0.88 "the network on its own kind of images"

for n in 2 1; do
  ranks $n train --model "$model" --data digits.h5 --out on-$n --steps 60 --batch-size 32 --micro-batch 8 --lr 5e-3 --new-head
  expect_status 0 "$n ranks"
done
same_run on-1 on-2
ranks 2 eval --model "$model" --adapter on-1 --data digits.h5 --micro-batch 25
expect_status 0 "eval of the adapter"
accuracy out 0.85 1 "digits after 60 steps"

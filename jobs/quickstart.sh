#!/usr/bin/env bash
# From a bare Debian 12 to a fine-tuned model: installs the packages, builds, trains an adapter on 2 ranks that tells the small base
# model's tales in a pirate's voice, and prints text from before and after.
#   jobs/quickstart.sh [OUT]        OUT: run folder, default runs/quickstart; run again to go on or to see the texts again
set -euo pipefail
cd "$(dirname "$0")/.."

jobs/setup.sh
cmake --preset release >/dev/null
cmake --build --preset release
. jobs/mpi.sh

out=${1:-runs/quickstart}
model=jobs/quickstart/base
lora_dist=build/lora_dist

tell() {
  for prompt in "Once upon a time" "One day, a boy named Tom"; do
    echo
    "$lora_dist" generate --model $model "$@" --prompt "$prompt" --max-tokens 250 | fold -s -w 100
  done
}

before=$(tell)

echo
echo "== training: 2 ranks, LoRA rank 8 on all linear layers"
on_ranks 2 "$lora_dist" train --config jobs/quickstart/train.yaml --model $model \
  --data jobs/quickstart/train.jsonl --valid jobs/quickstart/valid.jsonl --out "$out"

echo
echo "== before"
echo "$before"
echo
echo "== after"
tell --adapter "$out"
echo
echo "The adapter: $out/adapter.h5, and for PEFT $out/peft. How training went: $out/report.html"

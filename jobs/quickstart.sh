#!/usr/bin/env bash
# From a bare Debian 12 to a fine-tuned model: installs the packages, builds, trains an adapter on 2 ranks, and
# shows what the model makes before and after. In an installed copy it builds nothing.
#   jobs/quickstart.sh [OUT]             a small language model learns to tell its tales in a pirate's voice
#   jobs/quickstart.sh summarise [OUT]   a small encoder-decoder that writes headlines learns to write summaries
#   jobs/quickstart.sh draw [OUT]        a small Stable Diffusion that paints scenes learns to draw them in ink
# OUT: run folder, default runs/quickstart, runs/summarise or runs/draw; run again to resume or to see it again
set -euo pipefail
jobs=$(cd "$(dirname "$0")" && pwd)

case ${1:-} in
  summarise | draw) task=$1 data=$jobs/quickstart/$1 out=${2:-runs/$1} ;;
  *) task=tell data=$jobs/quickstart out=${1:-runs/quickstart} ;;
esac
model=$data/base
if [ "$task" = draw ]; then
  learn=(--data "$data/style" --valid "$data/held" --sample-prompts "$data/prompts.txt")
  what="LoRA rank 16 on attention and feed-forward layers"
else
  learn=(--data "$data/train.jsonl" --valid "$data/valid.jsonl")
  what="LoRA rank 8 on all linear layers"
fi

if [ -e "$jobs/../CMakeLists.txt" ]; then
  cd "$jobs/.."
  jobs/setup.sh
  cmake --preset release >/dev/null
  cmake --build --preset release
  lora_dist=build/lora_dist
else
  lora_dist=$(realpath "$jobs/../../../bin/lora_dist")
fi
. "$jobs/mpi.sh"

echo
echo "== training: 2 ranks, $what"
on_ranks 2 "$lora_dist" train --config "$data/train.yaml" --model "$model" "${learn[@]}" --out "$out"

generate() { "$lora_dist" generate --model "$model" "$@" </dev/null | fold -s -w 100; }

tell() {
  local prompts=("Once upon a time" "One day, a boy named Tom") prompt
  printf '\n== before\n'
  for prompt in "${prompts[@]}"; do
    echo
    generate --max-tokens 250 --prompt "$prompt"
  done
  printf '\n== after\n'
  for prompt in "${prompts[@]}"; do
    echo
    generate --max-tokens 250 --prompt "$prompt" --adapter "$out"
  done
}

summarise() {
  sed 's/^{"document": "\(.*\)", "summary": .*/\1/; s/\\"/"/g; 3q' "$data/valid.jsonl" |
    while IFS= read -r document; do
      printf '\n== document\n'
      fold -s -w 100 <<<"$document"
      echo "== before"
      generate --source-prefix "headline: " --prompt "$document"
      echo "== after"
      generate --source-prefix "headline: " --prompt "$document" --adapter "$out"
    done
}

draw() {
  local prompt="a green tree in the desert at sunset, ink drawing" picture=(--guidance 3 --steps 30)
  "$lora_dist" generate --model "$model" --prompt "$prompt" "${picture[@]}" --out "$out/before.png"
  "$lora_dist" generate --model "$model" --prompt "$prompt" "${picture[@]}" --out "$out/after.png" --adapter "$out"
  printf '\n"%s": %s and %s\n' "$prompt" "$out/before.png" "$out/after.png"
}

"$task"
echo
printf 'The adapter: %s/adapter.h5, and for ' "$out"
if [ "$task" = draw ]; then printf 'diffusers %s/diffusers' "$out"; else printf 'PEFT %s/peft' "$out"; fi
echo ". How training went: $out/report.html"

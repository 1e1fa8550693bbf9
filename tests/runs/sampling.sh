#!/usr/bin/env bash
# Pictures from diffusion models: the same bytes on 1 to 3 ranks, from a file of prompts, with an adapter and during training; what the
# options refuse.
. "$(dirname "$0")/lib.sh"

d=$root/tests/golden/diffusion
sd=$d/sd1

# ok WHAT N ARGUMENT ...
ok() {
  local what=$1
  shift
  ranks "$@"
  expect_status 0 "$what"
}
same_folder() {
  diff -r "$1" "$2" >/dev/null || fail "$1 and $2 differ"
}

# One picture, and several over the ranks: a picture does not depend on the others.
draw=(generate --model "$sd" --prompt "a red cat" --steps 4 --seed 3)
ok "one picture" 1 "${draw[@]}" --out one.png
expect_text 'one.png: 1 picture of 16 x 16, 4 steps of ddim' err "one picture"
[ ! -s out ] || fail "one picture: prints something"
for n in 1 2 3; do
  ok "pictures on $n ranks" "$n" "${draw[@]}" --images 4 --out "many-$n"
  same_folder many-1 "many-$n"
done
same_bits one.png many-1/00001.png
! cmp -s many-1/00001.png many-1/00002.png || fail "two pictures are the same"
[ "$(sed -n 4p many-1/metadata.jsonl)" = '{"file_name": "00004.png", "text": "a red cat"}' ] || fail "metadata.jsonl: $(sed -n 4p many-1/metadata.jsonl)"
ok "another seed" 1 "${draw[@]}" --seed 4 --out seed.png
ok "no guidance" 1 "${draw[@]}" --guidance 1 --out plain.png
ok "a negative prompt" 1 "${draw[@]}" --negative-prompt "dog" --out not.png
cp -r "$sd" dpm # as diffusers saves this scheduler
printf '{"_class_name": "DPMSolverMultistepScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
  "lambda_min_clipped": -Infinity}' >dpm/scheduler/scheduler_config.json
ok "a number that JSON does not have" 1 generate --model dpm --prompt "a red cat" --steps 4 --out infinity.png
expect_text '4 steps of dpmsolver' err "a number that JSON does not have"
ok "another scheduler" 1 "${draw[@]}" --scheduler dpmsolver++ --out solver.png
for other in seed plain not solver; do ! cmp -s one.png $other.png || fail "$other changes nothing"; done

# Every sort of model, with noise in each step.
printf 'a red cat\n\n  \nthe dog in the ink\n' >prompts.txt
printf '{"prompt": "a red cat"}\n{"prompt": "the dog in the ink"}\n' >prompts.jsonl
for n in 1 2; do
  ok "SDXL" $n generate --model "$d/sdxl" --prompts prompts.txt --size 24x16 --scheduler euler_ancestral --steps 3 --out "xl-$n"
  ok "SDXL, JSON" $n generate --model "$d/sdxl" --prompts prompts.jsonl --size 24x16 --scheduler euler_ancestral --steps 3 --out "xl-json-$n"
  same_folder xl-1 "xl-$n"
  same_folder xl-1 "xl-json-$n"
  ok "pixels" $n generate --model "$d/ddpm" --images 3 --steps 3 --out "pixels-$n"
  same_folder pixels-1 "pixels-$n"
  ok "a class" $n generate --model "$d/ddpm_classes" --class 3 --steps 3 --size 12x8 --out "class-$n.png"
  same_bits class-1.png "class-$n.png"
done

# While an adapter is trained, and with it.
mkdir data
for i in 1 2 3 4; do
  cp "$root/tests/golden/pictures/lossy.webp" data/$i.webp
  echo "a red cat" >data/$i.txt
done
train=(train --model "$sd" --data data --steps 4 --epochs 4 --batch-size 2 --lr 1e-2 --sample-prompts prompts.txt --sample-steps 3 --negative-prompt ink)
for n in 1 2 3; do
  ok "train on $n ranks" $n "${train[@]}" --out "run-$n"
  same_folder run-1/samples "run-$n/samples"
done
[ "$(grep -c '"image": "samples/step-0000000[024]-[12].png"' run-1/metrics.jsonl)" = 6 ] || fail "metrics.jsonl does not have the pictures"
[ "$(grep -o '<img [^>]*src="data:image/png;base64,' run-1/report.html | wc -l)" = 6 ] || fail "report.html does not have the pictures"
ok "with the adapter" 1 generate --model "$sd" --adapter run-1 --prompt "a red cat" --steps 3 --negative-prompt ink --out adapted.png
same_bits adapted.png run-1/samples/step-00000004-1.png

# What does not go.
bad 2 '--prompt TEXT is missing' "no prompt" generate --model "$sd" --out x.png
bad 2 '--out PATH is missing' "no --out" generate --model "$sd" --prompt a
bad 1 'one.png.*already exists' "--out exists" "${draw[@]}" --out one.png
bad 1 'many-1: already exists' "--out is not empty" "${draw[@]}" --images 2 --out many-1
bad 2 '--out x.png: is one file, but there are 2 pictures' "two pictures in a file" "${draw[@]}" --images 2 --out x.png
bad 2 '--size.*15x16.*multiples of 4' "--size does not divide" "${draw[@]}" --size 15x16 --out x.png
bad 2 "--scheduler: 'eulr' is not one of ddim, .*euler" "unknown scheduler" "${draw[@]}" --scheduler eulr --out x.png
bad 2 '--guidance' "--guidance below 0" "${draw[@]}" --guidance -1 --out x.png
bad 2 '--steps|number of steps' "too many steps" "${draw[@]}" --steps 1001 --out x.png
bad 2 '--negative-prompt has no effect with --guidance 1' "--negative-prompt without guidance" "${draw[@]}" --negative-prompt a --guidance 1 --out x.png
bad 2 '--class does not apply to' "--class for texts" "${draw[@]}" --class 1 --out x.png
bad 2 '--prompt does not apply to .*ddpm, which takes no text' "--prompt without texts" generate --model "$d/ddpm" --prompt a --out x.png
bad 2 '--class N is missing' "no class" generate --model "$d/ddpm_classes" --out x.png
bad 2 '--class: .*from 0 to 4, not 5' "class beyond the last" generate --model "$d/ddpm_classes" --class 5 --out x.png
bad 2 '--temperature does not apply to' "an option of texts" "${draw[@]}" --temperature 1 --out x.png
bad 2 '--chat does not apply to' "--chat" "${draw[@]}" --chat --out x.png
bad 2 '--out does not apply to' "--out for texts" generate --model "$models/llama3" --prompt a --out x.png
bad 2 '--prompt and --prompts do not go together' "two sorts of prompts" "${draw[@]}" --prompts prompts.txt --out x
bad 1 'none.txt' "no file of prompts" generate --model "$sd" --prompts none.txt --out x
printf '{"prompt": 3}\n' >number.jsonl
bad 1 'number.jsonl: line 1: expected an object with "prompt"' "a prompt that is a number" generate --model "$sd" --prompts number.jsonl --out x
: >empty.txt
bad 2 'empty.txt: has no prompts' "an empty file of prompts" generate --model "$sd" --prompts empty.txt --out x
if [ -e x ] || [ -e x.png ]; then fail "a refused command leaves something"; fi

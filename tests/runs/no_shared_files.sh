#!/usr/bin/env bash
# Without a shared file system: the ranks run in two folders, and model, data, adapters and checkpoints, all
# given by relative paths, are only in rank 0's. They reach the others over MPI, and every result is the same
# as in an ordinary run.
. "$(dirname "$0")/lib.sh"

images=$root/tests/golden/images
mkdir here there
for name in gpt2 t5 bert bert_extract resnet_cifar; do cp -r "$models/$name" here/; done

before=() # commands that start the program in each place

# separately PLACES ARGUMENT ...: one rank in each of the places. Leaves out, err and $status.
separately() {
  local place command=()
  for place in $1; do command+=(${command:+:} -np 1 -wdir "$scratch/$place" "${before[@]}" "$LORA_DIST" "${@:2}"); done
  timeout "$limit" mpirun --oversubscribe --bind-to none "${command[@]}" >out 2>err
  status=$?
}

# ordinary ARGUMENT ...: one rank, beside the files.
ordinary() {
  (cd here && timeout "$limit" "$LORA_DIST" "$@") >out 2>err
  status=$?
}

# check NAME ARGUMENT ...: a training on one rank and on ranks that lack the files.
check() {
  local name=$1 places
  shift
  ordinary "$@" --out "$name"
  expect_status 0 "$name"
  for places in "here there" "here there there" "here there here"; do
    separately "$places" "$@" --out "$name ($places)"
    expect_status 0 "$name in $places"
    expect_text 'files  *model read by 1 host, received by 1 \(.* MiB each\); data read by [12] ranks?, received by [12]' err "$name in $places"
    same_run "here/$name" "here/$name ($places)"
  done
}

rm -f here/gpt2/golden.safetensors
cat >here/job.yaml <<'END'
batch-size: 6
dropout: 0.1
lr: 1e-2
END
steps=(--steps 9 --save-every 4 --eval-every 3)
check text train --config job.yaml --model gpt2 --data gpt2/train.jsonl --valid gpt2/train.jsonl "${steps[@]}" --seed 5 --micro-batch 2
mkdir here/photos
for i in rgb8 grey4 tall wide; do
  cp "$images/$i.png" here/photos
  printf 'a picture of %s\n' "$i" >"here/photos/$i.txt"
done
cp -r "$root/tests/golden/diffusion/sd1" here/sd1
rm -f here/sd1/{golden,samples}.safetensors
check pictures train --config job.yaml --model sd1 --data photos --valid photos --resolution 16 --micro-batch 2 --steps 3 --buckets --reuse yes
[ -z "$(ls there)" ] || fail "something is written where nothing is: $(ls there)"

check pairs train --model t5 --data t5/train.jsonl --valid t5/train.jsonl "${steps[@]}" --batch-size 6 --micro-batch 2 --lr 1e-2
check documents train --model bert_extract --data bert_extract/train.jsonl --valid bert_extract/train.jsonl "${steps[@]}" --batch-size 6 --micro-batch 2 --lr 1e-2

# Long records, spread over rows; more epochs than one.
for ((i = 0; i < 3000; i++)); do
  ((i % 400)) || echo
  printf 'the river holds the %d kettle ' "$i"
done >here/raw.txt
check raw train --model gpt2 --data raw.txt --seq-len 48 --batch-size 7 --steps 60 --lr 1e-2

# A model in shards, each of which is sent; other files beside them are not.
mkdir here/shards
cp here/gpt2/*.json here/shards/
cp here/gpt2/model.safetensors here/shards/part-1.safetensors
"$LORA_DIST" inspect here/gpt2 | sed -n 's/^  *\([a-z_.0-9]*\(weight\|bias\)\) .*/"\1": "part-1.safetensors"/p' >tensors
printf '{"weight_map": {%s}}' "$(paste -sd , tensors)" >here/shards/model.safetensors.index.json
head -c 3000000 /dev/zero >here/shards/consolidated.safetensors
check sharded train --model shards --data gpt2/train.jsonl --steps 3 --lr 1e-2
expect_text 'received by 1 \(0\.[0-9] MiB each\)' err "a model in shards"

# Classifiers, of tables and of images.
sed 's/{"text": "\([^"]*\)", "text_pair": "\([^"]*\)", "label": "\([^"]*\)"}/\1\t\2\t\3/' here/bert/train.jsonl |
  { printf 'text\ttext_pair\tlabel\n' && cat; } >here/train.tsv
sed 's/\t/","/g; s/^/"/; s/$/"/' here/train.tsv >here/train.csv
class=(--batch-size 7 --micro-batch 2 --lr 1e-2 "${steps[@]}")
check tsv train --model bert --data train.tsv --valid train.csv "${class[@]}"
check csv train --model bert --data train.csv --valid train.tsv "${class[@]}"
same_bits here/tsv/peft/adapter_model.safetensors here/csv/peft/adapter_model.safetensors
{ echo '[' && paste -sd , here/bert/train.jsonl && echo ']'; } >here/train.json
check json train --model bert --data train.json --valid train.csv "${class[@]}"
cp -r "$models/bert_multilabel" here
check several train --model bert_multilabel --data bert_multilabel/train.jsonl --valid bert_multilabel/train.jsonl "${class[@]}"
check h5 train --model resnet_cifar --data resnet_cifar/train.h5 --valid resnet_cifar/train.h5 --flip --crop 4 "${class[@]}"
mkdir -p here/photos/{red,green}
cp "$images"/rgb*.png here/photos/red/
cp "$images"/grey*.png "$images"/jpeg_4*.jpg here/photos/green/
echo broken >here/photos/red/zz.png
check folder train --model resnet_cifar --data photos --batch-size 5 --steps 8 --lr 1e-2 --flip

# Adapters to start from, of all kinds, and checkpoints to resume from.
more=(train --model gpt2 --data gpt2/train.jsonl --batch-size 6 --lr 1e-2 --steps 3)
for adapter in text text/adapter.h5 text/peft; do
  check "init-${adapter//\//-}" "${more[@]}" --init-adapter "$adapter"
done
same_bits here/init-text/peft/adapter_model.safetensors here/init-text-peft/peft/adapter_model.safetensors
text=(train --config job.yaml --model gpt2 --data gpt2/train.jsonl --valid gpt2/train.jsonl "${steps[@]}" --seed 5 --micro-batch 2)
separately "here there there" "${text[@]}" --out branch --resume text/checkpoints/step-00000004.h5
expect_status 0 "--resume PATH"
expect_text 'resuming from text/checkpoints/step-00000004.h5, step 4' err "--resume PATH"
for name in adapter.h5 peft/adapter_model.safetensors; do same_bits "here/text/$name" "here/branch/$name"; done
cp -r here/text here/auto
rm here/auto/checkpoints/step-0000000[89].h5
separately "here there" "${text[@]}" --out auto
expect_status 0 "--resume auto"
expect_text 'resuming from auto/checkpoints/step-00000004.h5, step 4' err "--resume auto"
same_run here/text here/auto

# Evaluations and predictions.
same_output() { # WHAT ARGUMENT ...
  ordinary "${@:2}"
  expect_status 0 "$1"
  cp out expected
  for places in "here there" "here there there"; do
    separately "$places" "${@:2}"
    expect_status 0 "$1 in $places"
    same_bits expected out
  done
}
same_output "eval" eval --model gpt2 --data gpt2/train.jsonl --adapter text --micro-batch 3
same_output "eval of a classifier" eval --model bert --data train.csv --adapter tsv/peft --micro-batch 3
same_output "predict" predict --model bert --data train.tsv --adapter tsv --micro-batch 2
same_output "predict sentences" predict --model bert_extract --data bert_extract/train.jsonl --adapter documents --micro-batch 3
same_output "eval of sentences" eval --model bert_extract --data bert_extract/train.jsonl --adapter documents --micro-batch 2
same_output "predict texts" predict --model gpt2 --data gpt2/train.jsonl --max-tokens 6 --beams 2 --micro-batch 2
same_output "scores of texts" eval --model t5 --data t5/train.jsonl --generate --max-tokens 6 --beams 2 --micro-batch 3
same_output "predict images" predict --model resnet_cifar --data photos --adapter folder/adapter.h5
same_output "predict one image" predict --model resnet_cifar --data photos/green/jpeg_420.jpg --adapter folder

# Another file of the same name is not used; files that are the same are read where they are.
mkdir -p there/gpt2
head -n 40 here/gpt2/train.jsonl >there/gpt2/train.jsonl
separately "here there" "${more[@]}" --out other
expect_status 0 "another file in its place"
ordinary "${more[@]}" --out plain
same_run here/plain here/other
cp here/gpt2/train.jsonl there/gpt2/
separately "here there" "${more[@]}" --out both
expect_text 'received by 1 .*; data read by every rank' err "data in both places"
same_run here/plain here/both
cp -r here/gpt2 there/
separately "here there" "${more[@]}" --dry-run --out dry
expect_text 'files  *read directly by every host' err "all in both places"

# Another batch size in the middle of an epoch: the remaining rows change, here as on one rank.
rm -r there/gpt2
two=(train --model gpt2 --data gpt2/train.jsonl --epochs 2 --lr 1e-2 --save-every 1 --keep 100)
ordinary "${two[@]}" --batch-size 30 --out cut
rm here/cut/checkpoints/step-0000000[2-6].h5
cp -r here/cut here/cut-apart
ordinary "${two[@]}" --batch-size 7 --resume-override batch-size --out cut
expect_status 0 "another batch size"
separately "here there there" "${two[@]}" --batch-size 7 --resume-override batch-size --out cut-apart
expect_status 0 "another batch size, apart"
same_run here/cut here/cut-apart

# Errors are printed once, and no rank waits for ever.
separately "here there" "${more[@]}" --model nothing --out bad
expect_error 1 'nothing: no such folder' "a model that is nowhere"
separately "here there" "${more[@]}" --data nothing.jsonl --out bad
expect_error 1 'nothing.jsonl: .*[Nn]o such file' "data that is nowhere"
separately "here there" "${more[@]}" --config nothing.yaml --out bad
expect_error 1 'nothing.yaml: ' "a configuration that is nowhere"
separately "here there" "${more[@]}" --init-adapter nothing.h5 --out bad
expect_error 1 'nothing.h5: ' "an adapter that is nowhere"
separately "there here" "${more[@]}" --out bad
expect_error 1 'gpt2: no such folder' "files that only rank 1 sees"
(cat here/gpt2/train.jsonl && echo '{"prompt": 1}') >here/bad.jsonl
separately "here there there" "${more[@]}" --data bad.jsonl --out bad
expect_error 1 'bad.jsonl: line 81: ' "a broken record"
before=(env TMPDIR="$scratch/nowhere") # mpirun would make the folder
separately "here there" "${more[@]}" --out bad
expect_error 1 'nowhere/lora_dist.*TMPDIR' "no place for links"

# unlike REGEX FIRST ... -- SECOND ...: two ranks, each with these options in addition.
unlike() {
  local regex=$1 first=()
  shift
  while [ "$1" != -- ]; do first+=("$1"); shift; done
  shift
  (cd here && timeout 20 mpirun --oversubscribe --bind-to none -np 1 "$LORA_DIST" "${more[@]}" --out bad "${first[@]}" : \
    -np 1 "$LORA_DIST" "${more[@]}" --out bad "$@") >out 2>err
  status=$?
  expect_error 2 "$regex" "options that differ: ${first[*]} and $*"
}
unlike 'rank 1 on host .* other options than rank 0 \( "seed": 2.* "seed": 1' --seed 1 -- --seed 2
unlike 'other options than rank 0' --valid gpt2/train.jsonl --
unlike '--config was given to some ranks' --config job.yaml --

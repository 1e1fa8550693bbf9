#!/usr/bin/env bash
# Classifiers of images: the bits of an adapter on 1 to 4 ranks and through kills, from HDF5 and from class folders, with flips and crops;
# broken files among the images; scores and predictions; merging, exporting, importing; image sets converted to HDF5.
. "$(dirname "$0")/lib.sh"

m=$models/resnet_cifar
data=$m/train.h5
images=$root/tests/golden/images

# ok WHAT N ARGUMENT ...
ok() {
  local what=$1
  shift
  ranks "$@"
  expect_status 0 "$what"
}
differ() { # RUN RUN WHAT
  ! cmp -s "$1/peft/adapter_model.safetensors" "$2/peft/adapter_model.safetensors" || fail "$3 changes nothing"
}
same_adapter() { same_bits "$1/peft/adapter_model.safetensors" "$2/peft/adapter_model.safetensors"; }
measure() { sed -n "s/.*$1 \(-\{0,1\}[0-9.]*\).*/\1/p" "$2" | head -n 1; }
expect_near() { # A B TOLERANCE WHAT
  awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { exit !(a != "" && b != "" && a - b <= t && b - a <= t) }' || fail "$4: $2, expected $1"
}

# HDF5, on any number of ranks; the batch size is divisible by none of them, nor by the microbatch size.
still=(train --model "$m" --data "$data" --valid "$data" --micro-batch 2 --lr 1e-2 --dropout 0.1 --seed 3)
job_is=("${still[@]}" --flip --crop 4 --batch-size 7 --steps 9 --eval-every 4 --save-every 4)
for n in 1 2 3 4; do
  ok "train on $n ranks" $n "${job_is[@]}" --out "h5-$n"
  same_run h5-1 "h5-$n"
  same_bits h5-1/checkpoints/step-00000004.h5 "h5-$n/checkpoints/step-00000004.h5"
done
expect_text '64 images of 32 x 32' err "train"
expect_text ' images/s' err "train"
ok "--recompute" 2 "${job_is[@]}" --out recomputed --recompute
same_run h5-1 recomputed
short=(train --model "$m" --data "$data" --batch-size 7 --micro-batch 2 --steps 3 --lr 1e-2)
ok "plain" 1 "${short[@]}" --out plain
ok "--flip" 2 "${short[@]}" --out flip --flip
ok "--crop" 2 "${short[@]}" --out crop --crop 4
ok "--flip --crop" 3 "${short[@]}" --out both --flip --crop 4
ok "--seed" 1 "${short[@]}" --out seed --flip --crop 4 --seed 9
differ plain flip "--flip"
differ plain crop "--crop"
differ flip both "--crop beside --flip"
differ crop both "--flip beside --crop"
differ both seed "--seed"

# Killed and resumed on other numbers of ranks.
still+=(--steps 40 --batch-size 12 --save-every 3 --keep 100 --eval-every 20)
long=("${still[@]}" --flip --crop 4)
ok "undisturbed" 1 "${long[@]}" --out whole
until_step() { # STEP RANKS
  start "$2" "${long[@]}" --out killed
  await_step killed "$1"
  kill_job
  expect_status 137 "killed at step $1"
}
until_step 5 2
until_step 13 1
ok "last resume" 3 "${long[@]}" --out killed
expect_text 'resuming from killed/checkpoints/step-000000' err "last resume"
same_run whole killed
for other in "" "--flip --crop 3" "--flip --crop 4 --whole none"; do
  # shellcheck disable=SC2086
  ranks 2 "${still[@]}" $other --out killed
  case $other in *whole*) word=--whole ;; *crop*) word=--crop ;; *) word='--(flip|crop)' ;; esac
  expect_error 1 "step-0.*\.h5: .*$word" "resuming with '$other'"
done

# Class folders: PNG and JPEG of all sizes.
i=0
for file in "$images"/{rgb8,rgb16,grey8,palette8,rgb_alpha8,tall,wide,grey16}.png "$images"/jpeg_{420,422,444,grey,progressive,restart}.jpg; do
  class=$(printf 'rose\ntulip\nviolet\n' | sed -n "$((i % 3 + 1))p")
  mkdir -p "good/$class"
  cp "$file" "good/$class/$i-${file##*/}"
  i=$((i + 1))
done
cp -r good mixed # with files that are not images, and broken ones
head -c 200 "$images/rgb8.png" >mixed/rose/00.png
head -c 300 "$images/jpeg_444.jpg" >mixed/tulip/zz.jpg
: >mixed/violet/5-empty.png
echo 'not an image' >mixed/tulip/6-text.jpeg
echo 'kept apart' >mixed/notes.txt
folders=(train --model "$m" --batch-size 5 --micro-batch 2 --steps 8 --lr 1e-2 --flip --crop 4)
for n in 1 2 3 4; do
  ok "class folders on $n ranks" $n "${folders[@]}" --data good --out "good-$n"
  same_run good-1 "good-$n"
done
expect_text '^head +new: 3 classes \(rose, tulip, violet\)' err "class folders"
for n in 1 3; do
  ok "broken images on $n ranks" $n "${folders[@]}" --data mixed --out "mixed-$n"
  expect_text 'warning: .*4 unreadable images' err "broken images on $n ranks"
  expect_text 'warning: .*mixed/(rose/00\.png|tulip/(zz\.jpg|6-text\.jpeg)|violet/5-empty\.png): ' err "broken images on $n ranks"
  same_adapter good-1 "mixed-$n"
  ranks $n "${folders[@]}" --data mixed --out never --strict
  expect_error 1 'mixed/(rose/00\.png|tulip/(zz\.jpg|6-text\.jpeg)|violet/5-empty\.png): ' "--strict on $n ranks"
done
[ ! -e never ] || fail "--strict made the run's folder"
ok "--strict without broken ones" 2 "${folders[@]}" --data good --out strict --strict
same_adapter good-1 strict

# Scores and predictions, of HDF5, class folders, a flat folder and single files.
for n in 1 3; do
  ok "eval on $n ranks" $n eval --model "$m" --adapter h5-1 --data "$data" --micro-batch 3
  mv out "eval-$n"
  ok "predict on $n ranks" $n predict --model "$m" --adapter h5-1 --data "$data" --micro-batch 3
  mv out "predict-$n"
  ok "predict class folders on $n ranks" $n predict --model "$m" --adapter good-1 --data mixed
  mv out "mixed-predict-$n"
done
same_bits eval-1 eval-3
same_bits predict-1 predict-3
same_bits mixed-predict-1 mixed-predict-3
expect_text '^loss [0-9.]+ +accuracy 0\.[0-9]+ +macro F1 0\.[0-9]+ +Matthews -?0\.[0-9]+ +samples 64$' eval-1 "eval"
[ "$(grep -cE '^\{.*"label": "[a-z]+", "probabilities": \{"airplane": .*"truck": [0-9.e-]+\}\}$' predict-1)" = 64 ] ||
  fail "predict prints other lines than expected"
grep '"label": null' mixed-predict-1 | sed 's/{"file": "\(.*\)", "label": null}/\1/' | same_bits /dev/stdin <(printf '%s\n' rose/00.png tulip/{6-text.jpeg,zz.jpg} violet/5-empty.png)
# One broken image of five, which another rank than the first meets: it is named, and the lines still match
# the records.
for n in 1 2; do
  ok "predict beside a broken image on $n ranks" $n predict --model "$m" --data "$images/broken_image.h5"
  expect_text 'warning: skipped: .*broken_image\.h5: image 2 ' err "a broken image on $n ranks"
  [[ $(wc -l <out) = 5 && $(grep -n null out) = '3:{"label": null}' ]] || fail "predict beside a broken image: $(cat out)"
done
ok "predict looks at no labels" 2 predict --model "$m" --data "$images/good.h5"
mv out good.predicted
for file in few_labels negative_label float_labels large_label same_names; do
  ok "predict with $file" 2 predict --model "$m" --data "$images/$file.h5"
  same_bits out good.predicted
done
(cd good && find . -type f | sed 's#^\./##' | LC_ALL=C sort) >names
sed -n 's/^{"file": "\([^"]*\)", "label": "\(rose\|tulip\|violet\)", .*/\1/p' mixed-predict-1 >named
same_bits names named
ok "eval of class folders" 2 eval --model "$m" --adapter good-1 --data mixed
expect_classes "rose tulip violet" out
right=$(sed 's/^{"file": "\([a-z]*\).*"label": "\([a-z]*\)".*/\1 \2/' mixed-predict-1 | awk '$1 == $2' | wc -l)
expect_near "$(awk -v r="$right" 'BEGIN { print r / 14 }')" "$(measure accuracy out)" 1e-5 "accuracy of class folders"
mkdir flat
cp good/rose/* flat
ok "predict a flat folder" 2 predict --model "$m" --adapter good-1 --data flat
sed 's#"file": "#&rose/#' out | cmp -s - <(grep '"rose/.*"label": "' mixed-predict-1) || fail "a flat folder gives other predictions than a class folder"
file=$(find good/tulip -name '*.png' | LC_ALL=C sort | head -n 1)
ok "predict one image" 1 predict --model "$m" --adapter good-1 --data "$file"
[ "$(sed 's/.*"label"/"label"/' out)" = "$(grep -F "${file#good/}" mixed-predict-1 | sed 's/.*"label"/"label"/')" ] ||
  fail "one image: $(cat out)"

# Round trips with the new head.
ok "export" 1 export --adapter good-1/adapter.h5 --out exported
for name in adapter_model.safetensors labels.json; do same_bits exported/$name good-1/peft/$name; done
ok "import" 1 import --adapter exported --out imported.h5
ok "export again" 1 export --adapter imported.h5 --out again
for name in adapter_model.safetensors labels.json; do same_bits exported/$name again/$name; done
ok "eval, adapter" 1 eval --model "$m" --adapter imported.h5 --data good
mv out with-adapter
ok "merge" 1 merge --model "$m" --adapter good-1 --out merged --dtype f32
ok "eval, merged" 3 eval --model merged --data good
sed 1d out | cmp -s - <(sed 1d with-adapter) || fail "the merged model has another confusion matrix"
expect_near "$(measure loss with-adapter)" "$(measure loss out)" 1e-5 "loss of the merged model"
ok "merge, as stored" 1 merge --model "$m" --adapter exported --out merged16
ok "inspect" 1 inspect merged16
expect_text '^head +linear, 3 outputs: rose, tulip, violet' out "inspect merged"
ok "--init-adapter" 2 "${folders[@]}" --data good --out next --init-adapter good-1/peft --lr 0 --steps 2
ok "eval, next" 1 eval --model "$m" --adapter next --data good
same_bits out with-adapter
for n in 1 3; do
  ok "head alone on $n ranks" $n "${short[@]}" --out "head-$n" --target none --whole linear
  ok "LoRA on the head, no convolution, $n ranks" $n "${short[@]}" --out "lora-head-$n" --target linear
done
same_run head-1 head-3
same_run lora-head-1 lora-head-3
ok "inspect the head" 1 inspect head-1
expect_text '^ +linear +whole +weight' out "inspect the head"
! grep -q 'lora_[AB]' head-1/peft/adapter_model.safetensors || fail "--target none leaves LoRA tensors"
! grep -q 'modules_to_save' lora-head-1/peft/adapter_model.safetensors || fail "a head with LoRA is saved whole too"

# Image sets to HDF5. The pixels are some bytes of the model.
pixels() { tail -c +$(($1 * $2 + 1)) "$m/model.safetensors" | head -c "$2"; } # INDEX BYTES
put_cifar() { # FIRST N
  local k
  for ((k = $1; k < $1 + $2; k++)); do
    printf %b "\\x0$((k % 10))"
    pixels "$k" 3072
  done
}
mkdir cifar
put_cifar 0 8 >cifar/data_batch_1.bin
put_cifar 8 6 >cifar/data_batch_2.bin
put_cifar 14 4 >cifar/test_batch.bin
ok "convert CIFAR" 1 convert --data cifar --out cifar.h5
expect_text '14 images of 32 x 32' err "convert CIFAR"
ok "convert CIFAR on 2 ranks" 2 convert --data cifar --out cifar2.h5
same_bits cifar.h5 cifar2.h5
ok "convert one file" 1 convert --data cifar/data_batch_2.bin --out second.h5
ok "predict CIFAR" 2 predict --model "$m" --data cifar.h5
mv out all
ok "predict CIFAR's second file" 1 predict --model "$m" --data second.h5
same_bits out <(tail -n 6 all)
ok "eval of CIFAR" 1 eval --model "$m" --data cifar.h5
expect_text ' samples 14$' out "eval of CIFAR"
printf '\0\0\x08\x03\0\0\0\x05\0\0\0\x1c\0\0\0\x1c' >five-images-idx3-ubyte
pixels 1 $((5 * 28 * 28)) >>five-images-idx3-ubyte
printf '\0\0\x08\x01\0\0\0\x05\x07\x02\x01\x00\x04' >five-labels-idx1-ubyte
ok "convert MNIST" 1 convert --data five-images-idx3-ubyte --out mnist.h5
expect_text '5 images of 28 x 28, grey, with labels' err "convert MNIST"
ok "eval of MNIST" 2 eval --model "$m" --data mnist.h5
mv out mnist
gzip five-*
mv five-labels-idx1-ubyte.gz labels.gz
ok "convert MNIST, compressed" 1 convert --data five-images-idx3-ubyte.gz --labels-file labels.gz --out mnist2.h5
ok "eval of MNIST, compressed" 1 eval --model "$m" --data mnist2.h5
same_bits out mnist
mkdir -p alike/dog alike/frog
cp "$images"/{rgb8,rgb16}.png alike/frog
cp "$images"/{palette8,rgb8_interlaced}.png alike/dog
ok "convert class folders" 1 convert --data alike --out alike.h5
ok "predict class folders" 1 predict --model "$m" --data alike
sed 's/.*"label"/"label"/' out >folder
ok "predict converted class folders" 2 predict --model "$m" --data alike.h5
sed 's/.*"label"/"label"/' out | cmp -s - folder || fail "converted class folders give other predictions"
ranks 1 convert --data mixed --out mixed.h5
expect_error 1 'mixed/rose/[^ ]*: ' "convert a broken image"
[ ! -e mixed.h5 ] || fail "a refused conversion leaves a file"
[ -z "$(find . -name '*.tmp.*')" ] || fail "leftovers stay: $(find . -name '*.tmp.*')"

#!/usr/bin/env bash
# Models that make pictures: the bits of an adapter on 1 to 4 ranks and through kills, with buckets, crops, flips and
# captions that are left out; results of frozen layers that are kept; input that is wrong.
. "$(dirname "$0")/lib.sh"

m=$root/tests/golden/diffusion/sd1
pixels=$root/tests/golden/diffusion/ddpm_classes
images=$root/tests/golden/images

# ok WHAT N ARGUMENT ...
ok() {
  local what=$1
  shift
  ranks "$@"
  expect_status 0 "$what"
}
lora() { echo "$1/diffusers/pytorch_lora_weights.safetensors"; }
same_adapter() { same_bits "$(lora "$1")" "$(lora "$2")"; }
differ() { # RUN RUN WHAT
  ! cmp -s "$(lora "$1")" "$(lora "$2")" || fail "$3 changes nothing"
}

mkdir photos
cp "$images"/{rgb8,grey4,tall,rgb16,palette8,wide}.png photos
for i in rgb8 grey4 tall rgb16 palette8 wide; do
  printf '{"file_name": "%s.png", "text": "a picture of %s"}\n' "$i" "$i"
done >photos/metadata.jsonl

job_is=(train --model "$m" --data photos --valid photos --resolution 16 --batch-size 5 --micro-batch 2 --lr 1e-2 --seed 3)
long=("${job_is[@]}" --steps 9 --eval-every 4 --save-every 4 --caption-dropout 0.3 --flip --min-snr 5 --noise-offset 0.1)
for n in 1 2 3 4; do
  ok "train on $n ranks" "$n" "${long[@]}" --out "n-$n"
  same_adapter n-1 "n-$n"
  same_bits n-1/checkpoints/step-00000004.h5 "n-$n/checkpoints/step-00000004.h5"
done
expect_text '6 images of 16 x 16' err "train"
for how in yes no; do
  ok "--reuse $how" 2 "${long[@]}" --reuse "$how" --out "reuse-$how"
  same_adapter n-1 "reuse-$how"
done
ok "--recompute" 2 "${long[@]}" --recompute --out recomputed
same_adapter n-1 recomputed
ok "a scratch folder that is not there" 2 "${long[@]}" --reuse yes --scratch nowhere --out no-scratch
expect_text 'nowhere: results of frozen layers cannot be kept there' err "--scratch"
same_adapter n-1 no-scratch

short=("${job_is[@]}" --steps 4 --no-shuffle)
ok "plain" 1 "${short[@]}" --out plain
ok "buckets on 1 rank" 1 "${short[@]}" --buckets --out buckets-1
ok "buckets on 3 ranks" 3 "${short[@]}" --buckets --reuse yes --out buckets-3
same_adapter buckets-1 buckets-3
differ plain buckets-1 "--buckets"
for option in "--cut random" "--flip" "--caption-dropout 0.5" "--noise-offset 0.1" "--min-snr 5" "--timesteps logit-normal" "--text-encoder" "--seed 9"; do
  # shellcheck disable=SC2086
  ok "$option" 2 "${short[@]}" $option --out "with${option// /}"
  differ plain "with${option// /}" "$option"
done
mkdir -p classes/{0,3} things/"thing "{0,4}
cp photos/{rgb8,tall,wide}.png classes/0
cp photos/{rgb16,palette8}.png classes/3
cp classes/0/* "things/thing 0"
cp classes/3/* "things/thing 4"
ok "no autoencoder, classes" 2 train --model "$pixels" --data classes --resolution 8x12 --steps 3 --out classes-2
ranks 1 train --model "$pixels" --data photos --resolution 8x12 --steps 3 --out nothing
expect_error 1 'photos: its images have no classes, but the model makes images of 5' "images without a class"
of_things=(train --resolution 12 --batch-size 3 --micro-batch 2 --steps 6 --lr 1e-2 --caption-dropout 0.3)
for dit in dit dit_flow; do
  for n in 1 3; do
    ok "$dit on $n ranks" "$n" "${of_things[@]}" --data things --model "$root/tests/golden/diffusion/$dit" --out "$dit-$n"
  done
  same_adapter "$dit-1" "$dit-3"
done
ranks 1 "${of_things[@]}" --model "$root/tests/golden/diffusion/dit" --data classes --out nothing
expect_error 1 'classes: the class "0" is not among the model.s 5 .*name it as id2label' "a class that is not known"

# Pictures of the class: their loss is added with its weight; the bits do not depend on ranks, nor on where the files lie.
mkdir class
cp "$images"/{wide,rgb8}.png class
of_class=(train --model "$m" --data photos --resolution 16 --class-data class --class-caption "a picture" --lr 1e-2)
beside=("${of_class[@]}" --batch-size 4 --micro-batch 2 --flip)
for n in 1 2 3 4; do
  ok "pictures of the class on $n ranks" "$n" "${beside[@]}" --steps 5 --out "class-$n"
  same_adapter class-1 "class-$n"
done
expect_text '6 images and 2 of their class in 12 rows' err "--class-data"
first_loss() { # WEIGHT
  ok "--prior-weight $1" 1 "${beside[@]}" --steps 1 --prior-weight "$1" --out "weight-$1"
  sed -n 's/.*"event": "step".*"loss": \([-+.e0-9]*\).*/\1/p' "weight-$1/metrics.jsonl"
}
losses="$(first_loss 0) $(first_loss 1) $(first_loss 3)"
echo "$losses" | awk '{ exit !($2 - $1 > 0.1 && ($3 - $1 - 3 * ($2 - $1)) ^ 2 < 1e-10) }' || fail "--prior-weight 0, 1, 3: losses $losses"
ranks 1 "${of_class[@]}" --batch-size 5 --out nothing
expect_error 2 '--batch-size 5: with --class-data half of a batch is from there: give an even number' "an odd batch"
ranks 1 train --model "$m" --data photos --class-data nowhere --out nothing
expect_error 1 'nowhere: ' "class data that is not there"
ranks 1 "${job_is[@]}" --prior-weight 2 --out nothing
expect_error 2 '--prior-weight has no effect without --class-data' "a weight of nothing"
ranks 1 train --model "$root/tests/golden/diffusion/dit" --data things --class-data class --out nothing
expect_error 2 '--class-data: goes with a folder of images with captions, which things is not' "classes and --class-data"
ranks 1 "${job_is[@]}" --crop 2 --out nothing
expect_error 2 '--crop does not apply to photos, which holds images to learn, of which --cut random' "--crop"

# Killed and resumed on other numbers of ranks.
until_step() { # STEP RANKS
  start "$2" "${long[@]}" --steps 40 --save-every 3 --out killed
  await_step killed "$1"
  kill_job
  expect_status 137 "killed at step $1"
}
ok "undisturbed" 1 "${long[@]}" --steps 40 --save-every 3 --out whole
until_step 5 2
until_step 14 3
ok "resumed" 2 "${long[@]}" --steps 40 --save-every 3 --out killed
same_adapter whole killed

# Two text encoders: a caption has its tokens twice, but is too long only if one of the two has too many.
mkdir short long-caption
cp "$images/rgb8.png" short/
cp "$images/rgb8.png" long-caption/
echo "a red cat in" >short/rgb8.txt
echo "a red cat in a red ink and a red dog in ink" >long-caption/rgb8.txt
xl=(train --model "$root/tests/golden/diffusion/sdxl" --resolution 16 --batch-size 1 --steps 2 --lr 1e-2)
ok "short captions, two encoders" 1 "${xl[@]}" --data short --out xl-short
! grep -q truncated err || fail "a caption that fits is called truncated"
ok "long captions, two encoders" 1 "${xl[@]}" --data long-caption --out xl-long
expect_text '1 caption is longer than 9 tokens and truncated' err "a long caption"

#!/usr/bin/env bash
# Files that are not the program's stay as they are, whatever their names: beside a run's files, under their
# names, as inputs, through links, in the place of an output.
. "$(dirname "$0")/lib.sh"

m=$models/gpt2
job_is=(train --model "$m" --steps 4 --batch-size 8 --save-every 1 --keep 1)
data=(--data "$m/train.jsonl")

ranks 1 "${job_is[@]}" "${data[@]}" --out run
expect_status 0 "a run"
"$LORA_DIST" export --adapter run --out peft 2>err || fail "export"

# unchanged FOLDER WHAT COMMAND ...: every file, link and pipe in the folder is as it was.
shows() {
  find "$1" -mindepth 1 ! -name before ! -name after ! -name out ! -name err ! -name changes -printf '%p %y %l %i\n' -type f -exec sha256sum {} \; | sort
}
unchanged() {
  local folder=$1 what=$2
  shift 2
  shows "$folder" >before
  "$@"
  shows "$folder" >after
  diff before after >changes || fail "$what: $folder is not as it was: $(cat changes)"
}
# refused STATUS REGEX FOLDER ARGUMENT ...
refused() {
  local expected=$1 regex=$2 folder=$3
  shift 3
  unchanged "$folder" "$*" ranks 1 "$@"
  expect_error "$expected" "$regex" "$*"
}

# A folder with other files is not a run's: its files stay, and the run's are written beside them.
mkdir -p mixed/sub.tmp.7 mixed/checkpoints
for name in a.tmp.1 notes.tmp.2024 train.jsonl sub.tmp.7/file checkpoints/old.tmp.3 checkpoints/weights.h5; do echo mine >mixed/$name; done
cp -r mixed mixed.before
ranks 2 "${job_is[@]}" "${data[@]}" --out mixed
expect_status 0 "beside other files"
ranks 1 "${job_is[@]}" "${data[@]}" --out mixed
expect_status 0 "beside other files, again"
diff -r mixed.before mixed | grep -qE 'differ|Only in mixed.before' && fail "beside other files: one was lost"

# A run's file names in a folder that is not a run's.
for name in run.yaml metrics.jsonl best.h5 adapter.h5 report.html profile.json peft; do
  mkdir theirs-$name
  if [ $name = peft ]; then cp -r peft theirs-peft/peft; else echo mine >theirs-$name/$name; fi
  refused 1 "theirs-$name/$name: already exists.*another --out" theirs-$name "${job_is[@]}" "${data[@]}" --out theirs-$name
done

cp run/metrics.jsonl theirs-report.html/
refused 1 'theirs-report.html/report.html: already exists' theirs-report.html report theirs-report.html

# A model card in peft/ is reported before the training, not after it.
cp -r run card && echo mine >card/peft/README.md
refused 1 "card/peft: contains 'README.md', which would be lost" card "${job_is[@]}" "${data[@]}" --steps 8 --resume-override steps --out card

# Digests that are kept, in --out or --cache.
mkdir theirs-digests && echo mine >theirs-digests/digests.txt
ranks 1 "${job_is[@]}" "${data[@]}" --cache theirs-digests --out cached
expect_status 0 "--cache with a file of another"
expect_text 'warning: theirs-digests/digests.txt: was not made by this program' err "--cache with a file of another"
[ "$(cat theirs-digests/digests.txt)" = mine ] || fail "--cache: another's digests.txt is not as it was"

# Anything but a plain file in a run's folder.
mkdir elsewhere && cp -r run/checkpoints elsewhere/
for name in lock metrics.jsonl adapter.h5 report.html run.yaml; do
  cp -r run odd && rm odd/$name && ln -s ../elsewhere/made odd/$name
  refused 1 "odd/$name: is (not a file|a link)" odd "${job_is[@]}" "${data[@]}" --out odd
  [ ! -e elsewhere/made ] || fail "a dangling $name: its target was made"
  rm odd/$name && mkfifo odd/$name
  refused 1 "odd/$name: is not a" odd "${job_is[@]}" "${data[@]}" --out odd
  rm -r odd
done
cp -r run linked && rm -r linked/checkpoints && ln -s ../elsewhere/checkpoints linked/checkpoints
refused 1 'linked/checkpoints: is not a folder' elsewhere "${job_is[@]}" "${data[@]}" --steps 8 --out linked
cp -r run linked-file && ln -s ../elsewhere/checkpoints/step-00000004.h5 linked-file/checkpoints/step-00000001.h5
unchanged elsewhere "a linked checkpoint" ranks 1 "${job_is[@]}" "${data[@]}" --steps 6 --resume-override steps --out linked-file
expect_status 0 "a linked checkpoint"
[ -h linked-file/checkpoints/step-00000001.h5 ] || fail "a linked checkpoint was pruned"

# Another name of a metrics file keeps its records.
cp -r run snapped && ln snapped/metrics.jsonl snapshot.jsonl && cp snapshot.jsonl records
ranks 1 "${job_is[@]}" "${data[@]}" --steps 6 --resume-override steps --out snapped
same_bits records snapshot.jsonl

# Inputs under a run's file names, also under other names.
for name in metrics.jsonl adapter.h5 checkpoints/step-00000004.h5.tmp.5 report.html.tmp.1; do
  cp -r run input && cp "$m/train.jsonl" input/$name && ln input/$name hard.jsonl && ln -s input/$name soft.jsonl
  for path in input/$name input/../input/$name hard.jsonl soft.jsonl; do
    refused 2 "--data $path is input/$name, which this run would replace" input "${job_is[@]}" --data "$path" --out input
  done
  refused 2 "--valid soft.jsonl is input/$name" input "${job_is[@]}" "${data[@]}" --valid soft.jsonl --out input/
  rm -r input hard.jsonl soft.jsonl
done
cp -r run input && rm -r input/checkpoints
ln -s input by-link
for path in input input/peft by-link/adapter.h5; do
  refused 2 "--init-adapter $path is .*which this run would replace" input "${job_is[@]}" "${data[@]}" --init-adapter $path --out input
done
cp -r "$m" base
mkdir -p images/a images/b
for class in a b; do cp "$root"/tests/golden/images/{rgb8,grey8}.png images/$class; done
image_job=(train --model "$models/resnet_cifar" --new-head --steps 1)
refused 2 "--out images/run lies in --data images" images "${image_job[@]}" --data images --out images/run
refused 2 "--out images lies in --data images and would be read as data" images "${image_job[@]}" --data images --out images
ln -s images/b through
refused 2 "--out through/run lies in --valid images" images "${image_job[@]}" --data "$models/resnet_cifar/train.h5" --valid images --out through/run

# Outputs of other commands must be new.
echo mine >file.h5
ln -s file.h5 link.h5
ln -s nothing dangling.h5
mkfifo pipe.h5
mkdir full && echo mine >full/adapter_config.json && mkdir empty
ln -s full full-link
ln -s /proc/self/fd/1 stdout.h5                            # as /dev/stdout is
mknod device.h5 c 1 3 2>/dev/null || mkfifo device.h5      # as /dev/null is: never a test of the machine's own
for place in file.h5 link.h5 dangling.h5 pipe.h5 full device.h5 stdout.h5; do
  for command in "import --adapter peft" "export --adapter run" "merge --model $m --adapter run"; do
    # shellcheck disable=SC2086
    refused 1 "$place: already exists.*another --out" . $command --out $place
  done
done
for place in full-link merged/../full; do
  mkdir -p merged
  refused 1 "$place: already exists" . export --adapter peft --out $place
done
rm pipe.h5 device.h5 stdout.h5
refused 1 'file.h5: already exists' . convert --data file.h5 --out file.h5
refused 1 'peft: already exists' . export --adapter peft --out peft
refused 1 'run/adapter.h5: already exists' . import --adapter run --out run/adapter.h5
refused 2 "own folder" . merge --model base --adapter run --out ../"$(basename "$PWD")"/base
for out in empty/ new; do
  ranks 1 export --adapter run --out $out
  expect_status 0 "export to $out"
  same_bits $out/adapter_model.safetensors peft/adapter_model.safetensors
done

# Beside a new folder nothing is removed or replaced.
mkdir fresh.tmp.12 fresh.being-replaced && cp peft/* fresh.tmp.12 && cp peft/* fresh.being-replaced
for folder in fresh.tmp.12 fresh.being-replaced; do
  rm -rf fresh
  unchanged $folder "beside a new folder" ranks 1 export --adapter run --out fresh
done
expect_text 'warning: .*fresh.tmp.12: .*remove it' err "what a killed command may have left"

# A held lock is reported at once.
flock run/lock sleep 8 &
sleep 0.3
SECONDS=0
"$LORA_DIST" "${job_is[@]}" "${data[@]}" --out run 2>err &
job=$!
for ((i = 0; i < 300; i++)); do ! grep -q 'run/lock: in use' err || break; sleep 0.01; done
[ "$SECONDS" -le 4 ] || fail "the lock was waited for in silence"
expect_text 'run/lock: in use by another process; waiting up to 20 s' err "a lock that is held"
wait "$job"
status=$?
expect_status 0 "when the lock is free"

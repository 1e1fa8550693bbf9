#!/usr/bin/env bash
# Files are "the same" only if every byte is: damage between the blocks that digests of version 1 read is
# detected in a model, in data, on another host, at a resume and with --adapter. Digests are kept for the next
# start, which also works without them.
. "$(dirname "$0")/lib.sh"

mkdir here there
cp -r "$root/jobs/quickstart/base" here/m
cp "$root/jobs/quickstart/train.jsonl" "$root/jobs/quickstart/valid.jsonl" here/
cp -rp here/. there/

# damage FILE OFFSET: 3,000 bytes.
damage() { head -c 3000 /dev/zero | tr '\0' '=' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# in_tensor FILE NAME: the offset in the file of byte 2,000 of the tensor.
in_tensor() {
  local n begin
  n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
  begin=$(head -c $((8 + n)) "$1" | tail -c "$n" | sed "s/.*\"$2\":{[^}]*offsets\":\[\([0-9]*\),.*/\1/")
  echo $((8 + n + begin + 2000))
}

# separately ARGUMENT ...: a rank in each place.
separately() {
  timeout "$limit" mpirun --oversubscribe --bind-to none -np 1 -wdir "$scratch/here" "$LORA_DIST" "$@" : \
    -np 1 -wdir "$scratch/there" "$LORA_DIST" "$@" >out 2>err
  status=$?
}
ordinary() {
  (cd here && timeout "$limit" "$LORA_DIST" "$@") >out 2>err
  status=$?
}

job_is=(train --model m --data train.jsonl --valid valid.jsonl --steps 4 --save-every 2 --batch-size 4 --seq-len 32 --lr 1e-2)
ordinary "${job_is[@]}" --out whole
expect_status 0 "undisturbed run"
expect_text 'digests base 2:[0-9a-f]{16}, data 2:[0-9a-f]{16}; [0-9.]* MiB read' err "undisturbed run"

# Copies in both places are read where they are.
separately "${job_is[@]}" --out both
expect_status 0 "two copies"
expect_text 'files  *read directly by every host' err "two copies"
same_run here/whole here/both

# A damaged copy is not used.
model=model.safetensors
cp -p there/m/$model good.safetensors
damage there/m/$model "$(in_tensor there/m/$model model.embed_tokens.weight)"
cp -p there/m/$model bad.safetensors
[ "$(cmp -l good.safetensors bad.safetensors | wc -l)" -gt 2000 ] || fail "nothing was damaged"
separately "${job_is[@]}" --out model
expect_status 0 "a damaged copy of the model"
expect_text "warning: m/$model: rank 1 on host .* sees another file than rank 0 .*\(the same length, other bytes\): it receives rank 0's" err "a damaged copy of the model"
same_run here/whole here/model
cp -p good.safetensors there/m/$model
for name in train valid; do
  cp -p there/$name.jsonl good.jsonl
  damage there/$name.jsonl 2000
  separately "${job_is[@]}" --out $name
  expect_status 0 "a damaged copy of $name"
  expect_text "warning: $name.jsonl: rank 1 on host .* sees other data than rank 0" err "a damaged copy of $name"
  same_run here/whole here/$name
  cp -p good.jsonl there/$name.jsonl
done

# Another base is refused for an adapter, and for a resume.
other='was trained on another base \(digest 2:[0-9a-f]*; ../bad has 2:'
cp -r here/m bad
cp bad.safetensors bad/$model
for adapter in whole whole/adapter.h5 whole/peft; do
  ordinary eval --model ../bad --data valid.jsonl --seq-len 32 --adapter $adapter
  expect_error 1 "$other" "eval of $adapter on a damaged base"
done
ordinary generate --model ../bad --adapter whole --prompt once --max-tokens 1
expect_error 1 "$other" "generate on a damaged base"
ordinary merge --model ../bad --adapter whole --out merged
expect_error 1 "$other" "merge into a damaged base"
ordinary "${job_is[@]}" --init-adapter whole --model ../bad --out init
expect_error 1 "$other" "--init-adapter on a damaged base"
ordinary eval --model ../bad --data valid.jsonl --seq-len 32 --adapter whole --other-base
expect_status 0 "--other-base"
cp -r here/whole here/resumed
rm -r here/resumed/checkpoints/step-00000004.h5 here/resumed/adapter.h5
cp -p here/m/$model kept.safetensors
cp -p bad.safetensors here/m/$model # with the old size and modification time: only the inode's change time differs
ordinary "${job_is[@]}" --out resumed
expect_error 1 'another base \(digest 2:' "a resume on a damaged base"
cp -p kept.safetensors here/m/$model
cp -p here/m/config.json kept.json
echo >>here/m/config.json
ordinary "${job_is[@]}" --out resumed
expect_error 1 "another config.json or tokenizer of the base.*--resume-override base" "a resume with another config.json"
ordinary "${job_is[@]}" --out resumed --resume-override base
expect_status 0 "a resume with another config.json that is taken"
cp -p kept.json here/m/config.json

# A digest of version 1, in an adapter from an older program, is compared with one made in the same way.
old=$root/tests/golden/old
cp -r "$models/gpt2" another
put_bytes another/$model "$(($(in_tensor another/$model transformer.h.0.ln_1.weight) - 2000))" other
for adapter in "$old/adapter.h5" "$old/peft"; do
  ranks 1 eval --model "$models/gpt2" --data "$models/gpt2/train.jsonl" --adapter "$adapter"
  expect_status 0 "an adapter of version 1"
  expect_text 'knows its base by a digest of version 1' err "an adapter of version 1"
  ranks 1 eval --model another --data "$models/gpt2/train.jsonl" --adapter "$adapter"
  expect_error 1 'was trained on another base' "an adapter of version 1 on another base"
done
mkdir -p of_old/checkpoints
cp "$old/step-00000002.h5" of_old/checkpoints/
for n in 2 1; do
  cp -r of_old of_old_$n
  ranks $n train --model "$models/gpt2" --data "$models/gpt2/train.jsonl" --out of_old_$n --rank 1 --steps 4 --save-every 2 --batch-size 4
  expect_status 0 "a checkpoint of version 1 on $n ranks"
  expect_text 'a digest of version 1 of the data' err "a checkpoint of version 1 on $n ranks"
  expect_text 'a digest of version 1 of the base' err "a checkpoint of version 1 on $n ranks"
done
head -n 60 "$models/gpt2/train.jsonl" >less.jsonl
cp -r of_old of_less
ranks 1 train --model "$models/gpt2" --data less.jsonl --out of_less --rank 1 --steps 4 --save-every 2 --batch-size 4
expect_error 1 'another data \(digest 2:[0-9a-f]*, was [0-9a-f]{16}\)' "a checkpoint of version 1 and other data"

# Kept digests save the reading, until a file is touched, or --verify asks for it.
known='digests .*; known from the last start'
sleep 2.5 # files that were just written are not trusted to keep their stamps
start_again() { # WHAT REGEX ARGUMENT ...
  rm -rf here/kept/checkpoints
  ordinary "${job_is[@]}" --out kept "${@:3}"
  expect_status 0 "$1"
  expect_text "$2" err "$1"
  same_bits here/whole/adapter.h5 here/kept/adapter.h5
}
start_again "first start" 'MiB read in'
start_again "second start" "$known"
start_again "--verify" 'MiB read in' --verify
touch here/m/$model
start_again "a file that was touched" '2.5 MiB read in'
touch here/m/$model
sleep 2.5
start_again "touched again" '2.5 MiB read in'
start_again "after that" "$known"
(cd here && cp m/$model ../copy && cp ../copy m/new && mv m/new m/$model && rm ../copy)
start_again "a file that was replaced" '2.5 MiB read in'
sleep 2.5
start_again "kept again" '2.5 MiB read in'
put_bytes here/kept/digests.txt 60 x
start_again "a damaged digests.txt" 'MiB read in'
start_again "after it was written again" "$known"
[ "$(ls here/m)" = "$(ls "$root/jobs/quickstart/base")" ] || fail "the model's folder holds something new: $(ls here/m)"

# --cache holds digests for all commands and for two jobs at a time, and losing it is not an error.
for n in 1 2; do
  (cd here && "$LORA_DIST" "${job_is[@]}" --out "job-$n" --cache "$scratch/cache" 2>"$scratch/job-$n") &
done
wait
ordinary "${job_is[@]}" --out job-3 --cache "$scratch/cache"
expect_text "$known" err "a third job with --cache"
[ ! -e here/job-3/digests.txt ] || fail "digests in --out beside those in --cache"
cp cache/digests.txt before.txt
for command in "eval --data valid.jsonl --seq-len 32" "generate --prompt once --max-tokens 1" "merge --out ../merged"; do
  # shellcheck disable=SC2086
  ordinary $command --model m --adapter whole --cache "$scratch/cache"
  expect_status 0 "$command --cache"
done
same_bits before.txt cache/digests.txt
echo "a file" >no_folder
ordinary "${job_is[@]}" --out job-4 --cache "$scratch/no_folder"
expect_status 0 "--cache that cannot be written"
expect_text 'warning: .*no_folder.*is not kept' err "--cache that cannot be written"
same_run here/whole here/job-4

#!/usr/bin/env bash
# An adapter depends on base, data, options and seed: not on how a path was spelled, from where the job was
# started, where base, data and output are, the number of ranks or of threads, the host or the time. Only
# peft/ says where the base is, for PEFT, by its real path.
. "$(dirname "$0")/lib.sh"

mkdir a b
cp -r "$models/gpt2" a/m
cp a/m/train.jsonl a/data.jsonl
ln -s m a/link
here=$(pwd -P)

# run OUT FOLDER MODEL DATA [MORE]: with an --out that is spelled in as many ways.
run() {
  local n=1
  [[ " ${*:5} " != *" --two "* ]] || n=2
  cd "$2" || exit 1
  # shellcheck disable=SC2046
  ranks $n train --model "$3" --data "$4" --valid "$4" --steps 6 --save-every 3 --eval-every 3 --batch-size 6 --lr 1e-2 \
    --out "$1" $(echo " ${*:5} " | sed 's/ --two / /')
  cp err "$here/err"
  expect_status 0 "$1"
  cd "$here" || exit 1
}
same_files() { # FIRST SECOND: of runs on one base
  local name
  for name in adapter.h5 best.h5 checkpoints/step-00000003.h5 checkpoints/step-00000006.h5; do same_bits "$1/$name" "$2/$name"; done
  diff -r "$1/peft" "$2/peft" >differences || fail "$1/peft and $2/peft differ"
}
run plain a m data.jsonl
run ./slashed/ a ./m/ ./data.jsonl
run "$here/absolute" a "$here/a/m" "$here/a/data.jsonl"
run ../b/elsewhere b ../a/m ../a/data.jsonl
run dotted . a/./m//../m a//data.jsonl
run linked a link data.jsonl
run two a m data.jsonl --two --threads 2
run later a m data.jsonl --recompute --patience 40 --cache "$here/cache"
for other in a/slashed absolute b/elsewhere dotted a/linked a/two a/later; do same_files a/plain "$other"; done
expect_text "\"base_model_name_or_path\": \"$here/a/m\"" a/plain/peft/adapter_config.json "the base's place"
! grep -aqF -e "$here" -e data.jsonl a/plain/adapter.h5 a/plain/checkpoints/*.h5 a/plain/peft/adapter_model.safetensors || fail "a path is in a file"

# PEFT folders that are made from an adapter later say where the base is when it is given.
ranks 1 export --adapter a/plain/adapter.h5 --out exported
expect_text '"base_model_name_or_path": null' exported/adapter_config.json "export"
ranks 1 export --adapter a/plain/adapter.h5 --model a/./m/ --out exported_of
expect_text "\"base_model_name_or_path\": \"$here/a/m\"" exported_of/adapter_config.json "export --model"

# The same base in another place, in shards with other names.
cp -r a/m b/moved
"$LORA_DIST" inspect b/moved | sed -n 's/^  *\([a-z_.0-9]*\(weight\|bias\)\) .*/"\1": "part-1.safetensors"/p' >tensors
mv b/moved/model.safetensors b/moved/part-1.safetensors
printf '{"weight_map": {%s}}' "$(paste -sd , tensors)" >b/moved/model.safetensors.index.json
cp a/data.jsonl b/other_name.jsonl
run ran b moved other_name.jsonl
for name in adapter.h5 best.h5 peft/adapter_model.safetensors; do same_bits "a/plain/$name" "b/ran/$name"; done

# An initial adapter is identified by its contents, in whichever form: a checkpoint, a PEFT folder, a run.
cp -r a/plain/peft b/peft_of_plain
cp a/plain/adapter.h5 b/some.h5
run init-1 a m data.jsonl --init-adapter plain
run init-2 a ./m data.jsonl --init-adapter ../b/peft_of_plain/
run init-3 a m data.jsonl --init-adapter "$here/b/some.h5"
same_files a/init-1 a/init-2
same_files a/init-1 a/init-3
! cmp -s a/init-1/adapter.h5 a/plain/adapter.h5 || fail "an initial adapter changes nothing"

# A run resumes however the initial adapter is spelled, also when it is gone, but not with another or none.
begin_again() { rm -rf a/again && cp -r a/init-1 a/again && rm a/again/checkpoints/step-00000006.h5 a/again/adapter.h5; }
begin_again
run again a m data.jsonl --init-adapter ../b/some.h5 --threads 3
same_files a/init-1 a/again
begin_again
run again a m data.jsonl --init-adapter nowhere.h5
expect_text '--init-adapter nowhere.h5 no longer exists, which is harmless' err "an initial adapter that is gone"
same_files a/init-1 a/again
refused() { # REGEX ARGUMENT ...
  begin_again
  ranks 1 train --model a/m --data a/data.jsonl --steps 6 --save-every 3 --batch-size 6 --lr 1e-2 --out a/again "${@:2}"
  expect_error 1 "$1" "resuming with ${*:2}"
}
refused '--init-adapter none \(was: 2:[0-9a-f]*\).*--resume-override init-adapter'
refused '--init-adapter 2:[0-9a-f]* \(was: 2:' --init-adapter a/init-1/checkpoints/step-00000003.h5
ranks 1 train --model a/m --data a/data.jsonl --steps 6 --save-every 3 --batch-size 6 --lr 1e-2 --out a/again \
  --init-adapter a/init-1/checkpoints/step-00000003.h5 --resume-override init-adapter
expect_status 0 "--resume-override init-adapter"

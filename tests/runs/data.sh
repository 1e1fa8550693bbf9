#!/usr/bin/env bash
# Unused parts of the data are counted and named once, on any number of ranks; what is trained is shown byte
# for byte; settings that are probably unintended give a warning; fewer rows than a batch make a short one.
. "$(dirname "$0")/lib.sh"

g=$models/gpt2 b=$models/bert r=$models/resnet_cifar
images=$root/tests/golden/images

# dry N MODEL DATA ARGUMENT ...: a dry run, which prints what it would do.
dry() {
  ranks "$1" train --model "$2" --data "$3" --out never --dry-run "${@:4}"
  expect_status 0 "$3 on $1 ranks"
}
# once REGEX WHAT: the messages have exactly one such line.
once() {
  [ "$(grep -cE -- "$1" err)" = 1 ] || fail "$2: not one line with '$1'"
}
never() {
  ! grep -qE -- "$1" err || fail "$2: '$1'"
}

# Keys, counted over the parts of all ranks.
for i in 1 2 3 4 5; do echo "{\"id\": $i, \"text\": \"the window\", \"label\": \"$((i % 3))\", \"source\": \"x\"}"; done >keys.jsonl
echo '{"text": "a", "idx": 7, "text_pair": "b", "label": null, "source": null}' >>keys.jsonl
echo '{"messages": [{"role": "user", "content": "a", "name": "x"}, {"role": "assistant", "content": "b"}], "tools": []}' >chat.jsonl
for n in 1 3; do
  dry $n "$b" keys.jsonl
  once 'warning: keys\.jsonl: not used: the keys "id" \(5\), "source" \(5\), "idx" \(1\)$' "keys on $n ranks"
  once 'warning: keys\.jsonl: 1 record has no label and is left out$' "keys on $n ranks"
  dry $n "$g" keys.jsonl
  once 'not used: the keys "id" \(5\), "label" \(5\), "source" \(5\), "idx" \(1\), "text_pair" \(1\) \(a language' "keys on $n ranks"
  dry $n "$root/jobs/quickstart/base" chat.jsonl
  once 'not used: the keys "tools" \(1\), "messages\[\]\.name" \(1\)$' "chat keys on $n ranks"
done

# Columns, of data and of validation data.
printf 'index\tquestion\tsentence\tlabel\n0\ta\tb\tx\n1\tc\td\ty\n' >qnli.tsv
printf 'id,sentence1,sentence2,label,label1\n0,a,b,x,z\n1,c,d,y,z\n' >dev.csv
for n in 1 2; do
  dry $n "$b" qnli.tsv --valid dev.csv
  once 'warning: qnli\.tsv: not used: the columns "index"$' "columns on $n ranks"
  once 'warning: dev\.csv: not used: the columns "id", "label1"$' "columns on $n ranks"
  expect_text '^sample  \[CLS\] a \[SEP\] \[UNK\] \[SEP\], label x' err "a pair on $n ranks"
done

# Records that are truncated, or have no target or no token; also in validation data and for eval.
printf '%s\n' '{"prompt": "the window", "completion": " paints"}' '{"prompt": "the window paints the market", "completion": " a"}' \
  '{"prompt": "", "completion": ""}' >cut.jsonl
ranks 2 eval --model "$g" --data cut.jsonl --seq-len 7
expect_status 0 "eval of long records"
once 'warning: cut\.jsonl: 1 record is longer than --seq-len 7 tokens and truncated$' "a long record"
dry 2 "$g" keys.jsonl --valid cut.jsonl --seq-len 7
once 'warning: cut\.jsonl: 1 record is longer than' "a long record for validation"
once 'warning: cut\.jsonl: 2 records have no target token and are left out$' "a record without target"

# Images of other kinds, rotated images, folders that are not classes; names in HDF5.
mkdir -p set/rose set/tulip splits/train/rose splits/valid/rose
cp "$images"/{rgb8,rgb16}.png "$images/turned_6.jpg" set/rose
cp "$images"/{wide,turned_png_exif}.png set/tulip
touch set/rose/{a.tiff,b.gif,c.TIFF,Thumbs.db} set/tulip/.a.png set/list.csv
cp "$images/rgb8.png" splits/train/rose
cp "$images/rgb8.png" splits/valid/rose
for n in 1 2; do
  dry $n "$r" set
  once 'warning: set: skipped, .*: \.db \(1\), \.tiff \(2\), \.gif \(1\), hidden \(1\), \.csv beside the class folders \(1\)$' "images on $n ranks"
  once 'images +set: 2 are turned upright' "images on $n ranks"
  dry $n "$r" "$images/names_more.h5"
  once 'not used: the names of classes without an image "e"$' "names on $n ranks"
  once 'not used: the objects "masks", "attribute names", "attribute layout", "attribute classes"$' "objects on $n ranks"
  expect_text '^head +new: 4 classes \(a, b, c, d\)' err "names on $n ranks"
done
bad 1 "splits: the folder 'train' in it is a split .* give splits/train" "splits as classes" train --model "$r" --data splits --out never
for file in few:'3 names, but image 4 has label 3' one:'is one text' numbers:'must be a list of texts' empty:'empty name'; do
  bad 1 "names_${file%%:*}\.h5: .*${file#*:}" "names_${file%%:*}" train --model "$r" --data "$images/names_${file%%:*}.h5" --out never
done

# processor_config.json has precedence over preprocessor_config.json; without a type, config.json's is used.
rule='"size": 32, "image_mean": 0.1, "image_std": 0.3, "resample": 3'
for kind in plain nested typed; do
  mkdir $kind
  cp "$r/model.safetensors" "$r/config.json" $kind
done
echo "{\"image_processor_type\": \"ViTImageProcessor\", $rule}" >plain/preprocessor_config.json
echo "{\"image_processor\": $(cat plain/preprocessor_config.json)}" >nested/processor_config.json
echo '{"size": 9, "image_mean": 0, "image_std": 1}' >nested/preprocessor_config.json
sed '1s/{/{"image_processor_type": "ViTImageProcessor",/' "$r/config.json" >typed/config.json
echo "{$rule}" >typed/preprocessor_config.json
for kind in plain nested typed; do
  ranks 1 predict --model $kind --data "$images/good.h5"
  expect_status 0 "predict, $kind"
  mv out $kind.out
  same_bits plain.out $kind.out
done

# What is trained, with the spaces before it; tabs and other control characters as in C.
printf '{"prompt": "the\\tmarket:", "completion": " a window\\n"}\n{"prompt": "b\\\\\\\\n", "completion": "c"}\n' >prompts.jsonl
for n in 1 2; do
  dry $n "$g" prompts.jsonl
  expect_text '^sample  the\\tmarket:\[\[ a window\\n<\|endoftext\|>\]\] ' err "the sample on $n ranks"
done
mkdir spaces && cp "$g"/{config.json,model.safetensors} spaces
cat >spaces/tokenizer.json <<'JSON'
{"added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true},
 "post_processor": null, "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true},
 "model": {"type": "BPE", "vocab": {"<unk>": 0, "▁": 1, "a": 2, "b": 3, ":": 4, "▁b": 5}, "merges": ["▁ b"], "unk_token": "<unk>"}}
JSON
echo '{"tokenizer_class": "PreTrainedTokenizerFast"}' >spaces/tokenizer_config.json
echo '{"prompt": "a a:", "completion": " b b"}' >one.jsonl
dry 1 spaces one.jsonl
expect_text '^sample  a a:\[\[ b b' err "the space before a target"

# No end token; a warm-up that never ends; fewer rows than a batch.
never 'names no end token' "an end token"
sed 's/"eos_token_id": 319/"eos_token_id": null/' "$g/config.json" >spaces/config.json
dry 1 spaces one.jsonl
once 'warning: spaces: names no end token' "no end token"
dry 1 "$g" prompts.jsonl --steps 5 --warmup 6
once 'warning: --warmup 6 is longer than the run of 5 steps: the learning rate never reaches' "a long warmup"
dry 1 "$g" prompts.jsonl --steps 5 --warmup 5
never '--warmup' "a warmup of all steps"
for n in 1 3; do
  ranks $n train --model "$g" --data prompts.jsonl --out "short-$n" --batch-size 64 --micro-batch 1 --steps 3 --lr 1e-2
  expect_status 0 "two rows for a batch of 64, $n ranks"
done
same_run short-1 short-3
ranks 2 train --model "$g" --data prompts.jsonl --out whole --batch-size 2 --micro-batch 1 --steps 3 --lr 1e-2
same_bits whole/peft/adapter_model.safetensors short-1/peft/adapter_model.safetensors

# The memory line includes reading the longest record: 8 bytes for each of its bytes.
{ printf '{"text": "' && head -c 1000000 /dev/zero | tr '\0' a && echo '"}'; } >long.jsonl
ranks 1 train --model "$g" --data long.jsonl --steps 1 --dry-run
expect_status 0 "a long record"
expect_text '^memory per rank .*longest record 7\.6' out "a long record"

# Raw text begins with the token that the tokenizer puts first, as a record does.
mkdir begins && cp "$g"/*.json "$g/model.safetensors" begins/
sed 's/"post_processor": *null/"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [319], "tokens": ["<|endoftext|>"]}}}/' "$g/tokenizer.json" >begins/tokenizer.json
for i in $(seq 400); do printf 'the market %d and the harbour. ' "$i"; done >long.txt
printf '{"text": "%s"}\n' "$(cat long.txt)" >long.jsonl
for data in long.txt long.jsonl; do
  for model in begins "$g"; do
    ranks 1 train --model "$model" --data "$data" --no-shuffle --seq-len 40 --batch-size 1 --steps 1 --out "$(basename "$model")-$data"
    expect_status 0 "$data of $model"
  done
done
[ "$(losses begins-long.txt)" = "$(losses begins-long.jsonl)" ] || fail "raw text: not the first token of a record"
[ "$(losses begins-long.txt)" != "$(losses gpt2-long.txt)" ] || fail "raw text: the first token changes nothing"

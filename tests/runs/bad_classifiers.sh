#!/usr/bin/env bash
# Faults in a classifier's model, data, options or adapter: each gives one error line that names it, on one
# rank and on two, soon, and loses no existing file.
. "$(dirname "$0")/lib.sh"
limit=20

b=$models/bert
r=$models/resnet_cifar
g=$models/gpt2
texts=$b/train.jsonl
images=$r/train.h5
golden=$root/tests/golden/images
small=(--batch-size 4 --steps 2 --save-every 1)
for model in "$b $texts text" "$r $images image" "$g $g/train.jsonl language"; do
  # shellcheck disable=SC2086
  set -- $model
  ranks 1 train --model "$1" --data "$2" --out "$3" "${small[@]}"
  expect_status 0 "good run, $3"
done
cp -r text text.before
cp -r image image.before

bad_text() { # DATA REGEX ARGUMENT ...
  bad 1 "$2" "$1" train --model "$b" --data "$1" --out never "${small[@]}" "${@:3}"
}
bad_images() { # DATA REGEX ARGUMENT ...
  bad 1 "$2" "$1" train --model "$r" --data "$1" --out never "${small[@]}" "${@:3}"
}

# Labels. relabel LINE VALUE: eight records, one with that label.
relabel() { head -n 8 "$texts" | sed "$1s/\"label\": .*}/\"label\": $2}/"; }
relabel 5 '"odd"' >odd.jsonl
bad 1 'odd\.jsonl: line 5: label: "odd" is not among the 3 known ones' "eval, an unknown label" eval --model "$b" --data odd.jsonl
bad 1 'odd\.jsonl: .*label.*"?odd"?' "eval with adapter, an unknown label" eval --model "$b" --adapter text --data odd.jsonl
bad 1 'odd\.jsonl: .*label.*"?odd"?' "--valid with an unknown label" \
  train --model "$b" --data "$texts" --valid odd.jsonl --out text "${small[@]}"
relabel 6 3 >mixed.jsonl
bad_text mixed.jsonl 'mixed\.jsonl: (line 6: )?label: .*(names|numbers)'
relabel 1,8 7 >large.jsonl
bad 1 'large\.jsonl: .*label 7.* 0 to 2' "a label too large" eval --model "$b" --data large.jsonl
relabel 1,8 0.5 >float.jsonl
bad 1 'float\.jsonl: .*fractions.*3 classes.*--labels 1' "fractions for classes" eval --model "$b" --data float.jsonl
bad_text float.jsonl 'float\.jsonl: .*fractions.*--labels 1' --labels 3
relabel 1,8 -1 >negative.jsonl
bad 1 'negative\.jsonl: line 1: label: -1' "a negative label" eval --model "$b" --data negative.jsonl
relabel 4 '[1]' >list.jsonl
bad_text list.jsonl 'list\.jsonl: line 4: label: .*list'
relabel 4 '""' >nameless.jsonl
bad_text nameless.jsonl 'nameless\.jsonl: line 4: label: .*empty'
relabel 1,8 null >null.jsonl
bad_text null.jsonl 'null\.jsonl: none of its .* has a label'
relabel 1,8 '"lonely"' >lonely.jsonl
bad_text lonely.jsonl "lonely\.jsonl: every label is 'lonely'.*--labels"
relabel 1,8 0 >zero.jsonl
bad_text zero.jsonl "zero\.jsonl: every label is '0'.*--labels" --new-head
relabel 1,8 1 >ones.jsonl
bad 1 "ones\.jsonl: has numbers as labels, but .*train\.jsonl has names" "--valid with numbers beside names" \
  train --model "$b" --data "$texts" --valid ones.jsonl --out never "${small[@]}"
bad 2 "--labels: '-1'" "--labels -1" train --model "$b" --data "$texts" --out never --labels -1
bad 1 '--labels 2: .*3 different labels' "--labels 2" train --model "$b" --data "$texts" --out never --labels 2

# Tables.
printf 'text\tcolour\na\tred\nb\tblue\n' >colour.tsv
bad_text colour.tsv 'colour\.tsv: none of its .* has a label'
printf 'colour\tlabel\na\tb\n' >textless.tsv
bad_text textless.tsv 'textless\.tsv: line 1: .*"colour".*text'
printf 'text\tlabel\na\tx\nc\n' >cells.tsv
bad_text cells.tsv 'cells\.tsv: line 3: 1 cells?, .*2 columns'
printf 'text,label\na,x\nc,d,e\n' >cells.csv
bad_text cells.csv 'cells\.csv: line 3: 3 cells?, .*2 columns'
printf 'text,label\na,x\n"c,d\n' >quote.csv
bad_text quote.csv 'quote\.csv: line 3: .*quote'
printf 'sentence,text,label\na,b,c\n' >two.csv
bad_text two.csv 'two\.csv: line 1: .*two columns'
printf 'text,label\na,x\nb\xff,y\n' >latin.csv
bad_text latin.csv 'latin\.csv: line 3: .*UTF-8'
printf 'text,label\na,1\nb,nan\n' >nan.csv
bad_text nan.csv 'nan\.csv: line 3: label: .*nan'
printf 'text,label\n' >header.csv
bad_text header.csv 'header\.csv: .*no records'
: >empty.csv
bad_text empty.csv 'empty\.csv: .*no records'

# Data of one kind, a model of another.
bad_text "$g/train.jsonl" 'train\.jsonl: line 1: .*"prompt".*"text"'
bad_text "$images" 'train\.h5: .*a classifier of texts.*\.jsonl'
echo "a text" >plain.txt
bad_text plain.txt 'plain\.txt: .*a classifier of texts.*\.jsonl'
printf 'mira B-PER\n' >words.conll
bad_text words.conll 'words\.conll: a \.conll file; a classifier of texts takes .*\.jsonl'
! grep -q '\.bio' err || fail "a classifier of texts is said to take tagged words"
bad_images "$texts" 'train\.jsonl: .*a classifier of images.*(folder|\.h5)'
mkdir -p torn.folder/a
head -c 200 "$golden/rgb8.png" >torn.folder/a/x.png
bad_images torn.folder 'torn\.folder: its only image cannot be read: .*a/x\.png: broken PNG \(the file is cut off\)'
! grep warning err || fail "an image that cannot be read is named twice"
bad_images plain.txt 'plain\.txt: .*a classifier of images.*(folder|\.h5)'
bad 1 'train\.h5: .*a language model.*\.jsonl' "images for a language model" \
  train --model "$g" --data "$images" --out language "${small[@]}"
bad 1 'bert.*classifies.*predict' "generate with a classifier" generate --model "$b" --prompt a
bad 1 'resnet_cifar.*classifies.*predict' "generate with a classifier of images" generate --model "$r" --prompt a
bad 1 'train\.jsonl: its records are of the form "text", in which there is nothing to write' "a language model for labelled texts" predict --model "$g" --data "$texts"

# The model's config, tokenizer and weights.
base() { # NAME [MODEL]
  mkdir "$1"
  cp "${2:-$b}"/*.json "${2:-$b}/model.safetensors" "$1"
}
# bad_config NAME MODEL DATA SED REGEX
bad_config() {
  base "$1" "$2"
  tr '\n' ' ' <"$2/config.json" | sed "$4" >"$1/config.json"
  ! cmp -s <(tr '\n' ' ' <"$2/config.json") "$1/config.json" || fail "$1: the config is still the good one"
  bad 1 "$5" "$1" train --model "$1" --data "$3" --out never "${small[@]}"
}
bad_config several "$r" "$images" 's/{/{"problem_type": "multi_label_classification",/' \
  'several/config\.json: problem_type "multi_label_classification"'
bad_config regression "$b" "$texts" 's/{/{"problem_type": "regression",/' 'regression/config\.json: problem_type "regression"'
bad_config relative "$b" "$texts" 's/{/{"position_embedding_type": "relative_key",/' \
  'relative/config\.json: position_embedding_type "relative_key"'
bad_config gelu "$b" "$texts" 's/"gelu"/"gelu_odd"/' 'gelu/config\.json: hidden_act "gelu_odd"'
bad_config heads "$b" "$texts" 's/"num_attention_heads": [0-9]*/"num_attention_heads": 5/' 'heads/config\.json: num_attention_heads'
bad_config layers "$b" "$texts" 's/"num_hidden_layers": 2/"num_hidden_layers": 3/' "layers: .*'bert\.encoder\.layer\.2\."
bad_config decoder "$b" "$texts" 's/"is_decoder": false/"is_decoder": true/' 'decoder/config\.json: is_decoder'
bad_config tokens "$b" "$texts" 's/ForSequenceClassification/ForQuestionAnswering/' 'tokens/config\.json: architectures "BertForQuestionAnswering"'
bad_config deep "$r" "$images" 's/"depth": 8/"depth": 14/' "deep: .*'layer1\.1\."
bad_config odd "$r" "$images" 's/"depth": 8/"depth": 9/' 'odd/config\.json: depth .*6 n \+ 2'
bad_config endless "$r" "$images" 's/"depth": 8/"depth": 600000002/' 'endless'
bad_config shortcut "$r" "$images" 's/"shortcut": "A"/"shortcut": "C"/' 'shortcut/config\.json: shortcut .*"C"'
bad_config projected "$r" "$images" 's/"shortcut": "A"/"shortcut": "B"/' "projected: .*shortcut.*missing"
bad_config grey "$r" "$images" 's/{/{"num_channels": 1,/' "grey: .*conv1\.weight.*\(16, 1, 3, 3\)"
hf=$models/resnet_basic
bad_config channels "$hf" "$images" 's/"num_channels": 3/"num_channels": 4/' 'channels/config\.json: num_channels .*4'
bad_config depths "$hf" "$images" 's/"depths": \[[^]]*\]/"depths": [1, 3, 1]/' "depths: .*stages\.1\.layers\.2\..*missing"
bad_config no-depths "$hf" "$images" 's/"depths": \[[^]]*\]/"depths": []/' 'no-depths/config\.json: depths'
bad_config layer "$hf" "$images" 's/"layer_type": "basic"/"layer_type": "thin"/' 'layer/config\.json: layer_type'
bad_config bottleneck "$hf" "$images" 's/"layer_type": "basic"/"layer_type": "bottleneck"/' 'bottleneck: .*convolution\.weight.*shape'

# bad_rule NAME SED REGEX: preprocessor_config.json.
bad_rule() {
  base "$1" "$r"
  tr '\n' ' ' <"$r/preprocessor_config.json" | sed "$2" >"$1/preprocessor_config.json"
  bad 1 "$1/preprocessor_config\.json: .*$3" "$1" train --model "$1" --data "$images" --out never "${small[@]}"
}
bad_rule cut-rule 's/.\{20\}$//' 'line [0-9]'
bad_rule std-zero 's/0\.229/0/' 'image_std'
bad_rule std-two 's/0\.229, *//' 'image_std.* 2 .*3 channels'
bad_rule resample 's/{/{"resample": 4,/' 'resample: 4'
bad_rule size-zero 's/"height": 32/"height": 0/' 'size: 0'
bad_rule size-huge 's/"height": 32/"height": 100000/' 'size: 100000'
bad_rule size-word 's/"height": 32/"height": "x"/' 'size.*string'
bad_rule rule-list 's/.*/[1]/' 'object'

# bad_tokenizer NAME SED REGEX: tokenizer.json as it is (BERT's own class would only use its vocabulary).
bad_tokenizer() {
  base "$1"
  echo '{"tokenizer_class": "PreTrainedTokenizerFast"}' >"$1/tokenizer_config.json"
  sed -i "$2" "$1/tokenizer.json"
  ! cmp -s "$b/tokenizer.json" "$1/tokenizer.json" || fail "$1: the tokenizer is still the good one"
  bad 1 "$3" "$1" train --model "$1" --data "$texts" --out never "${small[@]}"
}
bad_tokenizer cut-pieces '120,$d' 'cut-pieces/tokenizer\.json: line [0-9]+'
bad_tokenizer word-level 's/"WordPiece"/"WordLevel"/' 'word-level/tokenizer\.json: .*WordLevel'
bad_tokenizer prefix 's/"continuing_subword_prefix": "##"/"continuing_subword_prefix": 3/' 'prefix/tokenizer\.json: .*continuing_subword_prefix'
bad_tokenizer longest 's/"max_input_chars_per_word": 100/"max_input_chars_per_word": -1/' 'longest/tokenizer\.json: .*max_input_chars_per_word'
bad_tokenizer huge-id 's/"\[UNK\]": 1/"[UNK]": 2000000000/' 'huge-id/tokenizer\.json: .*\[UNK\]'
bad_tokenizer normalizer 's/"BertNormalizer"/"OddNormalizer"/' 'normalizer/tokenizer\.json: .*OddNormalizer'
bad_tokenizer unknown 's/"unk_token": "\[UNK\]"/"unk_token": "[ODD]"/' 'unk_token.*\[ODD\]'

# bad_vocabulary NAME REGEX: vocab.txt, from the standard input, in place of tokenizer.json.
bad_vocabulary() {
  base "$1"
  rm "$1/tokenizer.json"
  cat >"$1/vocab.txt"
  bad 1 "$2" "$1" train --model "$1" --data "$texts" --out never "${small[@]}"
}
bad_vocabulary garbage-vocabulary 'garbage-vocabulary/vocab\.txt: .*UTF-8' < <(head -c 3000 "$b/model.safetensors")
bad_vocabulary cut-vocabulary '\[UNK\]' < <(printf '[PAD]\nthe\na\n')
bad_vocabulary empty-vocabulary '\[UNK\]|empty|no ' </dev/null
(printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n' && seq 400) >long.txt
echo '{"text": "399", "label": "neutral"}' >late.jsonl
base long-vocabulary && rm long-vocabulary/tokenizer.json && mv long.txt long-vocabulary/vocab.txt
bad 1 'long-vocabulary.*404.*vocab_size' "vocab.txt longer than the model's" eval --model long-vocabulary --data late.jsonl
base no-vocabulary && rm no-vocabulary/tokenizer.json
bad 1 'no-vocabulary: .*tokenizer\.json, vocab\.txt' "no tokenizer" eval --model no-vocabulary --data "$texts"

# Images.
for file in channels_first:shape external:stored few_labels:labels flat:dimensions float_images:uint8 float_labels:integers \
  large_label:'label [0-9]+' same_names:'"rose" twice' linked:images lzf:gzip negative_label:'label -1' no_images:images plain:labels sparse:images virtual:stored; do
  cp "$golden/${file%%:*}.h5" .
  bad_images "${file%%:*}.h5" "${file%%:*}\.h5: .*${file#*:}"
done
head -c 9000 "$images" >torn.h5
bad_images torn.h5 'torn\.h5: .*(damaged|truncated)'
: >hollow.h5
bad_images hollow.h5 'hollow\.h5: .*HDF5'
mkdir -p nothing half/empty half/full broken/a broken/b
cp "$golden"/rgb*.png half/full
bad_images nothing 'nothing: no PNG, JPEG or WebP'
bad_images half 'half/empty: .*no PNG, JPEG or WebP'
bad_images half/full 'half/full: none of its .* has a label'
for class in a b; do head -c 100 "$golden/rgb8.png" >broken/$class/image.png; done
bad_images broken 'broken: '
bad_images broken 'broken/[ab]/image\.png: ' --strict
bad 1 'absent' "no such images" predict --model "$r" --data absent
bad 1 'image\.png: ' "predict, --strict, one broken image" predict --model "$r" --data broken/a/image.png --strict

# Converting.
printf '\0\0\x08\x03\0\0\0\x02\0\0\0\x04\0\0\0\x04%032d' 0 >two-images-idx3-ubyte
printf '\0\0\x08\x01\0\0\0\x03\x01\x02\x03' >two-labels-idx1-ubyte
bad 1 'two-labels-idx1-ubyte: .*3 labels.*2 images' "labels of another length" convert --data two-images-idx3-ubyte --out never.h5
printf '\0\0\x08\x01\0\0\0\x02\x01' >two-labels-idx1-ubyte
bad 1 'two-labels-idx1-ubyte: .*cut off' "labels cut off" convert --data two-images-idx3-ubyte --out never.h5
rm two-labels-idx1-ubyte
truncate -s -3 two-images-idx3-ubyte
bad 1 'two-images-idx3-ubyte: .*cut off' "images cut off" convert --data two-images-idx3-ubyte --out never.h5
bad 1 'labels.*absent|absent' "no such labels" convert --data two-images-idx3-ubyte --labels-file absent --out never.h5
head -c 4000 "$b/model.safetensors" >batch.bin
bad 1 'batch\.bin: .*CIFAR' "no CIFAR file" convert --data batch.bin --out never.h5
mkdir -p uneven/a
cp "$golden"/{rgb8,tall}.png uneven/a
bad 1 'uneven/a/tall\.png: .*first image' "images of two sizes" convert --data uneven --out never.h5
bad 2 '--out never.*\.h5' "--out of no known ending" convert --data two-images-idx3-ubyte --out never
bad 2 '--out' "no --out" convert --data two-images-idx3-ubyte

# Targets and modules trained in full.
fresh=(train --model "$b" --data "$texts" --out never "${small[@]}")
fresh_images=(train --model "$r" --data "$images" --out never "${small[@]}")
bad 2 "--whole: no module of this bert model matches 'clasifier' \(did you mean 'classifier'\?\)" "--whole misspelt" "${fresh[@]}" --whole clasifier
bad 1 "--whole: 'conv1'.*in full" "--whole of a convolution" "${fresh_images[@]}" --whole conv1
bad 2 "--whole: .*'bn1'" "--whole of a norm" "${fresh_images[@]}" --whole bn1
bad 2 "'classifier'.*in full" "--target of the head that is whole" "${fresh[@]}" --target classifier
bad 2 "--target: .*'conv9'.*conv" "--target misspelt" "${fresh_images[@]}" --target conv9
# Half of a head is something PEFT could not load: reported before the first step.
base roberta "$models/roberta" 2>/dev/null
printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' a b c d >roberta/vocab.txt
for i in {0..11}; do echo "{\"text\": \"a b c d\", \"label\": $((i % 3))}"; done >letters.jsonl
for half in dense out_proj; do
  bad 1 "--whole: .*'classifier' .*train both" "--whole classifier.$half" \
    train --model roberta --data letters.jsonl --out never --whole classifier.$half "${small[@]}"
done
# Options that do not apply to the model.
for option in --flip "--crop 4" --strict --pack --no-mask-prompt "--chat-template chatml"; do
  # shellcheck disable=SC2086
  bad 2 "${option%% *} does not apply|--(pack|mask-prompt) does not apply" "$option for texts" "${fresh[@]}" $option
done
bad 2 '--seq-len does not apply to a classifier of images' "--seq-len for images" "${fresh_images[@]}" --seq-len 64
bad 2 '--new-head does not apply to a language model' "--new-head for a language model" \
  train --model "$g" --data "$g/train.jsonl" --out never --new-head
bad 2 '--strict does not apply' "eval --strict of texts" eval --model "$b" --data "$texts" --strict
bad 2 '--target none.*--whole' "--target none for a language model" \
  train --model "$g" --data "$g/train.jsonl" --out never --target none
bad 2 '--target none.*--whole' "nothing to train" "${fresh[@]}" --target none --whole none
bad 1 "line 1: .*3 special tokens" "--seq-len 2" "${fresh[@]}" --seq-len 2
for option in "--labels 3" --new-head "--whole none" "--target query"; do
  # shellcheck disable=SC2086
  bad 2 "${option%% *}.*--init-adapter" "$option beside --init-adapter" "${fresh[@]}" --init-adapter text $option
done

# Adapters.
bad 1 'image.*another base' "an adapter of another family" eval --model "$b" --data "$texts" --adapter image
bad 1 'text.*another base' "the reverse" predict --model "$r" --data "$images" --adapter text
bad 1 "language.*another base" "a language model's adapter" eval --model "$b" --data "$texts" --adapter language
# bad_peft NAME RUN MODEL DATA REGEX: a PEFT folder that was damaged
bad_peft() {
  bad 1 "$4" "$1" eval --model "$2" --data "$3" --adapter "$1"
  bad 1 "$4" "$1, merge" merge --model "$2" --adapter "$1" --out never
}
peft() { cp -r "$2/peft" "$1"; } # NAME RUN
peft wide text && rm wide/labels.json && LC_ALL=C sed -i 's/\[3,32\]/[4,24]/' wide/adapter_model.safetensors
bad_peft wide "$b" "$texts" "wide: module 'classifier': its weight is"
peft names text && echo '{"0": "one"}' >names/labels.json
bad_peft names "$b" "$texts" "names: .*labels: 1 name.*3 rows"
peft cut-names text && echo '{' >cut-names/labels.json
bad_peft cut-names "$b" "$texts" 'cut-names/labels\.json: line'
peft ranked text && sed -i 's/"r": 8/"r": 4/' ranked/adapter_config.json
bad_peft ranked "$b" "$texts" 'ranked: .*its rank is 4'
peft kernel image && LC_ALL=C sed -i 's/\[8,16,3,3\]/[8,48,3,1]/g' kernel/adapter_model.safetensors
bad_peft kernel "$r" "$images" "kernel: module '[a-z0-9.]*': its lora_A is \\(.*, 3, 1\\), .*takes \\(.*, 3, 3\\)"
peft unsaved image && sed -i '/"modules_to_save"/,/\]/d' unsaved/adapter_config.json
bad_peft unsaved "$r" "$images" "unsaved: .*'linear\.(bias|weight)'.*modules_to_save"
bad 1 "kernel: module " "--init-adapter of another kernel" "${fresh_images[@]}" --init-adapter kernel

# A head that holds a NaN: never invalid JSON, never a meaningless score.
base nan && put_bytes nan/model.safetensors $(($(stat -c %s nan/model.safetensors) - 4)) '\x00\x00\xc0\x7f'
bad 1 'not finite' "NaN in the head, eval" eval --model nan --data "$texts"
bad 1 'record 1 is not finite' "NaN in the head, predict" predict --model nan --data "$texts"
bad 1 'step 1: .*not finite' "NaN in the head, train" train --model nan --data "$texts" --out nan-run "${small[@]}"

[[ ! -e never && ! -e never.h5 ]] || fail "a refused run made its folder"
for kept in text image; do
  diff -r $kept $kept.before >difference || fail "an earlier run was changed: $(head -n 3 difference)"
done

#!/usr/bin/env bash
# Classifiers of texts: the bits of an adapter on 1 to 4 ranks and through kills, from JSONL, TSV and CSV;
# scores and predictions, on any number of ranks; heads: stored, new, of another size, for numbers, alone;
# merging, exporting and importing them.
. "$(dirname "$0")/lib.sh"

m=$models/bert
data=$m/train.jsonl

# ok WHAT N ARGUMENT ...
ok() {
  local what=$1
  shift
  ranks "$@"
  expect_status 0 "$what"
}
refused() { # STATUS REGEX WHAT ARGUMENT ...: on two ranks
  local expected=$1 regex=$2 what=$3
  shift 3
  ranks 2 "$@"
  expect_error "$expected" "$regex" "$what"
}

# The same bits. The batch size is divisible by no number of ranks, nor by the microbatch size.
job_is=(train --model "$m" --data "$data" --valid "$data" --batch-size 7 --micro-batch 3 --steps 30 --dropout 0.1 --lr 1e-2 --seed 5
  --target "query,value,dense" --eval-every 10 --save-every 4 --keep 100)
for n in 1 2 3 4; do
  ok "train on $n ranks" $n "${job_is[@]}" --out "bert-$n"
  same_run bert-1 "bert-$n"
  same_bits bert-1/checkpoints/step-00000016.h5 "bert-$n/checkpoints/step-00000016.h5"
done
ok "--recompute" 3 "${job_is[@]}" --out recomputed --recompute
same_run bert-1 recomputed
ok "another seed" 2 "${job_is[@]}" --out seed --seed 6
! cmp -s bert-1/adapter.h5 seed/adapter.h5 || fail "another seed gives the same adapter"
ok "without dropout" 2 "${job_is[@]}" --out plain --dropout 0
! cmp -s bert-1/peft/adapter_model.safetensors plain/peft/adapter_model.safetensors || fail "--dropout changes nothing"
grep -q '"accuracy": 0\.[0-9]*, "macro_f1": .*"matthews": ' bert-1/metrics.jsonl || fail "metrics.jsonl holds no scores"

# Killed and resumed on other numbers of ranks. Enough steps to be caught in the middle.
long=("${job_is[@]}" --steps 150 --batch-size 30 --save-every 7)
ok "undisturbed" 1 "${long[@]}" --out whole
until_step() { # STEP RANKS
  start "$2" "${long[@]}" --out killed
  await_step killed "$1"
  kill_job
  expect_status 137 "killed at step $1"
}
until_step 20 3
until_step 60 1
ok "last resume" 2 "${long[@]}" --out killed
expect_text 'resuming from killed/checkpoints/step-000000' err "last resume"
same_run whole killed
for other in "--labels 4" --new-head "--whole none" "--target query" "--micro-batch 2"; do
  find killed -type f -exec sha256sum {} + >before
  # shellcheck disable=SC2086
  refused 1 "step-0.*\.h5: .*${other%% *}" "resuming with $other" "${long[@]}" --out killed $other
  find killed -type f -exec sha256sum {} + | cmp -s before - || fail "resuming with $other changes the run's folder"
done

# Tables of the same records (those whose JSON has no escapes) give the same bits as their JSONL.
grep -v '[\]' "$data" >same.jsonl
{
  printf 'label\tignored\ttext\ttext_pair\n'
  sed 's/{"text": "\(.*\)", "text_pair": "\(.*\)", "label": "\(.*\)"}/\3\tx\t\1\t\2/' same.jsonl
} >same.tsv
{
  printf 'sentence1,label,sentence2\r\n'
  sed 's/{"text": "\(.*\)", "text_pair": "\(.*\)", "label": "\(.*\)"}/"\1",\3,"\2"\r/' same.jsonl
} >same.csv
for kind in jsonl tsv csv; do
  ok ".$kind" 2 train --model "$m" --data same.$kind --out $kind-run --steps 9 --batch-size 5 --micro-batch 2 --lr 1e-2
  same_bits jsonl-run/peft/adapter_model.safetensors $kind-run/peft/adapter_model.safetensors
  expect_text '48 texts' err ".$kind"
done

# Scores.
for n in 1 3; do
  ok "eval on $n ranks" $n eval --model "$m" --adapter bert-1 --data "$data" --micro-batch 3
  mv out "eval-$n"
done
same_bits eval-1 eval-3
expect_text '^loss [0-9.]+ +accuracy 0\.[0-9]+ +macro F1 0\.[0-9]+ +Matthews 0\.[0-9]+ +samples 64$' eval-1 "eval"
expect_classes "negative neutral positive" eval-1
confusion() { sed -n '/^truth/,$p' "$1" | awk 'NR > 1 { for (i = 3; i <= NF; i++) n += $i; right += $(NR + 1) } END { print n, right / n }'; }
[ "$(confusion eval-1 | cut -d ' ' -f 1)" = 64 ] || fail "the confusion matrix holds not 64 records: $(confusion eval-1)"
awk -v a="$(confusion eval-1 | cut -d ' ' -f 2)" -v b="$(sed -n 's/.*accuracy \([0-9.]*\) .*/\1/p' eval-1)" \
  'BEGIN { exit !(a - b < 1e-5 && b - a < 1e-5) }' || fail "accuracy and confusion matrix differ"
for kind in tsv csv; do
  ok "eval of .$kind" 1 eval --model "$m" --adapter bert-1 --data same.$kind
  mv out "$kind.eval"
done
same_bits tsv.eval csv.eval

# Predictions: one line per record, in order, the same with and without labels and on any number of ranks.
sed 's/, "label": "[a-z]*"}/}/' "$data" >unlabelled.jsonl
for n in 1 3; do
  ok "predict on $n ranks" $n predict --model "$m" --adapter bert-1 --data "$data"
  mv out "labels-$n"
  ok "predict without labels on $n ranks" $n predict --model "$m" --adapter bert-1 --data unlabelled.jsonl
  mv out "nolabels-$n"
done
for file in labels-3 nolabels-1 nolabels-3; do same_bits labels-1 $file; done
[ "$(wc -l <labels-1)" = 64 ] || fail "predict prints $(wc -l <labels-1) lines for 64 records"
[ "$(grep -cE '^\{.*"label": "(negative|neutral|positive)", "probabilities": \{"negative": [0-9.e-]+, "neutral": [0-9.e-]+, "positive": [0-9.e-]+\}\}$' labels-1)" = 64 ] ||
  fail "predict prints other lines than expected"
sed '1s/"label": "[a-z]*"/"label": ["odd"]/; 2s/"label": "[a-z]*"/"label": ""/; 3s/"label": "[a-z]*"/"label": -7/; 4s/"label": "[a-z]*"/"label": {}/' "$data" >odd.jsonl
ok "predict with odd labels" 2 predict --model "$m" --adapter bert-1 --data odd.jsonl
same_bits labels-1 out
ok "predict of .tsv" 2 predict --model "$m" --adapter bert-1 --data same.tsv
mv out tsv.predicted
sed '1s/ignored/score/; 2s/^[a-z]*/nan/; 3s/^[a-z]*/5/' same.tsv >odd.tsv
ok "predict with odd labels, .tsv" 2 predict --model "$m" --adapter bert-1 --data odd.tsv
same_bits tsv.predicted out
# A reader that stops reading ends it by SIGPIPE, as it does other programs.
for i in {1..300}; do cat unlabelled.jsonl; done >many.jsonl
env --default-signal=PIPE "$LORA_DIST" predict --model "$m" --adapter bert-1 --data many.jsonl 2>err | head -n 3 >out
status=${PIPESTATUS[0]}
expect_status 141 "a reader that leaves"
! grep -q error err || fail "a reader that leaves: an error is said"
same_bits out <(head -n 3 labels-1)
sed -n 40,44p "$data" >five.jsonl
ok "predict five" 2 predict --model "$m" --adapter bert-1 --data five.jsonl
same_bits out <(sed -n 40,44p labels-1)
right=$(paste <(sed 's/.*"label": "\([a-z]*\)".*/\1/' labels-1) <(sed 's/.*"label": "\([a-z]*\)"}/\1/' "$data") | awk '$1 == $2' | wc -l)
awk -v a="$right" -v b="$(sed -n 's/.*accuracy \([0-9.]*\) .*/\1/p' eval-1)" 'BEGIN { exit !(a / 64 - b < 1e-5 && b - a / 64 < 1e-5) }' ||
  fail "predict is right $right times of 64, eval says $(head -n 1 eval-1)"
sed '3,64s/"label": "[a-z]*"/"label": null/' "$data" >few.jsonl
ok "eval of partly labelled data" 2 eval --model "$m" --adapter bert-1 --data few.jsonl
expect_text ' samples 2$' out "records without labels do not count in the score"
refused 1 'unlabelled\.jsonl.*none of its .* has a label' "eval without labels" eval --model "$m" --adapter bert-1 --data unlabelled.jsonl
refused 1 'unlabelled\.jsonl.*none of its .* has a label' "training without labels" train --model "$m" --data unlabelled.jsonl --out never

# Round trips, each with the head. The loss of the merged model is close; its predicted labels are the same.
ok "export" 1 export --adapter bert-1/adapter.h5 --out exported
for file in adapter_model.safetensors labels.json; do same_bits exported/$file bert-1/peft/$file; done
ok "import" 1 import --adapter exported --out imported.h5
ok "export again" 1 export --adapter imported.h5 --out again
for file in adapter_model.safetensors labels.json; do same_bits exported/$file again/$file; done
for adapter in imported.h5 exported bert-1/checkpoints/step-00000030.h5; do
  ok "eval of $adapter" 1 eval --model "$m" --adapter $adapter --data "$data" --micro-batch 3
  same_bits out eval-1
done
ok "a layer inside trained whole, without an adapter" 2 train --model "$m" --data "$data" --out inside --steps 3 --whole query --target none
# A num_labels beside id2label would contradict it: the merged head may have another number.
cp -r "$m" counted && sed -i '1a "num_labels": 3,' counted/config.json
ok "merge into a base that counts its labels" 1 merge --model counted --adapter bert-1 --out counted-merged
! grep -q num_labels counted-merged/config.json || fail "the merged config.json still holds num_labels"
ok "merge" 1 merge --model "$m" --adapter bert-1 --out merged
ok "eval of the merged model" 2 eval --model merged --data "$data"
diff <(sed 's/loss [0-9.]* *//' out) <(sed 's/loss [0-9.]* *//' eval-1) >/dev/null || fail "merging changes scores: $(head -n 1 out)"
awk -v a="$(sed -n 's/^loss \([0-9.]*\) .*/\1/p' out)" -v b="$(sed -n 's/^loss \([0-9.]*\) .*/\1/p' eval-1)" \
  'BEGIN { exit !(a > 0 && a - b < 1e-5 && b - a < 1e-5) }' || fail "merging changes the loss"
ok "inspect the merged model" 1 inspect merged
expect_text '^head +classifier, 3 outputs: negative, neutral, positive' out "inspect the merged model"

# Starting from a PEFT folder: the first loss is that of the adapter, head included.
go_on=(train --model "$m" --data same.jsonl --batch-size 48 --micro-batch 4 --no-shuffle --steps 3 --lr 1e-3)
ok "eval of 48" 1 eval --model "$m" --adapter bert-1 --data same.jsonl --micro-batch 4
expected=$(sed -n 's/^loss \([0-9.]*\) .*/\1/p' out)
ok "--init-adapter" 2 "${go_on[@]}" --out went-on --init-adapter bert-1/peft
awk -v a="$(losses went-on | sed -n 's/^step 1 //p')" -v b="$expected" 'BEGIN { exit !(a > 0 && a - b < 1e-4 && b - a < 1e-4) }' ||
  fail "--init-adapter begins at loss $(losses went-on | head -n 1), not $expected"
expect_text '"target_modules": \[' went-on/peft/adapter_config.json "--init-adapter"
ok "--init-adapter on 3 ranks" 3 "${go_on[@]}" --out went-on-3 --init-adapter bert-1/adapter.h5
same_bits went-on/peft/adapter_model.safetensors went-on-3/peft/adapter_model.safetensors

# The head alone.
for n in 1 3; do
  ok "head alone on $n ranks" $n train --model "$m" --data "$data" --out "head-$n" --target none --whole classifier --steps 10 --lr 1e-2
done
same_run head-1 head-3
ok "inspect the head" 1 inspect head-1
expect_text '^ +classifier +whole +weight' out "inspect the head"
! grep -q 'lora_[AB]' head-1/peft/adapter_model.safetensors || fail "--target none leaves LoRA tensors"
expect_text '"modules_to_save": *\[ *$|"modules_to_save": *\["classifier"\]' head-1/peft/adapter_config.json "head alone"

# Heads for other labels: more names, integers, numbers; a model without a head.
i=0
while IFS= read -r line; do
  words=(dusk noon dawn eve morn)
  printf '%s\n' "${line%, \"label\"*}, \"label\": \"${words[i % 5]}\"}" >&3
  printf '%s\n' "${line%, \"label\"*}, \"label\": $((i % 4))}" >&4
  printf '%s\n' "${line%, \"label\"*}, \"label\": $((i % 7)).5}" >&5
  i=$((i + 1))
done <"$data" 3>names.jsonl 4>integers.jsonl 5>numbers.jsonl

mkdir bare # an encoder without a head
cp "$m"/tokenizer*.json bare
sed 's/BertForSequenceClassification/BertModel/; /"id2label"/,/}/d; /"label2id"/,/}/d' "$m/config.json" >bare/config.json
cp "$m/model.safetensors" bare
LC_ALL=C sed -i 's/"classifier\.weight"/"unused____.weight"/; s/"classifier\.bias"/"unused____.bias"/' bare/model.safetensors

# head MODEL DATA OUTPUTS NAME ARGUMENT ...: trains on 1 and 3 ranks, evaluates, predicts.
head_of() {
  local model=$1 file=$2 outputs=$3 name=$4 n
  shift 4
  for n in 1 3; do
    ok "$name on $n ranks" $n train --model "$model" --data "$file" --out "$name-$n" --batch-size 6 --micro-batch 2 --steps 10 --lr 5e-3 "$@"
  done
  same_run "$name-1" "$name-3"
  ok "$name: inspect" 1 inspect "$name-1"
  expect_text "^ +classifier +whole +weight \($outputs, 32\)" out "$name: inspect"
  ok "$name: predict" 2 predict --model "$model" --adapter "$name-1" --data "$file"
  mv out "$name.predicted"
  ok "$name: eval" 2 eval --model "$model" --adapter "$name-1" --data "$file"
}
head_of "$m" names.jsonl 5 names
expect_classes "dawn dusk eve morn noon" out
expect_text '"probabilities": \{"dawn": .*"dusk": .*"eve": .*"morn": .*"noon": ' names.predicted "names: predict"
head_of "$m" integers.jsonl 4 integers
sed 's/"label": 3/"label": 0/' integers.jsonl >places.jsonl
ok "integers for a stored head" 1 train --model "$m" --data places.jsonl --out places --steps 1
expect_text '^head +stored: 3 classes \(negative, neutral, positive\), numbered from 0' err "integers for a stored head"
# More classes than the data has names, one of which is a number.
sed 's/"dusk"/"6"/' names.jsonl >numbered.jsonl
head_of "$m" numbered.jsonl 7 numbered --labels 7
expect_classes "6 dawn eve morn noon 5 7" out
head_of bare integers.jsonl 6 bare --labels 6
head_of bare names.jsonl 5 bare-names
ok "merge a new head" 1 merge --model bare --adapter bare-names-1 --out bare-merged
ok "eval of the merged new head" 1 eval --model bare-merged --data names.jsonl
expect_classes "dawn dusk eve morn noon" out
ok "stored head" 1 train --model "$m" --data "$data" --out stored --steps 1 --lr 0
ok "--new-head" 1 train --model "$m" --data "$data" --out fresh --steps 1 --lr 0 --new-head
! cmp -s stored/peft/adapter_model.safetensors fresh/peft/adapter_model.safetensors || fail "--new-head keeps the stored one"
refused 1 '--labels 3.*5 different labels' "--labels below the number of names" train --model "$m" --data names.jsonl --labels 3 --out never
refused 1 'bare.*classifier.*--adapter' "eval of an encoder without a head" eval --model bare --data "$data"
refused 1 'bare.*classifier.*--adapter' "predict of an encoder without a head" predict --model bare --data "$data"

# A stored head for another kind of problem is replaced on request, and what replaced it is used from then on.
cp -r "$m" several && sed -i '1a "problem_type": "regression",' several/config.json
ok "--new-head for another problem" 2 train --model several --data "$data" --out one-label --steps 3 --new-head
ok "eval of it" 2 eval --model several --adapter one-label --data "$data"
refused 1 'several/config\.json: problem_type "regression".*--adapter' "eval without it" eval --model several --data "$data"
ok "inspect it" 1 inspect several
expect_text '^head +problem_type "regression".*--new-head' out "inspect a head for another problem"

# RoBERTa's positions begin after its padding id, which may be 0.
mkdir roberta
cp "$models/roberta"/{config.json,model.safetensors} roberta
printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' a b c d >roberta/vocab.txt
for i in {0..23}; do echo "{\"text\": \"a b c d\", \"label\": $((i % 3))}"; done >letters.jsonl
ok "inspect RoBERTa" 1 inspect roberta
expect_text ' 32 positions' out "positions after padding id 1"
sed -i 's/"pad_token_id": 1/"pad_token_id": 0/' roberta/config.json
ok "inspect RoBERTa with padding id 0" 1 inspect roberta
expect_text ' 33 positions' out "positions after padding id 0"
ok "eval with padding id 0" 1 eval --model roberta --data letters.jsonl

# Numbers.
head_of "$m" numbers.jsonl 1 numbers
expect_text '^loss [0-9.]+ +Pearson -?0\.[0-9]+ +Spearman -?0\.[0-9]+ +samples 64$' out "numbers: eval"
[ "$(grep -cE '^\{.*"value": -?[0-9.e+-]+\}$' numbers.predicted)" = 64 ] || fail "numbers: predict prints other lines than expected"
ok "numbers from integers" 1 train --model bare --data integers.jsonl --labels 1 --out counted --steps 2
ok "numbers from integers: eval" 1 eval --model bare --adapter counted --data integers.jsonl
expect_text 'Pearson' out "numbers from integers: eval"
# The squared errors of prices are far above the range of one 64-bit word of 2^-30.
sed 's/"label": \([0-9]\)\.5/"label": 3\10000.5/' numbers.jsonl >prices.jsonl
head_of bare prices.jsonl 1 prices
losses prices-1 | awk '$1 == "step" && $3 < 1e10 { exit 1 }' || fail "prices: losses of $(losses prices-1)"
awk '/^loss/ { exit !($2 > 1e10) }' out || fail "prices: eval says $(cat out)"
ok "merge numbers" 1 merge --model "$m" --adapter numbers-1 --out numbers-merged
ok "predict merged numbers" 1 predict --model numbers-merged --data numbers.jsonl
expect_text '^\{.*"value": ' out "merged numbers"
[ ! -e never ] || fail "a refused run made its folder"

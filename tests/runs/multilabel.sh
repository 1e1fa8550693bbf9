#!/usr/bin/env bash
# Several labels for a text: a body without a head learns them from JSONL and from a JSON array, the same bits on 1 to 4 ranks; its adapter,
# its PEFT folder and the merged model give the same; wrong data is refused.
. "$(dirname "$0")/lib.sh"

b=$models/bert
cp -r "$b" body
sed -i 's/"BertForSequenceClassification"/"BertModel"/' body/config.json
cat >texts.jsonl <<'END'
{"text": "the river holds", "labels": ["sea", "weather"]}
{"text": "mira saw the kettle", "labels": []}
{"text": "olsen saw", "labels": ["home"]}
{"text": "the old river", "labels": ["sea"]}
END
cat >texts.json <<'END'
[
 {"text": "the river holds",
  "labels": ["sea", "weather"]}, {"text": "mira saw the kettle", "labels": []},
 {"labels": ["home"], "text": "olsen saw"},
 {"text": "the old river", "labels": ["weather", "sea"]}
]
END
sed -i 's/"weather", "sea"/"sea"/' texts.json
sed 's/, "labels".*/}/' texts.jsonl >bare.jsonl

learn=(train --model body --steps 60 --batch-size 2 --micro-batch 1 --lr 1e-2 --target all-linear --schedule constant)
ranks 1 "${learn[@]}" --data texts.jsonl --valid texts.json --out one
expect_status 0 "training"
expect_text '^head +new: 3 classes \(home, sea, weather\)$' err "the classes"
expect_text 'step 60 +validation loss 0\.0[0-9]*  micro F1 1\.0000  macro F1 1\.0000  accuracy 1\.0000' err "what was learnt"
expect_text '"task": "multilabel", .*"target": "label", .*"key": "micro_f1"' one/metrics.jsonl "the record"
expect_text "Validation micro F1" one/report.html "the report"
for n in 2 3 4; do
  ranks $n "${learn[@]}" --data texts.json --out "on-$n"
  expect_status 0 "training on $n ranks"
  cmp -s one/peft/adapter_model.safetensors "on-$n/peft/adapter_model.safetensors" || fail "$n ranks give other bits"
done

for adapter in one one/adapter.h5 one/peft; do
  ranks 2 predict --model body --adapter "$adapter" --data bare.jsonl
  expect_status 0 "predict by $adapter"
  expect_text '^\{"labels": \["sea", "weather"\], "probabilities": \{"home": 0\.[0-9]+, "sea": 0\.9[0-9]+, "weather": 0\.9[0-9]+\}\}$' out "$adapter"
  expect_text '^\{"labels": \[\], ' out "no label by $adapter"
  mv out bare-out
  ranks 1 predict --model body --adapter "$adapter" --data texts.json
  cmp -s out bare-out || fail "$adapter: other predictions where labels stand beside the texts"
  for n in 1 3; do
    ranks $n eval --model body --adapter "$adapter" --data texts.jsonl
    expect_text '^loss [0-9.]+  micro F1 1\.000000  macro F1 1\.000000  accuracy 1\.000000  labels 12  sequences 4$' out "eval by $adapter on $n"
  done
done
ranks 1 merge --model body --adapter one --out whole
expect_text '"problem_type": "multi_label_classification"' whole/config.json "the merged model's problem"
ranks 1 eval --model whole --data texts.json
expect_text '^loss [0-9.]+  micro F1 1\.000000 ' out "eval of the merged model"
ranks 1 export --adapter one/adapter.h5 --model body --out exported
ranks 1 import --adapter exported --out imported.h5
ranks 1 predict --model body --adapter imported.h5 --data bare.jsonl
cmp -s out bare-out || fail "an adapter that was exported and imported predicts otherwise"

# A run goes on where it stopped, and with an adapter that is there.
ranks 2 "${learn[@]}" --data texts.jsonl --valid texts.json --out one
expect_status 0 "the same command again"
ranks 2 train --model body --data texts.json --init-adapter one/peft --out more --steps 2 --valid texts.jsonl
expect_status 0 "--init-adapter"
expect_text 'step +0 +validation loss 0\.0' err "it goes on"

# An adapter for one label each is not continued with lists.
printf '%s\n' '{"text": "mira saw", "label": "a"}' '{"text": "the river", "label": "b"}' >each.jsonl
ranks 1 train --model body --data each.jsonl --steps 2 --out each
expect_status 0 "one label each on the bare body"
ranks 1 train --model body --data texts.jsonl --init-adapter each --out never
expect_error 1 'texts\.jsonl: its records are of the form "several labels", which a model for "classes"' "--init-adapter for one label each"

# A label for each record, of a base that says what it is for.
printf 'text\tlabel\nthe river\tsea\nmira saw\thome\n' >single.tsv
ranks 1 train --model whole --data single.tsv --out single --steps 2
expect_status 0 "one label each"
expect_text 'micro F1' <(ranks 1 eval --model whole --data single.tsv; cat out) "eval of one label each"

# refused NAME LINE REGEX
refused() {
  printf '%s\n' "$2" >"$1.jsonl"
  ranks 1 "${learn[@]}" --data "$1.jsonl" --out never
  expect_error 1 "$3" "$1"
}
refused numbers '{"text": "a", "labels": [3]}' 'numbers\.jsonl: line 1: labels: item 1 is an integer, expected a string'
learn+=(--new-head)
refused none '{"text": "a", "labels": []}' 'none\.jsonl: no record has a label'
ranks 1 eval --model whole --data numbers.jsonl
expect_error 1 'numbers\.jsonl: line 1: labels: item 1' "eval of numbers"
printf '%s\n' '{"text": "a", "labels": ["moon"]}' >moon.jsonl
ranks 1 eval --model whole --data moon.jsonl
expect_error 1 'moon\.jsonl.*moon' "a label that the model does not have"
ranks 1 eval --model "$b" --data texts.jsonl
expect_error 1 'texts\.jsonl: its records are of the form "several labels"' "a model for one label"
cp -r "$b" one-label && sed -i '1a "problem_type": "single_label_classification",' one-label/config.json
ranks 1 train --model one-label --data texts.jsonl --out never
expect_error 1 'problem_type "single_label_classification".*--new-head' "a stored head for another problem"
ranks 1 train --model one-label --data texts.jsonl --out fresh --new-head --steps 2
expect_status 0 "a new head for it"

#!/usr/bin/env bash
# Each command that README.md and docs/ show works: their ```sh blocks are run, those of a file one after the
# other in a folder of its own. The line before a block is a comment: <!-- test -->, or why the block is not
# run, <!-- not run: needs Slurm -->. A block without such a comment is a failure. `furnish` makes the initial
# contents of the folder.
. "$(dirname "$0")/lib.sh"

sentence() { printf 'the %s paints the %s' "${words[$1 % 5]}" "${words[$2 % 5]}"; }
words=(window market river garden clock)

# Small models under usual names, and data of every form.
furnish() {
  local i
  mkdir -p models build
  ln -s "$root/jobs" "$root/docs" .
  ln -s "$LORA_DIST" build/lora_dist
  ln -s "$models/gpt2" models/gpt2
  ln -s "$models/llama3" models/llama
  cp -r "$models/bert" models/bert
  sed -i 's/"BertForSequenceClassification"/"BertModel"/' models/bert/config.json # a bare encoder
  make_chat_model models/chat
  ln -s "$models/resnet_cifar" models/resnet
  ln -s "$models/resnet_cifar/train.h5" images.h5
  ln -s "$models/resnet_cifar/train.h5" test.h5
  printf 'text\tlabel\n' >train.tsv
  printf 'text\tlabel\n' >scores.tsv
  for i in 0 1 2 3 4 5 6 7; do
    printf '%s\t%s\n' "$(sentence "$i" $((i + 1)))" "$([ $((i % 2)) = 0 ] && echo negative || echo positive)" >>train.tsv
    printf '%s\t%s.5\n' "$(sentence "$i" $((i + 2)))" "$i" >>scores.tsv
    printf '{"prompt": "%s", "completion": " and sleeps"}\n' "$(sentence "$i" 0)" >>train.jsonl
    printf '{"text": "%s"}\n' "$(sentence "$i" 3)" >>new.jsonl
    printf '{"messages": [{"role": "user", "content": "%s"}, {"role": "assistant", "content": "yes."}]}\n' \
      "$(sentence "$i" 1)" >>chat.jsonl
    sentence "$i" "$i" >>book.txt
    printf '.\n\n' >>book.txt
  done
  ln -s "$root/tests/golden/diffusion/sd1" models/sd
  printf 'a red cat\nthe dog in the ink\n' >prompts.txt
  mkdir pictures
  for i in rgb8 tall wide rgb16; do
    cp "$root/tests/golden/images/$i.png" pictures
    printf 'a picture of %s\n' "$i" >"pictures/$i.txt"
  done
  ln -s "$models/t5" models/t5
  ln -s "$models/t5/train.jsonl" pairs.jsonl
  ln -s "$models/bert_extract/train.jsonl" documents.jsonl
  printf 'mira B-PER\nsaw O\nthe O\nriver B-LOC\n\nthe O\nkettle B-LOC\n' >names.conll
  cp names.conll test.conll
  cp train.tsv valid.tsv
  cp train.jsonl valid.jsonl
}

# blocks FILE: each block into a file N.sh, its mark and line into N.mark.
blocks() {
  awk '
    /^ *```sh/ { n++; print (mark == "" ? "none" : mark), NR > n ".mark"; inside = 1; next }
    /^ *```/   { inside = 0 }
    inside   { print > n ".sh" }
             { mark = $0 ~ /^ *<!-- (test|not run: .+) -->$/ ? $2 : "" }' "$1"
}

# The programs on PATH, as for a user who has installed this one; more ranks than cores are fine.
try_file() {
  local name=$1 file=$root/$1 n
  mkdir -p "$scratch/${name//\//_}/blocks" && cd "$scratch/${name//\//_}/blocks" || exit 1
  blocks "$file"
  cd .. && furnish
  for ((n = 1; ; n++)); do
    [ -e "blocks/$n.mark" ] || break
    read -r mark line <"blocks/$n.mark"
    [ "$mark" != none ] || fail "$name:$line: a block of commands without <!-- test --> or <!-- not run: WHY --> before it"
    [ "$mark" = test ] || continue
    PATH=$(dirname "$LORA_DIST"):$PATH OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none \
      timeout 300 bash -euo pipefail "blocks/$n.sh" >out 2>err </dev/null || fail "$name:$line: status $?"
  done
  cd "$scratch" || exit 1
}

for page in "$root"/README.md "$root"/docs/*.md "$root"/docs/*/*.md; do
  [ ! -e "$page" ] || try_file "${page#"$root"/}"
done

# The reader in docs/file-formats.md reads what the program writes, if Python with h5py is available.
if python3 -c 'import h5py, numpy' 2>/dev/null; then
  sed -n '/^```python/,/^```/p' "$root/docs/file-formats.md" | sed '/^```/d' >reader.py
  "$LORA_DIST" train --model "$models/gpt2" --data "$models/gpt2/train.jsonl" --steps 2 --out run >out 2>err || fail "a run to read"
  python3 reader.py run/checkpoints/step-00000002.h5 >out 2>err || fail "the reader of docs/file-formats.md"
  expect_text 'c_attn +lora_A +\(8, ' out "the reader of docs/file-formats.md"
fi

# Links between the pages must lead somewhere.
for page in "$root"/README.md "$root"/docs/*.md; do
  grep -oE '\]\([^)#]+' "$page" | sed 's/^](//' | grep -v : | sort -u | while read -r target; do
    [ -e "$(dirname "$page")/$target" ] || echo "${page#"$root"/}: $target"
  done
done >missing
[ ! -s missing ] || fail "links to what is not there: $(tr '\n' ' ' <missing)"

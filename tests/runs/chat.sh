#!/usr/bin/env bash
# Chats: what was learnt is generated and ends with the turn, in the layout of the run; a model's own chat
# template is recognised, or one warning says that it is not; a layout whose tokens are not in the vocabulary
# is refused.
. "$(dirname "$0")/lib.sh"

make_chat_model m
echo '{"messages": [{"role": "user", "content": "name it"}, {"role": "assistant", "content": "Blue."}]}' >chat.jsonl

job_is=(train --model m --data chat.jsonl --steps 60 --batch-size 1 --lr 2e-2 --target "all-linear,lm_head" --rank 16 --schedule constant --save-every 1000)
ask=(generate --model m --chat --prompt "name it" --max-tokens 12)

# learn RUN ARGUMENT ...
learn() {
  ranks 1 "${job_is[@]}" --out "$@"
  expect_status 0 "$1"
  for adapter in "$1" "$1/adapter.h5" "$1/peft" "$1/checkpoints/step-00000060.h5"; do
    ranks 1 "${ask[@]}" --adapter "$adapter"
    expect_status 0 "$adapter"
    [ "$(xargs <out)" = Blue. ] || fail "$adapter: '$(cat out)', expected 'Blue.'" # Llama 2 has spaces around it
  done
}

learn chatml
learn llama2 --chat-template llama2
ranks 1 "${ask[@]}" --adapter llama2 --chat-template chatml
[ "$(xargs <out)" != Blue. ] || fail "--chat-template does not come before the run's"

# A data set of conversations: the assistant's last message is what is asked for, or what comes after the last.
echo '{"messages": [{"role": "user", "content": "name it"}]}' >>chat.jsonl
ranks 2 predict --model m --adapter chatml --data chat.jsonl --max-tokens 12
expect_status 0 "predict"
[ "$(cat out)" = '{"prediction": "Blue.", "reference": "Blue."}
{"prediction": "Blue."}' ] || fail "predict: $(cat out)"
ranks 2 eval --model m --adapter chatml --data chat.jsonl --generate --max-tokens 12
expect_status 0 "eval --generate"
expect_text '^ROUGE-1 1\.000000  ROUGE-2 0\.000000  ROUGE-L 1\.000000  ROUGE-Lsum 1\.000000  BLEU [0-9.]+  chrF 100\.0000  records 1$' out "eval --generate"
sed -i 2d chat.jsonl

# The model's own template.
warnings() { grep -c 'warning: .*chat template' err; }
# own WHAT NUMBER REGEX: trains on two files with m's own template; the number of warnings.
own() {
  ranks 2 "${job_is[@]}" --out none --dry-run --valid chat.jsonl
  expect_status 0 "$1"
  [ "$(warnings)" = "$2" ] || fail "$1: $(warnings) warnings, expected $2"
  [ "$2" = 0 ] || expect_text "$3" err "$1"
}
cat >m/chat_template.jinja <<'END'
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}
END
own "without a beginning of the answer" 1 'm/chat_template.jinja: .* chat layout chatml is used, which may differ from it$'
cat >m/chat_template.jinja <<'END'
{%- for message in messages %}
    {{- "<|im_start|>" ~ message['role'] + '\n' + message["content"] }}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- "<|im_start|>assistant\n" }}
{%- endif %}
END
own "ChatML in other words" 0
rm m/chat_template.jinja
echo '{"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": "{{ strftime_now() }}<|user|>You are a cat. <think>"}]}' >m/tokenizer_config.json
own "of several" 1 'tokenizer_config.json: .* chatml is used, which marks turns in another way and lacks a default system message, a thinking block, a date$'
echo '{}' >m/tokenizer_config.json

bad 2 'layout llama3 .*needs the token <.start_header_id.>' "no tokens" "${job_is[@]}" --out none --chat-template llama3 --dry-run
bad 2 'layout llama3 .*needs the token <.start_header_id.>' "no tokens" "${ask[@]}" --chat-template llama3

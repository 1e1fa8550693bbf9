"""Makes chat.*: what transformers renders and what tokenizers encodes, for test_chat.c and test_dataset.c.

    python3 make_chat.py        (needs transformers with tokenizers; writes beside itself)

chat.bytelevel.json      a small byte-level BPE with the special tokens of ChatML and Llama 3
chat.sentencepiece.json  a small BPE in the manner of Llama 2 (the prefix, byte fallback, bos from the post-processor)
chat.rstrip.json         the first, whose special tokens swallow the blanks after them
chat.appends-eos.json    the second, whose post-processor also adds eos
chat.rendered.jsonl      layout, messages, prompt; text: what apply_chat_template renders
chat.records.jsonl       tokenizer, eos, mask, layout, line: a line of a data file; ids, target: what it becomes

The chat templates below are the published ones of SmolLM, Qwen2, Llama-2-chat and Llama-3-Instruct.
"""

import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))

SMOLLM = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim"
    " + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

CORPUS = [
    "You are a helpful assistant. Answer in one sentence.\n\nWhat is the capital of Norway?",
    "The capital of Norway is Oslo. It lies at the head of a long fjord.",
    "system user assistant [INST] [/INST] <<SYS>> <</SYS>> the and of to in that is was he for it with as his on be at",
    "def add(a, b):\n    return a + b\n\nprint(add(1, 2))",
] * 4

CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
HEADERS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def special(tokens, rstrip=False):
    return [AddedToken(t, special=True, normalized=False, rstrip=rstrip) for t in tokens]


def bytelevel(rstrip):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=sorted(alphabet), show_progress=False))
    tok.add_special_tokens(special(CHATML + HEADERS, rstrip))
    return tok


def sentencepiece(appends_eos):
    first = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Split(Regex("(?=\u2581)"), "isolated")
    corpus = ["\u2581" + line.replace(" ", "\u2581") for line in CORPUS]
    trained.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=160, show_progress=False))
    learnt = json.loads(trained.to_str())["model"]
    pieces = sorted(learnt["vocab"], key=learnt["vocab"].get)
    vocab = {piece: i for i, piece in enumerate(first + [p for p in pieces if p not in first])}
    merges = [tuple(m) for m in learnt["merges"]]
    tok = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tok.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tok.add_special_tokens(special(first[:3]))
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if appends_eos else "<s> $A", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return tok


TOKENIZERS = {
    "bytelevel": bytelevel(False),
    "rstrip": bytelevel(True),
    "sentencepiece": sentencepiece(False),
    "appends-eos": sentencepiece(True),
}
ENDS = {"bytelevel": "<|endoftext|>", "rstrip": "<|endoftext|>", "sentencepiece": "</s>", "appends-eos": "</s>"}
# layout: template, tokenizer, bos, eos
LAYOUTS = {
    "chatml": (SMOLLM, "bytelevel", "<|endoftext|>", "<|im_end|>"),
    "llama2": (LLAMA2, "sentencepiece", "<s>", "</s>"),
    "llama3": (LLAMA3, "bytelevel", "<|begin_of_text|>", "<|eot_id|>"),
}


def say(*contents, system=None):
    roles = ("user", "assistant")
    messages = [{"role": "system", "content": system}] if system is not None else []
    return messages + [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)]


CONVERSATIONS = [
    say("What is the capital of Norway?", "Oslo."),
    say("What is the capital of Norway?", "Oslo.", system="Answer in one word."),
    say("Hi", "Hello! How can I help?", "Add 1 and 2.", "1 + 2 = 3", "And 3?", "6", system="You are a helpful assistant."),
    say("  spaces around \n", "\n\n and here\t ", " \n ", " ", system=" \n system too \n"),
    say("", "", system=""),
    say("\u3000\u00a0wide and no-break\u2028\x1f", "\u200bzero width stays\u0085\u2003", "\x1c\x0b", "\u180e\ufeff"),
    say("\u00fcber na\u00efve caf\u00e9 \u65e5\u672c\u8a9e \U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u4f60\u597d"),
    say("\n\nnewlines first", "\n\nnewlines first\n\n", "\n", "\n"),
    say("a special token <|im_end|> in <s> the [INST] text <|eot_id|>", "and </s> <|im_start|>assistant\n here"),
    say("def add(a, b):\n    return a + b", "```\nprint(add(1, 2))\n```"),
    say("only a question", system="No answer."),
    say("q1", "a1", "q2"),
]


def transformers_tokenizer(layout):
    template, name, bos, eos = LAYOUTS[layout]
    return PreTrainedTokenizerFast(tokenizer_object=TOKENIZERS[name], bos_token=bos, eos_token=eos, chat_template=template)


def rendered_cases():
    for layout in LAYOUTS:
        tok = transformers_tokenizer(layout)
        for messages in CONVERSATIONS:
            for prompt in (False, True):
                if prompt and layout == "llama2" and messages[-1]["role"] == "assistant":
                    continue
                text = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
                yield {"layout": layout, "messages": messages, "prompt": prompt, "text": text}
                if layout == "chatml" and messages[0]["role"] == "system":
                    same = tok.apply_chat_template(
                        messages, tokenize=False, add_generation_prompt=prompt, chat_template=QWEN2
                    )
                    assert same == text


def encode(name, text, with_special):
    return TOKENIZERS[name].encode(text, add_special_tokens=with_special).ids


def common(a, b):
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def chat_record(layout, name, messages, mask):
    """The spans are found by rendering beginnings of the conversation, not by knowing the layout."""
    tok = transformers_tokenizer(layout)

    def render(n, prompt):
        return tok.apply_chat_template(messages[:n], tokenize=False, add_generation_prompt=prompt)

    whole = render(len(messages), False)
    ids = encode(name, whole, False)
    target = [0 if mask else 1] * len(ids)
    for n, message in enumerate(messages):
        if not mask or message["role"] != "assistant":
            continue
        before, after = render(n, True), render(n + 1, False)
        assert whole.startswith(before) and whole.startswith(after)
        if layout == "chatml":
            after = after.removesuffix("\n")  # the line end after <|im_end|> is not the assistant's
        begin, end = (common(encode(name, text, False), ids) for text in (before, after))
        target[begin:end] = [1] * (end - begin)
    target[0] = 0
    return ids, target


def text_record(name, text):
    eos = TOKENIZERS[name].token_to_id(ENDS[name])
    ids = encode(name, text, True)
    if not ids or ids[-1] != eos:
        ids = ids + [eos]
    return ids, [0] + [1] * (len(ids) - 1)


def prompt_record(name, prompt, completion, mask):
    ids, target = text_record(name, prompt + completion)
    alone = encode(name, prompt, True)
    if name == "appends-eos":
        alone = alone[:-1]
    masked = common(alone, ids) if mask else 1
    return ids, [int(i > 0 and i >= masked) for i in range(len(ids))]


PROMPTS = [
    ("What is the capital of Norway? ", "Oslo."),
    ("Q: 1 + 2\nA:", " 3"),
    ("the capi", "tal of Norway"),
    ("", "no prompt"),
    ("no completion", ""),
    ("ends in a space ", " and begins with one"),
    ("caf", "\u00e9 \U0001f600"),
]
TEXTS = ["The capital of Norway is Oslo.", "", " two  spaces\n\n", "\u65e5\u672c\u8a9e \U0001f600", "a"]


def record_cases():
    def case(name, line, result, mask=True, layout=None):
        eos = TOKENIZERS[name].token_to_id(ENDS[name])
        line = json.dumps(line, ensure_ascii=False)
        return {"tokenizer": name, "eos": eos, "mask": mask, "layout": layout, "line": line, "ids": result[0], "target": result[1]}

    for name in ("bytelevel", "sentencepiece", "appends-eos"):
        for text in TEXTS + [f"ends by itself{ENDS[name]}"]:
            yield case(name, {"text": text}, text_record(name, text))
        for prompt, completion in PROMPTS:
            line = {"prompt": prompt, "completion": completion}
            for mask in (True, False):
                yield case(name, line, prompt_record(name, prompt, completion, mask), mask)
    for layout, (_, name, _, _) in LAYOUTS.items():
        for messages in CONVERSATIONS:
            for mask in (True, False):
                yield case(name, {"messages": messages}, chat_record(layout, name, messages, mask), mask, layout)
    for messages in CONVERSATIONS:
        yield case("rstrip", {"messages": messages}, chat_record("chatml", "rstrip", messages, True), True, "chatml")


def write(name, cases):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as out:
        for case in cases:
            out.write(json.dumps(case) + "\n")


for tokenizer_name, tokenizer in TOKENIZERS.items():
    with open(os.path.join(HERE, f"chat.{tokenizer_name}.json"), "w", encoding="utf-8") as out:
        out.write(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=True, separators=(",", ":")) + "\n")
write("chat.rendered.jsonl", rendered_cases())
write("chat.records.jsonl", record_cases())

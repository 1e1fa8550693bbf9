"""The tokenizer and the training records of the cases that record training runs."""

import json
import os

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

EOS = "<|endoftext|>"
NOUNS = "river lamp stone garden letter harbour window kettle forest engine ladder market".split()
VERBS = "holds warms finds carries paints opens counts repairs watches moves".split()
ADVERBS = "slowly again twice at dawn in winter without a sound".split()
ODD = ["caf\u00e9 na\u00efve", "\u6771\u4eac", "x = 3.14;", "it's we'll", "two  spaces\nline", "\U0001f600!", "\ttab", "\u03b1\u2264\u03b2"]


def sentence(rng) -> str:
    words = ["the", rng.choice(NOUNS), rng.choice(VERBS), "the", rng.choice(NOUNS)]
    if rng.random() < 0.4:
        words.append(rng.choice(ADVERBS))
    return " ".join(str(w) for w in words)


def record(rng, index: int) -> dict[str, str]:
    """A prompt and its completion. Some split inside a word, so that a merge can span the border."""
    text = sentence(rng)
    if index % 5 == 4:
        text += " " + ODD[int(rng.integers(len(ODD)))]
    cut = int(rng.integers(4, len(text) - 3))
    if index % 2:
        cut = text.rfind(" ", 1, cut + 1) if " " in text[1:cut + 1] else cut
    return {"prompt": text[:cut], "completion": text[cut:]}


def make_tokenizer(rng, vocab: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab - 1, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator([sentence(rng) for _ in range(400)], trainer)
    tokenizer.add_special_tokens([EOS])
    if tokenizer.get_vocab_size() != vocab or tokenizer.token_to_id(EOS) != vocab - 1:
        raise SystemExit("golden_text.py: the tokenizer has an unexpected size")
    return tokenizer


def encode_record(tokenizer: Tokenizer, rec: dict[str, str]) -> tuple[list[int], list[int]]:
    """Ids of prompt + completion + eos; the mask is 0 on the longest common prefix with the prompt alone."""
    whole = tokenizer.encode(rec["prompt"] + rec["completion"], add_special_tokens=False).ids
    prompt = tokenizer.encode(rec["prompt"], add_special_tokens=False).ids
    common = 0
    while common < min(len(prompt), len(whole)) and prompt[common] == whole[common]:
        common += 1
    ids = whole + [tokenizer.token_to_id(EOS)]
    return ids, [int(i >= max(common, 1)) for i in range(len(ids))]


def write_text(folder: str, rng, vocab: int, rows: int) -> list[tuple[list[int], list[int]]]:
    """Writes tokenizer.json, tokenizer_config.json and train.jsonl; returns what the trainer has to see."""
    tokenizer = make_tokenizer(rng, vocab)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        json.dump({"eos_token": EOS, "tokenizer_class": "PreTrainedTokenizerFast"}, file, indent=2)
        file.write("\n")
    records = [record(rng, i) for i in range(rows)]
    with open(os.path.join(folder, "train.jsonl"), "w", encoding="utf-8") as file:
        for rec in records:
            file.write(json.dumps(rec, ensure_ascii=len(rec["prompt"]) % 2 == 0) + "\n")
    return [encode_record(tokenizer, rec) for rec in records]

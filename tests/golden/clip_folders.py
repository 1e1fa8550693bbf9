#!/usr/bin/env python3
"""Makes folders with small tokenizers of CLIP's class, each with a vocabulary and settings drawn at random: OUT/N.old has
vocab.json and merges.txt with the settings, OUT/N.new what transformers saves of it, OUT/N.hub a tokenizer.json in the
older layout beside the same settings.

    python3 tests/golden/clip_folders.py OUT [--count N] [--seed S]
    python3 tests/golden/compare_tokenizers.py --program PATH --class AutoTokenizer OUT/*

None of them is in the repository.
"""

import argparse
import collections
import json
import os
import random

os.environ["HF_HUB_OFFLINE"] = "1"
from tokenizer_lines import WORDS, lines
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
PARTS = {
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, {"type": "Lowercase"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Removed", "invert": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]},
    "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
}


def byte_alphabet():
    """A character for each byte, in CLIP's order: those that can be printed first."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printed]
    return [chr(b) for b in printed] + [chr(256 + i) for i in range(len(others))]


def count_words(texts):
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return collections.Counter(word for text in texts for word, _ in tok.pre_tokenizer.pre_tokenize_str(tok.normalizer.normalize_str(text)))


def joined(symbols, pair):
    out = []
    for symbol in symbols:
        if out and (out[-1], symbol) == pair:
            out[-1] += symbol
        else:
            out.append(symbol)
    return out


def train(texts, n_merges, lacking=()):
    """The tokens of a vocabulary, by id, and the merges; of pairs that are as frequent the first by spelling is merged.
    Characters in `lacking` are left out."""
    words = [([*word[:-1], word[-1] + "</w>"], n) for word, n in sorted(count_words(texts).items()) if not set(word) & set(lacking)]
    alphabet = [c for c in byte_alphabet() if c not in lacking]
    tokens, merges = alphabet + [c + "</w>" for c in alphabet], []
    while len(merges) < n_merges:
        pairs = collections.Counter()
        for symbols, n in words:
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += n
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        if best[0] + best[1] not in tokens:
            tokens.append(best[0] + best[1])
        words = [(joined(symbols, best), n) for symbols, n in words]
    return tokens, merges


def write(folder, name, value):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        f.write(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) + "\n")


def write_old(folder, vocab, merges):
    write(folder, "vocab.json", vocab)
    write(folder, "merges.txt", "#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in merges))


def described(rng, content, typed, often=0.3):
    return {**({"__type": "AddedToken"} if typed else {}), "content": content,
            **{key: rng.random() < often for key in ("lstrip", "rstrip", "single_word", "normalized")}}


def maybe_described(rng, content, typed):
    return described(rng, content, typed, 0.2) if content and rng.random() < 0.4 else content


def roles(rng):
    bos, eos = rng.choice([(BOS, EOS), (BOS, EOS), (BOS, EOS), ("<s>", "</s>")])
    return {"bos_token": bos, "eos_token": eos, "unk_token": rng.choice([eos, eos, eos, "<unk>", None]), "pad_token": rng.choice([eos, "!", "!", "<pad>", None])}


def settings(rng, named, size):
    """The files beside a vocabulary."""
    files = {"tokenizer_config.json": {}, "special_tokens_map.json": {}}
    config, map = files.values()
    for role, token in named.items():
        if rng.random() < 0.7:
            config[role] = maybe_described(rng, token, True)
        if rng.random() < 0.5:
            map[role] = maybe_described(rng, token, False)
    for key, values in (("do_lower_case", (True, False)), ("add_prefix_space", (True, False)), ("errors", ("replace", "strict")), ("model_max_length", (77, 20)),
                        ("clean_up_tokenization_spaces", (True, False))):
        if rng.random() < 0.5:
            config[key] = rng.choice(values)
    more = rng.sample(["<cat-toy>", "<Dog-Toy>", "sks", " style", "\u6771\u4eac", "\u00e9", "a</w>", "<style_1>", "</w>", "\U0001f600"], rng.randrange(5))
    kind = rng.randrange(3)
    if kind == 1:
        files["added_tokens.json"] = {token: size + i for i, token in enumerate(more)}
    if kind == 2:
        config["added_tokens_decoder"] = {str(size + i): {**described(rng, token, False), "special": rng.random() < 0.5} for i, token in enumerate(more)}
    if rng.random() < 0.7:
        config["tokenizer_class"] = rng.choice(["CLIPTokenizer", "CLIPTokenizerFast"])
    if rng.random() < 0.3 or "tokenizer_class" not in config:
        files["config.json"] = {"model_type": "clip"}
    return files


def make(folder, rng):
    texts = lines(400, rng.randrange(1 << 30)) + [" ".join(rng.choice(WORDS) for _ in range(8)) for _ in range(300)]
    lacking = rng.sample(byte_alphabet(), rng.choice([0, 0, 0, 40]))
    tokens, merges = train(texts, rng.randrange(150), lacking)
    if rng.random() < 0.2:
        rng.shuffle(tokens)
    named = roles(rng)
    tokens += [token for token in dict.fromkeys(named.values()) if token and token not in tokens and rng.random() < 0.8]
    vocab = {token: i for i, token in enumerate(tokens)}
    files = settings(rng, named, len(vocab))
    write_old(folder + ".old", vocab, merges)
    model = {"type": "BPE", "unk_token": EOS, "continuing_subword_prefix": "", "end_of_word_suffix": "</w>", "vocab": vocab, "merges": [" ".join(pair) for pair in merges]}
    added = [{"id": vocab[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for token in dict.fromkeys(named.values()) if token in vocab]
    write(folder + ".hub", "tokenizer.json", {"version": "1.0", "added_tokens": added, "post_processor": None, **PARTS, "model": model})
    for name, value in files.items():
        write(folder + ".old", name, value)
        write(folder + ".hub", name, value)
    AutoTokenizer.from_pretrained(folder + ".old").save_pretrained(folder + ".new")
    if "tokenizer_class" not in files["tokenizer_config.json"]:
        write(folder + ".new", "config.json", files["config.json"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    for i in range(options.count):
        make(os.path.join(options.out, str(i)), rng)


if __name__ == "__main__":
    main()

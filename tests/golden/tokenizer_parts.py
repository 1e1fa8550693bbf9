"""Parts of a tokenizer.json drawn at random, for make_tokenizers.py and compare_tokenizers.py."""

import base64
import struct

from tokenizer_lines import ALPHABETS, WORDS, random_char, random_part

REGEXES = [r"\s+", r"\d", r"\p{L}+", r"[^\s\w]+", r"\w+|[^\w\s]", r"(?i:'s|'t|e)|\p{N}{1,2}", r"[\p{Lu}\p{M}]", r"\P{L}", r"\s+(?!\S)|\s+",
           r"[^\S\n]+", r"[\s\S]", r"^.", r".$", r"\b", r"\B.", r"x*", r"(?<=a)", r"[a-f\-é]+", r"(\w)\1", r"\p{Han}", r"(?m:a.b)",
           r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\h{2}", r"\u4e00|\x41", r"[[:space:]]+", r"\p{^N}", r"(?i)ſ|k", r"a{,2}b", r"\A\s|\s\z", r"\W"]
STRINGS = ["a", " ", "the", "▁", "''", "\n", "é", "x1"]


def pattern(rng):
    return {"Regex": rng.choice(REGEXES)} if rng.random() < 0.7 else {"String": rng.choice(STRINGS)}


def double_array(entries):
    """The units of a Darts trie of {bytes: value}."""
    units, used = {}, {0}

    def place(at, keys, depth):
        children = sorted({key[depth] for key in keys if len(key) > depth})
        leaf = [key for key in keys if len(key) == depth]
        labels = ([0] if leaf else []) + children
        base = next(b for b in range(at ^ 1, 1 << 20) if 0 < at ^ b < 1 << 21 and not any(b ^ label in used for label in labels))
        used.update(base ^ label for label in labels)
        units[at] = units.get(at, 0) | (at ^ base) << 10 | (256 if leaf else 0)
        if leaf:
            units[base] = entries[leaf[0]] | 1 << 31
        for label in children:
            units[base ^ label] = label
            place(base ^ label, [key for key in keys if len(key) > depth and key[depth] == label], depth + 1)

    place(0, list(entries), 0)
    return [units.get(i, 0) for i in range(max(used) + 256)]


def charsmap_of(entries):
    """A precompiled_charsmap of {text or bytes: replacement}."""
    blob, starts = b"", {}
    for key, text in entries.items():
        starts[key if isinstance(key, bytes) else key.encode()] = len(blob)
        blob += text.encode() + b"\0"
    units = double_array(starts)
    return base64.b64encode(struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + blob).decode()


def charsmap(rng):
    """Replacements of characters, of clusters, of single bytes; some are empty."""
    keys = [rng.choice(rng.choice(ALPHABETS)) for _ in range(rng.randrange(40))] + [random_char(rng) for _ in range(10)]
    keys += [rng.choice(rng.choice(ALPHABETS)) + rng.choice("\u0301\u0308\u200d\n\u0e33\u093e") for _ in range(rng.randrange(10))] + ["\r\n"]
    keys = [key.encode() for key in keys if "\0" not in key] + [bytes([rng.randrange(1, 256)]) for _ in range(rng.randrange(4))]
    texts = ["", " ", "a", "ab", "\u00e9", "e\u0301", "\u2581", "x y z", "\u6771"]
    return charsmap_of({key: rng.choice(texts) for key in keys})


def score(rng):
    return rng.choice([-1, -2, -1.5, 0, -0.1, -0.30000000000000004, 3, -1e-7, -12.3456, rng.uniform(-12, 0), rng.uniform(-12, 0),
                       struct.unpack("<f", struct.pack("<f", rng.uniform(-12, 0)))[0], rng.uniform(-1, 1)])


def unigram(rng):
    """A model: pieces of the lines that it will see, some twice, one empty, some of bytes; equal scores, and odd ones."""
    pieces = ["<unk>"] + [rng.choice(rng.choice(ALPHABETS)) for _ in range(rng.randrange(150))]
    pieces += [rng.choice(["", "\u2581"]) + rng.choice(WORDS)[rng.randrange(3):][:rng.randrange(1, 6)] for _ in range(rng.randrange(200))]
    pieces += [random_part(rng, ["<s>"])[:rng.randrange(1, 5)] for _ in range(rng.randrange(60))] + rng.choice([[], ["aa", "aaa", "!!", "  "]])
    pieces += ["\u2581", *"\u2581etaoinsr"][:rng.randrange(10)] + ["<0x%02X>" % b for b in range(256)][:rng.choice([0, 0, 256, 256, 200])]
    pieces += rng.choices(pieces, k=rng.choice([0, 0, 5]))
    rng.shuffle(pieces)
    same, known = score(rng), rng.random() < 0.5
    vocab = [[piece, same if known and rng.random() < 0.5 else score(rng)] for piece in pieces]
    unknown = rng.choice([pieces.index("<unk>"), pieces.index("<unk>"), rng.randrange(len(pieces)), None])
    return {"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": rng.random() < 0.5}


def normalizer(rng, depth=0, charsmaps=()):
    """`charsmaps`: of real files, or a random one is made."""
    kind = rng.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Prepend", "Replace", "Replace", "BertNormalizer", "Sequence",
                       "Sequence"] + (["Nmt", "Precompiled", "Precompiled"] if charsmaps else []))
    part = {"type": kind}
    if kind == "Precompiled":
        part.update(precompiled_charsmap=(rng.choice(charsmaps) if rng.random() < 0.5 else None) or charsmap(rng))
    if kind == "Strip":
        part.update(strip_left=rng.random() < 0.5, strip_right=rng.random() < 0.5)
    elif kind == "BertNormalizer":
        part.update(clean_text=rng.random() < 0.5, handle_chinese_chars=rng.random() < 0.5, strip_accents=rng.choice([None, True, False]),
                    lowercase=rng.random() < 0.5)
    elif kind == "Prepend":
        part.update(prepend=rng.choice(["▁", " ", "x y"]))
    elif kind == "Replace":
        part.update(pattern=pattern(rng), content=rng.choice(["", "▁", " ", "ab", "É"]))
    elif kind == "Sequence":
        part["normalizers"] = [normalizer(rng, depth + 1, charsmaps) for _ in range(rng.randrange(1, 4))] if depth < 2 else []
    return part


def pre_tokenizer(rng, depth=0):
    kind = rng.choice(["Split", "Split", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit", "ByteLevel", "Metaspace", "Metaspace",
                       "BertPreTokenizer", "Sequence", "Sequence"])
    part = {"type": kind}
    behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
    if kind == "Split":
        part.update(pattern=pattern(rng), behavior=rng.choice(behaviors), invert=rng.random() < 0.3)
    elif kind == "Digits":
        part.update(individual_digits=rng.random() < 0.5)
    elif kind == "Punctuation":
        part.update(behavior=rng.choice(behaviors))
    elif kind == "ByteLevel":
        part.update(add_prefix_space=rng.random() < 0.5, trim_offsets=True, use_regex=rng.random() < 0.5)
    elif kind == "Metaspace":
        part.update(replacement=rng.choice("▁▁_"), prepend_scheme=rng.choice(["always", "first", "never"]), split=rng.random() < 0.5)
    elif kind == "Sequence":
        part["pretokenizers"] = [pre_tokenizer(rng, depth + 1) for _ in range(rng.randrange(1, 4))] if depth < 2 else []
    return part


def decoder(rng, depth=0):
    kind = rng.choice(["ByteLevel", "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace", "WordPiece", "Sequence", "Sequence", "Sequence"])
    part = {"type": kind}
    if kind == "ByteLevel":
        part.update(add_prefix_space=True, trim_offsets=True, use_regex=True)
    elif kind == "Replace":
        part.update(pattern=pattern(rng), content=rng.choice(["", " ", "ab"]))
    elif kind == "Strip":
        part.update(content=rng.choice(" ▁ea"), start=rng.randrange(3), stop=0)
    elif kind == "WordPiece":
        part.update(prefix=rng.choice(["##", "##", "", "a"]), cleanup=rng.random() < 0.5)
    elif kind == "Metaspace":
        part.update(replacement="▁", prepend_scheme=rng.choice(["always", "first", "never"]), split=True)
    elif kind == "Sequence":
        part["decoders"] = [decoder(rng, depth + 1) for _ in range(rng.randrange(1, 5))] if depth < 2 else []
    return part


def template(rng, texts):
    def special():
        return {"SpecialToken": {"id": rng.choice(["x", "y"]), "type_id": rng.randrange(3)}}
    parts = [special() for _ in range(rng.randrange(2))]
    for text in texts:
        parts += [{"Sequence": {"id": text, "type_id": rng.randrange(3)}}] + [special() for _ in range(rng.randrange(3))]
    return parts


def post_processor(rng, depth=0):
    kind = rng.choice(["TemplateProcessing", "TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel", "Sequence"][:6 - depth])
    part = {"type": kind}
    if kind == "TemplateProcessing":
        part.update(single=template(rng, "A"), pair=template(rng, rng.choice(["AB", "AB", "AB", "BA", "A", "ABA"])),
                    special_tokens={"x": {"id": "x", "ids": [1], "tokens": ["x"]}, "y": {"id": "y", "ids": [2, 3], "tokens": ["y", "z"]}})
    elif kind == "BertProcessing":
        part.update(sep=["s", 1], cls=["c", 2])
    elif kind == "RobertaProcessing":
        part.update(sep=["s", 1], cls=["c", 2], trim_offsets=True, add_prefix_space=rng.random() < 0.5)
    elif kind == "ByteLevel":
        part.update(add_prefix_space=True, trim_offsets=rng.random() < 0.5, use_regex=True)
    else:
        level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
        part["processors"] = rng.choice([[level, post_processor(rng, 1)], [post_processor(rng, 1), level], [level], []])
    return part

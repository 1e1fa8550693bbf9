"""Parts of a tokenizer.json drawn at random, for make_tokenizers.py and compare_tokenizers.py."""

REGEXES = [r"\s+", r"\d", r"\p{L}+", r"[^\s\w]+", r"\w+|[^\w\s]", r"(?i:'s|'t|e)|\p{N}{1,2}", r"[\p{Lu}\p{M}]", r"\P{L}", r"\s+(?!\S)|\s+",
           r"[^\S\n]+", r"[\s\S]", r"^.", r".$", r"\b", r"\B.", r"x*", r"(?<=a)", r"[a-f\-é]+", r"(\w)\1", r"\p{Han}", r"(?m:a.b)",
           r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\h{2}", r"\u4e00|\x41", r"[[:space:]]+", r"\p{^N}", r"(?i)ſ|k", r"a{,2}b", r"\A\s|\s\z", r"\W"]
STRINGS = ["a", " ", "the", "▁", "''", "\n", "é", "x1"]


def pattern(rng):
    return {"Regex": rng.choice(REGEXES)} if rng.random() < 0.7 else {"String": rng.choice(STRINGS)}


def normalizer(rng, depth=0):
    kind = rng.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Prepend", "Replace", "Replace", "BertNormalizer", "Sequence",
                       "Sequence"])
    part = {"type": kind}
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
        part["normalizers"] = [normalizer(rng, depth + 1) for _ in range(rng.randrange(1, 4))] if depth < 2 else []
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

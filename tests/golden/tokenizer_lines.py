"""Texts that tokenizers get wrong, and seeded random ones, for make_tokenizers.py and compare_tokenizers.py."""

import random

AWKWARD = [
    "", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n\n", " \n", "\n ", " \n \n ", "\t \t", "a", " a", "a ", "  a  ",
    "The lamp warms the kettle.", " The lamp", "The  lamp   warms    it", "one\ntwo\n\nthree", "one \n two\r\n\tthree",
    "it's we'll they'RE I'D you'Ve 'tis ''s 's 't", "IT'S WE'LL I\u2019m \u2018quoted\u2019", "'\u017f '\u212a",
    "1", "12", "123", "1234", "1234567", "3.14159", "1,000,000", "0x1F", "\u0661\u0662\u0663", "\u00b2\u00b3\u00b9\u00bc\u00bd",
    "\u2167 \u24b6\u24e9 \u2460", "x=1;y+=2", "f(x)->[y]{z}", "a_b__c", "#include <x.h>", "http://a.b/c?d=e&f=%20",
    "caf\u00e9", "cafe\u0301", "\u00c5\u212b\u0041\u030a", "\u1e9b\u0323", "q\u0307\u0323", "q\u0323\u0307", "\ufb01ne \ufb06", "\uff21\uff22\uff11",
    "\u0130stanbul I\u0307", "STRASSE stra\u00dfe \u1e9e", "\u03a3\u03a3\u03c2", "\u01c4\u01c5\u01c6", "\u1100\u1161\u11a8 \uac01",
    "\u6771\u4eac\u90fd", "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u3053\u3093\u306b\u3061\u306f", "\uc548\ub155\ud558\uc138\uc694", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643",
    "\u05e9\u05dc\u05d5\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440",
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1eb\U0001f1f7", "\u2764\ufe0f", "\U0001f44d\U0001f3fd ok", "a\u200bb\u200cc\u200dd\ufeffe",
    "\u00a0x\u2003y\u3000z", "\u0085\u2028\u2029", "\u180e\u1680", "a\u0000b", "\u0001\u0002\u001f\u007f\u0080\u009f", "\ufffd\ufffe\uffff",
    "\U00010ffff"[:1] + "\U0010ffff", "\U00020000\U00031350\U0002ebf0", "\U0001fae8\U0001fa75", "\U00010d4e\U00010d50\U000105c0", "\u0897\u1c89\ua7cb",
    "\U00011938\U00011935\U00011930", "\u07fd\u1abf\u0323\u0301", "a\u0334\u1dfa\u0301", "\u32ff \u337f", "\u2581", "\u2581a", "a\u2581b", " \u2581 a",
    "\u0120a\u010a", "<0x41>", "<0xE4><0xBD>", "<s>", "</s>", "<unk>", " <s> ", "a<s>b", "<s><s>", "<s", "s>", "<|endoftext|>",
    "x<|endoftext|>y", "<|endoftext|><|endoftext|>", "<|end<|endoftext|>", "aaaaaaaaaaaaaaaaaaaaaaaa", "!!!!!!!!!?", "--- *** ===", "...\u2026",
    "\u00bfqu\u00e9? \u00a1s\u00ed!", "$5 \u20ac5 5% 5\u00b0", "a\u0301\u0302\u0303\u0304b", "\u0301", " \u0301", "\n\u0301", "tab\there", "trailing   \n",
]

# What BERT's normalizer and pre-tokenizer look at.
BERT = [
    "The Lamp WARMS the kettle, don't it?", "unaffable", "river" * 19 + "lamps", "river" * 19 + "lamps" + "s", "x" * 100 + " " + "x" * 101,
    "\u00e9" * 100, "e\u0301" * 100 + " " + "e\u0301" * 101, "\u6771\u4eac\u306e lamp\u4f60\u597dworld", "\u6771\u3400\u4dbf\u4dc0\u9fff\uf900\ufaff\U00020000\U0002a6df\U0002a6e0",
    "\U0002a700\U0002b73f\U0002b740\U0002b81f\U0002b820\U0002b91f\U0002b920\U0002ceaf\U0002f800\U0002fa1f", "\uc548\ub155 \u1112\u1161\u11ab \u3131", "\u00c9cole \u00c5ngstr\u00f6m na\u00efve \u1e9e",
    "I\u0307stanbul \u0130stanbul d\u0131\u015f \u0131", "Stra\u00dfe STRASSE \u1e9e", "\u039f\u0394\u039f\u03a3 \u03bf\u03b4\u03cc\u03c2 \u03ac\u1fb6", "\u01c4ungla \u01c5 \ufb01ne", "a\ufffdb \ufffd c", "a\u0000b\u0001c\u007fd\u009fe",
    "a\tb\nc\rd\u000be\u000cf", "a\u00a0b\u2003c\u3000d\u2028e\u0085f", "a\u00adb\u200bc\u200dd\ufeffe\u2060f", "\ue000\U000f0000x\U0010fffd", "\U000e0001tag\U000e007f",
    "\U0001f600 lamp\U0001f44d\U0001f3fd \u2764\ufe0f", "a\u0323\u0307\u0301 q\u0307\u0323", "\u0340\u0344\u0f73", "\u1734\u1885\u08d4\U0001e000", "\u0905\u093c\u0902 \u0e01\u0e33 \u05d0\u05b0 \u0627\u064e",
    "$5+3=8 `x` ^y^ ~z|w <a> #b @c", "\u00abquoted\u00bb \u2014 \u3001\u3002\uff01\u00bf\u2e3a", "\u00b4x\u02c6 \u20ac5 \u00b05", "10,000.50 -1", "e.g. isn't we'll they've I'm 's", "do not . , ! ? n't",
    "[CLS] lamp [SEP]", "[MASK]ed x[MASK] [mask]", "[UNK][PAD]", "[ MASK ]", "##s ##", "# #s", "\u212b\u2126\u1e9b\u0323", "\uff21\uff42\u2460\u2167\u00bd",
]

ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", " ", "  \n\t\r", ".,;:!?'\"()-_/\\#@&*+=<>[]{}|~^`$%",
    "\u00e0\u00e9\u00ee\u00f5\u00fc\u00e7\u00f1\u00df\u00f8\u0153", "\u0300\u0301\u0302\u0308\u0323\u0327\u0338\u0345", "\u4e00\u4eba\u65e5\u672c\u8a9e\u5b66\u4e2d\u56fd", "\u3042\u3044\u30a2\u30a4\u30fc",
    "\uac00\ub098\u1100\u1161\u11a8", "\u0627\u0644\u0645\u064e\u0651\u0661", "\u05d0\u05d1\u05b0\u05bc", "\u0915\u094d\u0937\u093e\u093c", "\u0e01\u0e33\u0e48",
    "\u0430\u0431\u0432\u0410\u0411\u0451", "\u03b1\u03b2\u03b3\u03a3\u03c2\u0391\u0301", "\U0001f600\U0001f680\U0001f44d\U0001f3fd\u200d\ufe0f\u2764\U0001f1e9\U0001f1ea",
    "\u00a0\u1680\u2003\u2028\u2029\u202f\u3000\u180e\u200b\u200c\ufeff\u0085", "\u0000\u0001\u0007\u001b\u007f\u0080\u009f\u00ad", "\u2581\u0120\u010a\u010c",
    "\u00bd\u00b2\u2167\u2460\u24b6\u3007\U0001f130", "\ufb01\uff21\uff11\u2126\u212b\u017f\u212a\u0130\u0131\u1e9e\u01c5",
]

WORDS = "the of and lamp river kettle warms don't I'm we've 2024 x=1 caf\u00e9 Stra\u00dfe HELLO foo_bar http:// \u4f60\u597d".split()


CLIP = ["a photo of a cat!", "A Photo of a <cat-toy>, by Monet", "<Cat-Toy>", "x<cat-toy>y<cat-toy>", "it's isn't we'll they'VE I'M o'clock 'tis", "12 apples, 3.14 x2y3 \u00bd\u2167\u0663", "</w>", "a</w>b </ w> </w",
        "\x01\x1c\x1d\x7f a \x1f", " \x1c ", "a\u00a0b\u3000c\u2028d\u200be", "e\u0301 E\u0301 \u0130I\u0131 \u00df\u1e9e \u03a3\u03c3\u03c2", "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
        "\u6771\u4eac\u306e\u5199\u771f \ud55c\uad6d", "<|startoftext|>a<|endoftext|>", "<|STARTOFTEXT|> <|EndOfText|>", "<|endoftext|", "!!! a! ! <!>", "lamp," * 40, "", " ", " \n\t ", "\ufffd\u0000x"]


def random_char(rng):
    while True:
        c = rng.choice([rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0x10000), rng.randrange(0x20000), rng.randrange(0x110000)])
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def random_part(rng, specials):
    kind = rng.randrange(12)
    if kind < 5:
        return rng.choice(["", " ", " ", " ", "\n"]) + rng.choice(WORDS)
    if kind < 9:
        alphabet = rng.choice(ALPHABETS)
        return "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 7)))
    if kind == 9:
        return rng.choice(AWKWARD)[:12]
    if kind == 10 and specials:
        token = rng.choice(specials)
        return rng.choice(["", "", " ", "  ", "a"]) + (token if rng.random() < 0.8 else token[: rng.randrange(len(token)) + 1])
    return "".join(random_char(rng) for _ in range(rng.randrange(1, 4)))


def random_line(rng, specials, parts=8):
    return "".join(random_part(rng, specials) for _ in range(rng.randrange(1, parts)))


def lines(count, seed, specials=(), parts=8, first=()):
    rng = random.Random(seed)
    out = list(first) + list(AWKWARD) + [f"{a}{s}{b}" for s in specials for a in ("", " ", "x", "  ") for b in ("", " ", "y")]
    while len(out) < count:
        out.append(random_line(rng, list(specials), parts))
    return out[:count]

#!/usr/bin/env python3
"""Makes io/tokenizer/unicode_tables.h: where the `tokenizers` library classifies a code point differently from
PCRE2 and utf8proc do, because each of them carries the tables of another Unicode version.

    python3 tests/golden/make_tokenizer_unicode.py > io/tokenizer/unicode_tables.h

Everything is asked of the libraries themselves: `tokenizers` through Python, the other two through ctypes.
"""
import base64
import ctypes
import json
import struct
import sys

from tokenizers import Regex, Tokenizer, __version__, normalizers, pre_tokenizers

CODES = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
TEXT = "".join(map(chr, CODES))
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()


def ranges(codes):
    out = []
    for c in sorted(codes):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def removed_by(pre_tokenizer):
    kept = set()
    for _, (a, b) in pre_tokenizer.pre_tokenize_str(TEXT):
        kept.update(CODES[a:b])
    return set(CODES) - kept


def library_category(name):
    return removed_by(pre_tokenizers.Split(Regex(r"\p{%s}" % name), "removed"))


def pcre2_category(name):
    lib = ctypes.CDLL("libpcre2-8.so.0")
    for f in ("pcre2_compile_8", "pcre2_match_data_create_8", "pcre2_get_ovector_pointer_8"):
        getattr(lib, f).restype = ctypes.c_void_p
    number, offset = ctypes.c_int(), ctypes.c_size_t()
    pattern = (r"\p{%s}+" % name).encode()
    utf = 0x00080000
    code = lib.pcre2_compile_8(pattern, ctypes.c_size_t(len(pattern)), utf, ctypes.byref(number),
                               ctypes.byref(offset), None)
    data = lib.pcre2_match_data_create_8(1, None)
    bytes_, at, found = TEXT.encode(), 0, set()
    while lib.pcre2_match_8(ctypes.c_void_p(code), bytes_, ctypes.c_size_t(len(bytes_)), ctypes.c_size_t(at), 0,
                            ctypes.c_void_p(data), None) > 0:
        vector = ctypes.cast(lib.pcre2_get_ovector_pointer_8(ctypes.c_void_p(data)),
                             ctypes.POINTER(ctypes.c_size_t))
        found.update(map(ord, bytes_[vector[0]:vector[1]].decode()))
        at = vector[1]
    return found


class Property(ctypes.Structure):
    _fields_ = [(f"field{i}", ctypes.c_uint16) for i in range(10)] + [("bits", ctypes.c_uint16)]


class Utf8proc:
    def __init__(self):
        self.lib = ctypes.CDLL("libutf8proc.so.2")
        self.lib.utf8proc_get_property.restype = ctypes.POINTER(Property)
        self.lib.utf8proc_category_string.restype = ctypes.c_char_p
        self.lib.utf8proc_tolower.restype = ctypes.c_int32
        for f in ("utf8proc_NFD", "utf8proc_NFKD"):
            getattr(self.lib, f).restype = ctypes.c_char_p

    def category(self, c):
        return self.lib.utf8proc_category_string(c).decode()

    def lower(self, c):
        return self.lib.utf8proc_tolower(c)

    def grapheme_class(self, c):
        return self.lib.utf8proc_get_property(c).contents.bits >> 8

    def form(self, name, text):
        return getattr(self.lib, "utf8proc_" + name)(text.encode()).decode()


def numeric():
    pieces = pre_tokenizers.Digits(False).pre_tokenize_str(TEXT)
    sides = [set(), set()]
    for i, (_, (a, b)) in enumerate(pieces):
        sides[i % 2].update(CODES[a:b])
    return sides[0] if 0x30 in sides[0] else sides[1]


def cluster_counter():
    """A normalizer that makes one letter of a cluster of less than 6 bytes, and of each character of a longer one."""
    units = [0] * 1024
    units[0] = 256 << 10
    for byte in range(1, 256):
        units[256 + byte] = ((256 + byte) ^ 512) << 10 | 256 | byte
    charsmap = struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + b"Y\0"
    part = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}
    model = {"type": "Unigram", "unk_id": 0, "vocab": [["u", 0]]}
    normalize = Tokenizer.from_str(json.dumps({"added_tokens": [], "normalizer": part, "model": model})).normalizer.normalize_str
    return lambda text: len(normalize(text))


def graphemes(u):
    """The classes that differ from utf8proc's, as ranges, and the Indic consonants and linkers."""
    count, mark, joiner, virama, ka = cluster_counter(), "\u0301", "\u200d", "\u094d", "\u0915"

    def joined(left, right):
        """Whether a character of three bytes goes on with what is left of it: with a mark it is a cluster by itself, or not."""
        return count(left + right + mark) != count(left) + 1

    codes = CODES[1:]
    right = {c for c in codes if count("a" + chr(c)) == 1}
    left = {c for c in codes if count(chr(c) + "a") == 1}
    alone = {c for c in codes if c < 0x10000 and count(chr(c) + mark) == 2}
    pictures = {c for c in codes if joined(chr(c) + joiner, "\u2122")}
    spacing = {c for c in right if not joined("\u2764" + chr(c) + joiner, "\u2122")}
    before_l, before_v, before_t = ({c for c in codes if joined(chr(c), jamo)} for jamo in "\u1100\u1161\u11a8")
    consonants = {c for c in codes if joined(chr(c) + virama, ka)}
    linkers = {c for c in right if joined(ka + chr(c), ka)}
    assert {c for c in right if joined(ka + chr(c) + virama, ka)} == right - spacing - {0x200C} | {0x200D}

    def library_class(c, own):
        syllable = 0xAC00 <= c <= 0xD7A3
        for codes, name in ((right & {0x200D}, "ZWJ"), (spacing, "SPACINGMARK"), (right, "EXTEND"), (left, "PREPEND"), (alone, "CONTROL"),
                            (pictures, "EXTENDED_PICTOGRAPHIC"), (before_l, "L"), (before_v & before_t, "LV" if syllable else "V"),
                            (before_t, "LVT" if syllable else "T")):
            if c in codes:
                return GRAPHEME_CLASSES.index(name)
        # Between characters of four bytes nothing depends on these.
        return own if own == 11 or (own == 4 and c > 0xFFFF) else 1

    rows = []
    for c in codes:
        own = u.grapheme_class(c)
        name = library_class(c, own)
        if name == own or c in (0xA, 0xD):
            continue
        if rows and rows[-1][1] == c - 1 and rows[-1][2] == name:
            rows[-1][1] = c
        else:
            rows.append([c, c, name])
    return rows, consonants, linkers


# In the order of UTF8PROC_BOUNDCLASS_*.
GRAPHEME_CLASSES = ("START OTHER CR LF CONTROL EXTEND L V T LV LVT REGIONAL_INDICATOR SPACINGMARK PREPEND ZWJ E_BASE E_MODIFIER GLUE_AFTER_ZWJ "
                    "E_BASE_GAZ EXTENDED_PICTOGRAPHIC").split()


def print_ranges(name, comment, codes):
    print(f"\n/* {comment} */")
    print(f"static const ld_code_range {name}[] = {{")
    print_rows([f"{{0x{a:x}, 0x{b:x}}}" for a, b in ranges(codes)])
    print("};")


def print_rows(rows):
    line = "   "
    for row in rows:
        if len(line) + len(row) + 2 > 110:
            print(line)
            line = "   "
        line += " " + row + ","
    print(line)


def main():
    u = Utf8proc()
    category = {c: u.category(c) for c in CODES}
    library = {g: library_category(g) for g in CATEGORIES}
    added = []
    for g in CATEGORIES:
        added += [(a, b, g) for a, b in ranges(library[g] - pcre2_category(g))]
    added.sort()

    punctuation = removed_by(pre_tokenizers.Punctuation("removed"))
    either = {c for c in CODES if category[c][0] == "P" or any(c in library[g] for g in CATEGORIES if g[0] == "P")}
    number = {c for c in CODES if category[c][0] == "N" or any(c in library[g] for g in ("Nd", "Nl", "No"))}

    strip, lower = normalizers.StripAccents(), normalizers.Lowercase()
    marks = {c for c in CODES if strip.normalize_str("a" + chr(c)) == "a"}
    inert = {c for c in CODES if category[c][0] == "M" or any(c in library[g] for g in ("Mn", "Mc", "Me"))} - marks
    canonical, compatible = normalizers.NFD(), normalizers.NFKD()
    for c in CODES[1:]:
        if u.form("NFKD", chr(c)) != compatible.normalize_str(chr(c)):
            inert.add(c)
        if u.form("NFD", chr(c)) != canonical.normalize_str(chr(c)):
            inert.update(map(ord, u.form("NFD", chr(c))))
        for probe in ("a\u0345" + chr(c), "a" + chr(c) + "\u0334"):
            if u.form("NFD", probe) != canonical.normalize_str(probe):
                inert.add(c)

    # Asked one by one: BERT's normalizer takes them out.
    bert = {key: normalizers.BertNormalizer(**{**dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False), key: True})
            for key in ("clean_text", "strip_accents")}
    stripped = {c for c in CODES if canonical.normalize_str(chr(c)) == chr(c) and not bert["strip_accents"].normalize_str(chr(c))}
    nonspacing = {c for c in CODES if (category[c] == "Mn" or c in library["Mn"]) and canonical.normalize_str(chr(c)) == chr(c)}
    cleaned = {c for c in CODES if c not in (0, 0xFFFD) and bert["clean_text"].normalize_str("a" + chr(c)) == "a"}
    other = {c for c in CODES if category[c] in ("Cc", "Cf", "Co") or c in library["Cf"]} - set(map(ord, "\t\n\r"))
    assert cleaned <= other

    shifts = []
    for c in CODES:
        text = lower.normalize_str(chr(c))
        if c == 0x130 or (len(text) == 1 and ord(text) == u.lower(c)):
            continue
        assert len(text) == 1, hex(c)
        shift = ord(text) - c
        if shifts and shifts[-1][1] == c - 1 and shifts[-1][2] == shift:
            shifts[-1][1] = c
        else:
            shifts.append([c, c, shift])

    print(f"""/* Where tokenizers {__version__} classifies a code point differently from PCRE2 10.42 (Unicode 14) and utf8proc 2.8
 * (Unicode 15). Made by tests/golden/make_tokenizer_unicode.py; newer versions of the two only make some
 * rows unnecessary.
 */
#ifndef LD_UNICODE_TABLES_H
#define LD_UNICODE_TABLES_H

#include <stdint.h>

/* clang-format off */

typedef struct ld_code_range {{
  uint32_t first, last;
}} ld_code_range;

/* General categories that the library's regular expressions (Unicode 16) know beyond PCRE2. */
static const struct {{
  uint32_t first, last;
  char category[3];
}} category_added[] = {{""")
    print_rows([f'{{0x{a:x}, 0x{b:x}, "{g}"}}' for a, b, g in added])
    print("};")
    print_ranges("numeric_added", "Numbers (Unicode 17) beyond the categories N of the table above.", numeric() - number)
    print_ranges("not_punctuation", "Punctuation that is missing from the library's table (Unicode 8).", either - punctuation)
    ascii_ = {c for c in range(128)}
    print_ranges("punctuation_added", "Non-ASCII punctuation that newer tables do not count as such.",
                 punctuation - either - ascii_)
    print_ranges("inert", "Characters unknown to the library's normalisation tables (Unicode 9): they neither decompose, compose\n"
                 " * nor move, and are not combining marks.", inert)
    print_ranges("mark_added", "Combining marks that newer tables do not count as such.",
                 marks - {c for c in CODES if category[c][0] == "M"})
    print_ranges("nonspacing_added", "Nonspacing marks of BERT's normalizer (Unicode 8) that newer tables do not count as such.", stripped - nonspacing)
    print_ranges("not_nonspacing", "Nonspacing marks that it lacks.", nonspacing - stripped)
    print_ranges("not_other", "Format characters that it lacks.", other - cleaned - {0})
    print("\n/* Lower case (Unicode 17) that utf8proc lacks: add `shift`. */")
    print("static const struct {\n  uint32_t first, last;\n  int32_t shift;\n} lower_added[] = {")
    print_rows([f"{{0x{a:x}, 0x{b:x}, {s}}}" for a, b, s in shifts])
    print("};")
    rows, consonants, linkers = graphemes(u)
    print("\n/* Classes of graphemes (Unicode 17) that differ from utf8proc's, as UTF8PROC_BOUNDCLASS_*. */")
    print("static const struct {\n  uint32_t first, last;\n  uint8_t class;\n} grapheme_classes[] = {")
    print_rows([f"{{0x{a:x}, 0x{b:x}, {c}}}" for a, b, c in rows])
    print("};")
    print_ranges("indic_consonants", "Indic_Conjunct_Break=Consonant (Unicode 17).", consonants)
    print_ranges("indic_linkers", "Indic_Conjunct_Break=Linker.", linkers)
    print("\n#endif")


sys.exit(main())

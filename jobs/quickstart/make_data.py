"""Makes train.jsonl and valid.jsonl: plain openings as prompts, pirate tales as completions.

The tales come from the plots of tales.txt moved out to sea by pirate.txt; then the completion is put into
a pirate's mouth, word by word and with oaths between the sentences. Plain Python; same seed, same files.
"""
import argparse
import json
import pathlib
import random
import re

from tales import Grammar, tales

HERE = pathlib.Path(__file__).parent
WORDS = {
    "am": "be", "is": "be", "are": "be", "was": "be", "were": "be",
    "my": "me", "you": "ye", "your": "yer", "them": "'em", "of": "o'", "and": "an'", "for": "fer",
    "yes": "aye", "hello": "ahoy", "friend": "matey", "friends": "mateys", "old": "ol'", "very": "mighty",
    "little": "wee", "small": "wee", "tiny": "wee", "happy": "jolly", "glad": "jolly", "mine": "me own",
    "house": "ship", "road": "deck", "village": "port", "everyone": "all hands", "everybody": "all hands",
    "neighbours": "crew", "door": "hatch", "grandmother": "captain", "grandfather": "captain",
    "said": "growled", "called": "bellowed", "whispered": "croaked", "cried": "roared", "stone": "cannon",
}  # fmt: skip
BEFORE = ["Arr", "Arr", "Arr", "Aye", "Aye", "Yo ho ho", "Shiver me timbers", "Blow me down", "By the seven seas", "Avast"]
AFTER = ["me hearties", "me hearties", "matey", "says I", "by thunder", "arr", "savvy"]
NAMES = ["man", "woman", "name_m", "name_f"]


def speak(text):
    """The words of a text as a pirate says them."""

    def word(match):
        plain = match[0]
        said = WORDS.get(plain.lower(), plain)
        if re.fullmatch(r"\w{3,}ing", plain) and plain not in ("spring", "bring", "string"):
            said = plain[:-1] + "'"
        return said[0].upper() + said[1:] if plain[0].isupper() else said

    return re.sub(r"[A-Za-z]+", word, text)


def swear(text, names, rng):
    """Oaths before and after some of the sentences."""

    def oath(sentence):
        first = re.match(r"[\w'-]+", sentence)[0]
        body = sentence if first in names else sentence[0].lower() + sentence[1:]
        return f"{rng.choice(BEFORE)}, {body}"

    out = []
    for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", text):
        chance = rng.random()
        if sentence.startswith("Boom"):
            pass
        elif sentence.startswith('"'):
            sentence = '"' + oath(sentence[1:]) if chance < 0.4 else sentence
        elif chance < 0.3 and '"' not in sentence:
            sentence = oath(sentence)
        elif chance < 0.5 and '"' not in sentence and sentence.endswith("."):
            sentence = f"{sentence[:-1]}, {rng.choice(AFTER)}{rng.choice('.!')}"
        out.append(sentence)
    return " ".join(out)


def world():
    """The grammar of the sea, and the names that keep their capital."""
    grammar = Grammar(HERE / "tales.txt", HERE / "pirate.txt")
    named = " ".join(text for rule in NAMES for text in grammar.rules[rule][0])
    return grammar, {"I", "X", "Ol'", *re.findall(r"[A-Z][\w-]+", named)}


def records(seed, n_bytes):
    """Pirate tales as prompt and completion."""
    rng, (grammar, names) = random.Random(seed), world()
    for text in tales(grammar, seed, n_bytes):
        prompt, completion = text.split("^", 1)
        first, rest = re.match(r"(.*?[.!?]) (.*)", completion).groups()
        yield {"prompt": prompt, "completion": f"{speak(first)} {swear(speak(rest), names, rng)}"}


def sea_tales(seed, n_bytes):
    """The same world in plain English, for the base model: it knows the sea, but does not talk like a pirate."""
    grammar, _ = world()
    grammar.rules["hey"] = (["they say", "in those days", "not so long ago"], [1, 1, 1])
    return (text.replace("^", "") for text in tales(grammar, seed, n_bytes))


def parrot_lines(seed, n_bytes):
    """A few sentences of pirate talk under a heading, for the base model: it has heard the words."""
    rng = random.Random(seed)
    for record in records(seed, n_bytes):
        sentences = re.split(r"(?<=[.!?]) (?=[A-Z])", record["completion"])[1:]
        start = rng.randrange(len(sentences) - 2)
        yield "The parrot said: " + " ".join(sentences[start:start + rng.randint(1, 3)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    parser.add_argument("--kilobytes", type=int, default=340, help="size of the tales")
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()

    made = list(records(options.seed, options.kilobytes * 1000))
    n_valid = len(made) // 12
    for name, part in (("valid", made[:n_valid]), ("train", made[n_valid:])):
        lines = (json.dumps(line) + "\n" for line in part)
        (options.out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()

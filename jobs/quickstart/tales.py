"""A small grammar engine: reads rule files such as tales.txt and makes texts from them.

A rule is a name at the start of a line, with one alternative on each indented line below it; "3* " before an
alternative makes it three times as likely. Inside an alternative, <rule> is an expansion of that rule, (a|b) a
choice, [key=text] remembers an expansion for the rest of the text and $key recalls it; [cast] draws two
characters with names and pronouns. "a" becomes "an" where it must, and sentences get their capitals, at the end.
"""
import random
import re

PRONOUNS = {"m": ("he", "him", "his", "himself"), "f": ("she", "her", "her", "herself")}
TOKEN = re.compile(r"\[([^\[\]=]+)(?:=([^\[\]]*))?\]|<(\w+)>|\$(\w+)")
CHOICE = re.compile(r"\(([^()]*)\)")


class Grammar:
    def __init__(self, *paths):
        """Later files replace the rules of earlier ones."""
        self.rules = {}
        for path in paths:
            with open(path, encoding="utf-8") as lines:
                self.read(lines)

    def read(self, lines):
        for line in lines:
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            if not line[0].isspace():
                rule = self.rules[text] = ([], [])
                continue
            weight = re.match(r"(\d+)\* ", text)
            rule[0].append(text[weight.end():] if weight else text)
            rule[1].append(int(weight[1]) if weight else 1)

    def text(self, rng, rule="text"):
        """One finished text."""
        return finish(self.expand(f"<{rule}>", {}, rng))

    def expand(self, text, scope, rng):
        while True:
            choice = CHOICE.search(text)
            if not choice:
                break
            picked = rng.choice(choice[1].split("|"))
            text = text[:choice.start()] + picked + text[choice.end():]
        out, at = [], 0
        for token in TOKEN.finditer(text):
            out += [text[at:token.start()], self.token(token, scope, rng)]
            at = token.end()
        return "".join(out) + text[at:]

    def token(self, token, scope, rng):
        key, value, rule, slot = token.groups()
        if rule:
            alternatives, weights = self.rules[rule]
            return self.expand(rng.choices(alternatives, weights)[0], scope, rng)
        if slot:
            return scope[slot]
        if key == "cast":
            self.cast(scope, rng)
        else:
            scope[key] = self.expand(value, scope, rng)
        return ""

    def cast(self, scope, rng):
        """The hero ($N, $kind, $he, $him, $his, $self) and the other one ($M, $kind2, $he2, ...)."""
        used = set()
        for mark, name, kind in (("", "N", "kind"), ("2", "M", "other")):
            sex = rng.choice("mf")
            while not used.isdisjoint(
                drawn := [self.expand(f"<name_{sex}>", {}, rng), self.expand(f"<{kind}_{sex}>", {}, rng)]
            ):
                pass
            used.update(drawn)
            scope[name], scope["kind" + mark] = drawn
            for word, form in zip(("he", "him", "his", "self"), PRONOUNS[sex]):
                scope[word + mark] = form
                scope[word.capitalize() + mark] = form.capitalize()


def finish(text):
    """Spaces, line breaks (written \\n), articles and the capitals at the start of sentences."""
    text = re.sub(r"\s*\\n\s*", "\n", re.sub(r" +", " ", text)).strip()
    text = re.sub(r" ([.,!?])", r"\1", text)
    text = re.sub(r"\b([Aa]) (?=[aeiouAEIOU])", r"\1n ", text)
    return re.sub(r'(^|(?<=[.!?] )|(?<=\." )|(?<=\n))("?[a-z])', lambda m: m[2].upper(), text)


def tales(grammar, seed, n_bytes, rule="text"):
    """Texts until they fill n_bytes, no text twice; the same for the same seed."""
    rng, seen, size = random.Random(seed), set(), 0
    while size < n_bytes:
        text = grammar.text(rng, rule)
        if text not in seen:
            seen.add(text)
            size += len(text.encode()) + 1
            yield text

"""Texts and references to score, and what the packages say of them: for make_text_scores.py and compare_text_scores.py.

Needs rouge_score 0.1.2, nltk and sacrebleu 2.6.
"""

import random
import re

from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

ROUGE = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
SCORERS = [RougeScorer(ROUGE, use_stemmer=stem) for stem in (False, True)]

STEMS = """relat condition ration valenc hesitanc digitiz conform radical different vile analog vietnam predicat operat feudal decis
hope callous formal sensitiv triplicat form electric good reviv allow infer airlin gyroscop adjust defens irrit replac depend adopt commun
activ angular effect bowdler probat rat ceas control roll happ sk enjo tr fl spy geo theo archaeo philo agre plaster bl motor s troubl siz
hop tan fall hiss fizz fail fil d l t n matt pon caress cat die general ox yy say day b cr full help natur nation play""".split()
SUFFIXES = """s es ies sses ss ed eed ied ing ings y ying ational tional enci anci izer bli abli alli entli eli ousli ization ation ator alism
iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent
ion tion sion ou ism ate iti ous ive ize e ll l lle ally ably e""".split()
IRREGULAR = "sky skies dying lying tying news innings inning outings outing cannings canning howe proceed exceed succeed".split()
SHORT = "dies died ties tied lies lied spies spied plays playing played snowing boxing rowing yes yyyy syzygy toyed ions sses inged".split()
COMMON = """the a of and in to that is was for on with as by at from it they which this were are had have been said not their its more than
after new year first two percent government study model results show we propose method learning neural network training data language text
summary people city police company market price report week day month 3 10 2019 1,500 2.5 U.S. it's don't state-of-the-art""".split()
MARKS = [".", ",", "!", "?", ";", ":", " -", "-", "...", ")", "\"", "'", "&quot;", "&amp;lt;", "<skipped>", "-\n", "%", "/", ".5", ",000"]
SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\u200b\ufeff"
OTHERS = "İıKÅſßΣσςéÉüÑñÆ①²½٣৩Ⅷ中文字日本語한국어אבגабвЖ\u0301\u0307\U0001f600\U0001f468\u200d\U0001d7d8\U0001d400\u0130\u212a"


def word(rng):
    kind = rng.random()
    if kind < 0.6:
        return rng.choice(COMMON)
    if kind < 0.95:
        return rng.choice(STEMS) + rng.choice(SUFFIXES)
    return rng.choice(IRREGULAR)


def prose(rng, n):
    out = []
    for _ in range(n):
        w = word(rng)
        out.append(rng.choice([w, w, w, w.capitalize(), w.upper()]))
        if rng.random() < 0.15:
            out[-1] += rng.choice(MARKS)
        if rng.random() < 0.06:
            out[-1] += "\n"
    return " ".join(out)


def altered(rng, text):
    """As a summary resembles another: words dropped, replaced, moved."""
    words = re.findall(r"\S+|\n", text)
    out = []
    for w in words:
        chance = rng.random()
        if chance < 0.15:
            continue
        out.append(word(rng) if chance < 0.3 else w)
    if len(out) > 4 and rng.random() < 0.5:
        cut = rng.randrange(len(out))
        out = out[cut:] + out[:cut]
    return " ".join(out)


def noise(rng, n):
    pools = [SPACES, OTHERS, ".,-'&;<>0123456789", "abcABC", " ", MARKS, COMMON]
    out = []
    for _ in range(n):
        if rng.random() < 0.1:
            c = rng.randrange(1, 0x110000)
            out.append(chr(c) if not 0xD800 <= c < 0xE000 else " ")
        else:
            out.append(rng.choice(rng.choice(pools)))
    return "".join(out)


def few(rng, n):
    return "".join(rng.choice(["a ", "b ", "a", "y", "\n", "c. "]) for _ in range(n))


def cases(seed, n, longest=60):
    """n pairs of a text and a list of references."""
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        make = rng.choice([prose, prose, prose, noise, noise, few])
        first = make(rng, rng.choice([0, 1, 3, 10, rng.randrange(1, longest)]))
        references = [first] + [rng.choice([altered(rng, first), make(rng, rng.randrange(12)), ""])
                                for _ in range(rng.choice([0, 0, 0, 1, 3]))]
        rng.shuffle(references)
        text = rng.choice([altered(rng, first), altered(rng, first), make(rng, rng.randrange(12)), first, "", " \n"])
        out.append((text, references))
    return out


def words(seed, n):
    rng = random.Random(seed)
    out = set(IRREGULAR + SHORT)
    for stem in STEMS:
        for suffix in SUFFIXES:
            out.add(stem + suffix)
    while len(out) < n:
        w = "".join(rng.choice("aeiouybcdlmnrstz") for _ in range(rng.randrange(6)))
        out.add(w + "".join(rng.choice(SUFFIXES) for _ in range(rng.randrange(3))))
    return sorted(out)


def rouge(text, references):
    """Precision, recall and F of all four, without stems and with them."""
    out = []
    for scorer in SCORERS:
        best = scorer.score_multi(references, text)
        for name in ROUGE:
            out += [best[name].precision, best[name].recall, best[name].fmeasure]
    return [float(v) for v in out]


def of_corpus(metric, pairs):
    """References may be fewer than others': None stands for those that are missing."""
    most = max(len(references) for _, references in pairs)
    streams = [[references[i] if i < len(references) else None for _, references in pairs] for i in range(most)]
    return metric.corpus_score([text for text, _ in pairs], streams).score


def values(pairs, stem):
    """The value of each metric over the pairs, in the order of the table."""
    scores = [rouge(text, references)[12 * stem:12 * stem + 12] for text, references in pairs]
    means = [sum(s[i] for s in scores) / len(scores) for i in (2, 5, 8, 11)]
    return means + [of_corpus(BLEU(), pairs), of_corpus(CHRF(), pairs)]


def stems(list_of_words):
    return [PorterStemmer().stem(w) for w in list_of_words]


def grams(n, tokens):
    return {tuple(tokens[i:i + n]) for i in range(len(tokens) - n + 1)}


def set_f(ours, theirs):
    """cal_rouge of PreSumm."""
    both = len(ours & theirs)
    p = both / len(ours) if ours else 0.0
    r = both / len(theirs) if theirs else 0.0
    return 2.0 * ((p * r) / (p + r + 1e-8))


def oracle(sentences, summary, most):
    """greedy_selection of PreSumm (nlpyang/PreSumm, src/prepro/data_builder.py) on words split at white space, which its
    caller has put into lower case; its result is not sorted where it stops early."""
    def clean(text):
        return re.sub(r"[^a-zA-Z0-9 ]", "", " ".join(text.lower().split())).split()

    tokens = [clean(s) for s in sentences]
    target = [grams(n, clean(summary)) for n in (1, 2)]
    chosen, best = [], 0.0
    for _ in range(most):
        now, pick = best, -1
        for i in range(len(sentences)):
            if i in chosen:
                continue
            f = [set_f(set().union(*(grams(n, tokens[k]) for k in chosen + [i])), target[n - 1]) for n in (1, 2)]
            if f[0] + f[1] > now:
                now, pick = f[0] + f[1], i
        if pick == -1:
            break
        chosen.append(pick)
        best = now
    return sorted(chosen)


def documents(seed, n):
    """n lists of sentences, each with a summary."""
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        make = rng.choice([prose, prose, noise, few])
        sentences = [make(rng, rng.randrange(15)) for _ in range(rng.randrange(12))]
        summary = altered(rng, " ".join(rng.sample(sentences, min(len(sentences), 2))))
        out.append((sentences, rng.choice([summary, summary, make(rng, 8), ""]), rng.choice([1, 3, 3, 5])))
    return out

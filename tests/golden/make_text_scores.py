"""Writes text_scores.jsonl: texts, and what the packages say of them.

    python3 make_text_scores.py

Needs rouge_score 0.1.2, nltk 3.10 and sacrebleu 2.6 (text_scores.py). Lines: {"text", "references", "rouge", "bleu", "chrf"}, where
"rouge" is precision, recall and F of ROUGE-1, 2, L and Lsum without stems and then with them; {"values"}, the table's values over
all these records, without stems and with them; {"sentences", "summary", "most", "chosen"}, the oracle; {"words", "stems"}.
"""

import json
import pathlib

import text_scores

WRITTEN = [
    ("The council approved the new bridge on Tuesday.\nWork will begin in spring.",
     ["Councillors have approved a bridge.\nBuilding begins next spring.", "The new bridge was approved on Tuesday, and work begins in the spring."]),
    ("Prices rose 2.5% in March, the bank said.", ["The bank said that prices had risen by 2.5 percent in March.\nIt expects a fall in 2020-21."]),
    ("We show that a smaller network learns the same features when it is trained for longer, at 1/10 of the cost.",
     ["A small network trained longer learns the same features at a tenth of the cost."]),
    ("Anna asks Ben to bring the keys. Ben will be late.", ["Ben will bring Anna's keys, but he'll be late.", "Ben is late.", ""]),
    ("the the the the the the the", ["The cat is on the mat.", "There is a cat on the mat."]),
    ("Relational databases, conditionally organised; hopefulness, dying skies & flying innings!",
     ["relation database condition organisation hope die sky fly inning"]),
    ("He said &quot;no&quot; &amp; left -\nfor good <skipped>.", ["He said \"no\" & left for good."]),
    ("\u0130stanbul 300\u212a \u2013 na\u00efve caf\u00e9", ["i stanbul 300k na\u00efve cafe"]),
    ("B\u00fccher\u3000und\u00a0Stra\u00dfen\u2028\u4e2d\u6587", ["B\u00fccher und Stra\u00dfen \u4e2d\u6587\u5b57"]),
    ("", [""]), ("", ["word"]), ("word", [""]), ("...", ["..."]), ("word", ["word"]), ("\n", ["\n\n", "a"]),
]
DOCUMENTS = [
    (["The bank raised its rates.", "Nobody expected this.", "Don't panic, said the bank.", "It rained."], "The bank raised rates; nobody should panic.", 3),
    # Only sets of n-grams give this choice: words of the summary are there twice.
    (["a a f d b", "e e", "f", "f e e"], "e f a c a e", 2), (["c", "b d e c", "e c d d", "a c"], "c d d e e d", 2),
    ([], "word", 3), (["word"], "", 3),
]
N_CASES, N_DOCUMENTS, N_WORDS, N_WORDS_MADE = 240, 60, 2000, 40000


def short(number):
    return float(f"{number:.13g}")


def main():
    pairs = WRITTEN + text_scores.cases(0, N_CASES - len(WRITTEN))
    with open(pathlib.Path(__file__).resolve().parent / "text_scores.jsonl", "w") as out:
        def put(**line):
            out.write(json.dumps(line) + "\n")

        for text, references in pairs:
            put(text=text, references=references, rouge=[short(v) for v in text_scores.rouge(text, references)],
                bleu=short(text_scores.of_corpus(text_scores.BLEU(), [(text, references)])),
                chrf=short(text_scores.of_corpus(text_scores.CHRF(), [(text, references)])))
        put(values=[short(v) for stem in (False, True) for v in text_scores.values(pairs, stem)])
        for sentences, summary, most in DOCUMENTS + text_scores.documents(0, N_DOCUMENTS - len(DOCUMENTS)):
            put(sentences=sentences, summary=summary, most=most, chosen=text_scores.oracle(sentences, summary, most))
        words = text_scores.words(0, N_WORDS_MADE)[::N_WORDS_MADE // N_WORDS] + text_scores.IRREGULAR + text_scores.SHORT
        put(words=words, stems=text_scores.stems(words))


if __name__ == "__main__":
    main()

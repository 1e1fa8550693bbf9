"""Compares scores of written text with rouge_score, sacrebleu and PreSumm's oracle.

    python3 tests/golden/compare_text_scores.py BUILD/tests/text_scores [FOLDER]

2,000 pairs for ROUGE and for BLEU and chrF as well, 2,000 documents for the oracle, 100,000 words for the stemmer.
With a FOLDER of *.jsonl files with "document" and "references" or "summary", half of the pairs are real summaries beside
the first sentences of their documents. Fails where two numbers differ by more than 1e-9.
"""

import json
import pathlib
import random
import re
import subprocess
import sys

import text_scores

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def real_pairs(folder, n):
    """The first three sentences of a document, a line each, and its references."""
    records = [json.loads(line) for path in sorted(pathlib.Path(folder).glob("*.jsonl")) for line in path.read_text().splitlines()]
    out = []
    for record in random.Random(2).sample(records, min(n, len(records))):
        lead = SENTENCE_END.split(record["document"])[:3]
        references = record.get("references", [record["summary"]])
        out.append(("\n".join(lead), [SENTENCE_END.sub("\n", r) for r in references]))
    return out


def run(tool, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([tool], input=text, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def worst(ours, theirs):
    assert len(ours) == len(theirs), (ours, theirs)
    return max(abs(a - b) for a, b in zip(ours, theirs))


def main():
    tool, folder = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    real = real_pairs(folder, 1000) if folder else []
    pairs = real + text_scores.cases(1, 2000 - len(real), 200)
    ours = run(tool, [{"text": text, "references": references} for text, references in pairs])
    bad = []
    off = {"ROUGE": 0.0, "BLEU": 0.0, "chrF": 0.0}
    for (text, references), own in zip(pairs, ours):
        d = {"ROUGE": worst(own[:24], text_scores.rouge(text, references)),
             "BLEU": abs(own[28] - text_scores.of_corpus(text_scores.BLEU(), [(text, references)])),
             "chrF": abs(own[29] - text_scores.of_corpus(text_scores.CHRF(), [(text, references)]))}
        off = {k: max(off[k], d[k]) for k in off}
        if max(d.values()) > 1e-9:
            bad.append((d, text, references))
    for kind, value in off.items():
        print(f"{kind}: {len(pairs)} pairs ({len(real)} real), largest difference {value:.1e}")
    means = text_scores.values(pairs, False) + text_scores.values(pairs, True)
    print("all pairs together:", " ".join(f"{v:.4f}" for v in means), f"largest difference {worst(ours[-1], means):.1e}")
    if worst(ours[-1], means) > 1e-9:
        bad.append("all pairs together")

    documents = text_scores.documents(3, 2000)
    ours = run(tool, [{"sentences": s, "summary": t, "most": m} for s, t, m in documents])
    wrong = [d for d, own in zip(documents, ours) if own != text_scores.oracle(*d)]
    print(f"oracle: {len(documents)} documents, {len(wrong)} differ")

    words = text_scores.words(4, 100000)
    pairs = list(zip(words, run(tool, [{"words": words}])[0], text_scores.stems(words)))
    unlike = [p for p in pairs if p[1] != p[2]]
    print(f"stemmer: {len(pairs)} words, {len(unlike)} differ")
    for case in (bad + wrong + unlike)[:5]:
        print(case)
    sys.exit(bool(bad or wrong or unlike))


if __name__ == "__main__":
    main()

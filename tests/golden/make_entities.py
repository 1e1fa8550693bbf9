#!/usr/bin/env python3
"""Makes tests/unit/entity_cases.h: precision, recall and F1 of entities as seqeval (1.2.2) computes them.

    pip install seqeval
    python3 make_entities.py
"""

import os
import random
import warnings

from seqeval.metrics import f1_score, precision_score, recall_score

TAGS = ["O", "B-A", "I-A", "B-B", "I-B", "E-A", "S-B", "B", "I", "X-A", "."]
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "unit", "entity_cases.h")


def main():
    warnings.filterwarnings("ignore")
    draw = random.Random(0)
    lines = []
    for case in range(24):
        tags = TAGS[:5] if case < 12 else TAGS
        truth = [[draw.choice(tags) for _ in range(draw.randint(1, 12))] for _ in range(draw.randint(1, 3))]
        given = [[t if draw.random() < 0.7 else draw.choice(tags) for t in sentence] for sentence in truth]
        text = [" | ".join(" ".join(sentence) for sentence in side) for side in (truth, given)]
        scores = [score(truth, given) for score in (f1_score, precision_score, recall_score)]
        lines.append('    {"%s",\n     "%s", {%s}},' % (*text, ", ".join(f"{s:.12g}" for s in scores)))
    with open(OUT, "w", encoding="utf-8") as file:
        file.write("/* Made by tests/golden/make_entities.py: sentences' tags, those given, and F1, precision and recall. */\n")
        file.write("static const entity_case entity_cases[] = {\n%s\n};\n" % "\n".join(lines))


if __name__ == "__main__":
    main()

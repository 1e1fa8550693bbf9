"""Makes train.jsonl and valid.jsonl: news of a valley as documents, each with a summary of one sentence.

Everything comes from news.txt. Plain Python; same seed, same files.
"""
import argparse
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))
from tales import Grammar, tales  # noqa: E402


def articles(seed, n_bytes):
    """News as dicts: document, summary, headline, and pairs of question and answer."""
    for text in tales(Grammar(HERE / "news.txt"), seed, n_bytes):
        document, summary, headline, *questions = text.split("\n")
        questions = [(question + "?", answer) for question, answer in (line.split("? ") for line in questions)]
        yield {"document": document, "summary": summary, "headline": headline, "questions": questions}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    parser.add_argument("--train", type=int, default=800, help="documents in train.jsonl")
    parser.add_argument("--valid", type=int, default=100, help="documents in valid.jsonl")
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()

    news = articles(options.seed, float("inf"))
    for name, n in (("valid", options.valid), ("train", options.train)):
        with open(options.out / f"{name}.jsonl", "w", encoding="utf-8") as out:
            for article, _ in zip(news, range(n)):
                out.write(json.dumps({key: article[key] for key in ("document", "summary")}) + "\n")


if __name__ == "__main__":
    main()

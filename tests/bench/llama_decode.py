#!/usr/bin/env python3
"""Times a prompt and greedy decoding by llama.cpp (the package llama-cpp-python): an opponent of decode.py, one text at a time.

    python3 llama_decode.py --model DIR --gguf FILE --data FILE [--threads 2 ...]

FILE is written from the folder where it is missing. Prints the same lines as pytorch_decode.py.
"""

import argparse
import json
import os
import time

import llama_cpp
import numpy as np
import shapes
import write_gguf
from tokenizers import Tokenizer


class Writer:
    def __init__(self, args):
        self.args = args
        self.tokenizer = Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
        with open(args.data, encoding="utf-8") as file:
            self.prompt = self.tokenizer.encode(json.loads(next(file))["prompt"]).ids
        path = shapes.make(args.gguf, lambda beside: write_gguf.write(args.model, beside))
        n = len(self.prompt) + args.tokens
        threads = {"n_threads": args.threads, "n_threads_batch": args.threads}
        self.model = llama_cpp.Llama(path, n_ctx=n, n_batch=n, n_ubatch=n, verbose=False, **threads)

    def next_token(self, ids: list[int]) -> int:
        """The most likely one after these, which follow what was read before."""
        self.model.eval(ids)
        logits = llama_cpp.llama_get_logits_ith(self.model.ctx, -1)
        return int(np.ctypeslib.as_array(logits, shape=(self.model.n_vocab(),)).argmax())

    def write(self) -> tuple[float, float, list[int]]:
        """Seconds of the prompt and of the tokens after the first, and the text."""
        self.model.reset()
        begin = time.perf_counter()
        ids = [self.next_token(self.prompt)]
        first = time.perf_counter()
        while len(ids) < self.args.tokens:
            ids.append(self.next_token(ids[-1:]))
        return first - begin, time.perf_counter() - first, ids


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--data", required=True, help='JSON lines with "prompt", of which the first is taken')
    parser.add_argument("--tokens", type=int, default=64, help="tokens of the text")
    parser.add_argument("--times", type=int, default=4, help="how often the text is written")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main():
    args = parse()
    writer = Writer(args)
    for number in range(1, args.times + 1):
        prompt, others, ids = writer.write()
        found = {"event": "step", "step": number, "seconds": prompt + others, "prompt_seconds": prompt, "decode_seconds": others}
        print(json.dumps({**found, "text": writer.tokenizer.decode(ids)}), flush=True)


if __name__ == "__main__":
    main()

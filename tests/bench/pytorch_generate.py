#!/usr/bin/env python3
"""Times `generate` of transformers on a CPU: the opponent of generate.py.

    python3 pytorch_generate.py --model DIR --data FILE [--beams 4 --batch 8 --processes 1 --threads 2 ...]

Each process takes its part of the records, in batches padded to the longest. Loading, tokenising and a first short text are not
counted. Prints one JSON object: the seconds from the start of all to the end of the last one, and the texts.
"""

import argparse
import json
import multiprocessing
import os
import time
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import forks  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402


def batch_of(ids: list[list[int]], pad: int, left: bool) -> dict:
    longest = max(map(len, ids))
    gaps = [[pad] * (longest - len(row)) for row in ids]
    rows = [gap + row if left else row + gap for gap, row in zip(gaps, ids)]
    masks = [[0] * len(gap) + [1] * len(row) if left else [1] * len(row) + [0] * len(gap) for gap, row in zip(gaps, ids)]
    return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(masks)}


class Writer:
    def __init__(self, args):
        torch.set_num_threads(args.threads)
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        warnings.simplefilter("ignore")
        self.args, config = args, transformers.AutoConfig.from_pretrained(args.model)
        self.reads = config.is_encoder_decoder
        kind = transformers.AutoModelForSeq2SeqLM if self.reads else transformers.AutoModelForCausalLM
        self.model = kind.from_pretrained(args.model, dtype=torch.float32, attn_implementation="sdpa").eval()
        self.pad = config.pad_token_id if self.reads else config.eos_token_id
        self.tokenizer = Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
        with open(args.data, encoding="utf-8") as file:
            self.ids = [self.tokenizer.encode(next(iter(json.loads(line).values()))).ids for line in file]

    def write(self, ids: list[list[int]], n_tokens: int) -> list[list[int]]:
        """Exactly so many tokens for each."""
        inputs = batch_of(ids, self.pad, left=not self.reads)
        with torch.inference_mode():
            found = self.model.generate(
                **inputs,
                do_sample=False,
                num_beams=self.args.beams,
                max_new_tokens=n_tokens,
                min_new_tokens=n_tokens,
                pad_token_id=self.pad,
            )
        return found[:, -n_tokens:].tolist()

    def texts(self, part: int) -> list[str]:
        size, found = self.args.batch, []
        for first in range(part * size, len(self.ids), size * self.args.processes):
            found += self.write(self.ids[first : first + size], self.args.tokens)
        return [self.tokenizer.decode(ids) for ids in found]


def work(part: int, args, barrier, results):
    forks.end_with_parent()
    writer = Writer(args)
    writer.write([writer.ids[0][:4]], 2)
    barrier.wait()
    begin = time.monotonic()
    texts = writer.texts(part)
    results.put((part, begin, time.monotonic(), texts))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="JSON lines, whose first member is the prompt or the source")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each text")
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8, help="texts that a process writes together")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main():
    args = parse()
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(args.processes), context.Queue()
    running = [context.Process(target=work, args=(part, args, barrier, results)) for part in range(args.processes)]
    for process in running:
        process.start()
    found = sorted(results.get() for _ in running)
    for process in running:
        process.join()
    # Batches go around the processes.
    parts, texts = [texts for _, _, _, texts in found], []
    while any(parts):
        for i, part in enumerate(parts):
            texts += part[: args.batch]
            parts[i] = part[args.batch :]
    print(json.dumps({"seconds": max(end for _, _, end, _ in found) - min(begin for _, begin, _, _ in found), "texts": texts}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times prompts and greedy decoding by transformers on a CPU: the opponent of decode.py.

    python3 pytorch_decode.py --model DIR --data FILE [--dtype f32 --static --texts 8 --processes 1 --threads 2 ...]

Each process writes its part of the texts, together. --static: a cache of fixed size, and torch.compile of the forward pass. Prints one
JSON object each time that all texts are written: the seconds until their first tokens, those of the others, and the first text.
"""

import argparse
import json
import os
import time
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")

import forks  # noqa: E402
import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
import transformers  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Clock(transformers.StoppingCriteria):
    """When each token was there. It stops nothing."""

    def __init__(self):
        self.moments = []

    def __call__(self, input_ids, scores, **_):
        self.moments.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool)


class Writer:
    def __init__(self, args, rank: int):
        self.args = args
        self.tokenizer = Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
        with open(args.data, encoding="utf-8") as file:
            ids = [self.tokenizer.encode(json.loads(line)["prompt"]).ids for line in file]
        self.prompts = torch.tensor(ids[rank :: args.processes])
        self.model = transformers.AutoModelForCausalLM.from_pretrained(args.model, dtype=DTYPES[args.dtype]).eval()
        self.form = {}
        if args.static:
            compiling = transformers.CompileConfig(fullgraph=False)
            compiling._compile_all_devices = True  # by itself it compiles for GPUs alone
            self.form = {"cache_implementation": "static", "compile_config": compiling}

    def write(self) -> tuple[float, float, list[int]]:
        """Seconds of the prompts and of the tokens after the first, and the first text."""
        clock, n = Clock(), self.args.tokens
        begin = time.perf_counter()
        with torch.inference_mode():
            found = self.model.generate(
                self.prompts,
                attention_mask=torch.ones_like(self.prompts),
                do_sample=False,
                max_new_tokens=n,
                min_new_tokens=n,
                pad_token_id=0,
                stopping_criteria=[clock],
                **self.form,
            )
        return clock.moments[0] - begin, clock.moments[-1] - clock.moments[0], found[0, -n:].tolist()


def slowest(args, seconds: tuple) -> list[float]:
    """Of all processes."""
    values = torch.tensor(seconds, dtype=torch.float64)
    if args.processes > 1:
        dist.all_reduce(values, dist.ReduceOp.MAX)
    return values.tolist()


def work(rank: int, args, meeting: str):
    torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    if args.processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=args.processes)
    writer = Writer(args, rank)
    for number in range(1, args.times + 1):
        slowest(args, (0.0,))
        *seconds, ids = writer.write()
        prompts, others = slowest(args, seconds)
        found = {"event": "step", "step": number, "seconds": prompts + others, "prompt_seconds": prompts, "decode_seconds": others}
        if rank == 0:
            print(json.dumps({**found, "text": writer.tokenizer.decode(ids)}), flush=True)
    slowest(args, (0.0,))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help='JSON lines with "prompt", all of one length')
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each text")
    parser.add_argument("--times", type=int, default=4, help="how often the texts are written")
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="of the weights in memory, and of the computation")
    parser.add_argument("--static", action="store_true", help="a cache of fixed size, compiled")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    forks.run(parse(), work)

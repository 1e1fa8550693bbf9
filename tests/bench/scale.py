#!/usr/bin/env python3
"""How a step would scale to many ranks, by a model: nothing here runs on more than this one processor.

    python3 scale.py [--ranks-per-node 16] [--gbit 10 1] [--batch 1000] ...

Prints a markdown table for a GPT-2 of 124 M and a Llama of 7 B. What goes in, and is measured (README.md, and the arguments' help): the rate of
a core and the share of the floor that a step reaches, latency and bandwidth between hosts, how much of a sum hides behind the backward pass.
What is assumed:

- A step's necessary multiply-adds (floor.py) take as long on each core as on the cores that were measured; cores of a node do not slow each
  other down (two did not).
- All sequences are of one length. Microbatches are assigned whole, so a rank has ceil(microbatches / ranks) at the most, and the step waits for it.
- Each step sums 8 bytes a trained parameter, 4 bytes a tensor and 256 bytes of counters over all ranks, once: the repetition of a step for other
  exponents is rare. The sum takes the quicker of two ways: a ring, 2 (R - 1) messages of bytes / R, of which one a node's link carries at a time; or
  recursive doubling, log2 R messages of all bytes, which all ranks of a node send at once over its link, where the partner is on another node.
- A rank's last microbatch hides the sum behind its backward pass but for what its lowest block sends. The switches between nodes hold nothing up.
- Evaluations, checkpoints, the start, and slow or dying nodes are left out.
"""

import argparse
import math
import sys

import floor

GPT2 = {"n_embd": 768, "n_layer": 12, "vocab_size": 50257}
LLAMA7B = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
           "vocab_size": 32000}
# linear modules: (name, inputs, outputs) of a block
MODULES = {
    "gpt2": [("attn.c_attn", 768, 2304), ("attn.c_proj", 768, 768), ("mlp.c_fc", 768, 3072), ("mlp.c_proj", 3072, 768)],
    "llama": [*((name, 4096, 4096) for name in ("q_proj", "k_proj", "v_proj", "o_proj")), ("gate_proj", 4096, 11008),
              ("up_proj", 4096, 11008), ("down_proj", 11008, 4096)],
}


class Base:
    def __init__(self, name: str, family: str, config: dict, blocks: int, rank: int, share: float):
        self.name, self.family, self.config, self.blocks, self.rank, self.share = name, family, config, blocks, rank, share

    def flops(self, length: int) -> float:
        """Of one sequence all of whose tokens are targets, LoRA on all linear modules."""
        counter = floor.Counter("all-linear", self.rank)
        floor.FAMILIES[self.family](counter, self.config, [length], [length])
        return counter.flops

    def message(self) -> float:
        """Bytes that are summed in a step."""
        modules = MODULES[self.family]
        parameters = self.blocks * sum(self.rank * (n_in + n_out) for _, n_in, n_out in modules)
        return 8 * parameters + 4 * 2 * self.blocks * len(modules) + 256


class Network:
    def __init__(self, gbit: float, arguments: argparse.Namespace):
        self.per_node = arguments.ranks_per_node
        self.far = (arguments.latency_us * 1e-6, gbit * 1e9 / 8 * arguments.line_share)
        self.near = (arguments.near_latency_us * 1e-6, arguments.near_gbyte * 1e9)

    def ring(self, ranks: int, size: float) -> float:
        latency, bandwidth = self.far if ranks > self.per_node else self.near
        return 2 * (ranks - 1) * (latency + size / ranks / bandwidth)

    def doubling(self, ranks: int, size: float) -> float:
        seconds = 0.0
        for step in range(math.ceil(math.log2(ranks))):
            is_far = 2**step >= self.per_node
            latency, bandwidth = self.far if is_far else self.near
            seconds += latency + size * (min(self.per_node, ranks) if is_far else 1) / bandwidth
        return seconds

    def sum(self, ranks: int, size: float) -> tuple[float, float]:
        """Seconds of a sum, and the bytes that a rank sends in it."""
        if ranks == 1:
            return 0.0, 0.0
        ways = [(self.ring(ranks, size), 2 * (ranks - 1) / ranks * size),
                (self.doubling(ranks, size), math.ceil(math.log2(ranks)) * size)]
        return min(ways)


def step(base: Base, ranks: int, gbit: float, arguments: argparse.Namespace) -> dict:
    network = Network(gbit, arguments)
    microbatch = base.flops(arguments.seq_len) / (base.share * arguments.gflops * 1e9)
    busiest = math.ceil(arguments.batch / ranks)
    seconds, sent = network.sum(ranks, base.message())
    hidden = arguments.overlap * arguments.backward * microbatch
    lowest = seconds / base.blocks
    wait = max(lowest, seconds - hidden) if ranks > 1 else 0.0
    whole = busiest * microbatch + wait
    return {"seconds": whole, "efficiency": arguments.batch * microbatch / ranks / whole, "busiest": busiest, "wait": wait / whole,
            "sum": seconds, "sent": sent}


def amount(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}" if size < 100 else f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"


def duration(seconds: float) -> str:
    if not seconds:
        return "0"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:,.3g} s" if seconds < 1000 else f"{seconds:,.0f} s"


def rows(base: Base, arguments: argparse.Namespace):
    ranks = 1
    while ranks <= arguments.most_ranks:
        found = [step(base, ranks, gbit, arguments) for gbit in arguments.gbit]
        yield (base.name, ranks, math.ceil(ranks / arguments.ranks_per_node), found[0]["busiest"], amount(found[0]["sent"]),
               *(cell for one in found for cell in (duration(one["seconds"]), f"{one['efficiency']:.1%}", duration(one["sum"]),
                                                    f"{one['wait']:.2%}")))
        ranks *= 2


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A model of steps on many ranks; see the head of the file for its assumptions.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--most-ranks", type=int, default=1024, help="the last row")
    add("--ranks-per-node", type=int, default=16, help="one a core")
    add("--batch", type=int, default=1000, help="microbatches of a step, one sequence each")
    add("--seq-len", type=int, default=512, help="tokens of a sequence")
    add("--gflops", type=float, default=113.5, help="of the best product on one core (measured: 227 on two)")
    add("--share-124m", type=float, default=0.85, help="of the floor that a step reaches (measured, case G-all)")
    add("--share-7b", type=float, default=0.86, help="the same (measured on 1.1 B, case L1)")
    add("--rank-124m", type=int, default=8, help="LoRA rank, on all linear modules")
    add("--rank-7b", type=int, default=16, help="LoRA rank, on all linear modules")
    add("--gbit", type=float, nargs="+", default=[10.0, 1.0], help="of a node's link, Gbit/s each way; several are compared")
    add("--line-share", type=float, default=0.95, help="of it that a sum gets (measured at 1 Gbit/s: 5 MiB in 44 ms)")
    add("--latency-us", type=float, default=10.0, help="of a message between hosts (measured over TCP: a sum of 1 KiB)")
    add("--near-latency-us", type=float, default=0.5, help="the same within a node (measured)")
    add("--near-gbyte", type=float, default=5.5, help="GB/s within a node (measured: 5 MiB in 0.95 ms)")
    add("--overlap", type=float, default=0.87, help="of the time behind the backward pass that moves a sum (measured with polls)")
    add("--backward", type=float, default=0.5, help="of a microbatch that is its backward pass (frozen weights have no gradients)")
    return parser.parse_args()


def main() -> int:
    arguments = read_arguments()
    if min(arguments.batch, arguments.most_ranks, arguments.ranks_per_node, *arguments.gbit) <= 0:
        print("scale.py: counts and rates must be above 0", file=sys.stderr)
        return 2
    print(f"A model, not a measurement: {arguments.ranks_per_node} ranks a node, {arguments.batch} sequences of {arguments.seq_len} a step.\n")
    columns = ["base", "ranks", "nodes", "microbatches of the busiest rank", "sent by a rank"]
    for gbit in arguments.gbit:
        columns += [f"step at {gbit:g} Gbit/s", "efficiency", "the sum takes", "of the step waiting for it"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for base in (Base("124 M", "gpt2", GPT2, 12, arguments.rank_124m, arguments.share_124m),
                 Base("7 B", "llama", LLAMA7B, 32, arguments.rank_7b, arguments.share_7b)):
        for row in rows(base, arguments):
            print("| " + " | ".join(str(cell) for cell in row) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

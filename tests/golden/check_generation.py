#!/usr/bin/env python3
"""Compares generated ids with transformers' `generate`, token by token, on seeded models.

    python3 tests/golden/check_generation.py [--build BUILD] [--inputs N] [--models gpt2,t5] [--seed S]

Each setting is written to the generation_config.json of a copy of the model, and both sides read it from there. The inputs
are random ids. All inputs run one by one, and again eight at a time, which must give the same ids. Where the two sides part,
the scores of both texts must differ by less than 1e-5: both are computed here, from transformers' logits.
"""

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
TOLERANCE = 1e-5

OFTEN = "often"  # the tokens that the model likes best

SETTINGS = {
    "greedy": {},
    "greedy_no_repeat": {"no_repeat_ngram_size": 2},
    "greedy_repetition": {"repetition_penalty": 1.3, "min_new_tokens": 5},
    "greedy_forced": {"forced_eos_token_id": 7, "suppress_tokens": [3, 5], "begin_suppress_tokens": [11, 12]},
    "beams": {"num_beams": 4},
    "beams_no_repeat": {"num_beams": 4, "no_repeat_ngram_size": 3},
    "beams_penalty": {"num_beams": 4, "length_penalty": 2.0, "min_new_tokens": 4, "repetition_penalty": 1.2},
    "beams_short": {"num_beams": 3, "length_penalty": -1.0, "early_stopping": True},
    "beams_early": {"num_beams": 4, "early_stopping": True, "length_penalty": 0.6},
    "beams_never": {"num_beams": 4, "early_stopping": "never", "length_penalty": 1.5},
    "beams_two_ends": {"num_beams": 4, "eos_token_id": [9, 17], "bad_words_ids": [[4], [8, 6]]},
    "beams_forced": {"num_beams": 5, "forced_eos_token_id": 7, "begin_suppress_tokens": [11, 12]},
    "greedy_ends": {"eos_token_id": OFTEN},
    "beams_ends": {"num_beams": 4, "eos_token_id": OFTEN},
    "beams_ends_early": {"num_beams": 4, "eos_token_id": OFTEN, "early_stopping": True, "no_repeat_ngram_size": 2},
    "beams_ends_long": {"num_beams": 4, "eos_token_id": OFTEN, "length_penalty": 2.0, "min_length": 10},
}


def inputs_of(rng, n: int, vocab: int) -> list[list[int]]:
    return [rng.integers(0, vocab, size=int(rng.integers(1, 20))).tolist() for _ in range(n)]


def reference(model, config, inputs) -> list[list[int]]:
    out = []
    for ids in inputs:
        with torch.no_grad():
            text = model.generate(torch.tensor([ids]), generation_config=config, attention_mask=torch.ones(1, len(ids), dtype=torch.long))
        out.append(text[0, 1 if model.config.is_encoder_decoder else len(ids):].tolist())
    return out


def logits_of(model, prompt: list[int], text: list[int]) -> torch.Tensor:
    """Those after each token of the text, and of what comes before it; text begins with a decoder's start token."""
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            return model(input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([text])).logits[0].float()
        return model(torch.tensor([text])).logits[0].float()


def beginning(model, config, prompt: list[int]) -> list[int]:
    return [config.decoder_start_token_id if config.decoder_start_token_id is not None else config.bos_token_id] if model.config.is_encoder_decoder else prompt


def ends_of(settings: dict, model, inputs) -> list[int]:
    eos = settings.get("eos_token_id", model.config.eos_token_id)
    if eos == OFTEN:
        with torch.no_grad():
            start = beginning(model, model.generation_config, inputs[0])
            liked = [logits_of(model, ids, start if model.config.is_encoder_decoder else ids)[-1].argmax().item() for ids in inputs[:50]]
        return [id for id, _ in collections.Counter(liked).most_common(3)]
    return eos if isinstance(eos, list) else [] if eos is None else [eos]


def drop_tokenizer_end(folder: str):
    """lora_dist also ends a text at the tokenizer's eos_token, since it trains with it; transformers' generate does not."""
    path = os.path.join(folder, "tokenizer_config.json")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["eos_token"] = None
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)


def without_end(text: list[int], ends: list[int]) -> list[int]:
    return text[:-1] if text and text[-1] in ends else text


def score(model, settings: dict, config, prompt: list[int], text: list[int], ends: list[int], most: int) -> float:
    """Of a text as the search adds it up: over its processed scores, with its end if it was not cut off."""
    best = -np.inf
    begin = beginning(model, config, prompt)
    for end in [None] if len(text) == most else ends:
        ids = begin + text + ([] if end is None else [end])
        logits = logits_of(model, prompt, ids)
        beams = config.num_beams and config.num_beams > 1
        processors = model._get_logits_processor(generation_config=config, input_ids_seq_length=len(begin), device="cpu", model_kwargs={})
        total = 0.0
        for i in range(len(begin), len(ids)):
            row = logits[i - 1 : i]
            row = processors(torch.tensor([ids[:i]]), torch.log_softmax(row, -1) if beams else row)
            total += (row if beams else torch.log_softmax(row, -1))[0, ids[i]].item()
        best = max(best, total / (len(ids) - len(begin)) ** (config.length_penalty or 1.0) if beams else total)
    return best


def run_tool(tool: str, folder: str, inputs, together: int) -> list[list[int]]:
    lines = "".join(" ".join(map(str, ids)) + "\n" for ids in inputs)
    done = subprocess.run([tool, folder, str(together)], input=lines, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tool}: {done.stderr}")
    return [list(map(int, line.split())) for line in done.stdout.splitlines()]


def first_gap(model, config, prompt, ours, theirs) -> float:
    """Greedy: the gap between the two scores where the texts part."""
    n = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    ids = beginning(model, config, prompt) + ours[:n]
    row = logits_of(model, prompt, ids)[-1:]
    processors = model._get_logits_processor(generation_config=config, input_ids_seq_length=len(beginning(model, config, prompt)), device="cpu", model_kwargs={})
    best = torch.topk(processors(torch.tensor([ids]), row)[0], 2).values
    return (best[0] - best[1]).item()


def check(tool: str, case: str, name: str, settings: dict, n: int, seed: int, new: int) -> bool:
    with tempfile.TemporaryDirectory() as top:
        folder = os.path.join(top, case)
        shutil.copytree(os.path.join(HERE, "models", case), folder, ignore=shutil.ignore_patterns("adapter*", "train*", "golden*"))
        if not os.path.exists(os.path.join(folder, "tokenizer.json")):  # it only has to be there
            for name_ in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copy(os.path.join(HERE, "models", "gpt2", name_), folder)
        drop_tokenizer_end(folder)
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            kind = json.load(file)["architectures"][0]
        model = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32).eval()
        inputs = inputs_of(np.random.default_rng([seed, len(name)]), n, model.config.vocab_size)
        ends = ends_of(settings, model, inputs)
        start = beginning(model, model.generation_config, [])
        own = {"decoder_start_token_id": start[0]} if model.config.is_encoder_decoder else {}
        written = {"max_new_tokens": new, **own, **settings, "eos_token_id": ends if len(ends) != 1 else ends[0]}
        with open(os.path.join(folder, "generation_config.json"), "w", encoding="utf-8") as file:
            json.dump(written, file)
        config = transformers.GenerationConfig.from_pretrained(folder)
        config.pad_token_id = 0
        # transformers' cache has a place for each layer of the encoder, whatever the decoder has.
        config.use_cache = getattr(model.config, "num_decoder_layers", None) in (None, getattr(model.config, "num_layers", None))
        model.generation_config = config
        theirs = [without_end(text, ends) for text in reference(model, config, inputs)]
        ours = run_tool(tool, folder, inputs, 1)
        together = run_tool(tool, folder, inputs, 8)
        prepared = transformers.GenerationConfig.from_pretrained(folder)
        same, bad, widest = 0, 0, 0.0
        for prompt, a, b in zip(inputs, ours, theirs):
            if a == b:
                same += 1
                continue
            prepared.update(**prepared._get_default_generation_params(), defaults_only=True)
            prepared.max_length = len(beginning(model, prepared, prompt)) + new
            model._prepare_special_tokens(prepared, True, device="cpu")
            if prepared.num_beams > 1:
                gap = abs(score(model, settings, prepared, prompt, a, ends, new) - score(model, settings, prepared, prompt, b, ends, new))
            else:
                gap = first_gap(model, prepared, prompt, a, b)
            widest = max(widest, gap)
            if gap >= TOLERANCE:
                bad += 1
                if bad < 3:
                    print(f"    {prompt}\n      ours   {a}\n      theirs {b}\n      gap {gap:.3g}")
        ended = sum(len(text) < new for text in theirs)
        good = not bad and ours == together
        print(f"{'ok  ' if good else 'FAIL'} {case:10} {name:18} {same} of {n} the same, {n - same} part with scores up to "
              f"{widest:.2g} apart, {ended} end early; together {'the same' if ours == together else 'DIFFER'}", flush=True)
        return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "../../build-developer"))
    parser.add_argument("--inputs", type=int, default=200)
    parser.add_argument("--models", default="gpt2,llama3,t5,t5_flan,bart,pegasus")
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--new", type=int, default=16)
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    tool = os.path.join(args.build, "tests", "continue")
    good = [check(tool, case, name, SETTINGS[name], args.inputs, args.seed, args.new) for case in args.models.split(",") for name in args.settings.split(",")]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()

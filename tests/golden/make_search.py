#!/usr/bin/env python3
"""Writes search.jsonl: what transformers' `generate` finds with a table for a model, whose logits depend on the last token alone.

    pip install torch==2.13.0 transformers==5.24.0
    python3 make_search.py

Row r of the table has logits[c] = hash(seed, r, c) / 2^13 with hash below 2^16, so that tests/unit/test_search.c has the same
without a file: exact in float32. A line of search.jsonl is a case: its settings under transformers' names, the prompt, the text that
follows it without the token that ends it and, of a beam search, its score.
"""

import json
import os

import numpy as np
import torch
import transformers
from transformers.modeling_outputs import CausalLMOutput

HERE = os.path.dirname(os.path.abspath(__file__))
VOCAB = 24
NEW = 12


def table(seed: int) -> torch.Tensor:
    n = VOCAB * VOCAB
    x = (np.arange(n, dtype=np.uint64) + np.uint64(seed * n)) & np.uint64(0xFFFFFFFF)
    for _ in range(3):
        x = (x * np.uint64(2654435761) + np.uint64(12345)) & np.uint64(0xFFFFFFFF)
        x ^= x >> np.uint64(15)
    return torch.tensor((x & np.uint64(0xFFFF)).astype(np.float64) / 8192, dtype=torch.float32).reshape(VOCAB, VOCAB)


class Config(transformers.PretrainedConfig):
    model_type = "table"

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.vocab_size = VOCAB
        self.num_hidden_layers = self.hidden_size = self.num_attention_heads = 1


class Table(transformers.PreTrainedModel, transformers.GenerationMixin):
    config_class = Config
    main_input_name = "input_ids"

    def __init__(self, config):
        super().__init__(config)
        self.logits = torch.nn.Parameter(table(config.seed))
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, input_ids=None, **_):
        return CausalLMOutput(logits=self.logits[input_ids])


CASES = [
    {},
    {"eos_token_id": 3, "max_new_tokens": 6},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.6, "no_repeat_ngram_size": 3},
    {"min_new_tokens": 8, "eos_token_id": [1, 2, 3, 4, 5, 6]},
    {"min_length": 6, "eos_token_id": [1, 2, 3, 4, 5, 6]},
    {"forced_bos_token_id": 9, "forced_eos_token_id": 2},
    {"bad_words_ids": [[5], [7, 8], [1, 2, 3]], "suppress_tokens": [0, 11], "begin_suppress_tokens": [4, 13]},
    {"num_beams": 2},
    {"num_beams": 4, "eos_token_id": 3},
    {"num_beams": 4, "eos_token_id": [3, 4, 5]},
    {"num_beams": 4, "eos_token_id": [3, 4, 5, 6, 7], "early_stopping": True},
    {"num_beams": 4, "eos_token_id": [3, 4, 5], "early_stopping": "never", "length_penalty": 2.0},
    {"num_beams": 4, "eos_token_id": [3, 4, 5], "length_penalty": 2.0},
    {"num_beams": 4, "eos_token_id": [3, 4, 5], "length_penalty": 0.0, "early_stopping": "never"},
    {"num_beams": 3, "eos_token_id": [3, 4, 5], "length_penalty": -1.5, "early_stopping": True},
    {"num_beams": 4, "eos_token_id": [3, 4], "no_repeat_ngram_size": 1},
    {"num_beams": 4, "eos_token_id": [3, 4, 5], "no_repeat_ngram_size": 2, "min_new_tokens": 5, "length_penalty": 0.7},
    {"num_beams": 4, "eos_token_id": [3, 4], "repetition_penalty": 1.4},
    {"num_beams": 4, "eos_token_id": 3, "forced_bos_token_id": 9, "forced_eos_token_id": 2, "no_repeat_ngram_size": 3},
    {"num_beams": 8, "eos_token_id": [3, 4, 5], "bad_words_ids": [[6], [7, 8]], "begin_suppress_tokens": [1]},
]


def run(settings: dict, seed: int, prompt: list[int]) -> dict:
    model = Table(Config(seed=seed)).eval()
    wanted = {"max_new_tokens": NEW, "pad_token_id": 0, **settings}
    found = model.generate(torch.tensor([prompt]), use_cache=False, return_dict_in_generate=True, output_scores=True, **wanted)
    text = found.sequences[0, len(prompt):].tolist()
    eos = settings.get("eos_token_id", [])
    if text and text[-1] in (eos if isinstance(eos, list) else [eos]):
        text = text[:-1]
    out = {"seed": seed, "settings": {"max_new_tokens": NEW, **settings}, "prompt": prompt, "text": text}
    if "num_beams" in settings:
        out["score"] = found.sequences_scores[0].item()
    return out


def main():
    transformers.logging.set_verbosity_error()
    with open(os.path.join(HERE, "search.jsonl"), "w", encoding="utf-8") as file:
        for number, settings in enumerate(CASES):
            for seed in range(4):
                prompt = [[1], [12, 2, 12], [3, 3], [20, 21, 20, 21]][(seed + number) % 4]
                if "forced_bos_token_id" in settings:
                    prompt = [1]
                file.write(json.dumps(run(settings, seed, prompt)) + "\n")


if __name__ == "__main__":
    main()

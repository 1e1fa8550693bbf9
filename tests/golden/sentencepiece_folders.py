#!/usr/bin/env python3
"""Makes folders with SentencePiece models, each for one tokenizer class of transformers: OUT/CLASS has the model with
its settings alone, OUT/CLASS.json what transformers saves of it.

    python3 tests/golden/sentencepiece_folders.py OUT [--seed S]
    python3 tests/golden/compare_tokenizers.py --program PATH --class AutoTokenizer OUT/*

The models are trained on seeded text; none is in the repository.
"""

import argparse
import json
import os
import random

os.environ["HF_HUB_OFFLINE"] = "1"
import sentencepiece
from make_tokenizers import training_text
from tokenizer_lines import lines
from transformers import AutoTokenizer

T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
FAIRSEQ = {"unk_id": 0, "bos_id": 1, "eos_id": 2}
# name: class, model_type, file, settings, options of the trainer
FOLDERS = {
    "t5": ("T5Tokenizer", "t5", "spiece.model", {"extra_ids": 100}, T5),
    "mt5": ("T5Tokenizer", "mt5", "spiece.model", {"extra_ids": 0, "additional_special_tokens": None},
            {**T5, "byte_fallback": True, "normalization_rule_name": "nmt_nfkc"}),
    "t5_identity": ("T5Tokenizer", "t5", "spiece.model", {}, {**T5, "normalization_rule_name": "identity"}),
    "pegasus": ("PegasusTokenizer", "pegasus", "spiece.model", {"mask_token": "<mask_2>", "mask_token_sent": "<mask_1>"}, T5),
    "albert": ("AlbertTokenizer", "albert", "spiece.model", {"do_lower_case": True},
               {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "user_defined_symbols": ["[CLS]", "[SEP]", "[MASK]"], "normalization_rule_name": "nmt_nfkc_cf"}),
    "albert_accents": ("AlbertTokenizer", "albert", "spiece.model", {"do_lower_case": False, "keep_accents": True},
                       {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": ["[CLS]", "[SEP]", "[MASK]"]}),
    "deberta": ("DebertaV2Tokenizer", "deberta-v2", "spm.model", {"do_lower_case": False, "split_by_punct": False},
                {"pad_id": 0, "unk_id": 3, "bos_id": 1, "eos_id": 2, "pad_piece": "[PAD]", "unk_piece": "[UNK]", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}),
    "deberta_punct": ("DebertaV2Tokenizer", "deberta-v2", "spm.model", {"do_lower_case": True, "split_by_punct": True},
                      {"pad_id": 0, "unk_id": 3, "bos_id": 1, "eos_id": 2, "pad_piece": "[PAD]", "unk_piece": "[UNK]", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}),
    "xlm_roberta": ("XLMRobertaTokenizer", "xlm-roberta", "sentencepiece.bpe.model", {}, FAIRSEQ),
    "mbart": ("MBartTokenizer", "mbart", "sentencepiece.bpe.model", {"src_lang": "de_DE"}, FAIRSEQ),
    "mbart50": ("MBart50Tokenizer", "mbart", "sentencepiece.bpe.model", {"src_lang": "en_XX", "tgt_lang": "ro_RO"}, FAIRSEQ),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    text = [line for line in [*training_text()][:1500] + lines(2500, options.seed) if "\0" not in line and line.strip()]
    for name, (tokenizer, model_type, file, settings, trainer) in FOLDERS.items():
        folder = os.path.join(options.out, name)
        os.makedirs(folder, exist_ok=True)
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text), model_prefix=os.path.join(folder, "m"), vocab_size=rng.randrange(2400, 2900), character_coverage=rng.choice([0.98, 0.99]),
            minloglevel=2, num_threads=1, hard_vocab_limit=False, **trainer)
        os.remove(os.path.join(folder, "m.vocab"))
        os.rename(os.path.join(folder, "m.model"), os.path.join(folder, file))
        for path, value in (("tokenizer_config.json", {"tokenizer_class": tokenizer, **settings}), ("config.json", {"model_type": model_type})):
            with open(os.path.join(folder, path), "w", encoding="utf-8") as f:
                json.dump(value, f)
        AutoTokenizer.from_pretrained(folder).save_pretrained(folder + ".json")
        with open(os.path.join(folder + ".json", "config.json"), "w", encoding="utf-8") as f:
            json.dump({"model_type": model_type}, f)


if __name__ == "__main__":
    main()

"""The cases of summarisers that choose sentences: which models, which adapters, which training runs."""

from dataclasses import dataclass, field
from typing import Any

from golden_cases import TRAIN_VOCAB, Run


@dataclass
class Case:
    name: str
    body: str  # transformers' model_type
    config: dict[str, Any]
    lora: dict[str, Any]
    layers: int = 0  # of the transformer over the sentences; 0: the head is a linear layer
    dtype: str = "float32"  # of the weights on disk
    documents: tuple = ((4, 9, 3), (5,), (12, 2, 7, 5, 21, 17))  # tokens of each sentence
    runs: list[Run] = field(default_factory=list)


def bert(width: int, heads: int, **more) -> dict[str, Any]:
    return {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 48, "num_hidden_layers": 2,
            "max_position_embeddings": 48, "vocab_size": 96, **more}


def roberta(width: int, heads: int, **more) -> dict[str, Any]:
    return bert(width, heads, type_vocab_size=1, max_position_embeddings=34, pad_token_id=1, bos_token_id=0,
                eos_token_id=2, layer_norm_eps=1e-5, **more)


def distilbert(width: int, heads: int, **more) -> dict[str, Any]:
    return {"dim": width, "n_heads": heads, "hidden_dim": 40, "n_layers": 2, "max_position_embeddings": 48,
            "vocab_size": 96, **more}


def linear_cases() -> list[Case]:
    return [
        Case("bert_extract", "bert", bert(32, 4, vocab_size=TRAIN_VOCAB), dict(r=8, lora_alpha=16),
             runs=[Run("linear", "linear", 5e-3, 3)]),
        Case("roberta_extract", "roberta", roberta(24, 2), dict(r=4, lora_alpha=8, target_modules=["key", "dense"]),
             dtype="bfloat16"),
        Case("distilbert_extract", "distilbert", distilbert(24, 3),
             dict(r=4, lora_alpha=8, target_modules=["q_lin", "v_lin"]), dtype="float16"),
    ]


def transformer_cases() -> list[Case]:
    return [
        Case("bert_extract_layers", "bert", bert(8, 2, vocab_size=TRAIN_VOCAB), dict(r=4, lora_alpha=8), layers=2,
             runs=[Run("linear", "linear", 2e-3, 3)]),
        Case("roberta_extract_layers", "roberta", roberta(8, 2), dict(r=4, lora_alpha=8), layers=1),
        Case("distilbert_extract_layers", "distilbert", distilbert(8, 2),
             dict(r=2, lora_alpha=8, target_modules=["q_lin", "lin2"]), layers=1, dtype="bfloat16"),
    ]


def all_cases() -> list[Case]:
    return linear_cases() + transformer_cases()


def enlarge(case: Case, rng) -> Case:
    """The same case with larger shapes, drawn from `rng`, for checks on models that nobody has seen."""
    width, depth = ("dim", "n_layers") if case.body == "distilbert" else ("hidden_size", "num_hidden_layers")
    case.config[width] *= int(rng.integers(2, 5)) * 2
    case.config[depth] += int(rng.integers(1, 4))
    case.config["max_position_embeddings"] = int(rng.integers(200, 300))
    case.documents = tuple(tuple(int(n) for n in rng.integers(2, 40, rng.integers(1, 12))) for _ in range(5))
    case.runs = []
    return case

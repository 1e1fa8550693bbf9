"""The cases of encoder-decoders: which models, which adapters, which training runs."""

from dataclasses import dataclass, field
from typing import Any

from golden_cases import TRAIN_VOCAB, Run


@dataclass
class SmoothRun(Run):
    label_smoothing: float = 0.0


@dataclass
class Case:
    name: str
    family: str  # transformers' model_type
    config: dict[str, Any]
    lora: dict[str, Any]
    dtype: str = "float32"  # of the weights on disk
    own_head: bool = False  # lm_head.weight is stored, and is not the embedding
    bare: bool = False  # tensor names without the body's, as a bare model has them
    no_positions: bool = False  # those of Pegasus are computed
    copies: bool = False  # the embedding is stored under its other names too
    dropped: tuple = ()  # keys that config.json lacks: the defaults of the class apply
    changed: dict = field(default_factory=dict)  # keys that config.json has otherwise
    lengths: tuple = ((9, 5), (1, 1), (150, 8), (23, 20))  # of source and target
    runs: list[Run] = field(default_factory=list)


def t5(**more) -> dict[str, Any]:
    return {"d_model": 32, "num_heads": 4, "d_kv": 8, "d_ff": 40, "num_layers": 2, "vocab_size": 72,
            "decoder_start_token_id": 0, **more}


def t5_cases() -> list[Case]:
    gated = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    return [
        Case("t5", "t5", t5(vocab_size=TRAIN_VOCAB), dict(r=8, lora_alpha=16),
             dropped=("num_decoder_layers", "dense_act_fn", "is_gated_act", "scale_decoder_outputs"),
             lengths=((9, 5), (2, 3), (30, 12)),
             runs=[Run("linear", "linear", 5e-3, 3), SmoothRun("smooth", "cosine", 3e-3, 0.1, label_smoothing=0.1)]),
        # v1.1 and Flan: gated, a head of its own, more layers in the decoder, an inner width that is not the outer one
        Case("t5_flan", "t5", t5(num_decoder_layers=3, d_kv=7, relative_attention_num_buckets=16,
                                 relative_attention_max_distance=40, **gated),
             dict(r=4, lora_alpha=8, target_modules="all-linear"), dtype="bfloat16", own_head=True,
             changed={"tie_word_embeddings": False}, dropped=("scale_decoder_outputs",)),
        Case("t5_untied_flag", "t5", t5(d_kv=20, feed_forward_proj="relu", tie_word_embeddings=False),
             dict(r=4, lora_alpha=8, target_modules=["k", "o", "wi", "wo"]), copies=True),
        Case("t5_silu", "t5", t5(feed_forward_proj="gated-silu"), dict(r=4, lora_alpha=8, target_modules=["wi_0", "wi_1", "q"]),
             dtype="float16", own_head=True),
        Case("mt5", "mt5", t5(num_heads=6), dict(r=4, lora_alpha=8, use_rslora=True), own_head=True,
             dropped=("decoder_start_token_id",)),
        Case("umt5", "umt5", t5(num_layers=3, num_decoder_layers=2), dict(r=4, lora_alpha=8, use_dora=True, target_modules=["q", "v", "wo"])),
    ]


def bart(**more) -> dict[str, Any]:
    return {"d_model": 36, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
            "decoder_attention_heads": 4, "encoder_ffn_dim": 40, "decoder_ffn_dim": 44, "vocab_size": 72,
            "max_position_embeddings": 160, **more}


def bart_cases() -> list[Case]:
    return [
        Case("bart", "bart", bart(vocab_size=TRAIN_VOCAB), dict(r=8, lora_alpha=16), lengths=((9, 5), (2, 3), (30, 12)),
             runs=[Run("linear", "linear", 5e-3, 3)]),
        Case("bart_bare", "bart", bart(scale_embedding=True, encoder_layers=3, decoder_attention_heads=6),
             dict(r=4, lora_alpha=8, target_modules="all-linear"), dtype="float16", bare=True),
        Case("bart_relu", "bart", bart(activation_function="relu"), dict(r=4, lora_alpha=8, target_modules=["fc1", "fc2", "out_proj", "k_proj"]),
             copies=True),
        Case("mbart", "mbart", bart(vocab_size=TRAIN_VOCAB, scale_embedding=True), dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
             lengths=((9, 5), (2, 3), (30, 12)), runs=[Run("linear", "linear", 5e-3, 3)]),
        Case("mbart_bf16", "mbart", bart(decoder_layers=3), dict(r=4, lora_alpha=8, target_modules="all-linear"), dtype="bfloat16"),
        Case("pegasus", "pegasus", bart(scale_embedding=True, activation_function="relu"), dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "fc1"]), no_positions=True),
        Case("pegasus_odd", "pegasus", bart(d_model=45, encoder_attention_heads=5, decoder_attention_heads=3),
             dict(r=4, lora_alpha=8, target_modules="all-linear"), dtype="bfloat16"),
    ]


def enlarge(case: Case, rng) -> Case:
    """The same case with larger shapes, drawn from `rng`, for checks on models that nobody has seen."""
    config = case.config
    heads = config.get("num_heads") or config["encoder_attention_heads"]
    if "d_kv" in config:
        config["d_kv"] = int(rng.integers(5, 40))
        config["d_model"] = 4 * int(rng.integers(20, 60))
    else:
        config["d_model"] = heads * config["decoder_attention_heads"] * int(rng.integers(3, 9))
    for key in ("d_ff", "encoder_ffn_dim", "decoder_ffn_dim"):
        if key in config:
            config[key] = 8 * int(rng.integers(20, 70))
    for key in ("num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers"):
        if key in config:
            config[key] += int(rng.integers(1, 4))
    if config["vocab_size"] != TRAIN_VOCAB:
        config["vocab_size"] = int(rng.integers(500, 2000))
    if "max_position_embeddings" in config:
        config["max_position_embeddings"] = 512
    case.lengths = tuple((int(s), int(t)) for s, t in zip(rng.integers(1, 400, 4), rng.integers(1, 90, 4)))
    return case


def all_cases() -> list[Case]:
    return t5_cases() + bart_cases()

"""The cases of the numeric judge: which models, which adapters, which training runs."""

from dataclasses import dataclass, field
from typing import Any

FAMILY_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TRAIN_VOCAB = 320  # 256 bytes, 63 merges, <|endoftext|>


@dataclass
class Run:
    """One recorded training run; the fields are lora_dist's options."""

    name: str
    schedule: str
    lr: float
    warmup: float  # a share of the steps below 1, else a count
    clip: float = 1.0
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


@dataclass
class Case:
    name: str
    family: str  # transformers' model_type
    config: dict[str, Any]
    lora: dict[str, Any]
    old_config: bool = False  # config.json as transformers 4 wrote it
    dtype: str = "float32"  # of the weights on disk
    shards: int = 1
    hub_gpt2: bool = False  # tensor names without "transformer." and with attn.bias buffers
    bare_old_keys: tuple = ()  # left out of an old config.json, as early hub models do: defaults apply
    lengths: tuple = (6, 19, 11)
    runs: list[Run] = field(default_factory=list)


def rope(theta: float, **more) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": theta, **more}


LLAMA3_ROPE = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,  # small, so that all three frequency bands occur
)


def gpt2_cases() -> list[Case]:
    shape = dict(n_embd=48, n_layer=2, n_head=4, n_positions=48, vocab_size=88)
    return [
        Case("gpt2", "gpt2", {**shape, "vocab_size": TRAIN_VOCAB},
             dict(r=8, lora_alpha=16, fan_in_fan_out=True), lengths=(7, 14),
             runs=[Run("linear", "linear", 1e-2, 4), Run("constant", "constant", 3e-3, 0.1, clip=0.0)]),
        Case("gpt2_f16", "gpt2", {**shape, "layer_norm_epsilon": 1e-2},
             dict(r=4, lora_alpha=6, fan_in_fan_out=True, target_modules="all-linear"),
             old_config=True, dtype="float16", hub_gpt2=True, bare_old_keys=("tie_word_embeddings", "n_inner")),
        Case("gpt2_bf16", "gpt2", {**shape, "n_layer": 3, "n_inner": 80},
             dict(r=5, lora_alpha=10, lora_dropout=0.1, fan_in_fan_out=True,
                  target_modules=["c_attn", "mlp.c_proj"]), dtype="bfloat16"),
    ]


def dora_cases() -> list[Case]:
    return [
        Case("gpt2_dora", "gpt2", dict(n_embd=48, n_layer=2, n_head=4, n_positions=48, vocab_size=TRAIN_VOCAB),
             dict(r=4, lora_alpha=8, use_dora=True, fan_in_fan_out=True, target_modules="all-linear"), lengths=(7, 14),
             runs=[Run("linear", "linear", 5e-3, 3)]),
        Case("llama_dora", "llama", llama(32, 4, 2, 64, 2, 10000.0),
             dict(r=6, lora_alpha=12, use_dora=True, use_rslora=True, target_modules=["q_proj", "up_proj", "lm_head"]),
             dtype="bfloat16"),
    ]


def llama(hidden: int, heads: int, kv: int, inner: int, layers: int, theta: float, **more) -> dict[str, Any]:
    return {"hidden_size": hidden, "num_attention_heads": heads, "num_key_value_heads": kv,
            "intermediate_size": inner, "num_hidden_layers": layers, "max_position_embeddings": 256,
            "vocab_size": 88, "rms_norm_eps": 1e-5, "rope_parameters": rope(theta), **more}


def llama_cases() -> list[Case]:
    return [
        Case("llama2", "llama", llama(32, 4, 4, 88, 2, 10000.0), dict(r=8, lora_alpha=16), old_config=True,
             bare_old_keys=("num_key_value_heads", "attention_bias", "mlp_bias", "head_dim", "rope_theta")),
        Case("llama3", "llama", llama(48, 6, 2, 96, 2, 500000.0, vocab_size=TRAIN_VOCAB, tie_word_embeddings=True,
                                      rope_parameters=rope(500000.0, **LLAMA3_ROPE)),
             dict(r=6, lora_alpha=12, target_modules=FAMILY_MODULES[:4] + ["down_proj"]), old_config=True,
             lengths=(7, 31),
             runs=[Run("cosine", "cosine", 1e-2, 3, weight_decay=0.1, beta1=0.8, beta2=0.95, eps=1e-6)]),
        Case("llama_linear", "llama", llama(32, 4, 2, 72, 2, 10000.0, rms_norm_eps=1e-2,
                                            rope_parameters=rope(10000.0, rope_type="linear", factor=2.5)),
             dict(r=4, lora_alpha=8, target_modules="all-linear")),
        Case("llama_linear_old", "llama", llama(32, 4, 1, 40, 2, 20000.0,
                                                rope_parameters=rope(20000.0, rope_type="linear", factor=4.0)),
             dict(r=4, lora_alpha=4, target_modules=["k_proj", "v_proj"]), old_config=True,
             bare_old_keys=("head_dim",)),
        Case("llama_bias", "llama", llama(32, 2, 2, 56, 2, 10000.0, attention_bias=True, mlp_bias=True),
             dict(r=4, lora_alpha=9, target_modules="all-linear")),
        Case("llama_head", "llama", llama(32, 4, 2, 64, 2, 10000.0),
             dict(r=6, lora_alpha=12, target_modules=["q_proj", "lm_head"])),
        Case("llama_whole", "llama", llama(32, 4, 2, 64, 2, 10000.0, vocab_size=TRAIN_VOCAB),
             dict(r=6, lora_alpha=12, target_modules=["v_proj"], modules_to_save=["lm_head", "o_proj"]),
             runs=[Run("linear", "linear", 5e-3, 2)]),
        Case("smollm", "llama", llama(54, 9, 3, 104, 3, 10000.0, tie_word_embeddings=True),
             dict(r=8, lora_alpha=8, target_modules=FAMILY_MODULES, layers_to_transform=[2]),
             old_config=True, dtype="bfloat16", bare_old_keys=("head_dim",)),
        Case("tinyllama", "llama", llama(48, 8, 2, 104, 2, 10000.0),
             dict(r=8, lora_alpha=16, use_rslora=True, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]),
             old_config=True, shards=3, bare_old_keys=("head_dim",)),
    ]


def other_cases() -> list[Case]:
    patterns = dict(rank_pattern={"layers.0.self_attn.q_proj": 4, "down_proj": 6},
                    alpha_pattern={"v_proj": 3, "model.layers.1.self_attn.q_proj": 20})
    return [
        Case("mistral", "mistral", llama(48, 4, 2, 96, 2, 10000.0, sliding_window=6),
             dict(r=4, lora_alpha=8, target_modules=r".*self_attn\.(q|o)_proj"), shards=2, lengths=(5, 23, 14)),
        # Real Qwen2 configs name a window that is switched off: here a small one, so that using it is seen.
        Case("qwen2", "qwen2", llama(48, 6, 2, 88, 2, 1000000.0, rms_norm_eps=1e-6, tie_word_embeddings=True,
                                     use_sliding_window=False, sliding_window=4, max_window_layers=2),
             dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj", "down_proj"], **patterns), old_config=True),
        Case("qwen2_window", "qwen2", llama(32, 4, 2, 64, 3, 10000.0, use_sliding_window=True, sliding_window=5,
                                            max_window_layers=1),
             dict(r=4, lora_alpha=8), old_config=True, lengths=(5, 23, 14)),
        Case("qwen2_layer_types", "qwen2", llama(32, 4, 4, 48, 2, 10000.0, use_sliding_window=True,
                                                 sliding_window=5, max_window_layers=1),
             dict(r=4, lora_alpha=8), lengths=(5, 23)),
        Case("qwen3", "qwen3", llama(40, 4, 2, 88, 2, 1000000.0, rms_norm_eps=1e-6, head_dim=16,
                                     tie_word_embeddings=True),
             dict(r=7, lora_alpha=14, target_modules="all-linear"), dtype="bfloat16"),
        Case("qwen3_old", "qwen3", llama(32, 4, 2, 48, 2, 1000000.0, rms_norm_eps=1e-6, head_dim=12,
                                         use_sliding_window=False, sliding_window=4),
             dict(r=4, lora_alpha=8), old_config=True),
    ]


def enlarge(case: Case, rng) -> Case:
    """The same case with larger shapes, drawn from `rng`, for checks on models that nobody has seen."""
    config = case.config
    heads = config.get("num_attention_heads") or config["n_head"]
    head_dim = int(rng.choice([16, 24, 32]))
    if "head_dim" in config:
        config["head_dim"] = head_dim
        config["hidden_size"] = heads * (head_dim - 4)
    else:
        config["n_embd" if case.family == "gpt2" else "hidden_size"] = heads * head_dim
    for key in ("intermediate_size", "n_inner"):
        if key in config:
            config[key] = 8 * int(rng.integers(40, 70))
    for key in ("num_hidden_layers", "n_layer"):
        if key in config:
            config[key] += int(rng.integers(1, 4))
    if config["vocab_size"] != TRAIN_VOCAB:
        config["vocab_size"] = int(rng.integers(500, 2000))
    if "n_positions" in config:
        config["n_positions"] = 256
    if config.get("sliding_window"):
        config["sliding_window"] = int(rng.integers(10, 40))
    case.lengths = tuple(int(n) for n in rng.integers(20, 200, 3))
    return case


def all_cases() -> list[Case]:
    return gpt2_cases() + llama_cases() + other_cases() + dora_cases()

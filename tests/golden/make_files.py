"""Makes tests/golden/files/: small files written by the libraries whose formats are read.

    python3 tests/golden/make_files.py

Needs torch, safetensors, transformers and peft. PEFT adapters: a tiny GPT-2 and a tiny Llama with seeded weights
(the base itself is not kept), one with rank_pattern, alpha_pattern and rsLoRA, one classifier with modules_to_save.
"""

import json
import pathlib
import shutil

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)

OUT = pathlib.Path(__file__).resolve().parent / "files"


def llama_config(**more):
    return LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        **more,
    )


def gpt2():
    return GPT2LMHeadModel(GPT2Config(vocab_size=32, n_positions=16, n_embd=16, n_layer=2, n_head=2))


def llama():
    return LlamaForCausalLM(llama_config())


def classifier():
    return LlamaForSequenceClassification(llama_config(num_labels=3, pad_token_id=0))


CASES = {
    "gpt2": (gpt2, dict(r=4, lora_alpha=8, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM")),
    "llama": (llama, dict(r=2, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")),
    "llama_patterns": (
        llama,
        dict(
            r=4,
            lora_alpha=8,
            use_rslora=True,
            target_modules=["q_proj", "k_proj", "down_proj"],
            rank_pattern={"model.layers.0.self_attn.q_proj": 2, "down_proj": 3},
            alpha_pattern={r"layers\.1\..*": 6},
            task_type="CAUSAL_LM",
        ),
    ),
    "llama_classifier": (classifier, dict(r=2, lora_alpha=4, target_modules=["v_proj"], task_type="SEQ_CLS")),
}


def adapt(name):
    make, config = CASES[name]
    torch.manual_seed(7)
    base = make()
    base.name_or_path = "tiny/" + name
    model = get_peft_model(base, LoraConfig(**config))
    for key, parameter in model.named_parameters():
        if "lora_" in key or "modules_to_save" in key:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def make_adapters():
    for name in CASES:
        folder = OUT / ("peft_" + name)
        shutil.rmtree(folder, ignore_errors=True)
        model = adapt(name)
        model.peft_config["default"].base_model_name_or_path = "tiny/" + name
        model.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        # What PEFT computes with, for each module: the scaling and the rank.
        facts = {}
        for path, module in model.base_model.model.named_modules():
            if hasattr(module, "lora_A"):
                facts[path] = {"scaling": module.scaling["default"], "rank": module.r["default"]}
        (folder / "expected.json").write_text(json.dumps(facts, indent=1) + "\n")


def make_tensors():
    torch.manual_seed(1)
    base = torch.randn(3, 5)
    save_file(
        {
            "a.f32": base,
            "a.f16": base.half(),
            "a.bf16": base.bfloat16(),
            "z.f64": base.double(),
            "scalar.i64": torch.tensor(7),
            "empty.f32": torch.zeros(0, 4),
            "m.i32": torch.arange(6, dtype=torch.int32).reshape(2, 3),
            "m.u8": torch.arange(3, dtype=torch.uint8),
            "m.bool": torch.tensor([True, False, True]),
            "m.i16": torch.arange(4, dtype=torch.int16),
            "m.f8": base.to(torch.float8_e4m3fn),
        },
        OUT / "mixed.safetensors",
        metadata={"format": "pt"},
    )
    # All 65,536 bit patterns would be large; these are the ones with something to get wrong.
    bits = sorted({s | e << 10 | m for s in (0, 0x8000) for e in range(32) for m in (0, 1, 2, 511, 512, 1022, 1023)})
    half = torch.tensor([b - 65536 if b > 32767 else b for b in bits], dtype=torch.int16)
    save_file({"bits": half, "f32": half.view(torch.float16).float()}, OUT / "half.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    make_tensors()
    make_adapters()

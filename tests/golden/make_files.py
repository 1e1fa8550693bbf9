"""Makes tests/golden/files/: small files written by the libraries whose formats are read.

    python3 tests/golden/make_files.py

Needs torch, safetensors, transformers and peft. PEFT adapters of tiny models with seeded weights (the base itself is not
kept): GPT-2 and Llama, one with rank_pattern, alpha_pattern and rsLoRA; classifiers whose head is trained whole (Llama,
BERT, RoBERTa, DistilBERT, ResNet, and convolutional networks with the names of torchvision and of the CIFAR ResNets), with
the pooler besides, and with nothing but the head; LoRA on convolutions and on a head.
"""

import json
import pathlib
import shutil

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    ResNetConfig,
    ResNetForImageClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
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


def encoder(model, config, **more):
    sizes = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4)
    return model(config(vocab_size=32, max_position_embeddings=20, num_labels=3, **{**sizes, **more}))


def bert():
    return encoder(BertForSequenceClassification, BertConfig)


def roberta():
    return encoder(RobertaForSequenceClassification, RobertaConfig)


def distilbert():
    config = DistilBertConfig(
        vocab_size=32, max_position_embeddings=20, dim=16, hidden_dim=24, n_layers=2, n_heads=4, num_labels=3
    )
    return DistilBertForSequenceClassification(config)


def resnet():
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic", num_labels=3, num_channels=3
    )
    return ResNetForImageClassification(config)


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(2 * channels)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, (1, 5), padding=(0, 2), bias=False)

    def forward(self, x):
        return torch.relu(self.conv2(torch.relu(self.bn1(self.conv1(x)))))


class Network(nn.Module):
    """The names of torchvision's ResNets (head "fc") and of the CIFAR ones (head "linear")."""

    def __init__(self, head):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.layer1 = nn.Sequential(Block(4))
        self.head = head
        setattr(self, head, nn.Linear(8, 3))

    def forward(self, x):
        return getattr(self, self.head)(self.layer1(self.conv1(x)).mean((2, 3)))


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
    "llama_dora": (
        llama,
        dict(r=2, lora_alpha=16, use_dora=True, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    ),
    "llama_classifier": (classifier, dict(r=2, lora_alpha=4, target_modules=["v_proj"], task_type="SEQ_CLS")),
    "bert": (bert, dict(r=2, lora_alpha=4, target_modules=["query", "value"], task_type="SEQ_CLS")),
    "bert_pooler": (
        bert,
        dict(r=2, lora_alpha=4, target_modules=["query"], modules_to_save=["pooler"], task_type="SEQ_CLS"),
    ),
    # The name stands for PEFT's DUMMY_TARGET_MODULES: no LoRA at all.
    "bert_head": (bert, dict(r=2, lora_alpha=4, target_modules="dummy-target-modules", task_type="SEQ_CLS")),
    "roberta": (roberta, dict(r=2, lora_alpha=4, target_modules=["query", "value"], task_type="SEQ_CLS")),
    "distilbert": (distilbert, dict(r=2, lora_alpha=4, target_modules=["q_lin", "v_lin"], task_type="SEQ_CLS")),
    "distilbert_untyped": (distilbert, dict(r=2, lora_alpha=4, target_modules=["q_lin"], modules_to_save=["classifier"])),
    "resnet": (resnet, dict(r=2, lora_alpha=4, target_modules=["convolution"], modules_to_save=["classifier"])),
    "resnet_head_lora": (resnet, dict(r=2, lora_alpha=4, target_modules=["classifier.1", "layer.1.convolution"])),
    "torchvision_dora": (
        lambda: Network("fc"),
        dict(r=2, lora_alpha=8, use_dora=True, target_modules=["conv1", "fc"]),
    ),
    "torchvision": (
        lambda: Network("fc"),
        dict(r=4, lora_alpha=8, target_modules=["conv1", "conv2"], rank_pattern={"conv2": 2}, modules_to_save=["fc"]),
    ),
    "cifar": (lambda: Network("linear"), dict(r=2, lora_alpha=4, target_modules=["conv1"], modules_to_save=["linear"])),
    "cifar_head": (
        lambda: Network("linear"),
        dict(r=2, lora_alpha=4, target_modules="dummy-target-modules", modules_to_save=["linear"]),
    ),
}


def base_model(name):
    torch.manual_seed(7)
    base = CASES[name][0]()
    base.name_or_path = "tiny/" + name
    return base.eval()


def adapt(name):
    model = get_peft_model(base_model(name), LoraConfig(**CASES[name][1]))
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

"""Classifiers as PyTorch computes them: transformers' encoders and ResNets, torchvision's and the CIFAR ResNets written
out here, with or without a PEFT adapter, always in float32 and eval mode."""

import os
import re
import warnings

import torch
import transformers
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from golden_common import fail, read_json

HEADS = ("classifier", "classifier.out_proj", "classifier.1", "fc", "linear")
PREFIX = "base_model.model."


def conv(channels: int, out: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, size, stride, size // 2, bias=False)


class TorchvisionBlock(nn.Module):
    """Basic: 3x3, 3x3. Bottleneck ("v1.5"): 1x1, 3x3 with the stride, 1x1."""

    def __init__(self, channels: int, out: int, stride: int, bottleneck: bool):
        super().__init__()
        inner = out // 4 if bottleneck else out
        layers = [(channels, inner, 1, 1), (inner, inner, 3, stride), (inner, out, 1, 1)] if bottleneck else [
            (channels, out, 3, stride), (out, out, 3, 1)]
        self.count = len(layers)
        for i, layer in enumerate(layers, 1):
            setattr(self, f"conv{i}", conv(*layer))
            setattr(self, f"bn{i}", nn.BatchNorm2d(layer[1]))
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(conv(channels, out, 1, stride), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = F.relu(y) if i < self.count else y
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class TorchvisionResNet(nn.Module):
    def __init__(self, config: dict, n_labels: int):
        super().__init__()
        channels = config["embedding_size"]
        self.conv1 = conv(config.get("num_channels", 3), channels, 7, 2)
        self.bn1 = nn.BatchNorm2d(channels)
        self.n_stages = len(config["depths"])
        for i, (depth, out) in enumerate(zip(config["depths"], config["hidden_sizes"]), 1):
            blocks = []
            for j in range(depth):
                stride = 2 if i > 1 and j == 0 else 1
                blocks.append(TorchvisionBlock(channels, out, stride, config["layer_type"] == "bottleneck"))
                channels = out
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, n_labels)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(pixel_values))), 3, 2, 1)
        for i in range(1, self.n_stages + 1):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(x.mean((2, 3)))


class CifarBlock(nn.Module):
    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.stride, self.widen = stride, (out - channels) // 2
        self.conv1, self.bn1 = conv(channels, out, 3, stride), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = conv(out, out, 3), nn.BatchNorm2d(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        # option A (He et al., 2016, section 3.3): every second pixel, zeros for the channels that are new
        shortcut = F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.widen, self.widen))
        return F.relu(y + shortcut)


class CifarResNet(nn.Module):
    """He et al., 2016, section 4.2: depth 6n + 2, widths 16, 32, 64."""

    def __init__(self, config: dict, n_labels: int):
        super().__init__()
        if config["shortcut"] != "A":
            fail(f"shortcut {config['shortcut']} is not known here")
        self.conv1, self.bn1 = conv(config.get("num_channels", 3), 16, 3), nn.BatchNorm2d(16)
        channels = 16
        for i, out in enumerate((16, 32, 64), 1):
            blocks = []
            for j in range((config["depth"] - 2) // 6):
                blocks.append(CifarBlock(channels, out, 2 if i > 1 and j == 0 else 1))
                channels = out
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, n_labels)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(pixel_values)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def n_labels_of(config: dict) -> int:
    return len(config["id2label"]) if "id2label" in config else config.get("num_labels", 2)


def plain_class(config: dict, names):
    """The class for a folder that is not transformers'."""
    if config["model_type"] == "resnet_cifar":
        return CifarResNet
    return TorchvisionResNet if config["model_type"] == "resnet" and "conv1.weight" in names else None


def load_plain(kind, config: dict, tensors: dict, n_labels: int | None):
    """The model, and which parameters the folder does not give it."""
    model = kind(config, n_labels or n_labels_of(config))
    own = model.state_dict()
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items() if v.shape == own[k].shape}
    missing = model.load_state_dict(tensors, strict=False).missing_keys
    return model.eval(), {k for k in missing if not k.endswith("num_batches_tracked")}


def class_of(name: str):
    """A class by its name in config.json's "architectures": of this file, where transformers has none, or of
    transformers."""
    return globals().get(name) or getattr(transformers, name)


def text_class(config: dict, task: str | None):
    """The class for a folder of text: with an output for each token where the folder or the adapter's task asks so."""
    if config["architectures"][0] in globals():
        return class_of(config["architectures"][0])
    of_tokens = task == "TOKEN_CLS" or config["architectures"][0].endswith("ForTokenClassification")
    return (transformers.AutoModelForTokenClassification if of_tokens
            else transformers.AutoModelForSequenceClassification)


def load_base(folder: str, n_labels: int | None = None, task: str | None = None):
    """The model with a head of n_labels (None: as the folder has it) for the adapter's task, and the names of the
    parameters that the folder does not give it: those of a new head."""
    config = read_json(os.path.join(folder, "config.json"))
    tensors = load_file(os.path.join(folder, "model.safetensors"))
    plain = plain_class(config, tensors)
    if plain:
        return load_plain(plain, config, tensors, n_labels)
    options = {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}
    if n_labels is not None:
        options["num_labels"] = n_labels
    kind = transformers.AutoModelForImageClassification
    if "vocab_size" in config:
        kind, options["attn_implementation"] = text_class(config, task), "eager"
    model, info = kind.from_pretrained(folder, **options)
    return model.eval(), set(info["missing_keys"]) | {entry[0] for entry in info["mismatched_keys"]}


def run(model, batch: dict) -> torch.Tensor:
    """Logits of a batch with "pixels", or "ids" and "types" (lists, one a sample: each runs by itself): a row for each
    sample, or for each token of all samples."""
    if "pixels" in batch:
        out = model(pixel_values=batch["pixels"].to(next(model.parameters()).dtype))
        return out if torch.is_tensor(out) else out.logits
    with_types = model.config.model_type != "distilbert"
    rows = []
    for ids, types in zip(batch["ids"], batch["types"]):
        more = {"token_type_ids": types.long()[None]} if with_types else {}
        rows.append(model(input_ids=ids.long()[None], **more).logits.flatten(0, -2))
    return torch.cat(rows)


def stored_labels(stored: dict) -> int | None:
    """How many classes an adapter's own head has; None when it has none."""
    sizes = [v.shape[0] for k, v in stored.items() if k in [f"{PREFIX}{head}.weight" for head in HEADS]]
    return sizes[0] if sizes else None


def without_adapter_name(key: str) -> str:
    """A key of a PEFT model as it is on disk."""
    key = re.sub(r"\.modules_to_save\.default(?=\.)", "", key)
    key = key.replace(".lora_magnitude_vector.default.weight", ".lora_magnitude_vector")
    return re.sub(r"\.default(?=\.|$)", "", key, count=1)


def check_all_loaded(model, folder: str, stored: dict):
    """PEFT ignores keys that it does not know in silence: look for each stored tensor in the loaded model."""
    loaded = {without_adapter_name(k): v for k, v in model.state_dict().items()}
    for key, value in stored.items():
        tensor = loaded.get(key)
        if tensor is None or not torch.equal(tensor, value.to(tensor.dtype)):
            fail(f"{folder}: tensor {key} was not loaded by PEFT as it is stored")


def attach(model, folder: str, stored: dict, trainable: bool = False):
    """The model with the adapter of a PEFT folder; stops when PEFT warns about keys or leaves one out."""
    from peft import PeftModel

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    told = [str(w.message) for w in caught if re.search(r"\bkeys?\b", str(w.message), re.I)]
    if told:
        fail(f"PEFT warns about {folder}: {told}")
    check_all_loaded(model, folder, stored)
    return model.eval()


def load_classifier(folder: str, adapter: str | None, trainable: bool = False):
    """Base and adapter; a head that the base lacks must come from the adapter."""
    if adapter is None:
        model, missing = load_base(folder)
    else:
        stored = load_file(os.path.join(adapter, "adapter_model.safetensors"))
        task = read_json(os.path.join(adapter, "adapter_config.json"))["task_type"]
        model, missing = load_base(folder, stored_labels(stored), task)
        model = attach(model, adapter, stored, trainable)
        missing -= {k.removeprefix(PREFIX) for k in stored}
    if missing:
        fail(f"{folder}: neither the model nor the adapter has {sorted(missing)}")
    return model

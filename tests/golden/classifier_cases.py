"""The cases of the numeric judge for classifiers: encoders for text, ResNets for images."""

from dataclasses import dataclass, field
from typing import Any

from golden_cases import Run

CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck".split()
TRAIN_VOCAB = 320


@dataclass
class ClassifierCase:
    name: str
    architecture: str  # transformers' class, "torchvision" or "cifar"
    config: dict[str, Any]
    lora: dict[str, Any]
    labels: list[str] | None = None  # of the folder's own head; None: transformers' default names
    n_new: int | None = None  # classes of the adapter's head, where the folder has none or another
    dtype: str = "float32"  # of the weights on disk
    old_hub: bool = False  # LayerNorm.gamma and .beta, a position_ids buffer, config.json of transformers 4
    lengths: tuple = (6, 19, 11)  # of texts
    images: tuple = (3, 3, 32, 32)  # B, C, H, W
    runs: list[Run] = field(default_factory=list)

    @property
    def is_text(self) -> bool:
        return "Bert" in self.architecture or "Roberta" in self.architecture

    @property
    def is_of_tokens(self) -> bool:
        return self.lora.get("task_type") == "TOKEN_CLS"

    @property
    def is_regression(self) -> bool:
        return self.config.get("problem_type") == "regression"

    @property
    def is_multilabel(self) -> bool:
        return self.config.get("problem_type") == "multi_label_classification"


def names(n: int) -> list[str]:
    return [f"class {chr(ord('a') + i)}" for i in range(n)]


def bert(hidden: int, heads: int, inner: int, **more) -> dict[str, Any]:
    return {"hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": inner, "num_hidden_layers": 2,
            "max_position_embeddings": 48, "vocab_size": 96, **more}


def bert_cases() -> list[ClassifierCase]:
    whole = "BertForSequenceClassification"
    text = dict(task_type="SEQ_CLS")
    return [
        ClassifierCase("bert", whole, bert(32, 4, 64, vocab_size=TRAIN_VOCAB), dict(r=8, lora_alpha=16, **text),
                       labels=["negative", "neutral", "positive"], runs=[Run("linear", "linear", 5e-3, 3)]),
        ClassifierCase("bert_all", whole, bert(24, 3, 56, hidden_act="gelu_new", layer_norm_eps=1e-2),
                       dict(r=4, lora_alpha=6, target_modules="all-linear", **text), labels=["no", "yes"],
                       dtype="float16", old_hub=True),
        ClassifierCase("bert_bare", "BertModel", bert(32, 2, 48, type_vocab_size=3),
                       dict(r=6, lora_alpha=5, use_rslora=True,
                            target_modules=["query", "key", "attention.output.dense"], **text), n_new=2),
        ClassifierCase("bert_mlm", "BertForMaskedLM", bert(32, 4, 40, hidden_act="relu"),
                       dict(r=4, lora_alpha=8, target_modules=["dense"], modules_to_save=["pooler"], **text), n_new=4),
        ClassifierCase("bert_regression", whole, bert(32, 4, 64, num_labels=1, problem_type="regression"),
                       dict(r=4, lora_alpha=8, target_modules=r".*layer\.1\..*dense", **text), lengths=(9, 4, 30, 17)),
        ClassifierCase("bert_multilabel", whole, bert(24, 3, 40, vocab_size=TRAIN_VOCAB, problem_type="multi_label_classification"),
                       dict(r=4, lora_alpha=8, target_modules="all-linear", **text), labels=names(5),
                       lengths=(6, 19, 11, 8), runs=[Run("linear", "linear", 5e-3, 3)]),
    ]


def roberta_cases() -> list[ClassifierCase]:
    whole = "RobertaForSequenceClassification"
    # as in real RoBERTas, the longest text has two tokens less than there are positions
    special = dict(type_vocab_size=1, max_position_embeddings=34, pad_token_id=1, bos_token_id=0, eos_token_id=2,
                   layer_norm_eps=1e-5)
    patterns = dict(rank_pattern={"intermediate.dense": 5, "layer.0.attention.self.key": 2},
                    alpha_pattern={"output.dense": 3, "roberta.encoder.layer.1.attention.self.query": 20})
    return [
        ClassifierCase("roberta", whole, bert(32, 4, 64, **special), dict(r=8, lora_alpha=16, task_type="SEQ_CLS"),
                       labels=["LABEL_0", "LABEL_1", "LABEL_2"], lengths=(6, 32, 11)),
        ClassifierCase("roberta_bare", "RobertaModel", bert(24, 2, 40, **special),
                       dict(r=4, lora_alpha=8, target_modules="all-linear", task_type="SEQ_CLS", **patterns),
                       n_new=3, dtype="bfloat16"),
    ]


def distilbert(dim: int, heads: int, inner: int, **more) -> dict[str, Any]:
    return {"dim": dim, "n_heads": heads, "hidden_dim": inner, "n_layers": 2, "max_position_embeddings": 48,
            "vocab_size": 96, **more}


def distilbert_cases() -> list[ClassifierCase]:
    whole = "DistilBertForSequenceClassification"
    text = dict(task_type="SEQ_CLS")
    return [
        # PEFT takes pre_classifier for "classifier", by its ending, and trains both whole
        ClassifierCase("distilbert", whole, distilbert(32, 4, 64), dict(r=8, lora_alpha=16,
                       target_modules=["q_lin", "v_lin"], **text), labels=["NEGATIVE", "POSITIVE"]),
        ClassifierCase("distilbert_all", whole, distilbert(24, 3, 40), dict(r=4, lora_alpha=8,
                       target_modules="all-linear"), labels=names(3), dtype="bfloat16"),
        ClassifierCase("distilbert_bare", "DistilBertModel", distilbert(32, 2, 48, activation="relu"),
                       dict(r=5, lora_alpha=10, target_modules=["lin1", "out_lin"], modules_to_save=["pre_classifier"],
                            **text), n_new=4),
        ClassifierCase("distilbert_head", whole, distilbert(24, 2, 40), dict(r=8, lora_alpha=16,
                       target_modules="dummy-target-modules", **text), n_new=3, labels=["NEGATIVE", "POSITIVE"]),
    ]


def resnet(stem: int, sizes: list[int], depths: list[int], **more) -> dict[str, Any]:
    return {"embedding_size": stem, "hidden_sizes": sizes, "depths": depths, "layer_type": "basic",
            "hidden_act": "relu"} | more


def resnet_cases() -> list[ClassifierCase]:
    whole = "ResNetForImageClassification"
    head = dict(modules_to_save=["classifier"])
    deep = dict(layer_type="bottleneck")
    return [
        ClassifierCase("resnet_basic", whole, resnet(8, [8, 12, 16], [1, 2, 1]),
                       dict(r=4, lora_alpha=8, target_modules=["convolution"], **head), labels=names(4)),
        ClassifierCase("resnet_bottleneck", whole, resnet(8, [16, 24, 32], [1, 2, 1], **deep),
                       dict(r=3, lora_alpha=4, use_rslora=True,
                            target_modules=r".*(layer\.1\.convolution|shortcut\.convolution|classifier\.1)"),
                       labels=names(5), images=(2, 3, 38, 45)),
        ClassifierCase("resnet_bottleneck_down", whole,
                       resnet(6, [16, 24], [2, 2], downsample_in_bottleneck=True, downsample_in_first_stage=True,
                              num_channels=1, **deep),
                       dict(r=4, lora_alpha=8, target_modules=["embedder.convolution", "layer.0.convolution",
                                                               "layer.2.convolution"], **head),
                       labels=names(3), dtype="bfloat16", images=(4, 1, 40, 40)),
        ClassifierCase("resnet_bare", "ResNetModel", resnet(8, [8, 16], [1, 1], hidden_act="gelu"),
                       dict(r=4, lora_alpha=8, target_modules=["layer.0.convolution"], **head), n_new=6),
        ClassifierCase("resnet_head", whole, resnet(8, [8, 16], [2, 1]),
                       dict(r=8, lora_alpha=16, target_modules="dummy-target-modules", **head), labels=names(4)),
    ]


def plain_cases() -> list[ClassifierCase]:
    """Networks of others. CIFAR ResNets have their widths fixed: the depth of 8 keeps this one small."""
    patterns = dict(rank_pattern={"layer1.0.conv2": 2, "conv1": 5},
                    alpha_pattern={"downsample.0": 3, "layer3.0.conv1": 12})
    return [
        ClassifierCase("resnet_torchvision", "torchvision", resnet(8, [8, 12, 16], [2, 1, 2]),
                       dict(r=4, lora_alpha=8, target_modules=["conv1", "conv2", "downsample.0"],
                            modules_to_save=["fc"], **patterns), labels=names(4), images=(3, 3, 30, 37)),
        ClassifierCase("resnet_torchvision_bottleneck", "torchvision",
                       resnet(8, [16, 24, 32], [1, 2, 1], layer_type="bottleneck"),
                       dict(r=4, lora_alpha=8, target_modules=["conv2", "conv3", "layer2.0.downsample.0", "fc"]),
                       labels=names(5), dtype="float16"),
        ClassifierCase("resnet_cifar", "cifar", {"depth": 8, "shortcut": "A"},
                       dict(r=4, lora_alpha=8, target_modules=["conv1", "conv2"], modules_to_save=["linear"]),
                       labels=CIFAR10, dtype="float16", images=(2, 3, 32, 32), runs=[Run("linear", "linear", 2e-3, 3)]),
        ClassifierCase("resnet_cifar_new", "cifar", {"depth": 8, "shortcut": "A"},
                       dict(r=4, lora_alpha=4, target_modules=["layer2.0.conv1", "layer3.0.conv2"],
                            modules_to_save=["linear"]), labels=CIFAR10, n_new=3, dtype="bfloat16",
                       images=(2, 3, 32, 32)),
    ]


def enlarge_text(case: ClassifierCase, rng):
    config, first = case.config, case.architecture.startswith("Distil")
    heads = config["n_heads" if first else "num_attention_heads"]
    config["dim" if first else "hidden_size"] = heads * int(rng.choice([16, 24, 32]))
    config["hidden_dim" if first else "intermediate_size"] = 8 * int(rng.integers(40, 70))
    config["n_layers" if first else "num_hidden_layers"] += int(rng.integers(1, 4))
    config["max_position_embeddings"] = 258
    if config["vocab_size"] != TRAIN_VOCAB:
        config["vocab_size"] = int(rng.integers(500, 2000))
    case.lengths = tuple(int(n) for n in rng.integers(20, 200, 3)) + (256,)


def enlarge(case: ClassifierCase, rng) -> ClassifierCase:
    """The same case with larger shapes, drawn from `rng`, for checks on models that nobody has seen."""
    if case.is_text:
        enlarge_text(case, rng)
    elif case.architecture == "cifar":
        case.config["depth"] = 6 * int(rng.integers(2, 5)) + 2
        case.runs = []  # in deep ReLU networks float32 and float64 train apart within a few steps
        case.images = (5,) + case.images[1:]
    else:
        factor = int(rng.integers(2, 5))
        case.config["embedding_size"] *= factor
        case.config["hidden_sizes"] = [factor * n for n in case.config["hidden_sizes"]]
        case.config["depths"] = [n + int(rng.integers(0, 3)) for n in case.config["depths"]]
        case.images = (4, case.images[1], int(rng.integers(50, 120)), int(rng.integers(50, 120)))
    return case


def dora_cases() -> list[ClassifierCase]:
    return [
        ClassifierCase("bert_dora", "BertForSequenceClassification", bert(32, 4, 64),
                       dict(r=4, lora_alpha=8, use_dora=True, target_modules="all-linear", task_type="SEQ_CLS"),
                       labels=["no", "yes"]),
        ClassifierCase("resnet_dora", "cifar", {"depth": 8, "shortcut": "A"},
                       dict(r=4, lora_alpha=8, use_dora=True, target_modules=["conv1", "conv2", "linear"]),
                       labels=CIFAR10, images=(2, 3, 32, 32), runs=[Run("linear", "linear", 2e-3, 3)]),
    ]


def token_cases() -> list[ClassifierCase]:
    tokens = dict(task_type="TOKEN_CLS")
    special = dict(type_vocab_size=1, max_position_embeddings=34, pad_token_id=1, bos_token_id=0, eos_token_id=2)
    return [
        ClassifierCase("bert_tokens", "BertForTokenClassification", bert(24, 3, 32), dict(r=4, lora_alpha=8, **tokens),
                       labels=["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]),
        ClassifierCase("roberta_tokens", "RobertaModel", bert(16, 2, 24, **special),
                       dict(r=3, lora_alpha=6, target_modules=["key", "dense"], **tokens), n_new=3, dtype="bfloat16",
                       lengths=(6, 32, 11)),
        ClassifierCase("distilbert_tokens", "DistilBertForTokenClassification", distilbert(16, 2, 24),
                       dict(r=4, lora_alpha=8, target_modules=["q_lin", "lin2"], **tokens), labels=["O", "B", "I"],
                       dtype="float16"),
    ]


def all_cases() -> list[ClassifierCase]:
    return (bert_cases() + roberta_cases() + distilbert_cases() + token_cases() + resnet_cases() + plain_cases() +
            dora_cases())

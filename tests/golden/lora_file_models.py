"""Tiny Stable Diffusion pipelines and what their LoRA layers hold: for make_lora_files.py and check_lora_files.py."""
import warnings

import torch
import transformers.integrations.peft as integration
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

# transformers 5.24 asks for a PEFT newer than 0.21; what it calls is the same.
integration.check_peft_version = lambda **_: None
warnings.filterwarnings("ignore")

PARTS = ["unet", "text_encoder", "text_encoder_2"]


def text(kind, hidden):
    torch.manual_seed(1)
    return kind(CLIPTextConfig(vocab_size=20, hidden_size=hidden, intermediate_size=9, num_hidden_layers=2,
                               num_attention_heads=2, projection_dim=6, bos_token_id=0, eos_token_id=1))


def pipeline(name):
    """sd: blocks without and with attention; sdxl: two steps a block, two text encoders, sizes."""
    torch.manual_seed(0)
    xl = name == "sdxl"
    down = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D") if xl else ("CrossAttnDownBlock2D", "DownBlock2D")
    extra = dict(addition_embed_type="text_time", addition_time_embed_dim=2, projection_class_embeddings_input_dim=18,
                 transformer_layers_per_block=(1, 1, 2), use_linear_projection=True) if xl else {}
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(4, 8, 8)[: len(down)], layers_per_block=2 if xl else 1, down_block_types=down,
        up_block_types=tuple(kind.replace("Down", "Up") for kind in reversed(down)), cross_attention_dim=14 if xl else 8,
        attention_head_dim=2, norm_num_groups=2, **extra)
    vae = AutoencoderKL(block_out_channels=(4,), norm_num_groups=2)
    common = dict(vae=vae, unet=unet, scheduler=DDIMScheduler(), tokenizer=None)
    if xl:
        return StableDiffusionXLPipeline(text_encoder=text(CLIPTextModel, 8), tokenizer_2=None,
                                         text_encoder_2=text(CLIPTextModelWithProjection, 6), **common)
    return StableDiffusionPipeline(text_encoder=text(CLIPTextModel, 8), safety_checker=None, feature_extractor=None,
                                   requires_safety_checker=False, **common)


def parts(pipe):
    return [(part, getattr(pipe, part)) for part in PARTS if getattr(pipe, part, None) is not None]


def full_path(part, path):
    """CLIPTextModel's modules are below "text_model." on disk, and in older versions of transformers."""
    return f"{part}.text_model.{path}" if part.startswith("text") and path.startswith("encoder.") else f"{part}.{path}"


def modules(pipe):
    return [full_path(part, path) for part, model in parts(pipe) for path, module in model.named_modules()
            if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))]


def layers(pipe):
    """The LoRA layers of the one adapter that is loaded: by path (lora_A, lora_B, magnitude or None, scaling)."""
    found = {}
    for part, model in parts(pipe):
        for path, module in model.named_modules():
            if not isinstance(module, BaseTunerLayer) or not len(module.lora_A):
                continue
            (name,) = module.lora_A.keys()
            magnitude = module.lora_magnitude_vector[name].weight if name in module.lora_magnitude_vector else None
            found[full_path(part, path)] = (module.lora_A[name].weight, module.lora_B[name].weight, magnitude,
                                            float(module.scaling[name]))
    return {path: tuple(v.detach().clone() if torch.is_tensor(v) else v for v in value) for path, value in found.items()}

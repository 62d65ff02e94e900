"""Preprocess: resizing, cropping and normalisation of the images that a network takes."""

from __future__ import annotations

from dataclasses import dataclass

Triple = tuple[float, float, float]
FITS = ("shortest", "squash")
INTERPOLATIONS = ("bicubic", "bilinear")
MIPMAP = "mipmap"


@dataclass(frozen=True)
class Preprocess:
    """Preprocessing of images for a model.

    Attributes:
        resize: Pixels after resizing, of the side or sides that `fit` selects.
        crop: Side of the square centre crop, in pixels.
        mean, std: Mean and standard deviation per RGB channel, for values from 0 to 1.
        fit: `shortest` resizes the shorter side to `resize` and keeps the aspect ratio; `squash` resizes both sides.
        interpolation: `bicubic` or `bilinear`, both antialiased, as the libraries of the models do it; or `mipmap`:
            blocks of pixels are averaged as long as the result is large enough, then interpolated bilinearly. Mipmap
            takes an eighth of the time of bicubic.
    """

    resize: int
    crop: int
    mean: Triple
    std: Triple
    fit: str = "shortest"
    interpolation: str = "bicubic"

"""Image edits that typically happen to a photo when it is shared: crops, compression, rotation, captions and others.

The demo photos are made with these edits, and copy detection is evaluated on them. The result depends only on the image
and the version of Pillow, so every machine makes the same copies.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

_FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


@dataclass(frozen=True)
class Edit:
    """A named change of an image, and how to store the result.

    Attributes:
        suffix: File suffix with its dot, which sets the format.
        change: Returns the edited image of an upright RGB image, and leaves its argument unchanged.
        options: Options of `PIL.Image.Image.save`.
    """

    name: str
    suffix: str
    change: Callable[[Image.Image], Image.Image]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, image: Image.Image) -> bytes:
        """Return the bytes of an image file with the edited copy of an upright image."""
        file = BytesIO()
        self.change(image.convert("RGB")).save(file, format=_FORMATS[self.suffix], **self.options)
        return file.getvalue()


def _identity(image: Image.Image) -> Image.Image:
    return image


def _crop(image: Image.Image) -> Image.Image:
    """Crop to 70 % of each side, slightly above and to the right of the centre."""
    width, height = image.size
    left, top = int(0.18 * width), int(0.12 * height)
    return image.crop((left, top, left + max(1, int(0.7 * width)), top + max(1, int(0.7 * height))))


def _mirror(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _rotate_90(image: Image.Image) -> Image.Image:
    """Rotate by 90° counter-clockwise."""
    return image.transpose(Image.Transpose.ROTATE_90)


def _caption(image: Image.Image) -> Image.Image:
    """Write white text on a black band over the bottom eighth."""
    # The bitmap font, because the layout of load_default() depends on libraries of the machine.
    font = ImageFont.load_default_imagefont()
    left, top, right, bottom = (int(edge) for edge in font.getbbox("Best day of the summer!"))
    text = Image.new("RGB", (right - left + 12, bottom - top + 4))
    ImageDraw.Draw(text).text((6 - left, 2 - top), "Best day of the summer!", font=font, fill="white")
    width, height = image.size
    band = text.resize((width, max(1, height // 8)), Image.Resampling.BILINEAR)
    captioned = image.copy()
    captioned.paste(band, (0, height - band.height))
    return captioned


def _brighten(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.35)


def _blur(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(2))


def _half_size(image: Image.Image) -> Image.Image:
    return _divide_size(image, 2)


def _quarter_size(image: Image.Image) -> Image.Image:
    return _divide_size(image, 4)


def _divide_size(image: Image.Image, divisor: int) -> Image.Image:
    width, height = image.size
    return image.resize((max(1, width // divisor), max(1, height // divisor)), Image.Resampling.LANCZOS)


def _clockwise_orientation() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: viewers rotate the image by 90° clockwise
    return exif


def _crop_area(share: float) -> Callable[[Image.Image], Image.Image]:
    """Return an edit that crops the centre and removes a share of the area."""

    def crop(image: Image.Image) -> Image.Image:
        side = math.sqrt(1 - share)
        width, height = (max(1, round(side * length)) for length in image.size)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    return crop


def _increase_contrast(image: Image.Image) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(1.5)


def _to_grey(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


_FINE = {"quality": 90}

EDITS: dict[str, Edit] = {
    edit.name: edit
    for edit in (
        Edit("crop", ".jpg", _crop, _FINE),
        Edit("jpeg20", ".jpg", _identity, {"quality": 20}),
        Edit("mirrored", ".jpg", _mirror, _FINE),
        Edit("turned90", ".jpg", _rotate_90, _FINE),
        # The EXIF tag undoes the rotation: a viewer that follows it shows the original image.
        Edit("turned90_exif", ".jpg", _rotate_90, {**_FINE, "exif": _clockwise_orientation()}),
        Edit("caption", ".jpg", _caption, _FINE),
        Edit("brighter", ".jpg", _brighten, _FINE),
        Edit("blur", ".jpg", _blur, _FINE),
        Edit("half_size", ".jpg", _half_size, _FINE),
        Edit("png", ".png", _identity),
        Edit("webp", ".webp", _identity, {"quality": 80}),
    )
}

COPY_PROTOCOL: dict[str, Edit] = {
    edit.name: edit
    for edit in (
        *(Edit(f"jpeg{quality}", ".jpg", _identity, {"quality": quality}) for quality in (75, 30, 10, 3)),
        *(Edit(f"crop{share}", ".jpg", _crop_area(share / 100), _FINE) for share in (5, 10, 20, 50, 80)),
        EDITS["half_size"],
        Edit("quarter_size", ".jpg", _quarter_size, _FINE),
        *(EDITS[name] for name in ("mirrored", "turned90", "caption", "blur", "brighter")),
        Edit("contrast", ".jpg", _increase_contrast, _FINE),
        Edit("grey", ".jpg", _to_grey, _FINE),
    )
}
"""Edits for the evaluation of copy detection.

The number of a crop is the percentage of the *area* that is removed around the centre, as in INRIA Copydays (Douze et
al. 2009, doi:10.1145/1646396.1646421). `crop80` leaves a fifth of the area, 45 % of each side. The number of a JPEG is
libjpeg's quality. Unlike in Copydays, a JPEG keeps the size of the image.
"""

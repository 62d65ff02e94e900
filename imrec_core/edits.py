"""Ways of making a copy of a picture: what people and programs do to a photo that is passed on.

The demo photos are made with them, and copy detection is judged on them. They depend on nothing but the
picture and the version of Pillow, so the same copies come out on every machine.
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
    """A named change to the pixels, and how the result is stored.

    Attributes:
        suffix: Of the file, with its dot; decides the format.
        change: An upright RGB picture → another one; the first is left as it was.
        options: For ``PIL.Image.Image.save``.
    """

    name: str
    suffix: str
    change: Callable[[Image.Image], Image.Image]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, picture: Image.Image) -> bytes:
        """Bytes of the file that holds the edited copy of an upright picture."""
        file = BytesIO()
        self.change(picture.convert("RGB")).save(file, format=_FORMATS[self.suffix], **self.options)
        return file.getvalue()


def _same(picture: Image.Image) -> Image.Image:
    return picture


def _crop(picture: Image.Image) -> Image.Image:
    """The middle 70 % of each side, a little up and to the right of the centre."""
    width, height = picture.size
    left, top = int(0.18 * width), int(0.12 * height)
    return picture.crop((left, top, left + max(1, int(0.7 * width)), top + max(1, int(0.7 * height))))


def _mirrored(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _turned(picture: Image.Image) -> Image.Image:
    """A quarter turn against the clock."""
    return picture.transpose(Image.Transpose.ROTATE_90)


def _caption(picture: Image.Image) -> Image.Image:
    """White words on a black band that covers the lowest eighth."""
    # The bitmap font and not load_default(): the layout of the latter depends on libraries of the machine.
    font = ImageFont.load_default_imagefont()
    left, top, right, bottom = (int(edge) for edge in font.getbbox("Best day of the summer!"))
    words = Image.new("RGB", (right - left + 12, bottom - top + 4))
    ImageDraw.Draw(words).text((6 - left, 2 - top), "Best day of the summer!", font=font, fill="white")
    width, height = picture.size
    band = words.resize((width, max(1, height // 8)), Image.Resampling.BILINEAR)
    captioned = picture.copy()
    captioned.paste(band, (0, height - band.height))
    return captioned


def _brighter(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(1.35)


def _blur(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(2))


def _half_size(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return picture.resize((max(1, width // 2), max(1, height // 2)), Image.Resampling.LANCZOS)


def _shown_turned_back() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be shown a quarter turn with the clock
    return exif


def _cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    """The middle of a picture, in its own proportions, without that share of its area."""

    def crop(picture: Image.Image) -> Image.Image:
        side = math.sqrt(1 - share)
        width, height = (max(1, round(side * length)) for length in picture.size)
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        return picture.crop((left, top, left + width, top + height))

    return crop


def _quarter_size(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return picture.resize((max(1, width // 4), max(1, height // 4)), Image.Resampling.LANCZOS)


def _contrast(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Contrast(picture).enhance(1.5)


def _grey(picture: Image.Image) -> Image.Image:
    return picture.convert("L").convert("RGB")


_FINE = {"quality": 90}

EDITS: dict[str, Edit] = {
    edit.name: edit
    for edit in (
        Edit("crop", ".jpg", _crop, _FINE),
        Edit("jpeg20", ".jpg", _same, {"quality": 20}),
        Edit("mirrored", ".jpg", _mirrored, _FINE),
        Edit("turned90", ".jpg", _turned, _FINE),
        # Stored turned and tagged: a viewer that heeds the tag shows the picture as it was.
        Edit("turned90_exif", ".jpg", _turned, {**_FINE, "exif": _shown_turned_back()}),
        Edit("caption", ".jpg", _caption, _FINE),
        Edit("brighter", ".jpg", _brighter, _FINE),
        Edit("blur", ".jpg", _blur, _FINE),
        Edit("half_size", ".jpg", _half_size, _FINE),
        Edit("png", ".png", _same),
        Edit("webp", ".webp", _same, {"quality": 80}),
    )
}

COPY_PROTOCOL: dict[str, Edit] = {
    edit.name: edit
    for edit in (
        *(Edit(f"jpeg{quality}", ".jpg", _same, {"quality": quality}) for quality in (75, 30, 10, 3)),
        *(Edit(f"crop{share}", ".jpg", _cropped(share / 100), _FINE) for share in (5, 10, 20, 50, 80)),
        EDITS["half_size"],
        Edit("quarter_size", ".jpg", _quarter_size, _FINE),
        *(EDITS[name] for name in ("mirrored", "turned90", "caption", "blur", "brighter")),
        Edit("contrast", ".jpg", _contrast, _FINE),
        Edit("grey", ".jpg", _grey, _FINE),
    )
}
"""What copy detection is judged on.

The number of a crop is the percentage of the *area* that is cut away around the middle, as in INRIA Copydays (Douze et
al. 2009, doi:10.1145/1646396.1646421): of `crop80` a fifth of the area is left, 45 % of each side. The number of a JPEG
is libjpeg's quality; unlike in Copydays the picture keeps its size.
"""

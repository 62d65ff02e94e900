"""Images that are made from a photo in ways that tell which of the two is the original, and some that do not."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from imrec_core.duplicates.derivation import COMPRESSED, CONVERTED, ENLARGED, FRAMED
from tests.support.pictures import encode

Make = Callable[[Image.Image], bytes]

_SMOOTH = Image.Resampling.LANCZOS


def jpeg(image: Image.Image, quality: int = 88) -> bytes:
    return encode(image, "JPEG", quality=quality)


def png(image: Image.Image) -> bytes:
    return encode(image, "PNG")


def scaled(image: Image.Image, scale: float, kind: Image.Resampling = _SMOOTH) -> Image.Image:
    return image.resize((round(image.width * scale), round(image.height * scale)), kind)


def letterboxed(image: Image.Image, colour: str = "black") -> Image.Image:
    return ImageOps.expand(image, (0, image.height // 7), colour)


def on_blurred_ground(image: Image.Image) -> Image.Image:
    """Paste a photo on itself, enlarged and blurred, as apps make it a square."""
    width, height = image.size
    ground = scaled(image, 1.9).filter(ImageFilter.GaussianBlur(15)).crop((0, 0, width, int(height * 1.5)))
    ground.paste(image, (0, height // 4))
    return ground


def screenshot(image: Image.Image, scale: float) -> Image.Image:
    """Draw a viewer with a menu, a panel of text and the photo."""
    shown = scaled(image, scale)
    width, height = shown.size
    screen = Image.new("RGB", (width + 160, height + 90), "#2b2b2b")
    draw, font = ImageDraw.Draw(screen), ImageFont.load_default_imagefont()
    draw.rectangle((0, 0, width + 160, 28), fill="#3c3f41")
    for i, word in enumerate(("File", "Edit", "View", "Image", "Help")):
        draw.text((8 + 48 * i, 8), word, fill="white", font=font)
    for i in range(8):
        draw.text((width + 64, 50 + 22 * i), f"info {i}: {i * 37}", fill="#cccccc", font=font)
    screen.paste(shown, (48, 34))
    return screen


def crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop((int(left * width), int(top * height), int(right * width), int(bottom * height)))


MADE: dict[str, tuple[Make, str | None]] = {
    "letterbox, black": (lambda photo: jpeg(letterboxed(photo)), FRAMED),
    "letterbox, white": (lambda photo: jpeg(letterboxed(photo, "white")), FRAMED),
    "letterbox, half the size": (lambda photo: jpeg(letterboxed(scaled(photo, 0.5))), FRAMED),
    "frame": (lambda photo: jpeg(ImageOps.expand(photo, photo.width // 30, "#a02020")), FRAMED),
    "instant print": (lambda photo: jpeg(ImageOps.expand(photo, (20, 20, 20, 90), "#f4f1e8")), FRAMED),
    "blurred ground": (lambda photo: jpeg(on_blurred_ground(photo)), FRAMED),
    "screenshot": (lambda photo: png(screenshot(photo, 1.0)), FRAMED),
    "screenshot, shrunk": (lambda photo: png(screenshot(photo, 0.6)), FRAMED),
    "screenshot, enlarged": (lambda photo: jpeg(screenshot(photo, 2.0)), FRAMED),
    "enlarged by 1.4": (lambda photo: png(scaled(photo, 1.4)), ENLARGED),
    "enlarged by 2": (lambda photo: jpeg(scaled(photo, 2, Image.Resampling.BICUBIC), 90), ENLARGED),
    "enlarged by 3": (lambda photo: jpeg(scaled(photo, 3, Image.Resampling.BILINEAR), 75), ENLARGED),
    "pixels doubled": (lambda photo: png(scaled(photo, 2, Image.Resampling.NEAREST)), ENLARGED),
    "JPEG 40": (lambda photo: jpeg(photo, 40), COMPRESSED),
    "JPEG 98": (lambda photo: jpeg(photo, 98), COMPRESSED),
    "PNG": (png, CONVERTED),
    "crop": (lambda photo: jpeg(crop(photo, 0.15, 0.12, 0.85, 0.82)), None),
    "crop, lossless": (lambda photo: png(crop(photo, 0.15, 0.12, 0.85, 0.82)), None),
    "crop at a corner": (lambda photo: jpeg(crop(photo, 0, 0, 0.8, 0.75)), None),
    "crop at one side": (lambda photo: jpeg(crop(photo, 0, 0, 1, 0.75)), None),
    "crop, enlarged": (lambda photo: jpeg(scaled(crop(photo, 0.15, 0.12, 0.85, 0.82), 1.4)), None),
    "half the size": (lambda photo: jpeg(scaled(photo, 0.5), 90), None),
    "shrunk to 0.8": (lambda photo: jpeg(scaled(photo, 0.8), 90), None),
    "brightened": (lambda photo: jpeg(photo.point(lambda level: min(255, int(1.2 * level)))), None),
}
"""What is made of a photo that is a JPEG file of medium quality, and which change tells the original, if any."""

"""Pairs of drawn images that differ in one place, and images with few details."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.support.pictures import noise

Drawing = tuple[Image.Image, ImageDraw.ImageDraw]


def page(width: int, height: int, ground: str = "white") -> Drawing:
    image = Image.new("RGB", (width, height), ground)
    return image, ImageDraw.Draw(image)


def write(draw: ImageDraw.ImageDraw, x: int, y: int, text: str, size: int, colour: str = "black") -> None:
    draw.text((x, y), text, colour, ImageFont.load_default(size))


def invoice(number: str = "2026-0117", total: str = "1,204.00") -> Image.Image:
    image, draw = page(1240, 1754)
    image.paste(Image.fromarray(noise(300, 200)), (60, 60))
    write(draw, 80, 330, f"Invoice {number}", 34)
    for i in range(24):
        write(draw, 80, 420 + 44 * i, f"Item {i:02d}  article number {1000 + 37 * i}  price {12 + 3 * i}.00", 30)
    write(draw, 760, 1490, f"TOTAL {total}", 38, "red")
    return image


def chat(last: str = "at nine") -> Image.Image:
    image, draw = page(720, 1280, "#e4efe9")
    said = ["see you there", "did you send it", "yes this morning", "and the keys"]
    for i, text in enumerate([*(said * 3)[:10], last]):
        left = 30 + 160 * (i % 2)
        draw.rounded_rectangle((left, 60 + 105 * i, left + 500, 145 + 105 * i), 18, "white" if i % 2 else "#d2f8c8")
        write(draw, left + 24, 85 + 105 * i, text, 30)
    return image


def receipt(date: str = "03.11.2026 17:42") -> Image.Image:
    image, draw = page(400, 900, "#f4f1ea")
    write(draw, 110, 30, "CORNER SHOP", 28)
    write(draw, 90, 80, date, 22)
    for i in range(18):
        write(draw, 30, 140 + 36 * i, ["bread", "milk", "eggs", "tea", "rice", "soap"][i % 6], 22)
        write(draw, 300, 140 + 36 * i, f"{i % 5 + 1}.{(37 * i) % 100:02d}", 22)
    return image


def table(value: str = "41.7") -> Image.Image:
    image, draw = page(1000, 700)
    for row in range(14):
        draw.line((20, 40 + 46 * row, 980, 40 + 46 * row), "grey")
        for column in range(8):
            text = value if (row, column) == (7, 4) else f"{(row * 7.3 + column * 11.9) % 90:.1f}"
            write(draw, 40 + 120 * column, 48 + 46 * row, text, 26)
    return image


def numbers(seed: int = 0) -> Image.Image:
    """A table without lines, in which every number depends on the seed."""
    image, draw = page(1000, 700)
    for i, number in enumerate(np.random.default_rng(seed).integers(100, 999, 112).tolist()):
        write(draw, 40 + 120 * (i % 8), 48 + 46 * (i // 8), f"{number / 10:.1f}", 26)
    return image


def chess(square: tuple[int, int] = (4, 3)) -> Image.Image:
    image, draw = page(480, 480)
    for row in range(8):
        for column in range(8):
            colour = "#f0d9b5" if (row + column) % 2 else "#b58863"
            draw.rectangle((60 * column, 60 * row, 60 * column + 59, 60 * row + 59), colour)
            if row in (0, 1, 6, 7):
                _piece(draw, row, column)
    _piece(draw, *square)
    return image


def _piece(draw: ImageDraw.ImageDraw, row: int, column: int) -> None:
    x, y, colour = 60 * column, 60 * row, "black" if row < 3 else "white"
    draw.ellipse((x + 20, y + 8, x + 40, y + 28), colour, "grey")
    draw.polygon([(x + 15, y + 52), (x + 45, y + 52), (x + 30, y + 20)], colour, "grey")


def street(sign: bool = True) -> Image.Image:
    image = Image.fromarray(noise(640, 480, 5))
    if sign:
        draw = ImageDraw.Draw(image)
        draw.rectangle((500, 160, 505, 400), "#606060")
        draw.ellipse((470, 110, 535, 175), "white", "#c00000", 10)
    return image


def crowd(person: bool = True) -> Image.Image:
    image = Image.fromarray(noise(1600, 1067, 6))
    if person:
        draw = ImageDraw.Draw(image)
        draw.ellipse((300, 600, 350, 665), "#d8a98a")
        draw.rounded_rectangle((280, 660, 370, 800), 20, "#303a66")
    return image


def lamp(colour: str = "#e01010") -> Image.Image:
    """A lamp that is red, or green of the same luma."""
    image = Image.fromarray(noise(640, 480, 7))
    ImageDraw.Draw(image).ellipse((300, 100, 350, 150), colour, "black", 6)
    return image


VARIANTS: dict[str, tuple[Callable[[], Image.Image], Callable[[], Image.Image]]] = {
    "invoice number": (invoice, lambda: invoice(number="2026-0455")),
    "invoice total": (invoice, lambda: invoice(total="9,870.50")),
    "one digit": (invoice, lambda: invoice(number="2026-0147")),
    "last message": (chat, lambda: chat("at ten, bring the papers")),
    "receipt date": (receipt, lambda: receipt("05.11.2026 17:42")),
    "table cell": (table, lambda: table("47.1")),
    "all numbers": (numbers, lambda: numbers(1)),
    "chess piece": (chess, lambda: chess((4, 5))),
    "street sign": (street, lambda: street(sign=False)),
    "person": (crowd, lambda: crowd(person=False)),
    "lamp": (lamp, lambda: lamp("#006f00")),
}


# -- few details --------------------------------------------------------------------------------------------


def dot(x: int = 400, y: int = 400, radius: int = 20) -> Image.Image:
    image, draw = page(800, 800, "black")
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), "#ffffe0")
    return image


def letter(*lines: str) -> Image.Image:
    image, draw = page(1240, 1754)
    for i, line in enumerate(lines or ("Dear Sir or Madam,", "we thank you", "for your order")):
        write(draw, 150, 150 + 50 * i, line, 36)
    return image


def signed() -> Image.Image:
    image = letter()
    ImageDraw.Draw(image).line([(700, 900), (740, 860), (760, 930), (800, 870), (850, 910)], "#8080c0", 3)
    return image


def wallpaper(word: str = "calm") -> Image.Image:
    image, draw = page(1920, 1080, "#203a5c")
    write(draw, 860, 500, word, 60, "white")
    return image


def stars(seed: int = 0, count: int = 25) -> Image.Image:
    image, draw = page(900, 600, "black")
    for x, y, size in np.random.default_rng(seed).integers((0, 0, 2), (890, 590, 5), (25, 3)).tolist()[:count]:
        draw.ellipse((x, y, x + size, y + size), "white")
    return image


SPARSE: dict[str, tuple[Callable[[], Image.Image], Callable[[], Image.Image]]] = {
    "dot": (dot, lambda: dot(430, 390)),
    "letter": (letter, lambda: letter("Dear Mr Example,", "please find enclosed", "the signed form")),
    "word": (wallpaper, lambda: wallpaper("home")),
    "stars": (stars, lambda: stars(1)),
}

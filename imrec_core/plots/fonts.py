"""Text in any script: DejaVu Sans, with installed fonts as a fallback for characters that it lacks.

DejaVu Sans comes with matplotlib. It has Latin, Greek, Cyrillic, Hebrew, Arabic and more, but no Chinese, Japanese or
Korean. Characters that no font has appear as boxes. Not supported: right-to-left text mixed with other text, shaping
beyond Pillow's basic layout, and the national variants of Chinese characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

# Sans-serif fonts with Chinese, Japanese or Korean; those with all three first.
FAMILIES = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK KR", "Source Han Sans",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Arial Unicode MS",
    "Hiragino Sans", "Hiragino Sans GB", "PingFang SC", "PingFang HK", "Heiti TC", "STHeiti", "Apple SD Gothic Neo",
    "AppleGothic", "Yu Gothic", "Meiryo", "MS Gothic", "Microsoft YaHei", "Microsoft JhengHei", "SimHei",
    "Malgun Gothic", "Noto Sans JP", "Noto Sans SC", "Noto Sans TC", "Noto Sans KR", "IPAGothic", "IPAexGothic",
    "TakaoGothic", "VL Gothic", "NanumGothic", "Baekmuk Gulim", "AR PL UMing CN", "Unifont",
)  # fmt: skip


def composed(text: str) -> str:
    """Compose base characters and combining marks (NFC): macOS decomposes them in file names."""
    return unicodedata.normalize("NFC", text)


def length(text: str, size: int) -> float:
    """Measure the width of a line in pixels; equal on all machines, independent of the installed fonts."""
    wide = set() if text.isascii() else {c for c in missing(text) if _is_wide(c)}
    narrow = "".join(c for c in text if c not in wide)
    return (len(text) - len(narrow)) * size + _font(_dejavu(), size).getlength(narrow)


def columns(text: str) -> int:
    """Count the columns of a line; wide characters count twice."""
    return len(text) + sum(map(_is_wide, text))


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def draw(pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, ink: tuple[int, int, int]) -> None:
    """Draw a line of text with its upper left corner at `place`."""
    first = _font(_dejavu(), size)
    if text.isascii():
        pen.text(place, text, ink, font=first)
        return
    x, baseline = float(place[0]), place[1] + first.getmetrics()[0]
    for path, run in _runs(text):
        font = _font(path, size)
        pen.text((x, baseline), run, ink, font=font, anchor="ls")
        x += font.getlength(run)


def missing(text: str) -> set[str]:
    """Collect the characters that DejaVu Sans lacks."""
    return {c for c in text if ord(c) not in _characters(_dejavu())}


def found_for(characters: Collection[str]) -> list[Path]:
    """Find installed fonts that together have as many of these characters as possible."""
    remaining, found = {ord(c) for c in characters}, []
    for path in _installed_fonts() if remaining else ():
        if not remaining.isdisjoint(_characters(path)):
            found.append(path)
            remaining -= _characters(path)
        if not remaining:
            break
    return found


def _runs(text: str) -> Iterator[tuple[Path, str]]:
    """Split a line into runs of one font each; a combining mark stays with its base character."""
    fonts = [_dejavu(), *found_for(missing(text))]
    path, run = fonts[0], ""
    for character in text:
        candidates = [font for font in fonts if ord(character) in _characters(font)]
        font = path if unicodedata.combining(character) or not candidates else candidates[0]
        if run and font != path:
            yield path, run
            run = ""
        path, run = font, run + character
    yield path, run


@cache
def _dejavu() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@cache
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _characters(path: Path) -> frozenset[int]:
    """Read the code points that a font supports."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(path)).get_charmap())


@cache
def _installed_fonts() -> tuple[Path, ...]:
    """List the installed fonts of `FAMILIES`, in that order."""
    from matplotlib import font_manager

    listed = font_manager.fontManager.ttflist
    for path in sorted(set(font_manager.findSystemFonts()) - {entry.fname for entry in listed}):
        with suppress(OSError, RuntimeError):  # a font newer than matplotlib's list; FreeType cannot read some fonts
            font_manager.fontManager.addfont(path)
    places = {family: place for place, family in enumerate(FAMILIES)}
    known = {(places[entry.name], entry.fname) for entry in listed if entry.name in places and entry.weight == 400}
    return tuple(dict.fromkeys(Path(path) for _, path in sorted(known)))


def families(paths: Collection[Path]) -> list[str]:
    """Return matplotlib's family names of installed fonts."""
    from matplotlib import font_manager

    names = {entry.fname: entry.name for entry in reversed(font_manager.fontManager.ttflist)}
    return [names[str(path)] for path in paths]

"""Letters for names in any script: of DejaVu Sans, and of a font of this machine for what that lacks.

DejaVu Sans comes with matplotlib; it has Latin, Greek, Cyrillic, Hebrew, Arabic and more, but no Chinese, Japanese or
Korean. What no font has is a box. Not handled: words written from right to left among others, signs that change with
their neighbours beyond what Pillow's own layout does, and which of its national forms a Chinese character takes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

# Fonts without serifs that have Chinese, Japanese or Korean; those that have all three first.
FAMILIES = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK KR", "Source Han Sans",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Arial Unicode MS",
    "Hiragino Sans", "Hiragino Sans GB", "PingFang SC", "PingFang HK", "Heiti TC", "STHeiti", "Apple SD Gothic Neo",
    "AppleGothic", "Yu Gothic", "Meiryo", "MS Gothic", "Microsoft YaHei", "Microsoft JhengHei", "SimHei",
    "Malgun Gothic", "Noto Sans JP", "Noto Sans SC", "Noto Sans TC", "Noto Sans KR", "IPAGothic", "IPAexGothic",
    "TakaoGothic", "VL Gothic", "NanumGothic", "Baekmuk Gulim", "AR PL UMing CN", "Unifont",
)  # fmt: skip


def composed(text: str) -> str:
    """Signs and the marks upon them as one character where there is one: macOS takes them apart in names of files."""
    return unicodedata.normalize("NFC", text)


def length(text: str, size: int) -> float:
    """Width of a line in pixels; the same on every machine, whatever fonts it has."""
    wide = set() if text.isascii() else {c for c in missing(text) if _is_wide(c)}
    narrow = "".join(c for c in text if c not in wide)
    return (len(text) - len(narrow)) * size + _font(_dejavu(), size).getlength(narrow)


def columns(text: str) -> int:
    """Width of a line in letters, of which a wide one counts twice."""
    return len(text) + sum(map(_is_wide, text))


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def draw(pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, ink: tuple[int, int, int]) -> None:
    """Write a line whose upper left corner is at a place."""
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
    """The characters that DejaVu Sans lacks."""
    return {c for c in text if ord(c) not in _characters(_dejavu())}


def found_for(characters: Collection[str]) -> list[Path]:
    """Fonts of this machine that have some of these characters, each some that those before it lack."""
    wanted, found = {ord(c) for c in characters}, []
    for path in _known() if wanted else ():
        if not wanted.isdisjoint(_characters(path)):
            found.append(path)
            wanted -= _characters(path)
        if not wanted:
            break
    return found


def _runs(text: str) -> Iterator[tuple[Path, str]]:
    """Pieces of a line, each with the font that has it; a mark stays with the sign that it stands upon."""
    fonts = [_dejavu(), *found_for(missing(text))]
    path, run = fonts[0], ""
    for character in text:
        has_it = [font for font in fonts if ord(character) in _characters(font)]
        of_character = path if unicodedata.combining(character) or not has_it else has_it[0]
        if run and of_character != path:
            yield path, run
            run = ""
        path, run = of_character, run + character
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
    """The characters that a font has."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(path)).get_charmap())


@cache
def _known() -> tuple[Path, ...]:
    """The fonts of `FAMILIES` that are on this machine, in their order."""
    from matplotlib import font_manager

    listed = font_manager.fontManager.ttflist
    for path in sorted(set(font_manager.findSystemFonts()) - {entry.fname for entry in listed}):
        with suppress(OSError, RuntimeError):  # installed since matplotlib made its list; some FreeType cannot read
            font_manager.fontManager.addfont(path)
    places = {family: place for place, family in enumerate(FAMILIES)}
    known = {(places[entry.name], entry.fname) for entry in listed if entry.name in places and entry.weight == 400}
    return tuple(dict.fromkeys(Path(path) for _, path in sorted(known)))


def families(paths: Collection[Path]) -> list[str]:
    """What matplotlib calls fonts of this machine."""
    from matplotlib import font_manager

    names = {entry.fname: entry.name for entry in reversed(font_manager.fontManager.ttflist)}
    return [names[str(path)] for path in paths]

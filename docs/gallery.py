"""The images of the docs, written by the commands on their pages: `make gallery`.

Commands and images cannot drift apart: the commands are read from the sections `EXAMPLES` and `PLOT`, and run in a
folder with the result of `make demo`. A block of commands that is followed by an image writes this image.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw

from imrec_core.plots.style import PAPER, SCALE
from imrec_core.plots.text import write

ROOT = Path(__file__).parent.parent
EXAMPLES = ("docs/getting-started.md", "Examples")
PLOT = ("docs/guides/plots.md", "Example")
PROGRAM = ".venv/bin/imrec"
_WIDTH = 840  # pixels, about as wide as a page of the docs
_BLOCK = re.compile(r"```sh\n(.*?)```(?:\n\n!\[[^\]]*\]\(([^)]*)\))?", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Commands of a section as lists of words, and the image of the repository that follows them, if there is one."""

    commands: tuple[list[str], ...]
    picture: str

    @property
    def written(self) -> list[str]:
        """The image that each command writes; of --explain that of the best hit."""
        named = [_after("--sheet", words) or _after("-o", words) for words in self.commands]
        return [name or f"{_after('--explain', words)}/01.png" for name, words in zip(named, self.commands)]


def blocks(page: str, heading: str) -> list[Block]:
    """Read the blocks of a section of a page, in their order."""
    text = (ROOT / page).read_text("utf-8")
    section = re.findall(rf"^## {heading}\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)[0]
    folder = Path(page).parent
    return [
        Block(tuple(_commands(lines)), os.path.normpath(folder / image) if image else "")
        for lines, image in _BLOCK.findall(section)
    ]


def _commands(lines: str) -> Iterator[list[str]]:
    for line in lines.replace("\\\n", "").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def _after(option: str, words: list[str]) -> str:
    return words[words.index(option) + 1] if option in words else ""


def main() -> None:
    """Run every command of the sections, and write the images that their pages show."""
    with TemporaryDirectory() as temporary:
        folder, settings = Path(temporary), dict(os.environ)
        settings.pop("IMREC_LAKE", None)
        run([PROGRAM, "demo"], folder, settings)
        _save(Image.open(folder / "data_lake/demo/contact_sheet.png"), "docs/contact_sheet.png")
        for block in (*blocks(*EXAMPLES), *blocks(*PLOT)):
            printed = [run(words, folder, settings) for words in block.commands]
            if block.picture:
                sheets = (Image.open(folder / name) for name in block.written)
                _save(_stack([_with_output(*pair) for pair in zip(sheets, printed)]), block.picture)
        run([PROGRAM, "map", "--picture", "map.png", "--thumbnails"], folder, settings)
        _save(Image.open(folder / "map.png"), "docs/map.png")


def run(words: list[str], folder: Path, settings: dict[str, str]) -> str:
    """Run a command and return its output; put an `export` into the settings."""
    if words[0] == "export":
        name, _, value = words[1].partition("=")
        settings[name] = value
        return ""
    assert words[0] == PROGRAM, f"not a command of imrec: {words}"
    program = Path(sys.executable).with_name("imrec")
    return subprocess.run(
        [program, *words[1:]], cwd=folder, env=settings, check=True, capture_output=True, text=True
    ).stdout


def _with_output(sheet: Image.Image, printed: str) -> Image.Image:
    """Return the sheet; beside a query without hits, write the output of the command."""
    lines = printed.splitlines()
    if len(lines) == 1:
        width = 360 * SCALE
        extended = Image.new("RGB", (sheet.width + width, sheet.height), PAPER)
        extended.paste(sheet)
        place = sheet.width + 20 * SCALE, sheet.height // 2
        write(ImageDraw.Draw(extended), place, lines[0], width - 40 * SCALE, size=20 * SCALE)
        return extended
    return sheet


def _stack(sheets: list[Image.Image]) -> Image.Image:
    size = max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)
    joined, top = Image.new("RGB", size, PAPER), 0
    for sheet in sheets:
        joined.paste(sheet, (0, top))
        top += sheet.height
    return joined


def _save(image: Image.Image, name: str) -> None:
    """Save an image at a pixel for each on the page, at most 840 wide, with 128 colours: a tenth of the bytes."""
    path = ROOT / name
    path.parent.mkdir(exist_ok=True)
    width = min(image.width // SCALE, _WIDTH)
    size = width, round(image.height * width / image.width)
    image.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(128, kmeans=3, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    print(f"{name}  {path.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main()

"""The pictures of README.md, made by its own commands: `make gallery`.

Command and picture cannot drift apart: what is run is read from the sections "What you can ask" and "Plots", in a
folder that holds what `make demo` leaves behind. A block of commands that a picture follows is an example, of which the
picture is made.
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

from imrec_core.plots.contact_sheet import PAPER, write

ROOT = Path(__file__).parent.parent
SECTIONS = ("What you can ask", "Plots")
PROGRAM = ".venv/bin/imrec"
_BLOCK = re.compile(r"```sh\n(.*?)```(?:\n\n!\[[^\]]*\]\(([^)]*)\))?", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Commands of the section as lists of words, and the picture that follows them, if there is one."""

    commands: tuple[list[str], ...]
    picture: str

    @property
    def made(self) -> list[str]:
        """The picture that each command writes; of --explain that of the best hit."""
        named = [_after("--sheet", words) or _after("-o", words) for words in self.commands]
        return [name or f"{_after('--explain', words)}/01.png" for name, words in zip(named, self.commands)]


def blocks(readme: str, heading: str = SECTIONS[0]) -> list[Block]:
    """What a section holds, from the top down."""
    section = re.findall(rf"^## {heading}\n(.*?)^## ", readme, re.DOTALL | re.MULTILINE)[0]
    return [Block(tuple(_commands(lines)), picture) for lines, picture in _BLOCK.findall(section)]


def _commands(lines: str) -> Iterator[list[str]]:
    for line in lines.replace("\\\n", "").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def _after(option: str, words: list[str]) -> str:
    return words[words.index(option) + 1] if option in words else ""


def main() -> None:
    """Run every command of the sections, and write the pictures that README.md shows."""
    with TemporaryDirectory() as name:
        folder, settings = Path(name), dict(os.environ)
        settings.pop("IMREC_LAKE", None)
        run([PROGRAM, "demo"], folder, settings)
        _save(Image.open(folder / "data_lake/demo/contact_sheet.png"), "docs/contact_sheet.png")
        readme = (ROOT / "README.md").read_text("utf-8")
        for block in (block for heading in SECTIONS for block in blocks(readme, heading)):
            printed = [run(words, folder, settings) for words in block.commands]
            if block.picture:
                sheets = (Image.open(folder / made) for made in block.made)
                _save(_below([_with_answer(*pair) for pair in zip(sheets, printed)]), block.picture)
        run([PROGRAM, "map", "--picture", "map.png", "--thumbnails"], folder, settings)
        _save(Image.open(folder / "map.png"), "docs/map.png")


def run(words: list[str], folder: Path, settings: dict[str, str]) -> str:
    """What a command prints; an `export` is kept in the settings."""
    if words[0] == "export":
        name, _, value = words[1].partition("=")
        settings[name] = value
        return ""
    assert words[0] == PROGRAM, f"not a command of imrec: {words}"
    program = Path(sys.executable).with_name("imrec")
    return subprocess.run(
        [program, *words[1:]], cwd=folder, env=settings, check=True, capture_output=True, text=True
    ).stdout


def _with_answer(sheet: Image.Image, printed: str) -> Image.Image:
    """The sheet; beside a query without hits stands what was printed instead of them."""
    lines = printed.splitlines()
    if len(lines) == 1:
        answered = Image.new("RGB", (640, sheet.height), PAPER)
        answered.paste(sheet)
        write(ImageDraw.Draw(answered), (240, sheet.height // 2 - 16), lines[0], 400, size=24)
        return answered
    return sheet


def _below(sheets: list[Image.Image]) -> Image.Image:
    size = max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)
    joined, top = Image.new("RGB", size, PAPER), 0
    for sheet in sheets:
        joined.paste(sheet, (0, top))
        top += sheet.height
    return joined


def _save(picture: Image.Image, name: str) -> None:
    """In 256 colours of its own, which makes a third of the bytes."""
    path = ROOT / name
    path.parent.mkdir(exist_ok=True)
    picture.convert("RGB").quantize(256, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{name}  {path.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main()

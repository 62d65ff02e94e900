"""Names in any script on pictures and plots: with whatever fonts this machine has, and with none."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw

from imrec_core.plots import canvas, fonts
from imrec_core.plots.contact_sheet import Cell, Section, draw, draw_svg

OTHER = Path(matplotlib.get_data_path(), "fonts", "ttf", "STIXGeneral.ttf")
CJK = "日本語한국어中文圖"


@pytest.fixture
def lacking() -> str:
    """Two letters that DejaVu Sans lacks and another font has, which comes with matplotlib too."""
    found = sorted(fonts._characters(OTHER) - fonts._characters(fonts._dejavu()))
    return "".join([chr(c) for c in found if chr(c).isalpha()][:2])


@pytest.fixture(params=["another font", "no other font"])
def known(request, monkeypatch) -> list[Path]:
    """The fonts of a machine."""
    there = [OTHER] if request.param == "another font" else []
    monkeypatch.setattr(fonts, "_installed_fonts", lambda: tuple(there))
    return there


def line(text: str) -> np.ndarray:
    picture = Image.new("L", (300, 30), 255)
    fonts.draw(ImageDraw.Draw(picture), (5, 3), text, 16, 0)
    return np.asarray(picture)


def plotted(title: str, format: str = "png") -> bytes:
    figure = canvas.new_figure(3, 2)
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_yticks([0, 1], [title, "b"])
    return canvas.render(figure, format)


def pixels(png: bytes) -> list[int]:
    return list(Image.open(BytesIO(png)).convert("L").tobytes())


def test_letter_comes_from_the_font_that_has_it_and_is_a_box_where_none_has(known, lacking):
    a, b = lacking
    assert fonts.missing(f"a{a}é") == {a}
    assert fonts.found_for(a) == known
    is_alike = (line(f"x {a} é") == line(f"x {b} é")).all()
    assert is_alike == (not known)  # as two boxes are
    assert (line("x é")[:, :30] == line(f"x é {a}")[:, :30]).all()


def test_plot_has_letters_of_another_font_where_one_has_them(known, lacking):
    a, b = lacking
    assert (pixels(plotted(a)) == pixels(plotted(b))) == (not known)
    assert plotted(a) == plotted(a)


def test_plot_as_svg_is_the_same_whatever_fonts_there_are(lacking, monkeypatch):
    drawn = []
    for there in ((), (OTHER,)):
        monkeypatch.setattr(fonts, "_installed_fonts", lambda there=there: there)
        drawn.append(plotted(lacking, "svg"))
    assert drawn[0] == drawn[1]
    assert lacking.encode() in drawn[0]


def test_figure_is_left_as_it_was(lacking, monkeypatch):
    monkeypatch.setattr(fonts, "_installed_fonts", lambda: (OTHER,))
    figure = canvas.new_figure(3, 2)
    figure.suptitle(lacking)
    before, settings = figure.texts[0].get_fontfamily(), matplotlib.rcParams["font.family"]
    canvas.render(figure)
    assert (figure.texts[0].get_fontfamily(), matplotlib.rcParams["font.family"]) == (before, settings)


def test_line_of_latin_is_drawn_as_pillow_draws_it():
    for text in ("plain", "Ümläut × …", "שלום.jpg"):
        picture = Image.new("L", (300, 30), 255)
        ImageDraw.Draw(picture).text((5, 3), text, 0, font=fonts._font(fonts._dejavu(), 16))
        assert (line(text) == np.asarray(picture)).all()


def test_widths_do_not_depend_on_what_fonts_there_are(known):
    assert fonts.length("東京", 14) == 28
    assert fonts.length("東京a", 14) == pytest.approx(28 + fonts.length("a", 14))
    assert fonts.columns("東京a") == 5
    assert canvas.plain("東京" * 20, 20) == "東京東京東…東京東京"
    assert canvas.plain("a" * 30 + "b" * 31) == "a" * 30 + "…" + "b" * 29
    assert "東京東京" in draw_svg([Section("", [Cell(Image.new("RGB", (9, 9)), ("東京" * 20,))])])


def test_marks_stand_on_their_sign_and_letters_taken_apart_are_put_together():
    assert fonts.composed("カ\u3099ラス e\u0301 \u1112\u1161\u11ab") == "ガラス é 한"
    runs = list(fonts._runs("x\u0301\u0323y"))
    assert [run for _, run in runs] == ["x\u0301\u0323y"]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_chinese_japanese_and_korean_are_no_boxes():
    if not fonts.found_for(CJK):
        pytest.skip("no font of this machine has Chinese, Japanese or Korean")
    if any(not any(ord(c) in fonts._characters(path) for path in fonts._installed_fonts()) for c in CJK):
        pytest.skip("the fonts of this machine have some of Chinese, Japanese and Korean alone")
    boxes = {line(c).tobytes() for c in CJK}
    assert len(boxes) == len(set(CJK))
    assert len({plotted(c) for c in "日한中"}) == 3
    sheets = {draw([Section("", [Cell(Image.new("RGB", (9, 9)), (c,))])]).tobytes() for c in "日한中"}
    assert len(sheets) == 3

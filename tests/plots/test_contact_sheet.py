"""A sheet has a cell for the query and for each hit, and survives whatever the files have become."""

from __future__ import annotations

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from imrec_core.plots.contact_sheet import GONE, Cell, draw, draw_svg
from tests.support.pictures import BROKEN, PICTURES


def size_of(cells: int, *, rows: int = 1) -> tuple[int, int]:
    """Cells of 200 pixels, 40 for words below, gaps of 8, a heading of 26; six in a line."""
    return min(cells, 6) * 208 + 8, rows * (26 + -(-cells // 6) * 248) + 8


@pytest.mark.parametrize("cells", [1, 2, 6, 7, 13])
def test_sheet_grows_with_its_cells(cells):
    sheet = draw([("heading", [Cell(Image.new("RGB", (30, 20)), ("1", "2"))] * cells)])
    assert sheet.size == size_of(cells) and sheet.mode == "RGB"


def test_rows_stand_below_each_other():
    cells = [Cell(Image.new("RGB", (30, 20)), ())] * 2
    assert draw([("one", cells), ("two", cells), ("three", cells)]).size == size_of(2, rows=3)


def test_sheet_of_nothing_can_be_drawn():
    assert min(draw([]).size) > 0
    assert min(draw([("nothing found", [])]).size) > 0


@pytest.mark.parametrize("size", [(1000, 10), (10, 1000), (1, 1), (200, 200)], ids=str)
def test_picture_stays_inside_its_cell_and_keeps_its_colour(size):
    sheet = np.asarray(draw([("", [Cell(Image.new("RGB", size, (255, 0, 0)), ())])]))
    red = (sheet == [255, 0, 0]).all(axis=2)
    down, right = np.nonzero(red)
    assert red.any()
    assert down.min() >= 34 and down.max() < 234 and right.min() >= 8 and right.max() < 208
    height, width = np.ptp(down) + 1, np.ptp(right) + 1
    scale = min(200 / max(size), 1)
    assert (width, height) == tuple(max(round(side * scale), 1) for side in size)


def test_query_has_a_frame_and_hits_have_none():
    picture = Image.new("RGB", (200, 200), (255, 255, 255))
    frame = [(np.asarray(draw([("", [Cell(picture, (), framed=f)])])) != 255).any() for f in (True, False)]
    assert frame == [True, False]


def test_file_that_is_gone_or_broken_leaves_an_empty_cell(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(BROKEN["truncated.jpg"]())
    (tmp_path / "good.jpg").write_bytes(PICTURES["gradient.jpg"]())
    names = ("good.jpg", "broken.jpg", "gone.jpg")
    sheet = draw([("", [Cell(tmp_path / name, (name,)) for name in names])])
    assert sheet.size == size_of(3)
    colours = [len(sheet.crop((8 + 208 * i, 40, 208 * (i + 1), 230)).getcolors(100_000)) for i in range(3)]
    assert colours[0] > 1000 and max(colours[1:]) < 300  # black letters on white


def test_long_names_are_cut_in_the_middle_to_the_width_of_a_cell():
    white = Image.new("RGB", (200, 200), (255, 255, 255))
    sheet = np.asarray(draw([("", [Cell(white, ("", "a" * 300 + ".jpg")), Cell(white, ())])]))
    assert (sheet[:, 212:] == 255).all() and (sheet[240:, :212] != 255).any()


def test_long_heading_makes_the_sheet_wider_up_to_its_columns():
    cells = [Cell(Image.new("RGB", (9, 9)), ())]
    assert size_of(1) < draw([("a heading that is longer than a cell", cells)]).size < size_of(6)
    assert draw([("a heading " * 100, cells)]).size == size_of(6)


@pytest.mark.parametrize("letter", ["ü", "ß", "…", "×", "ж"])
def test_letters_are_not_boxes(letter):
    drawn, box = (draw([(text, [])]).tobytes() for text in (letter, "\U000f0000"))
    assert drawn != box


@pytest.mark.parametrize("name", ["日本語の写真.jpg", "مرحبا.png", "😀.jpg", "a\nb.jpg", "a\tb"])
def test_any_name_can_be_written(name):
    assert draw([(name, [Cell(Image.new("RGB", (9, 9)), (name,))])]).size == size_of(1)


def test_sheet_of_a_search_holds_the_query_and_every_hit(recommender, toy_lake, tmp_path):
    photo = toy_lake.root.parent / "photos" / "photo_004.jpg"
    hits = recommender.search(photo, k=8)
    hits.contact_sheet(tmp_path / "sheet.png", title="most like it")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == size_of(9)
    cells = hits.cells()
    assert cells[0].framed and cells[0].image == photo
    assert [cell.lines for cell in cells[1:]] == [
        (f"{hit.score:.3f} {hit.likeness}", hit.path.rpartition("/")[2]) for hit in hits
    ]


# -- as SVG -------------------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> tuple[tuple[int, int], list[str], list[Image.Image]]:
    """Size, lines of text and pictures; all of them are inside of the file."""
    root = ElementTree.fromstring(svg)
    pictures = [image.attrib["href"].partition(";base64,") for image in root.iter(f"{SVG}image")]
    assert {kind for kind, _, _ in pictures} <= {"data:image/jpeg"}
    opened = [Image.open(io.BytesIO(base64.b64decode(data))) for *_, data in pictures]
    size = int(root.attrib["width"]), int(root.attrib["height"])
    return size, [text.text or "" for text in root.iter(f"{SVG}text")], opened


@pytest.mark.parametrize("cells", [1, 6, 7])
def test_svg_is_as_large_as_the_pixels_and_holds_the_same(cells):
    rows = [("heading", [Cell(Image.new("RGB", (300, 150), (200, 0, 0)), ("1.000", "a.jpg"), framed=True)] * cells)]
    size, texts, pictures = parsed(draw_svg(rows))
    assert size == draw(rows).size
    assert texts == ["heading", *["1.000", "a.jpg"] * cells]
    assert [picture.size for picture in pictures] == [(200, 100)] * cells
    assert draw_svg(rows).count("<rect") == 1 + cells and draw_svg(rows) == draw_svg(rows)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", 'a"&b.jpg', "\x00\x1b]0;a\x07", "\udcff.jpg", "a\u202eb"]
)
def test_names_in_an_svg_are_text_whatever_they_hold(name):
    svg = draw_svg([(name, [Cell(Image.new("RGB", (9, 9)), ("", name))])])
    _, texts, pictures = parsed(svg)
    assert len(pictures) == 1 and {element.tag for element in ElementTree.fromstring(svg).iter()} == {
        f"{SVG}{tag}" for tag in ("svg", "rect", "text", "image", "title")
    }
    assert all(letter.isprintable() for text in texts for letter in text)
    if name.isprintable():
        assert texts == [name, "", name]


def test_file_that_is_gone_leaves_a_frame_in_an_svg(tmp_path):
    _, texts, pictures = parsed(draw_svg([("", [Cell(tmp_path / "gone.jpg", ("0.5", "gone.jpg"))])]))
    assert not pictures and texts == ["", GONE, "0.5", "gone.jpg"]


def test_ending_of_the_name_says_the_format(imrec, toy_lake, photos, tmp_path):
    photo, lake = photos / "photo_004.jpg", ("--by", "phash", "--lake", toy_lake.root)
    for name in ("a.svg", "a.png", "a.JPG"):
        assert imrec("search", photo, "--with-self", "--sheet", name, *lake).status == 0
    _, texts, pictures = parsed((tmp_path / "a.svg").read_text("utf-8"))
    assert len(pictures) == 6 and "photo_004.jpg" in texts
    for name, format in (("a.png", "PNG"), ("a.JPG", "JPEG")):
        with Image.open(tmp_path / name) as picture:
            assert picture.format == format
    for name in ("a.xyz", "no/such/a.svg"):
        result = imrec("search", photo, "--sheet", name, *lake)
        assert result.status == 2 and "cannot write" in result.err

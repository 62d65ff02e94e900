"""A sheet shows the query and each hit in justified lines, and survives whatever the files have become."""

from __future__ import annotations

import base64
import io
import itertools
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from imrec_core.plots import style
from imrec_core.plots.contact_sheet import Cell, Section, draw, draw_svg
from imrec_core.plots.sheet_layout import GAP, HEIGHT, MARGIN, NARROWEST, TALLEST, WIDTH, Layout, label_end
from imrec_core.plots.style import SCALE, rgb
from imrec_core.plots.text import shorten
from imrec_core.plots.tiles import DAMAGED, MISSING
from tests.support.pictures import BROKEN, PICTURES


def photo(size: tuple[int, int] = (600, 400), colour: str = "#ff0000") -> Image.Image:
    return Image.new("RGB", size, colour)


def laid(cells: list[Cell], title: str = "", about: str = "") -> Layout:
    return Layout.of([Section(title, cells, about)], scale=SCALE)


def count(sheet: Image.Image, colour: str) -> int:
    return int((np.asarray(sheet) == rgb(colour)).all(axis=2).sum())


SHAPES = [(600, 400), (400, 600), (500, 500), (640, 360), (300, 400)]


# -- layout -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [1, 2, 6, 7, 13, 40])
def test_lines_fill_the_width_and_have_one_height_each(cells):
    sheet = laid([Cell(photo(SHAPES[i % 5]), ("1", "2")) for i in range(cells)])
    assert len(sheet.tiles) == cells and sheet.width <= WIDTH
    lines: dict[int, list] = {}
    for tile in sheet.tiles:
        lines.setdefault(tile.y, []).append(tile)
    for line in lines.values():
        assert len({tile.height for tile in line}) == 1 and line[0].height <= TALLEST
        for left, right in itertools.pairwise(line):
            assert right.x - left.x - left.width == GAP
    for line in list(lines.values())[:-1]:
        assert abs(line[-1].x + line[-1].width - (WIDTH - MARGIN)) <= 1


def test_tiles_have_the_shape_of_their_images():
    for tile in laid([Cell(photo(size), ()) for size in SHAPES * 3]).tiles:
        shape = tile.image.width / tile.image.height
        assert tile.width == pytest.approx(max(shape * tile.height, NARROWEST), abs=1.5)


@pytest.mark.parametrize("size", [(1000, 10), (10, 1000), (1, 1), (200, 200), (3000, 2000)], ids=str)
def test_image_stays_inside_its_tile_and_keeps_its_colour(size):
    section = Section("", [Cell(photo(size), ())])
    (tile,) = Layout.of([section], scale=SCALE).tiles
    down, right = np.nonzero((np.asarray(draw([section])) == [255, 0, 0]).all(axis=2))
    assert down.min() >= SCALE * tile.y and down.max() < SCALE * (tile.y + tile.height)
    assert right.min() >= SCALE * tile.x and right.max() < SCALE * (tile.x + tile.width)
    if max(size) < 300:  # small images are not enlarged beyond a pixel on the page
        assert (np.ptp(right) + 1, np.ptp(down) + 1) == tuple(SCALE * min(side, HEIGHT) for side in size)


def test_sheet_is_drawn_at_two_pixels_per_pixel_and_many_images_at_one():
    few, many = ([Section("", [Cell(photo(), ())] * n)] for n in (2, 151))
    assert draw(few).size == tuple(SCALE * side for side in parsed(draw_svg(few))[0])
    assert draw(many).size == parsed(draw_svg(many))[0]


def test_sections_stand_below_each_other_and_nothing_can_be_drawn():
    cells = [Cell(photo(), ())] * 2
    one, three = (draw([Section(name, cells) for name in names]).height for names in ("a", "abc"))
    assert three > 2.5 * one
    assert min(draw([]).size) > 0
    assert min(draw([Section("nothing found", [])]).size) > 0


def test_queries_are_first_and_a_rule_parts_them_from_the_hits():
    cells = [Cell(photo(), ("query",), "like"), Cell(photo(), ("unlike",), "unlike"), Cell(photo(), ("1",), rank=1)]
    sheet = laid(cells)
    ((x, top, bottom),) = sheet.rules
    like, unlike, hit = sheet.tiles
    assert like.x < unlike.x < unlike.x + unlike.width < x < hit.x
    assert top < hit.y and bottom > hit.y + hit.height
    assert not laid([Cell(photo(), (), rank=n) for n in (1, 2)]).rules


# -- frames, ranks and captions -----------------------------------------------------------------------------


@pytest.mark.parametrize(("frame", "colour", "sign"), [("like", style.LIKE, "+"), ("unlike", style.UNLIKE, "−")])
def test_likes_are_framed_green_and_unlikes_red_with_a_sign(frame, colour, sign):
    section = Section("", [Cell(photo(), ("query",), frame)])
    (tile,) = Layout.of([section], scale=SCALE).tiles
    assert tile.badge == (sign, colour)
    pixels = np.asarray(draw([section]))
    left, top = SCALE * tile.x, SCALE * (tile.y + tile.height // 2)
    assert (pixels[top, left - 2 * SCALE - 1 - SCALE] == rgb(colour)).all()
    others = {style.LIKE, style.UNLIKE} - {colour}
    assert count(draw([section]), colour) > 2000 and not any(count(draw([section]), other) for other in others)
    assert sign in parsed(draw_svg([section]))[1]


def test_hits_have_ranks_and_no_frame():
    section = Section("", [Cell(photo(), ("0.900 close", "a.jpg"), rank=12)])
    sheet = draw([section])
    assert not count(sheet, style.LIKE) and not count(sheet, style.UNLIKE)
    assert count(sheet, style.INK) > 500  # the badge
    assert parsed(draw_svg([section]))[1] == ["12", "0.900 close", "a.jpg"]


HOSTILE = ["日本語の写真.jpg" * 9, "مرحبا.png", "😀.jpg", "a\nb.jpg", "a" * 400 + ".jpg", "W" * 60]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: name[:6])
def test_no_text_leaves_the_sheet_or_its_tile(name):
    cells = [Cell(photo((300, 500)), (name, name), rank=1234), Cell(photo((800, 300)), (name, name), "like")]
    sheet = laid(cells, title=name, about=name)
    for label in sheet.labels:
        assert label.x >= MARGIN and label_end(label) <= sheet.width - MARGIN + 1
        assert label.y >= 0 and label.y + 1.3 * label.size <= sheet.height
    for tile, labels in zip(sheet.tiles, (sheet.labels[2:4], sheet.labels[4:6]), strict=True):
        assert all(label.x == tile.x and label_end(label) <= tile.x + tile.width + 1 for label in labels)
    pixels = np.asarray(draw([Section(name, cells, name)]))
    edge = SCALE * MARGIN // 2
    assert (pixels[:, :edge] == 255).all() and (pixels[:, -edge:] == 255).all() and (pixels[-edge:] == 255).all()


def test_long_names_are_shortened_in_the_middle():
    labels = laid([Cell(photo(), ("1", f"{'a' * 90}z.jpg"))]).labels
    assert labels[1].text.startswith("aaa") and labels[1].text.endswith("az.jpg") and "…" in labels[1].text
    assert shorten("short", 13, 100) == "short"


def test_long_title_makes_the_sheet_wider_up_to_its_greatest_width():
    cells = [Cell(photo((400, 400)), ())]
    narrow, wide, widest = (laid(cells, title=title).width for title in ("", "a title longer than a tile", "a t " * 99))
    assert narrow < wide < widest <= WIDTH


@pytest.mark.parametrize("letter", ["ü", "ß", "…", "×", "ж", "−", "✓", "·"])
def test_letters_are_not_boxes(letter):
    drawn, box = (draw([Section(text, [])]).tobytes() for text in (letter, "\U000f0000"))
    assert drawn != box


# -- files --------------------------------------------------------------------------------------------------


def test_missing_and_damaged_files_are_tiles_that_say_so(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(BROKEN["truncated.jpg"]())
    (tmp_path / "good.jpg").write_bytes(PICTURES["gradient.jpg"]())
    names = ("good.jpg", "broken.jpg", "gone.jpg")
    section = Section("", [Cell(tmp_path / name, (name,), rank=1) for name in names])
    texts = parsed(draw_svg([section]))[1]
    assert [text for text in texts if text in (DAMAGED, MISSING)] == [DAMAGED, MISSING]
    sheet = np.asarray(draw([section]))
    for tile in Layout.of([section], scale=SCALE).tiles[1:]:
        corner = sheet[SCALE * (tile.y + tile.height) - 4, SCALE * (tile.x + tile.width) - 4]
        assert (corner == rgb(style.SUNKEN)).all()


def test_rotated_photo_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90° clockwise
    photo((600, 400)).save(tmp_path / "turned.jpg", exif=exif)
    (tile,) = laid([Cell(tmp_path / "turned.jpg", ())]).tiles
    assert tile.image.width < tile.image.height


def test_sheet_of_a_search_holds_the_query_and_every_hit(recommender, toy_lake, tmp_path):
    query = toy_lake.root.parent / "photos" / "photo_004.jpg"
    hits = recommender.search(query, k=8)
    cells = hits.cells()
    assert cells[0].frame == "like" and cells[0].image == query and cells[0].lines == ("query", "photo_004.jpg")
    assert [(cell.rank, *cell.lines) for cell in cells[1:]] == [
        (hit.rank, f"{hit.score:.3f} {hit.likeness}", hit.path.rpartition("/")[2]) for hit in hits
    ]
    hits.contact_sheet(tmp_path / "sheet.svg")
    texts = parsed((tmp_path / "sheet.svg").read_text("utf-8"))[1]
    about = f"by {hits.features[0]}  ·  8 hits  ·  generation {hits.generation}"
    assert {"Most similar to photo_004.jpg", about} <= set(texts)
    hits.contact_sheet(tmp_path / "sheet.png", title="most like it")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width <= SCALE * WIDTH and count(sheet.convert("RGB"), style.LIKE) > 2000


def test_unlikes_and_words_are_named_in_the_title(imrec, toy_lake, photos, tmp_path):
    one, other = photos / "photo_004.jpg", photos / "photo_006.jpg"
    asked = ("--by", "phash", "--where", "width > 1", "-o", "a.svg", "--lake", toy_lake.root)
    assert imrec("search", f"0.5:{one}", "-", other, *asked).status == 0
    _, texts, _ = parsed((tmp_path / "a.svg").read_text("utf-8"))
    assert texts[-1] != "" and "Most similar to 0.5 × photo_004.jpg, less like photo_006.jpg, where width > 1" in texts
    assert {"query", "unlike", "+", "−"} <= set(texts)


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
def test_svg_is_as_large_as_the_layout_and_holds_the_same(cells):
    sections = [Section("heading", [Cell(photo((300, 150)), ("1.000", "a.jpg"), "like")] * cells)]
    size, texts, pictures = parsed(draw_svg(sections))
    assert size == tuple(side // SCALE for side in draw(sections).size)
    assert texts == [*["+"] * cells, "heading", *["1.000", "a.jpg"] * cells]
    assert [picture.size for picture in pictures] == [(300, 150)] * cells
    assert draw_svg(sections) == draw_svg(sections)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", 'a"&b.jpg', "\x00\x1b]0;a\x07", "\udcff.jpg", "a\u202eb"]
)
def test_names_in_an_svg_are_text_whatever_they_hold(name):
    svg = draw_svg([Section(name, [Cell(photo((600, 300)), ("", name))])])
    _, texts, pictures = parsed(svg)
    assert len(pictures) == 1 and {element.tag for element in ElementTree.fromstring(svg).iter()} == {
        f"{SVG}{tag}" for tag in ("svg", "rect", "text", "image", "title")
    }
    assert all(letter.isprintable() for text in texts for letter in text)
    if name.isprintable():
        assert texts == [name, name]


def test_ending_of_the_name_says_the_format(imrec, toy_lake, photos, tmp_path):
    query, lake = photos / "photo_004.jpg", ("--by", "phash", "--lake", toy_lake.root)
    for name in ("a.svg", "a.png", "a.JPG"):
        assert imrec("search", query, "--with-self", "--sheet", name, *lake).status == 0
    _, texts, pictures = parsed((tmp_path / "a.svg").read_text("utf-8"))
    assert len(pictures) == 6 and "photo_004.jpg" in texts
    for name, format in (("a.png", "PNG"), ("a.JPG", "JPEG")):
        with Image.open(tmp_path / name) as picture:
            assert picture.format == format
    for name in ("a.xyz", "no/such/a.svg"):
        result = imrec("search", query, "--sheet", name, *lake)
        assert result.status == 2 and "cannot write" in result.err

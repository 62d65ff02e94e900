"""Why a hit is one: what it shares with the query, and the picture of that."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from imrec_core import Hit, Hits
from imrec_core.errors import ImageError, TruncatedImage, UnreadableImage
from imrec_core.images.match_input import MatchInput
from imrec_core.images.matching import explain, explain_best, shared_colours
from imrec_core.plots import explanation_sheet
from imrec_core.plots.explanation_sheet import Bar
from imrec_core.plots.style import SCALE
from imrec_core.search.hits import FeatureScore
from imrec_core.search.recommender import Recommender
from tests.support import toy
from tests.support.pictures import BROKEN, encode, exif

WIDTH, HEIGHT = 960, 720
TITLES = ("query", "hit 1   score 1.000")
RED, GREEN, BLUE, WHITE = (200, 20, 20), (20, 160, 40), (20, 40, 200), (250, 250, 250)
PARTS = {
    "phash": FeatureScore(distance=12, score=0.5, false_match_rate=0.1, rank=3, unlike=0.2),
    "hsv_histogram": FeatureScore(distance=0.25, score=1.0, false_match_rate=0.0, rank=1),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A photo, copies of it in many ways, and others."""
    folder = tmp_path_factory.mktemp("explained")
    photo, other = (_large(toy.photo(seed, WIDTH // 3, HEIGHT // 3, specks=300)) for seed in (4, 1))
    for name, data in {
        "photo.png": encode(photo, "PNG"),
        "crop.png": encode(photo[100:600, 200:900], "PNG"),
        "mirrored.png": encode(photo[:, ::-1], "PNG"),
        "half.jpg": encode(Image.fromarray(photo).resize((WIDTH // 2, HEIGHT // 2)), "JPEG", quality=90),
        "double.jpg": encode(Image.fromarray(photo).resize((WIDTH * 2, HEIGHT * 2)), "JPEG", quality=90),
        "swapped.png": encode(np.roll(photo, WIDTH // 3, axis=1), "PNG"),
        "exif.jpg": encode(np.rot90(photo), "JPEG", quality=95, exif=exif(6)),
        "other.png": encode(other, "PNG"),
        "plain.png": encode(np.full((40, 60, 3), RED, np.uint8), "PNG"),
        "broken.jpg": BROKEN["truncated.jpg"](),
    }.items():
        (folder / name).write_bytes(data)
    return folder


def _large(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


@pytest.fixture
def words(monkeypatch) -> list[tuple[int, str, tuple[float, float, float, float]]]:
    """What is written from now on: on which strip, what, in which box."""
    written, pens = [], []
    write = ImageDraw.ImageDraw.text

    def text(pen, place, line, *rest, **options):
        pens.append(pen)  # kept, so that no other gets its id
        written.append((id(pen), line, pen.textbbox(place, line, font=options["font"])))
        write(pen, place, line, *rest, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return written


def found(path: Path, *likes: Path | Image.Image, **part: FeatureScore) -> Hits:
    """Two hits of a search that never was."""
    hits = tuple(Hit(rank, f"{rank:016x}", "photos", str(path), 1 / rank, "close", part or PARTS) for rank in (1, 2))
    return Hits(hits, "", "000001", likes=likes)


def draw(*why, **options) -> Image.Image:
    """The sheet with a pixel for each on the page."""
    return on_page(explanation_sheet.draw(*why, **options))


def on_page(sheet: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(sheet)[::SCALE, ::SCALE])


def is_drawn(sheet: Image.Image) -> bool:
    """Whether a line leads from picture to picture; the taller is 360 pixels high."""
    return bool((np.asarray(sheet)[80:440, 528] != 255).any())


# -- keypoints ----------------------------------------------------------------------------------------------


def test_points_of_a_crop_are_at_their_places_in_the_full_pictures(files):
    why = explain(files / "crop.png", files / "photo.png")
    assert len(why.query_points) == len(why.hit_points) > 50
    assert why.alike >= len(why.hit_points) and not why.is_mirrored
    off = why.query_points + np.array([200, 100]) - why.hit_points
    assert np.abs(np.median(off, axis=0)).max() < 0.3 and np.abs(off).max() < 3 * WIDTH / 400
    assert (why.query.width, why.query.height, why.query.name) == (700, 500, "crop.png")


@pytest.mark.parametrize(("name", "scale"), [("half.jpg", 0.5), ("double.jpg", 2)])
def test_points_of_a_copy_in_another_size_are_at_their_places(files, name, scale):
    why = explain(files / name, files / "photo.png")
    assert (why.query.width, why.query.height) == (WIDTH * scale, HEIGHT * scale)
    off = (why.query_points + 0.5) / scale - 0.5 - why.hit_points
    assert len(off) > 50 and np.abs(np.median(off, axis=0)).max() < 0.3


def test_keypoints_that_look_alike_but_do_not_agree_are_counted_apart(files):
    why = explain(files / "swapped.png", files / "photo.png")
    off = why.query_points - why.hit_points
    assert np.abs(off - (WIDTH / 3, 0)).max() < 3 * WIDTH / 400
    assert len(off) + 20 < why.alike


def test_mirrored_copy_is_matched_and_marked_as_mirrored(files):
    why = explain(files / "mirrored.png", files / "photo.png")
    assert why.is_mirrored and len(why.query_points) > 100
    off = (WIDTH - 1, 0) + why.query_points * (-1, 1) - why.hit_points
    # OpenCV finds keypoints a quarter of a pixel off, and mirrored to the other side; here a pixel is 960 / 400.
    assert np.abs(np.median(off, axis=0)).max() < 0.6 * WIDTH / 400


def test_picture_that_is_its_own_mirror_is_matched_as_it_is(tmp_path):
    half = toy.photo(4, 160, 240, specks=100)
    (tmp_path / "same.png").write_bytes(encode(np.concatenate([half, half[:, ::-1]], axis=1), "PNG"))
    why = explain(tmp_path / "same.png", tmp_path / "same.png")
    assert len(why.hit_points) > 50 and not why.is_mirrored


def test_picture_that_is_turned_by_exif_is_looked_at_upright(files):
    why = explain(files / "exif.jpg", files / "photo.png")
    assert (why.query.width, why.query.height) == (WIDTH, HEIGHT)
    assert len(why.query_points) > 100 and not why.is_mirrored
    assert np.abs(np.median(why.query_points - why.hit_points, axis=0)).max() < 0.3


@pytest.mark.parametrize("name", ["other.png", "plain.png"])
def test_different_images_have_no_points(files, name):
    why = explain(files / name, files / "photo.png")
    assert why.query_points.shape == why.hit_points.shape == (0, 2)
    assert not why.is_mirrored


def test_explanation_is_the_same_every_time(files):
    first, again = (explain(files / "crop.png", files / "photo.png") for _ in range(2))
    assert (first.query_points == again.query_points).all() and first.colours == again.colours


def test_picture_is_held_in_bounded_size():
    assert MatchInput.of(Image.new("RGB", (3000, 1000))).pixels.shape == (160, 480, 3)
    seen = MatchInput.of(Image.new("RGBA", (30, 10), (255, 0, 0, 0)))
    assert seen.pixels.shape == (10, 30, 3) and (seen.pixels == 255).all()


def test_best_of_several_queries_has_most_points_and_is_the_first_of_equals(files):
    likes = [files / name for name in ("other.png", "crop.png", "photo.png", "photo.png")]
    which, why = explain_best(likes, files / "photo.png")
    assert which == 2 and why.query.name == "photo.png"
    assert explain_best([files / "other.png", files / "plain.png"], files / "photo.png")[0] == 0


# -- colours ------------------------------------------------------------------------------------------------


def stripes(*colours: tuple[tuple[int, int, int], int]) -> np.ndarray:
    """Colours one above the other, each so many rows high; 64 rows in all."""
    return np.concatenate([np.full((rows, 64, 3), colour, np.uint8) for colour, rows in colours])


def test_shared_colours_have_their_shares_and_stand_by_the_lesser():
    query, hit = stripes((RED, 40), (BLUE, 16), (WHITE, 8)), stripes((GREEN, 24), (BLUE, 32), (RED, 8))
    colours = shared_colours(query, hit)
    assert [(c.rgb, c.in_query, c.in_hit) for c in colours] == [(BLUE, 0.25, 0.5), (RED, 0.625, 0.125)]


def test_colours_that_look_alike_are_one():
    darker = (190, 18, 18)
    (only,) = shared_colours(stripes((RED, 32), (darker, 32)), stripes((darker, 64)))
    assert (only.in_query, only.in_hit) == (1.0, 1.0)
    assert only.rgb[0] in (192, 193)  # a quarter of it is the lighter
    assert all(low <= c <= high for low, c, high in zip(darker, only.rgb, RED, strict=True))


def test_a_speck_of_a_colour_is_not_shared():
    assert shared_colours(stripes((RED, 63), (BLUE, 1)), stripes((BLUE, 64))) == ()
    assert len(shared_colours(stripes((RED, 62), (BLUE, 2)), stripes((BLUE, 64)))) == 1


def test_size_of_a_picture_does_not_weigh():
    query = np.kron(stripes((RED, 48), (BLUE, 16)), np.ones((7, 9, 1), np.uint8))
    (red, blue) = shared_colours(query, stripes((RED, 32), (BLUE, 32)))
    assert (red.rgb, red.in_query, blue.rgb, blue.in_hit) == (RED, 0.75, BLUE, 0.5)


def test_colours_of_an_explanation_are_those_of_query_and_hit_and_written_in_full(files, words):
    query = Image.fromarray(stripes((RED, 16), (WHITE, 48)))
    why = explain(query, files / "plain.png")
    assert [(c.rgb, c.in_query, c.in_hit) for c in why.colours] == [(RED, 0.25, 1.0)]
    draw(why, titles=TITLES, bars=[])
    assert {"shared colours", "25 % of query", "100 % of hit"} <= {line for _, line, _ in words}
    draw(replace(why, colours=()), titles=TITLES, bars=[])
    assert "no shared colours" in [line for _, line, _ in words]


# -- the picture --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(2000, 20), (20, 2000), (1, 1), (300, 200)], ids=str)
def test_sheet_is_bounded_and_holds_both_pictures(size, tmp_path):
    Image.new("RGB", size, BLUE).save(tmp_path / "hit.png")
    sheet = draw(explain(Image.new("RGB", size, RED), tmp_path / "hit.png"), titles=TITLES, bars=[])
    assert sheet.mode == "RGB" and sheet.width == 1056 and sheet.height < 80 + 480 + 150
    pixels = np.asarray(sheet)[80:572]
    height, width = (max(round(side * 480 / max(size)), 1) for side in (size[1], size[0]))
    for colour, left in ((RED, 24), (BLUE, 552)):
        area = (pixels[:height, left : left + 480] == colour).all(axis=2)
        assert area.sum() == width * height


def test_lines_are_drawn_where_pictures_match_and_at_most_forty(files):
    same = draw(explain(files / "photo.png", files / "photo.png"), titles=TITLES, bars=[])
    rows = (np.asarray(same)[80:440, 528] != 255).any(axis=1)
    lines = np.count_nonzero(np.diff(rows.astype(int)) == 1)
    assert 15 < lines <= 40
    assert not is_drawn(draw(explain(files / "other.png", files / "photo.png"), titles=TITLES, bars=[]))


def test_every_line_leads_from_a_point_to_its_like(files):
    """Of a picture and itself all are level; those of the crop and the photo meet where the two places are."""
    why = explain(files / "photo.png", files / "photo.png")
    sheet = np.asarray(draw(why, titles=TITLES, bars=[]))
    rows = np.nonzero((sheet[:440, 528] < 200).any(axis=1))[0]
    rows = rows[rows >= 80]
    expected = 80 + (why.hit_points[:, 1] + 0.5) / 2 - 0.5
    assert np.abs(rows[:, None] - expected).min(axis=1).max() <= 1.5
    part = explain(files / "crop.png", files / "photo.png")
    drawn = np.asarray(draw(part, titles=TITLES, bars=[]))
    starts = (part.query_points + 0.5) * (480 / 700) - 0.5 + (24, 80 + (360 - 343) // 2)
    ends = (part.hit_points + 0.5) / 2 - 0.5 + (552, 80)
    middle = starts + (ends - starts) * ((528 - starts[:, :1]) / (ends - starts)[:, :1])
    rows = np.nonzero((drawn[80:440, 528] < 200).any(axis=1))[0] + 80
    assert len(rows) and np.abs(rows[:, None] - middle[:, 1]).min(axis=1).max() <= 1.5


def test_words_say_how_many_keypoints_match(files, words):
    for name in ("photo.png", "mirrored.png", "other.png", "plain.png"):
        draw(explain(files / name, files / "photo.png"), titles=TITLES, bars=[])
    same, mirrored, other, plain = (line for _, line, _ in words if line.startswith("keypoints"))
    count = len(explain(files / "photo.png", files / "photo.png").hit_points)
    assert f"{count} of the query" in same and same.endswith("40 are drawn")
    assert "of the mirrored query" in mirrored
    assert "none matched" in other
    assert "none matched (0 in the query" in plain


@pytest.fixture
def plain(tmp_path) -> Path:
    Image.new("RGB", (60, 40), WHITE).save(tmp_path / "plain.png")
    return tmp_path / "plain.png"


def test_bar_is_as_long_as_the_score_and_the_unlike_takes_from_its_end(plain):
    bars = [Bar("a", 0.5, ""), Bar("b", 0.75, "", 0.25), Bar("c", 0.1, "", 2)]
    sheet = np.asarray(draw(explain(None, plain), titles=TITLES, bars=bars))
    for row, (green, red) in enumerate([(0.5, 0), (0.5, 0.25), (0, 0.1)]):
        line = sheet[len(sheet) - 24 - (3 - row) * 26 + 12, 324:590]
        lengths = [(line == colour).all(axis=1).sum() for colour in (explanation_sheet._FILL, explanation_sheet._TAKEN)]
        assert lengths == pytest.approx([260 * green, 260 * red], abs=2)


def test_bars_say_score_distance_rank_and_unlike(plain, words):
    found(plain).explain(0)
    lines = [line for _, line, _ in words]
    at = lines.index("phash")
    assert lines[at : at + 3] == ["phash", "0.500", "distance 12   rank 3   unlike −0.200"]
    assert lines[at + 3 :] == ["hsv_histogram", "1.000", "distance 0.25   rank 1"]


def test_query_without_a_picture_is_reported(plain, words):
    sheet = found(plain).explain(1)
    lines = [line for _, line, _ in words]
    assert "no image: the query is text or a vector" in lines and "hit 2   score 0.500 close" in lines
    assert not [line for line in lines if "keypoints" in line or "colour" in line]
    assert sheet.width == SCALE * 1056


@pytest.mark.parametrize(
    "name",
    ["größe 日本語 😀.png", "two\nlines\x1b[31m.png", "مرحبا.png", os.fsdecode(b"\xff.png"), "é" * 120],
    ids=["letters", "control", "right to left", "no UTF-8", "long"],
)
def test_any_name_is_written_inside_its_column(files, tmp_path, words, name):
    try:
        (tmp_path / name).write_bytes((files / "plain.png").read_bytes())
    except OSError:
        pytest.skip("this file system has no such names")
    found(tmp_path / name, tmp_path / name, **{"feature_" * 20: PARTS["phash"]}).explain(0)
    assert ("\udcff" in name) == any(r"\xff" in line for _, line, _ in words)
    for _, line, (left, _, right, _) in words:
        assert "\n" not in line and line.isprintable()
        assert right <= SCALE * (504 if left < SCALE * 300 else 1032)


def test_no_text_is_written_over_another(files, words):
    name = "efficientnet_lite2_full:hamming_dihedral"
    part = replace(PARTS["phash"], distance=1.234567e-8, score=1.0, unlike=0.123456)
    parts = {f"{name}{i}": replace(part, rank=10**i) for i in range(9)}
    likes = [files / "crop.png", files / "photo.png"]
    found(files / "photo.png", *likes, **parts).explain(0)
    assert len(words) > 30
    for (strip, one, a), (other, two, b) in combinations(words, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert strip != other or apart, (one, two)


# -- of a search --------------------------------------------------------------------------------------------


def test_hit_of_a_search_is_explained(recommender: Recommender, photos, words):
    hits = recommender.search(photos / "photo_004.jpg", by={"phash": 1, "sift_vlad": 1}, k=2, with_self=True)
    assert is_drawn(on_page(hits.explain(0)))
    lines = [line for _, line, _ in words]
    assert "query" in lines and "hit 1   score 1.000 same image" in lines and "160×120  photo_004.jpg" in lines
    assert {"phash", "sift_vlad"} <= set(lines)


def test_hit_of_a_vector_is_explained(recommender: Recommender, words):
    vector = np.array(recommender.generation.matrix("rgb_histogram")[5])
    recommender.search(vector, by="rgb_histogram", k=1).explain(0)
    assert "no image: the query is text or a vector" in [line for _, line, _ in words]


def test_index_is_that_of_a_sequence(files, words):
    hits = found(files / "photo.png", files / "crop.png")
    assert hits.explain(-1) == hits.explain(1) == hits.explain(np.int64(1)) != hits.explain(0)
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"no hit at {index}; there are 2"):
            hits.explain(index)
    with pytest.raises(TypeError):
        hits.explain(slice(1))
    with pytest.raises(IndexError, match="there are 0"):
        Hits((), "", "000001").explain(0)


def test_like_is_the_requested_one_or_that_with_most_keypoints(files, words):
    hits = found(files / "photo.png", files / "other.png", files / "crop.png", Image.new("RGB", (50, 40), RED))
    assert hits.explain(0) == hits.explain(0, like=1) == hits.explain(0, like=-2)
    assert {line for _, line, _ in words if line.startswith("query")} == {"query 2 of 3"}
    assert not is_drawn(on_page(hits.explain(0, like=2)))
    assert words[0][1] == "query 2 of 3" and "query 3 of 3" in [line for _, line, _ in words]
    for like in (3, -4):
        with pytest.raises(IndexError, match=f"no like that can be shown at {like}; there are 3"):
            hits.explain(0, like=like)
    with pytest.raises(IndexError, match="there are 0"):
        found(files / "photo.png").explain(0, like=0)


@pytest.mark.parametrize(("name", "error"), [("gone.jpg", UnreadableImage), ("broken.jpg", TruncatedImage)])
def test_file_that_is_gone_or_broken_is_named(files, name, error):
    good, bad = files / "photo.png", files / name
    for hits in (found(bad, good), found(good, bad), found(bad)):
        with pytest.raises(error, match=name):
            hits.explain(0)


def test_name_that_no_file_can_have_is_an_image_error(files):
    with pytest.raises(ImageError, match="null"):
        explain(files / "photo.png", Path("a\0b.jpg"))


@pytest.mark.parametrize("is_loaded", [True, False])
def test_query_picture_that_was_closed_is_reported(files, is_loaded):
    with Image.open(files / "crop.png") as query:
        if is_loaded:
            query.load()
    query.close()
    with pytest.raises(UnreadableImage, match="closed"):
        found(files / "photo.png", query).explain(0)


# -- by the command -----------------------------------------------------------------------------------------


def test_command_writes_a_picture_for_each_hit(imrec, toy_lake, photos, tmp_path):
    search = ("search", photos / "photo_004.jpg", "-k", 3, "--by", "phash", "--with-self", "--lake", toy_lake.root)
    explained = imrec(*search, "--explain", tmp_path / "why" / "so")
    assert explained.status == 0 and explained.out == imrec(*search).out
    assert explained.err == f"explanations of the hits: 01.png to 03.png in {tmp_path / 'why' / 'so'}\n"
    assert sorted(os.listdir(tmp_path / "why" / "so")) == ["01.png", "02.png", "03.png"]
    with Image.open(tmp_path / "why" / "so" / "01.png") as sheet:
        assert sheet.width == SCALE * 1056 and is_drawn(on_page(sheet))
    assert imrec(*search, "--explain", tmp_path / "why" / "so", "--json").out == imrec(*search, "--json").out


def test_pictures_are_named_by_the_rank_that_the_table_shows(imrec, toy_lake, photos, tmp_path):
    search = (
        "search",
        photos / "photo_004.jpg",
        "-k",
        2,
        "--with-self",
        "--lake",
        toy_lake.root,
        "--explain",
        tmp_path,
    )
    assert imrec(*search).status == 0
    first = (tmp_path / "01.png").read_bytes()
    turned = imrec(*search, "--order-by", "path = 'photo_004.jpg'")
    assert turned.out.splitlines()[2].startswith("1 ")
    assert (tmp_path / "01.png").read_bytes() == first


def test_hit_whose_file_is_gone_leaves_the_other_pictures(imrec, new_lake):
    lake = new_lake(photos=4, features=("phash",))
    photos = lake.root.parent / "photos"
    query = (photos / "photo_001.jpg").rename(photos.parent / "query.jpg")
    explained = imrec("search", query, "-k", 4, "--with-self", "--lake", lake.root, "--explain", "why")
    assert explained.status == 0 and len(explained.out.splitlines()) == 5
    complaint, where = explained.err.splitlines()
    assert complaint.startswith("no 01.png: ") and "photo_001.jpg" in complaint
    assert where == "explanations of the hits: 02.png to 04.png in why"
    assert sorted(os.listdir("why")) == ["02.png", "03.png", "04.png"]


def test_search_without_hits_says_that_there_is_no_picture(imrec, toy_lake, photos):
    search = ("search", photos / "photo_004.jpg", "--where", "width > 1e6", "--lake", toy_lake.root)
    explained = imrec(*search, "--explain", "why")
    assert explained.status == 0 and explained.err == "explanations of the hits: no plot in why\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--explain", "file.txt"), "is a file"),
        (("--explain", "file.txt/why"), "cannot write into file.txt/why"),
        (("--each", "--explain", "why"), "leave out --sheet, --explain"),
    ],
    ids=["a file", "in a file", "with --each"],
)
def test_folder_that_cannot_be_and_each_are_wrong_usage(imrec, toy_lake, photos, tmp_path, options, words):
    (tmp_path / "file.txt").write_text("mine")
    refused = imrec("search", photos / "photo_004.jpg", "--lake", toy_lake.root, *options)
    assert refused.status == 2 and refused.out == "" and words in refused.err
    assert os.listdir(tmp_path) == ["file.txt"] and (tmp_path / "file.txt").read_text() == "mine"

"""Parts of images as queries: boxes, and the same hits as by the part saved as an image of its own."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imrec_core import Crop, ImageId, Recommender, Text
from imrec_core.catalog.ids import image_id
from imrec_core.errors import QueryError, UnreadableImage
from imrec_core.images.decode import decode
from imrec_core.search.crop import check_box, crop_pixels, parse_box, pixel_box
from imrec_core.search.query import UploadedImage
from tests.support import toy
from tests.support.pictures import encode

SEVERAL = ["rgb_histogram", "phash"]
BOX = (100, 50, 1600, 1200)
SIZE = (2400, 1600)


@pytest.fixture(scope="module")
def sheet(tmp_path_factory) -> tuple[Recommender, Path]:
    """A lake of large photos; in `sheet.jpg` photo 5 lies at BOX, and `turned.jpg` is stored turned by EXIF."""
    root = tmp_path_factory.mktemp("crop")
    toy.write_photos(root / "photos", range(12))
    large = Image.new("RGB", SIZE, (20, 90, 30))
    large.paste(Image.fromarray(toy.photo(5)).resize(BOX[2:]), BOX[:2])
    large.save(root / "photos" / "sheet.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a turn by 90 degrees clockwise
    large.transpose(Image.Transpose.ROTATE_90).save(root / "photos" / "turned.jpg", quality=95, exif=exif)
    lake = toy.new_lake(root / "lake", SEVERAL)
    toy.build(lake)
    return Recommender.open(lake), root / "photos"


def inside(hits) -> list[tuple[str, float]]:
    return [(hit.path, hit.score) for hit in hits]


# -- hits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sheet.jpg", "turned.jpg"])
def test_crop_of_every_type_of_query_finds_what_is_in_it(sheet, name):
    recommender, photos = sheet
    data = (photos / name).read_bytes()
    pixels = decode(data).pixels[..., :3]
    queries = {
        "path": photos / name,
        "text": str(photos / name),
        "bytes": data,
        "file in memory": io.BytesIO(data),
        "array": pixels,
        "pillow": Image.fromarray(pixels),
        "id": ImageId(image_id("photos", name)),
        "upload": UploadedImage(data, max_pixels=10**7),
    }
    x, y, w, h = BOX
    expected = recommender.search(pixels[y : y + h, x : x + w], k=12, by=SEVERAL)
    assert Path(expected[0].path).name == "photo_005.jpg" and expected[0].score > 0.9
    assert Path(recommender.search(photos / name, k=1, by=SEVERAL)[0].path).name != "photo_005.jpg"
    own = str(photos / name)
    for kind, query in queries.items():
        hits = recommender.search(query, crop=BOX, k=20, by=SEVERAL, with_self=True)
        assert inside(hits)[:12] == inside(expected), kind
        fractions = (x / SIZE[0], y / SIZE[1], w / SIZE[0], h / SIZE[1])
        assert recommender.search(query, crop=fractions, k=20, by=SEVERAL, with_self=True).hits == hits.hits, kind
        (each,) = recommender.search_each([Crop(query, BOX)], k=20, by=SEVERAL, with_self=True)
        assert each.hits == hits.hits, kind
        without = recommender.search(query, crop=BOX, k=20, by=SEVERAL)
        kept = [path for path, _ in inside(hits) if path != own or kind in ("array", "pillow")]
        assert [hit.path for hit in without] == kept, kind


def test_each_like_may_have_a_crop_of_its_own(sheet, tmp_path):
    recommender, photos = sheet
    sheet_file = photos / "sheet.jpg"
    likes = [Crop(sheet_file, BOX), Crop(sheet_file, (0, 0, 80, 80))]
    hits = recommender.search(like=likes, unlike=Crop(photos / "photo_002.jpg", (0.0, 0.0, 0.5, 0.5)), by=SEVERAL)
    assert [image.size for image in hits.likes] == [BOX[2:], (80, 80)]
    hits.contact_sheet(tmp_path / "sheet.png")
    hits.explain(0)
    with pytest.raises(QueryError, match=r"the crop 0,0,80,80 of .*sheet.jpg is given twice"):
        recommender.search(like=[likes[1], likes[1]], by=SEVERAL)


def test_crop_of_a_missing_file_of_the_lake_is_refused(new_lake):
    lake = new_lake(4, ("phash",))
    recommender = Recommender.open(lake)
    (lake.root.parent / "photos" / "photo_001.jpg").unlink()
    with pytest.raises(UnreadableImage, match=r"photo_001\.jpg: No such file"):
        recommender.search(ImageId(image_id("photos", "photo_001.jpg")), crop=(0, 0, 9, 9))


@pytest.mark.parametrize("image", [Text("a dog"), np.zeros(64, np.float32), Crop(b"", (0, 0, 1, 1))])
def test_crop_needs_an_image(image):
    with pytest.raises(QueryError, match="a crop is a part of an image; found "):
        Crop(image, (0, 0, 1, 1))


def test_crop_beside_like_is_refused(sheet):
    recommender, photos = sheet
    with pytest.raises(QueryError, match=r"crop is for `query`; in `like` and `unlike` give Crop"):
        recommender.search(like=photos / "sheet.jpg", crop=BOX)


def test_crop_beyond_the_image_is_refused_with_its_size(sheet):
    recommender, photos = sheet
    for query in (photos / "turned.jpg", ImageId(image_id("photos", "turned.jpg"))):
        with pytest.raises(QueryError, match=r"the crop 1000,0,1401,10 .*, which has 2400 × 1600 pixels"):
            recommender.search(query, crop=(1000, 0, 1401, 10))


# -- boxes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "box",
    ["0,0,1,1", None, 3, (1, 2, 3), (0, 0, 0, 5), (-1, 0, 5, 5), (0, 0, math.nan, 1), (0.5, 0, 0.6, 1), (0, 0, 2.0, 3)],
)
def test_invalid_box_is_refused(box):
    with pytest.raises(QueryError, match="the crop is "):
        check_box(box)


def test_integers_are_pixels_and_any_float_makes_fractions():
    assert pixel_box(check_box((0, 0, 1, 1)), 200, 100) == (0, 0, 1, 1)
    assert pixel_box(check_box((0, 0, 1.0, 1)), 200, 100) == (0, 0, 200, 100)
    assert pixel_box(check_box(np.array([0.25, 0.5, 0.5, 0.25])), 200, 100) == (50, 50, 100, 25)
    assert pixel_box(check_box(list(np.array([3, 4, 5, 6]))), 200, 100) == (3, 4, 5, 6)
    assert (parse_box("3,4,5,6"), parse_box("0,0,.5,1"), parse_box("a,b"), parse_box("1,2")) == (
        (3, 4, 5, 6),
        (0, 0, 0.5, 1),
        None,
        None,
    )


@given(st.data())
def test_fraction_box_covers_its_pixels_and_no_others(data):
    width, height = data.draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    left, right = sorted(data.draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True)))
    top, bottom = sorted(data.draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True)))
    fractions = (left / width, top / height, (right - left) / width, (bottom - top) / height)
    assert pixel_box(check_box(fractions), width, height) == (left, top, right - left, bottom - top)


@given(st.data())
def test_crop_of_shrunk_pixels_is_of_the_same_place(data):
    width, height = data.draw(st.tuples(st.integers(8, 400), st.integers(8, 400)))
    factor = data.draw(st.integers(1, 8))
    x, y = data.draw(st.tuples(st.integers(0, width - 1), st.integers(0, height - 1)))
    w, h = data.draw(st.tuples(st.integers(1, width - x), st.integers(1, height - y)))
    rows, columns = -(-height // factor), -(-width // factor)
    places = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    found = crop_pixels(places, (x, y, w, h), width, height)
    scale = np.array([width / columns, height / rows])
    assert (found[0, 0] * scale <= (x, y)).all() and (
        (found[-1, -1] + 1) * scale >= np.array([x + w, y + h]) - 1e-6
    ).all()
    assert (np.abs(found[0, 0] * scale - (x, y)) <= scale).all()


# -- command line -------------------------------------------------------------------------------------------


def names(outcome) -> list[str]:
    return [Path(hit["path"]).name for hit in json.loads(outcome.out)["hits"]]


def test_command_takes_a_crop_after_a_hash(imrec, sheet, tmp_path, monkeypatch):
    recommender, photos = sheet
    asked = ("--by", "rgb_histogram", "--by", "phash", "-k", 1, "--json", "--lake", recommender.lake.root)
    box = ",".join(map(str, BOX))
    for image in (photos / "sheet.jpg", image_id("photos", "sheet.jpg")):
        assert names(imrec("search", f"{image}#{box}", *asked)) == ["photo_005.jpg"]
        assert names(imrec("search", f"{image}#{box}", "--each", *asked)) == ["photo_005.jpg"]
    assert names(imrec("search", f"0.5:{photos / 'sheet.jpg'}#0.05,0.04,0.65,.7", *asked)) == ["photo_005.jpg"]
    (tmp_path / "a.jpg#1,2,3,4").write_bytes(encode(toy.photo(3), "JPEG", quality=90))
    assert names(imrec("search", "a.jpg#1,2,3,4", "--with-self", *asked)) == ["photo_003.jpg"]
    refused = imrec("search", f"{photos / 'sheet.jpg'}#0,0,0,0", *asked)
    assert (refused.status, refused.out) == (1, "") and "width, height above 0" in refused.err
    assert "No such file" in imrec("search", "none.jpg#part", *asked).err

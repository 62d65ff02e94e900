"""Facts of a picture equal plain formulas, and do not depend on how far the decoder shrank it."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import cv2
import numpy as np
import pyarrow.compute as pc
import pytest
from PIL import Image, ImageFilter

from imrec_core import ImageBatch, Lake
from imrec_core.images import properties
from imrec_core.images.decode import decode
from imrec_core.lake import schemas
from imrec_core.sql import views
from tests.support.pictures import BROKEN, PICTURES, disc, encode, gradient, noise, stripes
from tests.support.toy import build, extract, new_lake, photo, rewritten, times


def solid(value: int | tuple[int, int, int], width: int = 40, height: int = 30) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def measure(*pictures: np.ndarray) -> dict[str, np.ndarray]:
    return properties.image_properties(ImageBatch(list(pictures)))


def sharpness(picture: np.ndarray | Image.Image) -> float:
    return float(measure(np.asarray(picture))["sharpness"][0])


def luma(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).convert("L"))


VARIED = [noise(97, 61), gradient(60, 130), disc(64, 64), stripes(33, 90), solid(7), solid((200, 30, 40), 1, 1)]


def test_brightness_and_contrast_are_mean_and_deviation_of_luma():
    found = measure(*VARIED)
    plain = [luma(picture) / 255 for picture in VARIED]
    np.testing.assert_allclose(found["brightness"], [p.mean() for p in plain], rtol=1e-6)
    np.testing.assert_allclose(found["contrast"], [p.std() for p in plain], rtol=1e-6, atol=1e-7)


def test_entropy_is_that_of_the_grey_levels_in_bits():
    every_level_once = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    pictures = [*VARIED, every_level_once]
    plain = [Image.fromarray(luma(picture)).entropy() for picture in pictures]
    np.testing.assert_allclose(measure(*pictures)["entropy"], plain, rtol=1e-5, atol=1e-6)
    assert plain[-1] == 8


def test_sharpness_of_a_small_picture_is_the_variance_of_its_laplacian():
    grey = np.pad(luma(noise(90, 70)).astype(float), 1, "reflect")
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    assert sharpness(noise(90, 70)) == pytest.approx(laplacian.var(), rel=1e-5)


@pytest.mark.parametrize("size", [(129, 128), (200, 150), (400, 300), (300, 511), (1100, 700), (2000, 300)], ids=str)
def test_sharpness_is_near_that_of_area_averages(size):
    picture = photo(4, *size)
    factor = min(size) / 128
    small = cv2.resize(luma(picture), [round(length / factor) for length in size], interpolation=cv2.INTER_AREA)
    assert sharpness(picture) == pytest.approx(cv2.Laplacian(small, cv2.CV_64F).var(), rel=0.5)


def test_sharpness_hardly_depends_on_the_size_of_the_copy():
    large = Image.fromarray(noise(1600, 1200, seed=3)).filter(ImageFilter.GaussianBlur(3))
    copies = [large, *(large.reduce(factor) for factor in (2, 3, 4))]
    values = [sharpness(copy) for copy in copies]
    assert max(values) / min(values) < 1.3
    content = encode(large, "JPEG", quality=95)
    shrunk, whole = decode(content, min_side=properties.MIN_SIDE), decode(content)
    assert shrunk.pixels.shape < whole.pixels.shape
    assert sharpness(shrunk.pixels[..., :3].copy()) == pytest.approx(sharpness(whole.pixels[..., :3].copy()), rel=0.2)


def test_each_blur_takes_sharpness_away():
    picture = Image.fromarray((noise(400, 300, seed=5) * 0.7 + stripes(400, 300) * 0.3).astype(np.uint8))
    values = [sharpness(picture.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 2, 4, 8)]
    assert all(softer < 0.7 * sharper for sharper, softer in pairwise(values))
    assert sharpness(solid(90)) == 0


@pytest.mark.parametrize(
    ("picture", "is_grey"),
    [
        (solid(0), True),
        (solid(255), True),
        (solid((120, 127, 119)), True),  # by less than 8: invisible
        (solid((120, 140, 120)), False),
        (solid((112, 100, 88)), False),  # sepia
        (np.repeat(noise(60, 40)[..., :1], 3, axis=2), True),
        (noise(60, 40), False),
    ],
    ids=["black", "white", "nearly grey", "tinted", "sepia", "grey noise", "colours"],
)
def test_grey_is_what_has_no_visible_colour(picture, is_grey):
    assert measure(picture)["is_grey"].tolist() == [is_grey]


def test_specks_of_colour_leave_a_grey_picture_grey():
    picture = solid(100, 200, 100)
    picture[:5, :4] = [250, 0, 0]  # 20 of 20,000 pixels: just 0.1 %
    assert measure(picture)["is_grey"][0]
    picture[6, 6] = [250, 0, 0]
    assert not measure(picture)["is_grey"][0]


def test_black_and_white_photo_stored_in_colour_is_grey():
    picture = Image.fromarray(luma(photo(1, 300, 200))).convert("RGB")
    assert measure(decode(encode(picture, "JPEG", quality=40)).pixels)["is_grey"][0]


def test_facts_of_a_batch_are_those_of_each_alone_and_change_no_picture():
    before = [picture.copy() for picture in VARIED]
    together = measure(*VARIED)
    for i, picture in enumerate(VARIED):
        alone = measure(picture)
        assert all(together[name][i] == alone[name][0] for name in together)
    assert all(np.array_equal(*pair) for pair in zip(VARIED, before, strict=True))


def test_facts_are_columns_of_the_images_table_even_of_no_picture():
    for batch in (ImageBatch([]), ImageBatch(VARIED)):
        for name, values in properties.image_properties(batch).items():
            assert values.dtype == schemas.IMAGES.field(name).type.to_pandas_dtype()
            assert values.shape == (len(batch),)


@pytest.mark.parametrize("name", [*PICTURES, "1x600", "600x1"])
def test_every_drawn_picture_has_finite_facts(name):
    sizes = {"1x600": (1, 600), "600x1": (600, 1)}
    pixels = solid(9, *sizes[name]) if name in sizes else decode(PICTURES[name]()).pixels
    found = measure(pixels)
    assert all(np.isfinite(values).all() for values in found.values())
    assert 0 <= found["brightness"][0] <= 1 and 0 <= found["contrast"][0] <= 0.5 and 0 <= found["entropy"][0] <= 8


# -- in the lake --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Four good pictures, one of them with all that a camera writes, and one that is broken."""
    root = tmp_path_factory.mktemp("facts")
    notes = Image.Exif()
    notes.update({0x10F: "Canon", 0x110: "Canon EOS 5D", 0x112: 6})
    notes.get_ifd(0x8769)[0x9003] = "2019:05:06 07:08:09"
    (root / "photos").mkdir()
    files = {
        "camera.jpg": encode(np.rot90(photo(1, 300, 200)), "JPEG", quality=90, exif=notes),
        "bright.png": encode(solid(230), "PNG"),
        "clear.png": PICTURES["alpha.png"](),
        "dark.png": encode(solid((30, 20, 60)), "PNG"),
        "broken.jpg": BROKEN["truncated.jpg"](),
    }
    for name, content in files.items():
        (root / "photos" / name).write_bytes(content)
    lake = new_lake(root / "lake", ["phash"])
    build(lake)
    return lake


def found(lake: Lake, where: str) -> list[str]:
    query = f"SELECT path FROM rows WHERE {where} ORDER BY path"
    return [path for (path,) in views.connect(lake).sql(query).fetchall()]


def test_images_and_rows_tell_the_facts(lake):
    (row,) = lake.read_table(lake.images_path("photos-0000")).filter(pc.field("orientation") == 6).to_pylist()
    plain = measure(decode((lake.root.parent / "photos" / "camera.jpg").read_bytes()).pixels)
    assert {name: row[name] for name in plain} == {name: values[0].item() for name, values in plain.items()}
    assert row["camera"] == "Canon EOS 5D" and row["taken"] == datetime(2019, 5, 6, 7, 8, 9)
    assert row["aspect"] == 1.5 and row["has_alpha"] is False and row["is_grey"] is False
    assert found(lake, "brightness > 0.5 AND is_grey") == ["bright.png"]
    assert found(lake, "camera LIKE 'Canon%' AND taken < '2020-01-01'") == ["camera.jpg"]
    assert found(lake, "has_alpha") == ["clear.png"]
    assert found(lake, "brightness < 0.2 AND NOT is_grey") == ["dark.png"]


def test_failed_image_has_no_facts(lake):
    (row,) = lake.read_table(lake.images_path("photos-0000")).filter(pc.field("status") == "failed").to_pylist()
    result = {name for name, value in row.items() if value is not None}
    assert result == {"image_id", "byte_size", "mtime_ns", "content_hash", "status", "error"}


def test_images_table_of_an_older_version_is_made_again_and_the_vectors_are_kept(lake, monkeypatch):
    before = times(lake, "images", "features")
    extract(lake)
    assert times(lake, "images", "features") == before
    monkeypatch.setattr(schemas, "IMAGES_VERSION", schemas.IMAGES_VERSION + 1)
    extract(lake)
    assert rewritten(before, times(lake, "images", "features")) == {"images/photos-0000.parquet"}
    assert build(lake).built

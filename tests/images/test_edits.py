"""Every edit makes a file that opens, and the tagged turn is undone by readers that heed the tag."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from imrec_core.images.edits import COPY_PROTOCOL, EDITS


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Wider than high and different at each edge, so that no turn or mirror can hide."""
    down, right = np.mgrid[0:120, 0:200]
    colours = np.stack([right * 1.2, down * 2, (right + down) % 64 * 3], axis=-1)
    return Image.fromarray(colours.astype(np.uint8))


def opened(content: bytes) -> Image.Image:
    copy = Image.open(BytesIO(content))
    copy.load()
    return copy


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other.convert("RGB"), float)).mean())


@pytest.mark.parametrize("edit", (EDITS | COPY_PROTOCOL).values(), ids=EDITS | COPY_PROTOCOL)
def test_every_edit_opens_again_and_leaves_its_input_alone(edit, picture):
    before = picture.tobytes()
    content = edit(picture)
    assert opened(content).format == {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}[edit.suffix]
    assert content == edit(picture)
    assert picture.tobytes() == before


@pytest.mark.parametrize("edit", (EDITS | COPY_PROTOCOL).values(), ids=EDITS | COPY_PROTOCOL)
def test_every_edit_bears_a_single_pixel(edit):
    opened(edit(Image.new("L", (1, 1))))


def test_tagged_turn_looks_like_the_original_once_upright(picture):
    stored = opened(EDITS["turned90_exif"](picture))
    assert stored.size == (120, 200)
    upright = ImageOps.exif_transpose(stored)
    assert upright.size == picture.size
    assert difference(picture, upright) < 6


def test_untagged_turn_stays_turned(picture):
    turned = ImageOps.exif_transpose(opened(EDITS["turned90"](picture)))
    assert turned.size == (120, 200)
    assert difference(picture.transpose(Image.Transpose.ROTATE_90), turned) < 6


@pytest.mark.parametrize(
    ("name", "size"),
    [("crop", (140, 84)), ("half_size", (100, 60)), ("mirrored", (200, 120)), ("caption", (200, 120))],
)
def test_edit_has_its_size(name, size, picture):
    assert opened(EDITS[name](picture)).size == size


def test_png_keeps_every_pixel_and_the_others_do_not(picture):
    same = {name for name, edit in EDITS.items() if opened(edit(picture)).tobytes() == picture.tobytes()}
    assert same == {"png"}


def test_protocol_has_every_edit_that_is_requested():
    jpegs, crops = [f"jpeg{q}" for q in (75, 30, 10, 3)], [f"crop{share}" for share in (5, 10, 20, 50, 80)]
    others = ["half_size", "quarter_size", "mirrored", "turned90", "caption", "blur", "brighter", "contrast", "grey"]
    assert list(COPY_PROTOCOL) == [*jpegs, *crops, *others]


@pytest.mark.parametrize("share", [5, 10, 20, 50, 80])
def test_number_of_a_crop_is_the_percentage_of_the_area_around_the_middle(share, picture):
    cropped = opened(COPY_PROTOCOL[f"crop{share}"](picture))
    assert cropped.width * cropped.height / (200 * 120) == pytest.approx(1 - share / 100, abs=0.01)
    left, top = (200 - cropped.width) // 2, (120 - cropped.height) // 2
    middle = picture.crop((left, top, left + cropped.width, top + cropped.height))
    assert difference(middle, cropped) < 4


def test_sizes_of_files_fall_with_the_quality_and_sides_to_a_quarter(picture):
    sizes = [len(COPY_PROTOCOL[f"jpeg{quality}"](picture)) for quality in (75, 30, 10, 3)]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    assert opened(COPY_PROTOCOL["quarter_size"](picture)).size == (50, 30)


def test_grey_has_one_value_per_pixel_and_contrast_spreads_it(picture):
    grey = np.asarray(opened(COPY_PROTOCOL["grey"](picture)).convert("RGB"), int)
    assert np.ptp(grey, axis=2).max() <= 2
    luma = np.asarray(opened(COPY_PROTOCOL["contrast"](picture)).convert("L"), float)
    assert luma.std() > 1.2 * np.asarray(picture.convert("L"), float).std()

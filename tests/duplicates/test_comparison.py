"""Which tier two pictures are in, by their pixels."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from imrec_core.duplicates.block_input import BlockInput
from imrec_core.duplicates.comparison import DIFFERENT, IDENTICAL, NO_DETAIL, compare, compare_files
from imrec_core.errors import ImageError, UnknownName
from imrec_core.images.edits import EDITS
from imrec_core.images.sample_photos import PHOTOS, _load
from tests.support import toy
from tests.support.pictures import BROKEN, encode, gradient, noise

EDITED = ("crop", "mirrored", "turned90")
# Blown out to white, much of a page or a strawberry is gone.
FINE = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


def block_input(pixels) -> BlockInput:
    return BlockInput.of_pixels(pixels)


@pytest.mark.parametrize(
    "edit", [name for name in EDITS if name in ("jpeg20", "caption", "blur", "half_size", *EDITED)]
)
@pytest.mark.parametrize("name", FINE)
def test_edited_photo_is_in_its_tier(name, edit):
    photo = _load("skimage.data", name)
    found = compare(block_input(np.asarray(photo)), BlockInput.of_bytes(EDITS[edit](photo)))
    assert found.tier == {"crop": "edited", "mirrored": "edited", "turned90": "edited", "caption": "variant"}.get(
        edit, "near"
    )
    assert found.agreement >= 0.94


@pytest.mark.parametrize(("turn", "words"), [(Image.Transpose.ROTATE_180, "180"), (Image.Transpose.TRANSPOSE, "mirr")])
def test_orientation_is_named(turn, words):
    photo = _load("skimage.data", "chelsea.png")
    found = compare(block_input(np.asarray(photo)), block_input(np.asarray(photo.transpose(turn))))
    assert found.tier == "edited"
    assert words in found.how


def test_different_photos_are_different_even_of_one_scene():
    photos = [block_input(np.asarray(_load(package, name))) for package, names in PHOTOS.items() for name in names]
    assert {compare(a, b, tier="near").tier for a, b in combinations(photos, 2)} == {None}
    left, right = (_load("skimage.data", f"motorcycle_{side}.png") for side in ("left", "right"))
    assert compare(block_input(np.asarray(left)), block_input(np.asarray(right))).tier is None


def test_the_same_shape_in_another_colour_is_not_near():
    pixels = toy.photo(4)
    assert compare(block_input(pixels), block_input(np.ascontiguousarray(pixels[..., ::-1])), tier="near").tier is None


def test_comparison_is_symmetric():
    photo = _load("skimage.data", "coffee.png")
    for edit in EDITS.values():
        a, b = block_input(np.asarray(photo)), BlockInput.of_bytes(edit(photo))
        assert compare(a, b).tier == compare(b, a).tier


@pytest.mark.parametrize("edits", list(combinations(("caption", "mirrored", "turned90", "jpeg20"), 2)), ids="-".join)
def test_two_edited_copies_are_the_same_whichever_comes_first(edits):
    photo = _load("skimage.data", "chelsea.png")
    a, b = (BlockInput.of_bytes(EDITS[edit](photo)) for edit in edits)
    assert compare(a, b).tier == compare(b, a).tier is not None


@pytest.mark.parametrize("shape", [(60, 80), (1, 1), (1, 400), (3, 2)])
def test_nothing_is_claimed_of_plain_pictures(shape):
    plain, brighter = (block_input(np.full((*shape, 3), level, np.uint8)) for level in (100, 101))
    assert compare(plain, brighter) == compare(plain, plain) == NO_DETAIL
    assert compare(plain, block_input(noise(80, 60))).tier is None


# -- files --------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    pixels = toy.photo(4)
    for name, data in {
        "a.png": encode(pixels, "PNG"),
        "same.png": encode(pixels, "PNG"),
        "pixels.bmp": encode(pixels, "BMP"),
        "near.jpg": encode(pixels, "JPEG", quality=60),
        "mirrored.png": encode(pixels[:, ::-1], "PNG"),
        "other.png": encode(gradient(160, 120), "PNG"),
        "broken.jpg": BROKEN["truncated.jpg"](),
        "broken_too.jpg": BROKEN["truncated.jpg"](),
    }.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


TIER_OF = {
    "same.png": "identical",
    "pixels.bmp": "same_pixels",
    "near.jpg": "near",
    "mirrored.png": "edited",
    "other.png": None,
}


@pytest.mark.parametrize(("name", "tier"), TIER_OF.items())
def test_tier_of_two_files(files, name, tier):
    assert compare_files(files / "a.png", files / name).tier == tier


def test_nothing_wider_than_requested_is_found(files):
    assert compare_files(files / "a.png", files / "near.jpg", tier="same_pixels").tier is None
    assert compare_files(files / "a.png", files / "mirrored.png", tier="near").tier is None
    assert compare_files(files / "a.png", files / "pixels.bmp", tier="identical") == DIFFERENT


def test_bad_files_and_names_are_reported(files):
    assert compare_files(files / "broken.jpg", files / "broken_too.jpg") == IDENTICAL  # which bytes alone can say
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        compare_files(files / "a.png", files / "broken.jpg")
    with pytest.raises(ImageError, match=r"missing\.png"):
        compare_files(files / "missing.png", files / "a.png")
    with pytest.raises(ImageError):
        compare_files("nul\0.png", files / "a.png")
    with pytest.raises(UnknownName, match="near"):
        compare_files(files / "a.png", files / "a.png", tier="nearr")


@pytest.mark.parametrize(("name", "tier"), TIER_OF.items())
def test_compare_command_says_the_tier_by_its_status(imrec, files, name, tier):
    found = imrec("compare", files / "a.png", files / name)
    assert found.status == (1 if tier is None else 0)
    assert found.out.startswith(tier or "different")
    assert imrec("compare", files / "a.png", files / name, "--json").out.startswith("[{")


@pytest.mark.parametrize("name", ["broken.jpg", "missing.jpg"])
def test_compare_command_ends_with_2_where_a_file_cannot_be_read(imrec, files, name):
    found = imrec("compare", files / "a.png", files / name)
    assert found.status == 2
    assert name in found.complaint

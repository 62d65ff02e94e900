"""Pairs that are the same but for a detail, and pictures with few details or none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageDraw

from imrec_core.duplicates import find_duplicates
from imrec_core.duplicates.block_input import BlockInput
from imrec_core.duplicates.comparison import TIERS, Comparison, compare, compare_files
from imrec_core.images.edits import COPY_PROTOCOL, EDITS
from tests.support import pages, toy
from tests.support.drawings import SPARSE, VARIANTS, invoice, letter, signed, stars
from tests.support.pictures import encode


def half_size(picture: Image.Image) -> bytes:
    return encode(picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS), "PNG")


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "repacked": lambda picture: encode(picture, "BMP"),
    "jpeg75": lambda picture: encode(picture, "JPEG", quality=75),
    "jpeg20": lambda picture: encode(picture, "JPEG", quality=20),
    "half_size": half_size,
}
DRAWN = {**VARIANTS, **SPARSE}


@cache
def original(name: str) -> BlockInput:
    return made(encode(DRAWN[name][0](), "BMP"))


def made(data: bytes) -> BlockInput:
    return BlockInput.of_source(lambda: data)


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("name", DRAWN)
def test_copies_of_a_drawing_are_near(name, copy):
    assert compare(original(name), made(COPIES[copy](DRAWN[name][0]()))).tier == "near"


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("name", VARIANTS)
def test_another_detail_makes_a_variant_however_it_is_encoded(name, copy):
    other = made(COPIES[copy](VARIANTS[name][1]()))
    found = compare(original(name), other)
    assert found.tier == "variant"
    assert copy != "jpeg75" or compare(other, original(name)) == found
    assert "another content" in found.how if name == "all numbers" else "except for" in found.how


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("name", SPARSE)
def test_pictures_with_other_details_are_different(name, copy):
    assert compare(original(name), made(COPIES[copy](SPARSE[name][1]()))).tier is None


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize(
    ("first", "second"), [(letter, signed), (stars, lambda: stars(count=24))], ids=["signature", "star"]
)
def test_few_details_and_one_more_are_a_variant(first, second, copy):
    a, b = made(encode(first(), "BMP")), made(COPIES[copy](second()))
    assert compare(a, b).tier == compare(b, a).tier == "variant"


@pytest.mark.parametrize("name", ["invoice number", "last message", "person", "street sign"])
def test_a_slight_crop_is_near_and_hides_no_difference(name):
    first, second = (COPY_PROTOCOL["crop5"](draw()) for draw in VARIANTS[name])
    a = original(name)
    b, c = made(first), made(second)
    tiers = compare(a, b, tier="near").tier, compare(a, c, tier="near").tier
    assert tiers in (("near", "variant"), (None, None))  # None where too many blocks differ


@pytest.mark.parametrize("name", sorted(VARIANTS.keys() - {"all numbers"}))
def test_a_variant_says_where_it_differs(name):
    first, second = (np.asarray(draw().convert("L"), np.int64) for draw in VARIANTS[name])
    rows, columns = np.nonzero(np.abs(first - second) > 30)
    found = compare(original(name), made(encode(VARIANTS[name][1](), "BMP")))
    x, y = (float(word.rstrip("%")) / 100 for word in found.how.split() if word.endswith("%"))
    if len(rows):  # the lamp differs in colour only
        assert columns.min() / first.shape[1] - 0.03 <= x <= columns.max() / first.shape[1] + 0.03
        assert rows.min() / first.shape[0] - 0.03 <= y <= rows.max() / first.shape[0] + 0.03


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "darker": lambda picture: picture.point(lambda level: int(level * 0.75)),
    "less contrast": lambda picture: picture.point(lambda level: int(40 + level * 0.8)),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "noise": lambda picture: add_noise(picture, 4),
    "quarter size": lambda picture: picture.resize((picture.width // 4, picture.height // 4)),
    "odd size": lambda picture: picture.resize((int(picture.width * 0.73), int(picture.height * 0.73))),
}


def add_noise(picture: Image.Image, sigma: float) -> Image.Image:
    levels = np.asarray(picture, np.float64)
    noisy = levels + np.random.default_rng(0).normal(0, sigma, levels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


# The colours of the others fill the blocks, so that their grey copies are not near.
CHANGED = [
    (name, change)
    for name in ("invoice total", "table cell", "last message", "street sign")
    for change in CHANGES
    if change != "grey" or name in ("invoice total", "table cell")
]


@pytest.mark.parametrize(("name", "change"), CHANGED)
def test_changes_of_the_whole_picture_stay_near(name, change):
    picture = DRAWN[name][0]()
    changed = CHANGES[change](picture)
    assert compare(original(name), made(encode(changed, "PNG"))).tier == "near"


# -- nothing to compare -------------------------------------------------------------------------------------


def noisy(level: int, sigma: float, seed: int, width: int = 400) -> bytes:
    levels = np.random.default_rng(seed).normal(level, sigma, (300, width, 3)).clip(0, 255)
    return encode(levels.astype(np.uint8), "PNG")


BLANK = {
    "black": encode(np.zeros((300, 400, 3), np.uint8), "PNG"),
    "one pixel": encode(np.full((1, 1, 3), 8, np.uint8), "PNG"),
    "dark noise": noisy(6, 3, 0),
    "other dark noise": noisy(6, 3, 1),
    "shaded": encode(np.broadcast_to(np.linspace(8, 30, 400)[None, :, None], (300, 400, 3)).astype(np.uint8), "PNG"),
}


@pytest.mark.parametrize("first", BLANK)
@pytest.mark.parametrize("second", BLANK)
def test_nothing_is_claimed_where_there_is_nothing_to_compare(first, second):
    found = compare(made(BLANK[first]), made(BLANK[second]))
    assert found.tier is None
    assert found.how in ("too little detail to compare", "different images")


def test_blank_files_of_equal_pixels_are_the_same(tmp_path):
    for name, data in BLANK.items():
        (tmp_path / "a.png").write_bytes(data)
        with Image.open(tmp_path / "a.png") as picture:
            picture.save(tmp_path / "b.bmp")
        assert compare_files(tmp_path / "a.png", tmp_path / "b.bmp").tier == "same_pixels", name
    (tmp_path / "other.png").write_bytes(BLANK["one pixel"])
    (tmp_path / "a.png").write_bytes(BLANK["black"])
    assert compare_files(tmp_path / "a.png", tmp_path / "other.png").how == "too little detail to compare"


# -- tiers and groups ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", TIERS)
def test_a_variant_belongs_to_its_own_tier_only(tier):
    assert Comparison("variant", 1.0, "").holds(tier) == (tier == "variant")
    assert Comparison("edited", 1.0, "").holds(tier) == (tier == "edited")
    assert Comparison("near", 1.0, "").holds(tier) == (tier in ("near", "edited", "variant"))


@pytest.fixture(scope="module")
def invoices(tmp_path_factory):
    root = tmp_path_factory.mktemp("invoices")
    (root / "photos").mkdir()
    for name, data in {
        "a.png": encode(invoice(), "PNG"),
        "a.jpg": encode(invoice(), "JPEG", quality=60),
        "b.png": encode(invoice("2026-0455"), "PNG"),
        "black.png": BLANK["black"],
        "one.png": BLANK["one pixel"],
    }.items():
        (root / "photos" / name).write_bytes(data)
    lake = toy.new_lake(root / "lake", ("phash", "dhash"))
    toy.build(lake)
    return lake


def names(found) -> list[tuple[str, list[str]]]:
    return [(group.tier, sorted(copy.below for copy in group.copies)) for group in found]


def test_groups_of_near_copies_have_no_variants(invoices):
    assert names(find_duplicates(invoices)) == [("near", ["a.jpg", "a.png"])]


def test_variants_are_found_by_their_tier(invoices):
    assert names(find_duplicates(invoices, tier="variant")) == [("variant", ["a.jpg", "a.png", "b.png"])]


def test_only_a_plan_of_variants_moves_them(imrec, invoices, tmp_path):
    imrec("duplicates", "--plan", tmp_path / "near.json", "--lake", invoices.root)
    imrec("duplicates", "--tier", "variant", "--plan", tmp_path / "variant.json", "--lake", invoices.root)
    assert "b.png" not in (tmp_path / "near.json").read_text()
    assert "b.png" in (tmp_path / "variant.json").read_text()


def test_compare_command_names_the_difference_of_a_variant(imrec, invoices):
    a, b = (invoices.root.parent / "photos" / name for name in ("a.png", "b.png"))
    found = imrec("compare", a, b)
    assert found.status == 1 and "different: the same image except for" in found.out
    assert imrec("compare", a, b, "--tier", "variant").out.startswith("variant: the same image except for")


def test_a_file_that_cannot_be_read_again_is_compared_by_what_is_known():
    data, other = encode(invoice(), "PNG"), encode(invoice("2026-0455"), "PNG")

    def gone() -> bytes:
        raise OSError("gone")

    a, b = BlockInput.of_bytes(data), BlockInput.of_bytes(other)
    for one in (a, b):
        object.__setattr__(one, "read", gone)
    assert compare(a, b).tier == "variant"


def test_every_edit_but_the_caption_keeps_a_photo_near():
    photo = Image.fromarray(toy.photo(0, 640, 480))
    tiers = {name: compare(made(encode(photo, "PNG")), made(EDITS[name](photo))).tier for name in ("jpeg20", "webp")}
    assert set(tiers.values()) == {"near"}
    assert compare(made(encode(photo, "PNG")), made(EDITS["caption"](photo))).tier == "variant"


@pytest.mark.parametrize("radius", [2, 5, 20, 40])
@pytest.mark.parametrize("size", [(800, 800), (620, 800), (2000, 1500)], ids=str)
@pytest.mark.parametrize(("ground", "ink"), [("black", "white"), ("white", "#444444")])
def test_second_dot_is_no_copy(ground, ink, size, radius):
    def page(*places):
        image = Image.new("RGB", size, ground)
        for x, y in places:
            ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
        return image

    one, two = page((400, 400)), page((400, 400), (200, 600))
    for other in (two, two.resize((size[0] // 2, size[1] // 2), Image.Resampling.LANCZOS)):
        found = compare(made(encode(one, "PNG")), made(encode(other, "JPEG", quality=90)), tier="near")
        assert found.tier in (None, "variant")


def test_faint_marks_that_agree_do_not_outweigh_a_clear_one_that_is_missing():
    first, second = (made(pages.jpeg(pages.blank_page(seed, 620, 800))) for seed in (183, 2028))
    assert compare(first, second, tier="near").tier == "variant"

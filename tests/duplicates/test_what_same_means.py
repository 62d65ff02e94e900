"""Files that other tools call the same, and that differ: in transparency, depth, range, profile, pages and frames."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from imrec_core import Lake
from imrec_core.catalog import manifests
from imrec_core.duplicates import find_duplicates
from imrec_core.duplicates.comparison import compare_files
from imrec_core.index.build import build_generation
from tests.support import icc, toy
from tests.support.pictures import encode, noise

SWAPPED = icc.rgb_profile(icc.SRGB[:, [2, 1, 0]])
GREY = noise(160, 120)[..., 0].copy()


def tier(folder: Path, one: bytes, other: bytes, widest: str = "edited") -> str | None:
    (folder / "one").write_bytes(one)
    (folder / "other").write_bytes(other)
    found = [compare_files(folder / a, folder / b, tier=widest) for a, b in (("one", "other"), ("other", "one"))]
    assert found[0].tier == found[1].tier
    return found[0].tier


def white_logo(text: str) -> bytes:
    mask = Image.new("L", (200, 200))
    ImageDraw.Draw(mask).text((20, 60), text, fill=255, font_size=60)
    return encode(np.dstack([np.full((200, 200, 3), 255, np.uint8), np.asarray(mask)[..., None]]), "PNG")


def labels(seed: int) -> bytes:
    blots = np.random.default_rng(seed).integers(0, 200, (6, 8)).astype(np.uint16)
    return encode(blots.repeat(20, 0).repeat(20, 1), "PNG")


def pages(*seeds: int, file_format: str = "TIFF", **options) -> bytes:
    first, *others = (Image.fromarray(noise(160, 120, seed=seed)) for seed in seeds)
    return encode(first, file_format, save_all=True, append_images=others, **options)


@pytest.mark.parametrize("make", [white_logo, labels], ids=["white on clear", "labels in 16 bits"])
def test_images_that_look_alike_when_read_carelessly_are_different(tmp_path, make):
    files = [make(name) for name in (("42", "ACME", "Nord", "zeta") if make is white_logo else (1, 2, 3, 4))]
    assert [tier(tmp_path, *pair) for pair in combinations(files, 2)] == [None] * 6


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (white_logo("Nord"), encode(np.full((200, 200, 3), 255, np.uint8), "PNG")),
        (encode(GREY * np.float32(10), "TIFF"), encode(GREY * np.float32(100), "TIFF")),
        (encode(GREY.astype(np.uint16) * 257, "TIFF"), encode(GREY, "PNG")),
        (encode(GREY.astype(np.uint16) << 4, "TIFF"), encode(GREY, "PNG")),
        (encode(noise(160, 120), "JPEG"), encode(noise(160, 120), "JPEG", icc_profile=SWAPPED)),
    ],
    ids=["clear and plain", "heights", "16 and 8 bits", "12 and 8 bits", "profile"],
)  # fmt: skip
def test_what_a_conversion_loses_is_not_the_same_pixels(tmp_path, one, other):
    assert tier(tmp_path, one, other) != "same_pixels"


def test_12_bits_match_their_8_bit_copy(tmp_path):
    grey = np.where(GREY.max() == GREY, 200, GREY).astype(np.uint8)  # so that 12 bits are needed
    assert tier(tmp_path, encode(grey.astype(np.uint16) << 4, "TIFF"), encode(grey, "PNG")) == "near"


RELIEF = (GREY - GREY.min()) * np.float32(4000 / np.ptp(GREY))  # metres
HALF = np.asarray(Image.fromarray(RELIEF).resize((80, 60)))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (RELIEF, RELIEF / 10, "variant"),
        (RELIEF, RELIEF / np.float32(0.3048), "variant"),
        (RELIEF, RELIEF + 2000, "variant"),
        (RELIEF.astype(np.uint16), (RELIEF / 4).astype(np.uint16), "variant"),
        (RELIEF, np.rot90(RELIEF / 10), "variant"),
        (RELIEF, HALF, "near"),
        (RELIEF, np.rot90(RELIEF), "edited"),
        (RELIEF, np.rint(RELIEF * 255 / 4000).astype(np.uint8), "near"),
        (RELIEF, np.rint(RELIEF), "near"),
    ],
    ids=["tenth", "feet", "another zero", "integers", "turned tenth", "resized", "turned", "8 bits", "rounded"],
)
def test_other_values_of_the_same_look_are_variants(tmp_path, one, other, expected):
    files = encode(one, "TIFF"), encode(other, "TIFF")
    assert tier(tmp_path, *files) == (None if expected == "variant" else expected)
    if one.shape == other.shape and expected != "edited":
        assert tier(tmp_path, *files, widest="variant") == expected


def test_other_values_are_not_moved_and_are_named(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "alps.tif").write_bytes(encode(RELIEF, "TIFF"))
    (photos / "dunes.tif").write_bytes(encode(RELIEF / 10, "TIFF"))
    lake = toy.new_lake(tmp_path / "lake", ("phash", "dhash"), sources={"photos": photos})
    toy.build(lake)
    assert not find_duplicates(lake, tier="near") and len(find_duplicates(lake, tier="variant")) == 1
    found = compare_files(photos / "dunes.tif", photos / "alps.tif", tier="variant")
    assert found.how == "the same image with other values: 0 to 400 and 0 to 4000"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (pages(1, 2, 3), pages(1, 4, 3), None),
        (pages(1, 2, 3), pages(1, 2), None),
        (pages(1, 2), pages(1), None),
        (pages(1, 2, file_format="MPO"), pages(1, 3, file_format="MPO"), None),
        (pages(1, 2, file_format="GIF"), pages(1, 3, file_format="GIF"), None),
        (pages(1, 2, file_format="WEBP"), pages(1, 3, file_format="WEBP"), None),
        (pages(1, 2, file_format="PNG"), pages(1, 3, file_format="PNG"), None),
        (pages(1, 2, file_format="GIF"), encode(noise(160, 120, seed=1), "PNG"), None),
        (pages(1, 2, 3), pages(1, 2, 3, compression="tiff_lzw"), "same_pixels"),
        (pages(1, 2), pages(1, 2, file_format="PNG"), "same_pixels"),
        (pages(1, 2), pages(1, 2, file_format="WEBP", quality=90), "near"),
    ],
    ids=[
        "another page", "fewer pages", "first page", "stereo", "GIF", "WebP", "APNG", "still", "repacked",
        "APNG of pages", "recompressed",
    ],
)  # fmt: skip
def test_every_page_and_frame_counts(tmp_path, one, other, expected):
    assert tier(tmp_path, one, other) == expected


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Files that once were one group each."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("42", "ACME", "Nord"):
        (photos / f"logo_{name}.png").write_bytes(white_logo(name))
    for seed in range(3):
        (photos / f"labels_{seed}.png").write_bytes(labels(seed))
        (photos / f"scan_{seed}.tif").write_bytes(pages(9, seed))
    (photos / "scan_0_repacked.tif").write_bytes(pages(9, 0, compression="tiff_lzw"))
    lake = toy.new_lake(tmp_path / "lake", ("phash", "dhash"), sources={"photos": photos})
    manifests.update(lake)
    toy.extract(lake)
    build_generation(lake)
    return lake


@pytest.mark.parametrize("tier_name", ["same_pixels", "near"])
def test_groups_of_a_lake_hold_what_is_the_same_alone(lake, tier_name):
    (group,) = find_duplicates(lake, tier=tier_name)
    assert {Path(copy.path).name for copy in group.copies} == {"scan_0.tif", "scan_0_repacked.tif"}
    assert group.tier == "same_pixels" and {copy.frames for copy in group.copies} == {2}

"""Nearly blank pages: equal ones are found however they are stored, others are told apart without full decoding."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from imrec_core.duplicates import comparison, find_duplicates, hash_pairs
from imrec_core.duplicates.blank_pages import is_plain, may_have_same_grain
from imrec_core.duplicates.block_agreement import block_agreement, split_blocks
from imrec_core.duplicates.block_input import BlockInput
from imrec_core.duplicates.comparison import compare, compare_files
from imrec_core.duplicates.local_differences import find_local_differences
from tests.support import toy
from tests.support.pages import blank_page, jpeg
from tests.support.pictures import encode, exif, gradient

SIZES = {"small": (310, 400), "reduced, odd sides": (621, 801)}


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def stored_again(page: Image.Image) -> dict[str, tuple[bytes, bytes]]:
    """Pairs of files of equal pixels, by how the second one is stored."""
    png, photo = encode(page, "PNG"), jpeg(page)
    turned = encode(page.transpose(Image.Transpose.ROTATE_180), "PNG", exif=exif(3))
    return {
        "recompressed": (png, encode(page, "PNG", compress_level=1)),
        "grey": (png, encode(page.convert("L"), "PNG")),
        "palette": (png, encode(page.convert("L").convert("P"), "PNG")),
        "opaque alpha": (png, encode(page.convert("RGBA"), "PNG")),
        "TIFF": (png, encode(page, "TIFF", compression="tiff_lzw")),
        "WebP": (png, encode(page, "WEBP", lossless=True)),
        "turned by a tag": (png, turned),
        "progressive JPEG": (photo, encode(page, "JPEG", quality=90, progressive=True)),
        "JPEG with another end": (photo, photo[:-2] + b"\0\0\0\0" + photo[-2:]),
        "PNG of a JPEG": (photo, encode(decoded(photo), "PNG")),
    }


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("marks", [0, 2])
def test_equal_pixels_are_found_however_they_are_stored(tmp_path, size, marks):
    page = blank_page(3, *size, marks=marks)
    for name, files in stored_again(page).items():
        paths = [tmp_path / "one", tmp_path / "other"]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        assert compare_files(*paths, tier="near").tier == "same_pixels", name


def test_equal_pages_are_found_in_a_crowd(tmp_path, monkeypatch):
    monkeypatch.setattr(hash_pairs, "CROWDED", 3)
    (tmp_path / "photos").mkdir()
    for seed in range(24):
        files = stored_again(blank_page(seed)) if seed < 4 else {"": (jpeg(blank_page(seed)),)}
        names = ("recompressed", "grey", "PNG of a JPEG") if seed < 4 else files
        for number, data in enumerate(sorted({data for name in names for data in files[name]})):
            (tmp_path / "photos" / f"{seed:02}_{number}.png").write_bytes(data)  # whatever its format
    lake = toy.new_lake(tmp_path / "lake", ("phash", "dhash"))
    toy.build(lake)
    found = find_duplicates(lake)
    assert all(len({copy.below[:2] for copy in group.copies}) == 1 for group in found)
    pairs = [pair for group in found for pair in group.pairs if pair.tier == "same_pixels"]
    assert len(pairs) == 4 * (3 + 1)  # of three PNG, and of a JPEG with its PNG


def test_blank_pages_of_other_grain_are_not_decoded_at_full_size(monkeypatch):
    monkeypatch.setattr(BlockInput, "full_pixels", lambda _: pytest.fail("a page was decoded at full size"))
    pages = [jpeg(blank_page(seed, 620, 800, marks=0)) for seed in (2, 9)]
    a, b = (BlockInput.of_source(lambda data=data: data) for data in pages)
    found = comparison.compare_contents(a, b, "near", lambda _: pytest.fail("a page was hashed"))
    assert found.tier is None


@pytest.mark.parametrize("seed", range(12))
def test_plain_pages_have_neither_texture_nor_detail(seed):
    a, b = (BlockInput.of_bytes(jpeg(blank_page(2 * seed + k, 620, 800, marks=seed % 2))).pixels for k in (0, 1))
    assert is_plain(a) or seed % 2
    if is_plain(a) and is_plain(b):
        blocks = block_agreement(split_blocks(a), split_blocks(b))
        assert blocks.is_sparse
        assert not find_local_differences(a, b, blocks.gain, blocks.offset).losses_of_detail.size


def test_images_with_detail_or_texture_are_not_plain():
    faint = np.full((400, 400, 3), 200, np.uint8)
    faint[::2] += 10
    faint[:, 100:300] -= 5
    speck = np.full((400, 400, 3), 250, np.uint8)
    speck[10, 10] = 200
    assert not any(map(is_plain, (gradient(400, 400), faint, speck)))


def test_plain_images_of_other_colours_are_different():
    white, black = (BlockInput.of_pixels(np.full((60, 80, 3), level, np.uint8)) for level in (255, 0))
    assert compare(white, black) == comparison.DIFFERENT
    assert compare(white, white) == comparison.NO_DETAIL


def test_images_without_grain_may_be_equal():
    level = np.full((60, 80, 3), 200, np.uint8)
    assert may_have_same_grain(level, level + np.uint8(1))
    assert may_have_same_grain(level, level[1:])

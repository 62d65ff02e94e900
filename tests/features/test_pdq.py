"""PDQ is that of the reference, but for a few bits; eight orientations come from one transform."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from imrec_core import ImageBatch
from imrec_core.features.pdq import pdq, pdq_orientations, pdq_turned
from imrec_core.images.decode import decode
from tests.support.pictures import TURNS, disc, encode, gradient, noise, stripes

SIZES = [(320, 240), (90, 200), (64, 64), (65, 63), (128, 129), (40, 31), (257, 511), (5, 5)]


def blots(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Blots and hard edges, no two of which are alike: no coefficient is 0 but for rounding."""
    return noise(width, height, seed) // 2 + disc(width, height) // 3 + np.uint8(seed % 20)


def hashed(*pictures: np.ndarray) -> np.ndarray:
    return pdq(ImageBatch(list(pictures)))


def quality(*pictures: np.ndarray) -> list[int]:
    return pdq.compute(ImageBatch(list(pictures)))[1]["quality"].tolist()


def off(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits that differ, hash by hash of four words."""
    return np.bitwise_count(one.reshape(-1, 4) ^ other.reshape(-1, 4)).sum(axis=1)


def box_blurred(rows: np.ndarray, window: int) -> np.ndarray:
    """The mean of a window of each row's neighbours; it is cut at the ends."""
    right = (window + 2) // 2 - 1
    left = window - 1 - right
    return np.stack([rows[:, max(i - left, 0) : i + right + 1].mean(axis=1) for i in range(rows.shape[1])], axis=1)


def plain(picture: np.ndarray) -> tuple[np.ndarray, int]:
    """The reference's steps, one after the other, on the same rounded luma: bits `(16, 16)` and quality."""
    luma = np.asarray(Image.fromarray(picture).convert("L")).astype(float)
    height, width = luma.shape
    for _ in range(2):
        luma = box_blurred(luma, -(-width // 128))
        luma = box_blurred(luma.T, -(-height // 128)).T
    rows, columns = (((np.arange(64) + 0.5) * length / 64).astype(int) for length in (height, width))
    small = luma[np.ix_(rows, columns)]
    steps = [int(abs(step) * 100 / 255) for axis in (0, 1) for step in np.diff(small, axis=axis).ravel()]
    cosines = np.cos(np.pi / 128 * np.arange(1, 17)[:, None] * (2 * np.arange(64) + 1)) / np.sqrt(32)
    low = cosines @ small @ cosines.T
    return low > np.sort(low.ravel())[127], min(sum(steps) // 90, 100)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_hash_and_quality_are_those_of_the_plain_steps(size):
    picture = blots(*size)
    bits, plain_quality = plain(picture)
    number = sum(1 << k for k, bit in enumerate(bits.ravel().tolist()) if bit)
    words = np.array([number >> shift & (2**64 - 1) for shift in (192, 128, 64, 0)], np.uint64)
    assert off(hashed(picture), words).max() <= 2  # coefficients that are the median's equals but for rounding
    assert quality(picture) == [plain_quality]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_hash_and_orientations_are_those_of_the_reference(size):
    pdqhash = pytest.importorskip("pdqhash")
    for seed in range(4):
        picture = blots(*size, seed)
        theirs, their_quality = pdqhash.compute_dihedral(picture)
        words = np.packbits(np.array(theirs, np.uint8), axis=1).view(">u8").astype(np.uint64)
        assert off(pdq_orientations(ImageBatch([picture])), words).max() <= 8
        assert abs(quality(picture)[0] - their_quality) <= 2


def test_hash_in_hex_is_as_lists_have_it():
    """Made with pdqhash 0.2.8, the reference's own code."""
    assert "".join(f"{word:016x}" for word in hashed(blots(320, 240))[0].tolist()) == HEX


HEX = "1939fb4cd9c96733e4c60ba9272681a39f39dc79ecf90e5307c72644d8361e41"


def test_half_of_the_bits_are_set():
    assert np.bitwise_count(hashed(*(blots(200, 150, seed) for seed in range(9)))).sum(axis=1).tolist() == [128] * 9


def test_picture_of_one_colour_has_no_bits_and_no_quality():
    solid = [np.full((height, 40, 3), value, np.uint8) for value in (0, 99, 255) for height in (5, 64, 301)]
    assert not hashed(*solid).any()
    assert set(quality(*solid)) == {0}


def test_picture_too_small_has_no_bits_and_no_quality():
    assert not hashed(noise(4, 300), noise(300, 4)).any()
    assert quality(noise(4, 300), noise(300, 4)) == [0, 0]
    assert hashed(noise(5, 5)).any()


def test_quality_falls_with_what_there_is_to_see():
    picture = Image.fromarray(noise(300, 200))
    pictures = [picture.filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 4, 12, 40)]
    qualities = quality(*map(np.asarray, pictures))
    assert qualities == sorted(qualities, reverse=True) and qualities[0] > 3 * qualities[-1]
    assert quality(np.tile(np.uint8([[[0]], [[255]]]), (64, 128, 3))) <= [100]


def test_edited_copies_stay_within_the_distance_for_copies():
    picture = Image.fromarray(blots(400, 300))
    copies = [
        picture,
        picture.resize((300, 225), Image.Resampling.LANCZOS),
        picture.filter(ImageFilter.GaussianBlur(1)),
        picture.point(lambda value: int(value * 0.8)),
        Image.fromarray(decode(encode(picture, "JPEG", quality=30)).pixels[..., :3].copy()),
    ]
    hashes = hashed(*map(np.asarray, copies))
    assert off(hashes[1:], np.tile(hashes[0], 4)).max() <= 31
    assert off(hashed(blots(400, 300, seed=8), stripes(400, 300)), np.tile(hashes[0], 2)).min() > 60


# -- orientations -------------------------------------------------------------------------------------------


def test_orientations_are_near_the_hashes_of_turned_pixels():
    """PDQ takes its points a little off the middle, so a picture turned for real differs by more than rounding."""
    for seed in range(6):
        picture = blots(320, 240, seed)
        turned = hashed(*(np.ascontiguousarray(turn(picture)) for turn in TURNS))
        seen = pdq_orientations(ImageBatch([picture])).reshape(8, 4)
        distances = np.array([off(np.tile(one, 8), turned) for one in seen])
        assert (distances.argmin(axis=1) == np.arange(8)).all()
        assert np.diagonal(distances).max() <= 50
        assert off(seen[0], turned[0]) == 0


def test_orientations_from_the_hash_alone_are_nearly_those_from_the_picture():
    pictures = [blots(200, 300, seed) for seed in range(12)]
    exact, from_bits = pdq_orientations(ImageBatch(pictures)), pdq_turned(hashed(*pictures))
    assert from_bits.shape == exact.shape == (12, 32)
    assert np.array_equal(from_bits[:, :4], hashed(*pictures))
    assert np.array_equal(from_bits[:, 24:28], exact[:, 24:28])  # to transpose moves the bits and changes none
    assert off(from_bits, exact).max() <= 40 and np.median(off(from_bits, exact)) <= 10


def test_no_pictures_have_no_orientations():
    assert pdq_turned(np.empty((0, 4), np.uint64)).shape == (0, 32)
    assert pdq_turned(hashed(gradient(60, 40))).shape == (1, 32)

"""The hashes are those of the imagehash library, bit for bit."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imrec_core import FEATURES, ImageBatch
from imrec_core.features.hashes import phash_orientations, phash_turned
from tests.support.pictures import TURNS, disc, gradient, noise, stripes

LIBRARY = {
    "ahash": imagehash.average_hash,
    "dhash": imagehash.dhash,
    "phash": imagehash.phash,
    "whash": imagehash.whash,
    "colorhash": imagehash.colorhash,
}
SHRUNK_TOGETHER = ["ahash", "dhash", "phash"]

SIZES = [
    (1, 1),
    (7, 5),
    (8, 8),
    (9, 8),
    (8, 9),
    (31, 33),
    (32, 32),
    (1, 90),
    (90, 1),
    (640, 480),
    (255, 257),
    (90, 300),
    (40, 73),
    (40, 72),
]


def white_noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def upscaled(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A few hard pixels blown up: long runs of equal values, where rounding decides."""
    small = Image.fromarray(white_noise(3, 3, seed))
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))


def colours(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Every grey and hue, from black to bright, in shares that the seed draws: for the edges between their bins."""
    rng = np.random.default_rng(seed)
    hsv = np.empty((height, width, 3), np.uint8)
    hsv[..., 0] = rng.integers(0, 256, (height, width)) if seed % 2 else rng.integers(256)
    hsv[..., 1] = rng.choice(np.uint8([0, 84, 85, 169, 170, 171, 255]), (height, width))
    hsv[..., 2] = rng.choice(np.uint8([0, 31, 32, 33, 150, 255]), (height, width), p=rng.dirichlet(np.ones(6)))
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))


KINDS = {
    "black": lambda w, h: np.zeros((h, w, 3), np.uint8),
    "solid": lambda w, h: np.full((h, w, 3), [200, 31, 64], np.uint8),
    "gradient": gradient,
    "white noise": white_noise,
    "blots": noise,
    "disc": disc,
    "stripes": stripes,
    "upscaled": upscaled,
    "colours": colours,
}


def ours(pictures: list[np.ndarray], name: str) -> list[str]:
    return [f"{int(number):016x}" for number in FEATURES[name](ImageBatch(pictures))[:, 0]]


def theirs(pictures: list[np.ndarray], name: str) -> list[str]:
    return [str(LIBRARY[name](Image.fromarray(picture))).zfill(16) for picture in pictures]


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("kind", KINDS)
def test_hash_equals_the_library_at_every_size(kind, name):
    pictures = [KINDS[kind](*size) for size in SIZES]
    assert ours(pictures, name) == theirs(pictures, name)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 400),
    seed=st.integers(0, 2**32 - 1),
    draw=st.sampled_from([white_noise, upscaled, colours, lambda w, h, seed: noise(w, h, seed=seed)]),
)
def test_hash_equals_the_library_for_any_picture(width, height, seed, draw):
    picture = draw(width, height, seed)
    for name in LIBRARY:
        assert ours([picture], name) == theirs([picture], name)


def test_hashes_of_a_batch_are_shrunk_once(monkeypatch):
    from imrec_core.features import lanczos

    calls = []
    shrink = lanczos._shrink
    monkeypatch.setattr(lanczos, "_shrink", lambda grey: calls.append(1) or shrink(grey))
    batch = ImageBatch([noise(50, 40), disc(60, 60)])
    for name in SHRUNK_TOGETHER:
        FEATURES[name](batch)
    assert len(calls) == 2


def test_colorhash_distances_are_those_of_the_library():
    pictures = [colours(40, 30, seed) for seed in range(20)]
    vectors = FEATURES["colorhash"](ImageBatch(pictures))
    first, *others = (imagehash.colorhash(Image.fromarray(picture)) for picture in pictures)
    assert FEATURES["colorhash"].metric(vectors[0], vectors[1:]).tolist() == [first - other for other in others]
    assert (vectors < 2**42).all()


@pytest.mark.parametrize("size", [(700, 1030), (512, 2200), (1100, 513)])
def test_large_pictures_have_the_hashes_of_the_library_too(size):
    pictures = [KINDS[kind](*size) for kind in ("blots", "disc", "upscaled")]
    for name in LIBRARY:
        assert ours(pictures, name) == theirs(pictures, name)


def test_colours_are_counted_exactly_in_strips(monkeypatch):
    from imrec_core.features import hashes

    monkeypatch.setattr(hashes, "_STRIP", 7)
    pictures = [colours(13, 9, seed) for seed in range(9)]
    assert ours(pictures, "colorhash") == theirs(pictures, "colorhash")


def test_brighter_copy_and_smaller_copy_keep_most_bits():
    picture = Image.fromarray(noise(400, 300, seed=3))
    copies = [picture, picture.resize((200, 150), Image.Resampling.LANCZOS), picture.point(lambda v: int(v * 0.9))]
    for name in LIBRARY:
        vectors = FEATURES[name](ImageBatch([np.asarray(copy) for copy in copies]))
        assert np.bitwise_count(vectors ^ vectors[:1]).max() <= 4


def test_orientations_of_phash_are_the_hashes_of_the_turned_picture():
    for seed in range(8):
        picture = noise(300, 200, seed=seed)
        turned = FEATURES["phash"](ImageBatch([np.ascontiguousarray(turn(picture)) for turn in TURNS]))
        seen = phash_orientations(ImageBatch([picture]))
        assert seen.shape == (1, 8)
        assert np.bitwise_count(seen.T ^ turned).max() <= 4  # Pillow rounds between the axes, the same one always first
        assert seen[0, 0] == turned[0, 0]


def test_orientations_from_a_phash_alone_are_nearly_those_from_the_picture():
    pictures = ImageBatch([noise(200, 300, seed=seed) for seed in range(20)])
    hashes = FEATURES["phash"](pictures)
    from_bits, exact = phash_turned(hashes), phash_orientations(pictures)
    off = np.bitwise_count(from_bits ^ exact)
    assert (off[:, [0, 6]] == 0).all()  # upright, and transposed
    assert off.max() <= 16 and np.median(off) <= 4
    assert phash_turned(np.empty((0, 1), np.uint64)).shape == (0, 8)


def test_turning_a_hash_and_turning_it_back_changes_nothing():
    hashes = np.random.default_rng(0).integers(0, 2**64, (50, 1), np.uint64)
    back = {1: 3, 2: 2, 3: 1, 4: 4, 5: 5, 6: 6, 7: 7}
    for there, again in back.items():
        assert np.array_equal(phash_turned(phash_turned(hashes)[:, [there]])[:, [again]], hashes)


@pytest.mark.slow
def test_every_colour_counts_as_the_library_counts_it():
    from imrec_core.features import hashes

    green, blue = np.indices((256, 256), np.uint8)
    for red in range(256):
        pixels = np.stack([np.full_like(green, red), green, blue], axis=-1)
        image = Image.fromarray(pixels)
        hue, saturation, _ = np.moveaxis(np.asarray(image.convert("HSV")), -1, 0)
        grey = np.asarray(image.convert("L"))
        kinds = hashes._classify_pixels(np.dstack([pixels, green]), grey)
        tones = np.where(grey < 32, 0, np.digitize(saturation, [85, 170, 171]) + 1)
        assert np.array_equal(kinds // 16, tones)
        counted = (tones == 2) | (tones == 4)
        assert np.array_equal(hashes._HUE[kinds % 16][counted], np.digitize(hue, [43, 85, 128, 170, 213])[counted])

"""Edges, gradients and texture against scikit-image and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.feature

from imrec_core import FEATURES, ImageBatch
from imrec_core.features import structure
from tests.support.pictures import disc, gradient, noise, stripes
from tests.support.toy import photo

NAMES = ("edge_histogram", "hog", "lbp")
DRAWN = {"noise": noise, "gradient": gradient, "disc": disc, "stripes": stripes}
of_drawn = pytest.mark.parametrize("draw", [*DRAWN.values(), lambda w, h: photo(7, w, h)], ids=[*DRAWN, "photo"])


def vector(name: str, grey: np.ndarray) -> np.ndarray:
    """Of a grey picture given as one channel."""
    return FEATURES[name](ImageBatch([np.dstack([grey] * 3).astype(np.uint8)]))[0]


def grey_square(draw, side: int) -> np.ndarray:
    return ImageBatch([draw(side, side)]).grey[0]


def enlarged(grey: np.ndarray, times: int) -> np.ndarray:
    """Every pixel as a block, so that area averaging gives the small picture back exactly."""
    return np.kron(grey, np.ones((times, times), np.uint8))


# -- edge histogram -----------------------------------------------------------------------------------------

UPRIGHT, LEVEL, RISING, FALLING, UNDIRECTED = range(5)


def plain_edges(grey: np.ndarray) -> np.ndarray:
    """The standard's steps for a picture of 256×256: blocks of 8×8, each of four means."""
    root, out = 2**0.5, np.zeros((4, 4, 5))
    for y in range(0, 256, 8):
        for x in range(0, 256, 8):
            block = grey[y : y + 8, x : x + 8].astype(float)
            a, b, c, d = block[:4, :4].mean(), block[:4, 4:].mean(), block[4:, :4].mean(), block[4:, 4:].mean()
            found = [a - b + c - d, a + b - c - d, root * (a - d), root * (b - c), 2 * (a - b - c + d)]
            if max(map(abs, found)) >= 11:
                out[y // 64, x // 64, np.argmax(np.abs(found))] += 1
    return out.ravel() / 64


@of_drawn
def test_edge_histogram_equals_plain_loops(draw):
    grey = enlarged(grey_square(draw, 64), 4)
    np.testing.assert_allclose(vector("edge_histogram", grey), plain_edges(grey), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "inked"),
    [
        (UPRIGHT, lambda y, x: x % 2 == 0),
        (LEVEL, lambda y, x: y % 2 == 0),
        (RISING, lambda y, x: (y % 2 == 0) & (x % 2 == 0)),
        (FALLING, lambda y, x: (y % 2 == 0) & (x % 2 == 1)),
        (UNDIRECTED, lambda y, x: (y + x) % 2 == 0),
    ],
    ids=["upright", "level", "rising", "falling", "undirected"],
)
def test_pattern_is_counted_as_its_kind_of_edge_in_its_part(kind, inked):
    down, right = np.mgrid[0:64, 0:64]
    if kind in (RISING, FALLING):  # a triangle: two corners of a block half way
        small = np.where(inked(down, right), 200, 100)
        other = (down % 2 == 1) & (right % 2 == (1 if kind == RISING else 0))
        small = np.where(other, 0, small)
    else:
        small = np.where(inked(down, right), 200, 0)
    small[:, 32:] = small[32:] = 90
    parts = vector("edge_histogram", enlarged(small, 4)).reshape(4, 4, 5)
    np.testing.assert_array_equal(parts[:2, :2, kind], 1)
    assert parts.sum() == 4


@pytest.mark.parametrize(("step", "counted"), [(5, 0), (6, 1)])
def test_faint_edges_do_not_count(step, counted):
    small = np.tile([100, 100 + step], (64, 32))  # the filter finds twice the step: 10 or 12 of 11
    assert vector("edge_histogram", enlarged(small, 4)).reshape(16, 5)[:, UPRIGHT].tolist() == [counted] * 16


# -- histogram of oriented gradients ------------------------------------------------------------------------


def plain_hog(grey: np.ndarray) -> np.ndarray:
    """Dalal & Triggs's steps for a picture of 64×64, pixel by pixel; norms as scikit-image has them."""
    grey, cells = grey.astype(float), np.zeros((4, 4, 9))
    for y, x in np.ndindex(64, 64):
        down = grey[y + 1, x] - grey[y - 1, x] if 0 < y < 63 else 0
        right = grey[y, x + 1] - grey[y, x - 1] if 0 < x < 63 else 0
        angle = math.degrees(math.atan2(down, right)) % 180
        for i in range(9):
            apart = abs(angle - (20 * i + 10))
            cells[y // 16, x // 16, i] += math.hypot(down, right) * max(0, 1 - min(apart, 180 - apart) / 20)
    blocks = [cells[y : y + 2, x : x + 2].ravel() / 256 for y in range(3) for x in range(3)]
    for _ in range(2):
        blocks = [np.minimum(block, 0.2) if _ else block for block in blocks]
        blocks = [block / math.sqrt(block @ block + 1e-10) for block in blocks]
    return np.concatenate(blocks)


@of_drawn
def test_hog_equals_plain_loops(draw, monkeypatch):
    monkeypatch.setattr(structure, "_FAINT", 1e-5)
    small = grey_square(draw, 64)
    np.testing.assert_allclose(vector("hog", enlarged(small, 2)), plain_hog(small), atol=1e-4)


@of_drawn
def test_hog_is_that_of_scikit_image_but_for_shared_directions(draw, monkeypatch):
    def shared_by_none():
        before, beyond = tables
        return (before + (beyond >= 0.5)) % 9, np.zeros_like(beyond)

    tables = structure._directions()
    monkeypatch.setattr(structure, "_directions", shared_by_none)
    monkeypatch.setattr(structure, "_FAINT", 1e-5)
    small = grey_square(draw, 64)
    theirs = skimage.feature.hog(small, 9, (16, 16), (2, 2), "L2-Hys")
    np.testing.assert_allclose(vector("hog", enlarged(small, 2)), theirs, atol=1e-4)


def test_hog_of_a_slope_has_its_direction():
    slope = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    for grey, directions in ((slope, [0, 8]), (slope.T, [4])):
        cells = vector("hog", enlarged(grey, 4)).reshape(-1, 9)
        assert (cells[:, directions] > 0.1).all()
        assert np.abs(np.delete(cells, directions, axis=1)).max() < 1e-6


def test_hog_does_not_see_brightness_and_without_its_floor_no_contrast(monkeypatch):
    grey = noise(128, 128, seed=3)[..., 0] // 4 * 2  # whole numbers when halved
    np.testing.assert_array_equal(vector("hog", grey), vector("hog", grey + 60))
    monkeypatch.setattr(structure, "_FAINT", 1e-5)
    full, faded = vector("hog", enlarged(grey[::2, ::2], 2)), vector("hog", enlarged(grey[::2, ::2] // 2, 2))
    np.testing.assert_allclose(full, faded, atol=1e-5)


def test_hog_of_noise_on_an_empty_ground_is_small():
    rng = np.random.default_rng(0)
    empty = 250 + rng.integers(0, 2, (128, 128))
    assert np.linalg.norm(vector("hog", empty)) < 0.3 * np.linalg.norm(vector("hog", noise(128, 128)[..., 0]))


# -- local binary patterns ----------------------------------------------------------------------------------


def scikit_patterns(grey: np.ndarray) -> np.ndarray:
    found = skimage.feature.local_binary_pattern(grey, 8, 1, "uniform")[1:-1, 1:-1].astype(int)
    parts = [np.split(rows, 3, axis=1) for rows in np.split(found, 3)]
    counts = [np.bincount(part.ravel(), minlength=10) for row in parts for part in row]
    return np.concatenate(counts) / found.size


@pytest.mark.parametrize("seed", range(5))
def test_patterns_are_those_of_scikit_image(seed):
    grey = np.random.default_rng(seed).integers(0, 256, (128, 128), np.uint8)
    assert np.abs(vector("lbp", enlarged(grey, 2)) - scikit_patterns(grey)).sum() < 2e-3


@of_drawn
def test_patterns_of_drawn_pictures_are_those_of_exact_arithmetic(draw):
    """Where neighbours are equal, scikit-image's rounding decides; whole numbers do not round."""
    grey = grey_square(draw, 128).astype(np.int64)
    around = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]
    off = [(np.roll(grey, (-y, -x), axis=(0, 1)) - grey)[1:-1, 1:-1] for y, x in around]
    bits = []
    for i, across in enumerate(off):
        beside = off[i - 1] + off[(i + 1) % 8] + across
        # beside + √2 across ≥ 0, by squares
        corner = np.where(beside >= 0, (across >= 0) | (beside**2 >= 2 * across**2), 2 * across**2 >= beside**2)
        corner &= (beside >= 0) | (across > 0)
        bits.append(across >= 0 if i % 2 == 0 else corner)
    ring = np.array(bits)
    changes = (ring != np.roll(ring, 1, axis=0)).sum(axis=0)
    kinds = np.where(changes <= 2, ring.sum(axis=0), 9)
    parts = [np.bincount(p.ravel(), minlength=10) for rows in np.split(kinds, 3) for p in np.split(rows, 3, axis=1)]
    np.testing.assert_allclose(vector("lbp", enlarged(grey, 2)), np.concatenate(parts) / 126**2, atol=1e-6)


def test_patterns_do_not_see_brightness_and_contrast():
    grey = noise(128, 128, seed=2)[..., 0] // 3
    np.testing.assert_array_equal(vector("lbp", grey), vector("lbp", grey * 2 + 50))


def test_patterns_of_a_turned_picture_only_change_places():
    grey = np.random.default_rng(1).integers(0, 256, (128, 128), np.uint8)
    parts, turned = (vector("lbp", picture).reshape(3, 3, 10) for picture in (grey, np.rot90(grey)))
    np.testing.assert_allclose(np.rot90(parts), turned, atol=1e-6)


# -- all ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (64, 48)], ids=str)
@pytest.mark.parametrize("value", [0, 127, 255])
def test_solid_picture_has_no_edges(size, value):
    grey = np.full(size, value, np.uint8)
    assert not vector("edge_histogram", grey).any()
    assert not vector("hog", grey).any()
    patterns = vector("lbp", grey).reshape(9, 10)
    np.testing.assert_allclose(patterns[:, 8], 1 / 9, rtol=1e-6)
    assert not np.delete(patterns, 8, axis=1).any()


@pytest.mark.parametrize("name", NAMES)
def test_colour_of_the_same_grey_changes_nothing(name):
    picture = noise(90, 70, seed=4)
    (grey,) = ImageBatch([picture]).grey
    np.testing.assert_array_equal(FEATURES[name](ImageBatch([picture]))[0], vector(name, grey))


@pytest.mark.parametrize("name", NAMES)
def test_smaller_copy_is_nearer_than_another_picture(name):
    pictures = [photo(seed, 400, 300) for seed in range(8)]
    vectors = FEATURES[name](ImageBatch(pictures))
    copies = FEATURES[name](ImageBatch([picture[::2, ::2].copy() for picture in pictures]))
    for i, copy in enumerate(copies):
        assert FEATURES[name].metric(copy, vectors).argmin() == i


def test_pictures_of_a_batch_are_shrunk_once(monkeypatch):
    sides = []
    squares = structure._resize_all
    monkeypatch.setattr(structure, "_resize_all", lambda pictures, side: sides.append(side) or squares(pictures, side))
    batch = ImageBatch([noise(50, 40), disc(60, 60)])
    for name in NAMES:
        FEATURES[name](batch)
    assert sorted(sides) == [64, 128]

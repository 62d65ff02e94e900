"""Histograms and moments of colour against OpenCV, scikit-image, scipy and plain numpy."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
import pytest
import scipy.stats
import skimage.color

from imrec_core import FEATURES, ImageBatch
from imrec_core.features import colour, colour_spaces
from tests.support.pictures import disc, gradient, noise, stripes
from tests.support.toy import photo

HISTOGRAMS = ("rgb_histogram", "hsv_histogram", "lab_histogram", "rgb_channels", "hsv_channels", "lab_channels")
LEVELS = {
    "rgb_histogram": (8, 8, 8),
    "hsv_histogram": (16, 4, 4),
    "lab_histogram": (8, 8, 8),
    "rgb_channels": (32, 32, 32),
    "hsv_channels": (36, 16, 16),
    "lab_channels": (16, 16, 16),
}
LAB_RANGES = ((0, 100), (-86.2, 98.3), (-107.9, 94.5))
PICTURES = {
    "noise": noise(90, 60),
    "gradient": gradient(64, 96),
    "disc": disc(100, 80),
    "stripes": stripes(70, 40),
    "photo": photo(1),
    "white noise": np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8),
}
of_pictures = pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)


def vector(name: str, picture: np.ndarray) -> np.ndarray:
    return FEATURES[name](ImageBatch([picture]))[0]


def centred(picture: np.ndarray) -> np.ndarray:
    """Every pixel at the middle of its cell of the 32³ cube, from 0 to 1 `(pixels, 3)`."""
    return (picture.reshape(-1, 3) // 8 + 0.5) / 32


def solid(*rgb: int) -> np.ndarray:
    return np.full((20, 30, 3), rgb, np.uint8)


def hsv_of(rgb: np.ndarray) -> np.ndarray:
    return np.array([colorsys.rgb_to_hsv(*pixel) for pixel in rgb.tolist()])


# -- colour spaces ------------------------------------------------------------------------------------------


def test_lab_is_that_of_opencv_and_of_scikit_image():
    cells = colour_spaces.rgb()
    theirs = cv2.cvtColor(cells.astype(np.float32)[None], cv2.COLOR_RGB2Lab)[0]
    assert np.abs(colour_spaces.lab() - theirs).max() < 0.5  # OpenCV's gamma is a spline, its white another
    assert np.abs(colour_spaces.lab() - skimage.color.rgb2lab(cells)).max() < 0.05


def test_hsv_is_that_of_opencv():
    theirs = cv2.cvtColor(colour_spaces.rgb().astype(np.float32)[None], cv2.COLOR_RGB2HSV)[0] / [360, 1, 1]
    np.testing.assert_allclose(colour_spaces.hsv(), theirs, atol=1e-5)


def test_greys_have_no_colour_in_lab():
    greys = colour_spaces.lab().reshape(32, 32, 32, 3)[np.arange(32), np.arange(32), np.arange(32)]
    assert np.abs(greys[:, 1:]).max() < 1e-10
    assert (np.diff(greys[:, 0]) > 0).all()


def test_lab_levels_share_out_what_srgb_reaches():
    corners = skimage.color.rgb2lab(np.stack(np.meshgrid([0, 1.0], [0, 1.0], [0, 1.0]), axis=-1).reshape(-1, 3))
    for (low, high), reached in zip(LAB_RANGES, corners.T, strict=True):
        assert low == pytest.approx(reached.min(), abs=0.1)
        assert high == pytest.approx(reached.max(), abs=0.1)
    assert colour_spaces.scaled_lab().min() > 0 and colour_spaces.scaled_lab().max() < 1


# -- histograms ---------------------------------------------------------------------------------------------


@of_pictures
@pytest.mark.parametrize("name", HISTOGRAMS)
def test_histogram_is_numpys_of_every_pixel(name, picture):
    rgb, levels = centred(picture), LEVELS[name]
    values, ranges = {
        "rgb": lambda: (rgb, ((0, 1),) * 3),
        "hsv": lambda: (hsv_of(rgb) + 1e-10, ((0, 1),) * 3),
        "lab": lambda: (skimage.color.rgb2lab(rgb), LAB_RANGES),
    }[name[:3]]()
    if name.endswith("histogram"):
        plain = np.histogramdd(values, levels, ranges)[0].ravel()
    else:
        plain = np.concatenate([np.histogram(*one)[0] for one in zip(values.T, levels, ranges, strict=True)])
    allowed = 0.01 if name.startswith("lab") else 0.0  # a cell at the border of two levels may fall to either side
    assert np.abs(vector(name, picture) - plain / plain.sum()).sum() <= allowed + 1e-6


@of_pictures
def test_channels_are_shares_of_every_pixel(picture):
    plain = [np.bincount(channel.ravel() >> 3, minlength=32) for channel in np.moveaxis(picture, -1, 0)]
    np.testing.assert_allclose(vector("rgb_channels", picture), np.concatenate(plain) / picture.size, atol=1e-7)


@of_pictures
@pytest.mark.parametrize("name", HISTOGRAMS)
def test_histogram_sums_to_1(name, picture):
    assert vector(name, picture).min() >= 0
    assert vector(name, picture).sum(dtype=float) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_solid_picture_has_one_level_of_each_channel(name):
    filled = np.sort(vector(name, solid(200, 31, 64)))[::-1]
    expected = [1] if name.endswith("histogram") else [1 / 3] * 3
    np.testing.assert_allclose(filled[: len(expected)], expected, rtol=1e-6)
    assert not filled[len(expected) :].any()


@pytest.mark.parametrize("name", [*HISTOGRAMS, "colour_moments"])
def test_place_of_a_colour_changes_nothing(name):
    picture = photo(3)
    shuffled = np.random.default_rng(0).permutation(picture.reshape(-1, 3)).reshape(80, 240, 3)
    np.testing.assert_array_equal(vector(name, picture), vector(name, shuffled))


def test_counts_of_a_batch_are_looked_through_once(monkeypatch):
    calls = []
    occupied_cells = colour._occupied_cells
    monkeypatch.setattr(colour, "_occupied_cells", lambda counts: calls.append(1) or occupied_cells(counts))
    batch = ImageBatch([noise(50, 40), disc(60, 60)])
    for name in (*HISTOGRAMS, "colour_moments"):
        FEATURES[name](batch)
    assert len(calls) == 2


# -- moments ------------------------------------------------------------------------------------------------


@of_pictures
def test_moments_are_those_of_every_pixel(picture):
    lab = skimage.color.rgb2lab(centred(picture))
    plain = [lab.mean(axis=0), lab.std(axis=0), np.cbrt(scipy.stats.moment(lab, order=3, axis=0))]
    np.testing.assert_allclose(vector("colour_moments", picture), np.concatenate(plain), atol=0.1)


@of_pictures
def test_32_levels_leave_mean_and_deviation_what_they_are(picture):
    lab = skimage.color.rgb2lab(picture.reshape(-1, 3))
    plain = np.concatenate([lab.mean(axis=0), lab.std(axis=0)])
    np.testing.assert_allclose(vector("colour_moments", picture)[:6], plain, atol=1.5)


def test_solid_picture_has_a_mean_and_nothing_else():
    moments = vector("colour_moments", solid(100, 100, 100))  # of the cell from 96 to 103
    assert moments[0] == pytest.approx(100 * skimage.color.rgb2lab(np.full(3, 100 / 256))[0] / 100, abs=0.05)
    np.testing.assert_allclose(moments[1:], 0, atol=1e-6)


def test_third_moment_has_the_sign_of_the_longer_tail():
    few_light, few_dark = (np.full((10, 10, 3), ground, np.uint8) for ground in (40, 200))
    few_light[0], few_dark[0] = 200, 40
    assert vector("colour_moments", few_light)[6] > 10
    assert vector("colour_moments", few_dark)[6] < -10


def test_reds_either_side_of_the_hue_seam_are_close():
    seam = [solid(200, 20, 36), solid(200, 36, 20), solid(20, 200, 200)]
    one, other, cyan = FEATURES["colour_moments"](ImageBatch(seam))
    assert np.abs(one - other).sum() < 0.2 * np.abs(one - cyan).sum()

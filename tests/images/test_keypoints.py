"""Keypoints of two pictures, and the move that takes one onto the other."""

import numpy as np
import pytest

from imrec_core.images import keypoints
from imrec_core.images.sample_photos import _load
from tests.support import toy
from tests.support.pictures import noise


@pytest.fixture(scope="module")
def cat():
    return np.asarray(_load("skimage.data", "chelsea.png"))


def test_mirrored_keypoints_are_those_of_the_mirrored_picture(cat):
    a, b = keypoints.find(cat), keypoints.find(np.ascontiguousarray(cat[:, ::-1]))
    match = keypoints.match(keypoints.mirror(a, cat.shape[1]), b)
    assert match.count > 0.8 * len(a[0])
    np.testing.assert_allclose(match.transform, [[1, 0, 0], [0, 1, 0]], atol=1.0)


def test_move_takes_what_agrees_to_its_place(cat):
    part = np.ascontiguousarray(np.rot90(cat[40:260, 60:400]))
    match = keypoints.match(keypoints.find(part), keypoints.find(cat))
    assert match.count == match.agrees.sum() > 50
    moved = match.moving[match.agrees] @ match.transform[:, :2].T + match.transform[:, 2]
    assert np.abs(moved - match.standing[match.agrees]).max() < 3 * cat.shape[1] / 400  # 3 pixels where they are found
    np.testing.assert_allclose(match.transform, [[0, -1, 399], [1, 0, 40]], atol=1.5)


def test_match_is_the_same_every_time(cat):
    a, b = keypoints.find(cat), keypoints.find(np.ascontiguousarray(cat[30:, 50:]))
    first, again = keypoints.match(a, b), keypoints.match(a, b)
    assert (first.transform == again.transform).all() and (first.agrees == again.agrees).all()


def test_different_images_do_not_match(cat):
    match = keypoints.match(keypoints.find(cat), keypoints.find(toy.photo(1, 320, 240, specks=200)))
    assert (
        match.transform is None and match.count == 0 and len(match.moving) == len(match.standing) == len(match.agrees)
    )


@pytest.mark.parametrize("pixels", [np.full((60, 80, 3), 9, np.uint8), noise(1, 1)], ids=["flat", "dot"])
def test_picture_without_keypoints_matches_nothing(cat, pixels):
    found = keypoints.find(pixels)
    assert found[0].shape == (0, 2) and found[1].shape == (0, 128)
    for pair in ((found, keypoints.find(cat)), (keypoints.find(cat), found), (keypoints.mirror(found, 80), found)):
        assert keypoints.match(*pair).transform is None


@pytest.mark.parametrize(
    ("shape", "expected"), [((1000, 500), (400, 200)), ((30, 40), (30, 40)), ((1, 4000), (1, 400))]
)
def test_shrunk_image_keeps_its_shape(shape, expected):
    assert keypoints.shrink(np.zeros((*shape, 3), np.uint8), 400).shape == (*expected, 3)

"""Blocks of an image in other orientations."""

import numpy as np
import pytest

from imrec_core.duplicates.block_agreement import orient_blocks, split_blocks
from tests.support import toy


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_oriented_blocks_are_those_of_the_oriented_image(turns, is_mirrored):
    pixels = toy.photo(1, 480, 333, specks=100)
    oriented = np.rot90(pixels[:, ::-1] if is_mirrored else pixels, turns)
    found = orient_blocks(split_blocks(pixels), turns, is_mirrored=is_mirrored)
    assert np.abs(found - split_blocks(oriented)).max() < 1

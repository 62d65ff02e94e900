"""Objects of the imagehash library as queries, and hashes of the lake as such objects."""

from __future__ import annotations

from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from imrec_core import ImageId, Recommender
from imrec_core.errors import QueryError
from tests.support import toy

COMPUTE = {
    "ahash": imagehash.average_hash,
    "dhash": imagehash.dhash,
    "phash": imagehash.phash,
    "whash": imagehash.whash,
    "colorhash": imagehash.colorhash,
}


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    """A lake of small PNGs, whose pixels imagehash sees as imrec does."""
    folder = tmp_path_factory.mktemp("hashes")
    (folder / "photos").mkdir()
    for seed in range(12):
        Image.fromarray(toy.photo(seed, 150 + seed, 110)).save(folder / "photos" / f"{seed:02d}.png")
    lake = toy.new_lake(folder / "lake", [*COMPUTE, "pdq"])
    toy.build(lake)
    return Recommender.open(lake)


def photo(recommender: Recommender, name: str) -> Image.Image:
    return opened(recommender.lake.root.parent / "photos" / name)


def opened(path: str | Path) -> Image.Image:
    with Image.open(path) as image:
        return image.copy()


@pytest.mark.parametrize("feature", COMPUTE)
def test_hashes_of_hits_and_of_files_are_those_of_imagehash(recommender, feature):
    for hit in recommender.search(photo(recommender, "03.png"), by=feature, k=12):
        expected = COMPUTE[feature](opened(hit.path))
        for query in (ImageId(hit.image_id), hit.path, opened(hit.path)):
            found = recommender.image_hash(query, feature)
            assert found == expected
            assert (str(found), found.hash.shape) == (str(expected), expected.hash.shape)


@pytest.mark.parametrize("by", [*COMPUTE, "phash:hamming_dihedral"])
def test_hash_as_query_finds_what_its_image_finds(recommender, by):
    image = photo(recommender, "05.png")
    queried = COMPUTE[by.partition(":")[0]](image)
    by_hash = recommender.search(queried, by=by, k=12)
    by_vector = recommender.search(recommender.vector(image, by.partition(":")[0]), by=by, k=12)
    assert [hit.image_id for hit in by_hash] == [hit.image_id for hit in by_vector]
    assert by_hash[0].path.endswith("05.png") and by_hash[0].score == 1
    if by in COMPUTE:
        distances = [queried - COMPUTE[by](opened(hit.path)) for hit in by_hash]
        assert [hit.parts[by].distance for hit in by_hash] == distances


def test_several_hashes_and_search_each(recommender):
    first, second = (imagehash.phash(photo(recommender, name)) for name in ("01.png", "02.png"))
    liked = recommender.search(like=[first, (second, 0.5)], by="phash", k=12)
    ids = [hit.image_id for hit in recommender.search(like=[first, (second, 0.5)], by="phash", k=12, exact=True)]
    assert [hit.image_id for hit in liked] == ids
    each = list(recommender.search_each([first, second], by="phash", k=1))
    assert [hits[0].path.rpartition("/")[2] for hits in each] == ["01.png", "02.png"]
    with pytest.raises(QueryError, match="the same hash is given twice"):
        recommender.search(like=[first, imagehash.phash(photo(recommender, "01.png"))], by="phash")


def test_vector_of_a_hash_is_the_stored_one(recommender):
    image = photo(recommender, "07.png")
    for feature, compute in COMPUTE.items():
        np.testing.assert_array_equal(
            recommender.vector(compute(image), feature), recommender.vector(image, feature), strict=True
        )


@pytest.mark.parametrize(
    ("make", "by", "complaint"),
    [
        (lambda image: imagehash.phash(image, hash_size=16), "phash", "16×16 bits; phash has 8×8, the default"),
        (imagehash.phash, "colorhash", "8×8 bits; colorhash has 14×3"),
        (imagehash.colorhash, "phash", "14×3 bits; phash has 8×8"),
        (
            lambda image: imagehash.phash(image, hash_size=16),
            "pdq",
            "pdq is not a hash of imagehash; choose one of: ahash",
        ),
        (imagehash.phash, ["phash", "dhash"], "an ImageHash was given for phash, dhash; expected one feature"),
        (imagehash.crop_resistant_hash, "phash", "an ImageMultiHash was given for phash; expected an ImageHash"),
    ],
)
def test_hashes_that_do_not_fit_are_refused(recommender, make, by, complaint):
    with pytest.raises(QueryError, match=complaint):
        recommender.search(make(photo(recommender, "00.png")), by=by)


def test_only_hashes_are_given_out(recommender):
    with pytest.raises(QueryError, match="pdq is not a hash of imagehash; choose one of: ahash, dhash, phash, whash"):
        recommender.image_hash(photo(recommender, "00.png"), "pdq")
    with pytest.raises(QueryError, match="names several features; expected one"):
        recommender.image_hash(photo(recommender, "00.png"), ["phash", "dhash"])

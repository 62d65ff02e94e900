"""SIFT keypoints in one vector: the steps against plain loops, what is learnt, and what the vectors are good for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from imrec_core import FEATURES, ImageBatch
from imrec_core.errors import LakeError
from imrec_core.features import sift_vlad
from imrec_core.images.decode import decode
from tests.support.pictures import disc, encode, gradient, noise, stripes
from tests.support.toy import photo

SIFT_VLAD = FEATURES[sift_vlad.sift_vlad.name]


def wallpaper(seed: int, width: int = 320, height: int = 240) -> np.ndarray:
    """Four motifs of its own, in any order: a picture that its details tell from others, not their places."""
    rng = np.random.default_rng(seed)
    motifs = [noise(24, 24, seed=int(one)) for one in rng.integers(0, 1 << 30, 4)]
    picture = np.full((height, width, 3), 128, np.uint8)
    for y in range(4, height - 24, 32):
        for x in range(4, width - 24, 32):
            picture[y : y + 24, x : x + 24] = motifs[rng.integers(4)]
    return picture


def sample(count: int = 40, first: int = 100, *, batch: int = 8) -> list[ImageBatch]:
    """Photos with a few dozen keypoints each."""
    pictures = [photo(seed, 200, 150, specks=25) for seed in range(first, first + count)]
    return [ImageBatch(pictures[i : i + batch]) for i in range(0, count, batch)]


@pytest.fixture(scope="module")
def learnt():
    return sift_vlad.learn(sample())


@pytest.fixture(scope="module")
def fitted(learnt):
    return learnt[0]


def described(fitted, *pictures: np.ndarray) -> np.ndarray:
    return SIFT_VLAD(ImageBatch(pictures), fitted).astype(np.float32)


def descriptors(seed: int = 1) -> np.ndarray:
    (grey,) = ImageBatch([photo(seed, 200, 150, specks=40)]).grey
    return sift_vlad._sift_descriptors(grey)


def counting(monkeypatch, *counts: int) -> None:
    """Let each picture in turn have that many random keypoints."""
    rng, left = np.random.default_rng(0), iter(counts)
    monkeypatch.setattr(sift_vlad, "_sift_descriptors", lambda grey: rng.integers(0, 99, (next(left), 128), np.uint8))


def blanks(count: int) -> list[ImageBatch]:
    return [ImageBatch([np.zeros((4, 4, 3), np.uint8)] * count)]


# -- the steps ----------------------------------------------------------------------------------------------


def plain_roots(rows: np.ndarray) -> list[np.ndarray]:
    return [np.array([(value / sum(row)) ** 0.5 for value in row]) for row in rows.astype(float)]


def plain_vlad(rows: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    words = np.zeros((64, 128))
    for root in plain_roots(rows):
        nearest = min(range(64), key=lambda w: sum((root - codebook[w]) ** 2))
        words[nearest] += root - codebook[nearest]
    for word in words:
        word[:] = [np.sign(value) * abs(value) ** 0.5 for value in word]
        word /= np.sqrt(sum(word**2)) or 1
    return words.ravel() / np.sqrt((words**2).sum())


def test_keypoints_are_those_of_opencv_at_full_size():
    (grey,) = ImageBatch([photo(1, 200, 150, specks=40)]).grey
    theirs = cv2.SIFT.create(600, nOctaveLayers=2, contrastThreshold=0.02).detectAndCompute(grey, None)[1]
    assert len(theirs) > 30
    np.testing.assert_array_equal(descriptors(), theirs)


def test_root_sift_equals_a_plain_formula():
    rows = descriptors()
    np.testing.assert_allclose(sift_vlad._root_sift(rows), plain_roots(rows), atol=1e-6)


def test_product_of_roots_is_the_hellinger_kernel():
    one, other = sift_vlad._root_sift(descriptors()[:2])
    shares = [row / row.sum() for row in descriptors()[:2].astype(float)]
    assert one @ other == pytest.approx(cv2_bhattacharyya(*shares), abs=1e-5)


def cv2_bhattacharyya(one: np.ndarray, other: np.ndarray) -> float:
    """OpenCV's distance is the root of one minus the kernel."""
    return 1 - cv2.compareHist(one.astype(np.float32), other.astype(np.float32), cv2.HISTCMP_BHATTACHARYYA) ** 2


@pytest.mark.parametrize("seed", range(4))
def test_vlad_equals_plain_loops(fitted, seed):
    rows, codebook = descriptors(seed), fitted["codebook"]
    # The square root near 0 makes much of rounding: of a residual of 1e-8, 1e-4.
    np.testing.assert_allclose(sift_vlad._vlad(rows, codebook), plain_vlad(rows, codebook), atol=1e-3)


def test_every_word_that_is_met_weighs_the_same(fitted):
    words = sift_vlad._vlad(descriptors(), fitted["codebook"]).reshape(64, 128)
    lengths = np.linalg.norm(words, axis=1)
    met = lengths > 0
    assert 1 < met.sum() < 64
    np.testing.assert_allclose(lengths[met], met.sum() ** -0.5, rtol=1e-5)


def test_detail_that_repeats_does_not_outweigh_the_rest(fitted):
    rows = descriptors()
    once = sift_vlad._vlad(rows, fitted["codebook"])
    repeated = sift_vlad._vlad(np.concatenate([rows, *[rows[:1]] * 500]), fitted["codebook"])
    assert once @ repeated > 0.9


def test_vector_is_the_projected_vlad(fitted):
    picture = photo(1, 200, 150, specks=40)
    projected = fitted["axes"].astype(float) @ (plain_vlad(descriptors(), fitted["codebook"]) - fitted["mean"])
    vector = described(fitted, picture)[0]
    np.testing.assert_allclose(vector[:-1], projected / np.linalg.norm(projected), atol=3e-3)
    assert vector[-1] == 0


# -- size ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(3000, 2000), (600, 90), (512, 384)], ids=str)
def test_large_picture_is_described_at_a_bounded_area_in_its_shape(size):
    height, width = sift_vlad._bound_size(np.zeros(size[::-1], np.uint8)).shape
    assert height * width == pytest.approx(256 * 192, rel=0.02)
    assert width / height == pytest.approx(size[0] / size[1], rel=0.02)


def test_small_picture_is_not_scaled():
    grey = noise(200, 150)[..., 0]
    np.testing.assert_array_equal(sift_vlad._bound_size(grey), grey)


@pytest.mark.parametrize("size", [(1, 2_000_000), (2_000_000, 1)], ids=str)
def test_thin_strip_is_bounded_too(size):
    assert max(sift_vlad._bound_size(np.zeros(size, np.uint8)).shape) == 4096


def test_picture_shrunk_while_decoding_has_nearly_the_same_vector(fitted):
    data = encode(photo(1, 1600, 1200, specks=400), "JPEG", quality=95)
    whole, shrunk = decode(data), decode(data, min_side=SIFT_VLAD.min_side)
    assert shrunk.pixels.shape[0] < whole.pixels.shape[0] / 2
    one, other = described(fitted, whole.pixels, shrunk.pixels)
    assert one @ other > 0.9


# -- learning -----------------------------------------------------------------------------------------------


def test_same_pictures_give_the_same_arrays_however_they_are_batched(learnt):
    again = sift_vlad.learn(sample(batch=3))
    assert again[1] == learnt[1]
    for name, array in learnt[0].items():
        np.testing.assert_array_equal(again[0][name], array)


def test_threads_of_the_machine_change_nothing(learnt):
    with threadpool_limits(4):
        again = sift_vlad.learn(sample())[0]
    for name, array in learnt[0].items():
        np.testing.assert_array_equal(again[name], array)


def test_learnt_arrays_have_their_shapes_and_facts(learnt):
    arrays, facts = learnt
    assert {name: array.shape for name, array in arrays.items()} == {
        "codebook": (64, 128),
        "mean": (8192,),
        "axes": (255, 8192),
    }
    assert all(array.dtype == np.float32 for array in arrays.values())
    curve = facts["curves"]["variance kept"]
    assert len(curve["x"]) == len(curve["y"]) == 39 and curve["y"] == sorted(curve["y"])
    assert curve["y"][-1] == pytest.approx(facts["variance_kept"]) == pytest.approx(1)
    assert facts["images"] == 40 and 0 < facts["inertia"] < 2
    assert facts["descriptors"] == sum(
        len(sift_vlad._sift_descriptors(grey)) for batch in sample() for grey in batch.grey
    )


def test_axes_are_principal_and_those_beyond_the_sample_zero(learnt):
    arrays, facts = learnt
    greys = [grey for batch in sample() for grey in batch.grey]
    vectors = np.array(
        [sift_vlad._vlad(sift_vlad._sift_descriptors(grey), arrays["codebook"]) for grey in greys], np.float64
    )
    np.testing.assert_allclose(arrays["mean"], vectors.mean(axis=0), atol=1e-6)
    variances = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False)[:39] ** 2
    found = ((vectors - vectors.mean(axis=0)) @ arrays["axes"][:39].T.astype(float)) ** 2
    np.testing.assert_allclose(found.sum(axis=0), variances, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(arrays["axes"][:39], axis=1), 1, atol=1e-3)
    assert not arrays["axes"][39:].any()
    shares = np.diff(facts["curves"]["variance kept"]["y"], prepend=0)
    np.testing.assert_allclose(shares, variances / variances.sum(), atol=1e-5)


def test_words_are_where_descriptors_are(learnt):
    rng = np.random.default_rng(0)
    roots = np.concatenate(
        [sift_vlad._root_sift(sift_vlad._sift_descriptors(grey)) for batch in sample() for grey in batch.grey]
    )
    nearest = [
        ((roots[:, None] - words) ** 2).sum(-1).min(1).mean()
        for words in (learnt[0]["codebook"], roots[rng.permutation(len(roots))[:64]])
    ]
    assert nearest[0] < 0.9 * nearest[1]
    assert nearest[0] == pytest.approx(learnt[1]["inertia"], rel=0.01)


def test_blank_pictures_are_counted_and_left_out_of_the_sample(learnt):
    arrays, facts = sift_vlad.learn([*blanks(3), *sample()])
    assert facts["images"] == 40 and facts["images_without_keypoints"] == 3
    np.testing.assert_array_equal(arrays["axes"], learnt[0]["axes"])


def test_too_few_images_are_an_error(monkeypatch):
    counting(monkeypatch, *[50] * 31, 0)
    with pytest.raises(LakeError, match="needs 32 images with keypoints for its fit; found 31, and 1 without; add"):
        sift_vlad.learn(blanks(32))


def test_too_few_keypoints_are_an_error(monkeypatch):
    counting(monkeypatch, *[19] * 32)
    with pytest.raises(LakeError, match="needs 640 keypoints for its fit; found 608 in 32 images; add"):
        sift_vlad.learn(blanks(32))


def test_images_that_are_all_alike_are_an_error():
    with pytest.raises(LakeError, match="needs different images for its fit; all 32 are equal"):
        sift_vlad._fit_axes(np.ones((32, 8192), np.float32))


def test_crowd_of_keypoints_is_bounded_in_memory(monkeypatch):
    counting(monkeypatch, 5000, *[600] * 31)
    assert [len(rows) for rows in sift_vlad._sample_descriptors(blanks(32))[0]] == [600] * 32
    seen: list[int] = []
    roots = sift_vlad._root_sift
    monkeypatch.setattr(sift_vlad, "_root_sift", lambda rows: seen.append(len(rows)) or roots(rows))
    sift_vlad._fit_codebook([np.random.default_rng(i).integers(0, 99, (600, 128), np.uint8) for i in range(32)])
    assert seen == [32 * 100]


# -- the feature --------------------------------------------------------------------------------------------

BLANK = np.eye(256, dtype=np.float32)[-1]


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (200, 200), (1, 70_000)], ids=str)
def test_picture_without_keypoints_has_the_vector_that_says_so(fitted, size):
    solid = [np.full((*size, 3), value, np.uint8) for value in (0, 127, 255)]
    vectors, columns = SIFT_VLAD.extract(ImageBatch(solid), fitted)
    np.testing.assert_array_equal(vectors, np.tile(BLANK, (3, 1)))
    assert columns["keypoints"].tolist() == [0, 0, 0] and columns["keypoints"].dtype == np.uint16


def test_picture_without_keypoints_is_far_from_all_that_have_some(fitted):
    vectors = described(fitted, *[photo(seed, specks=20) for seed in range(8)])
    blank = described(fitted, np.zeros((50, 50, 3), np.uint8))[0]
    np.testing.assert_array_equal(SIFT_VLAD.metric(blank, vectors), 1)


def test_vector_that_the_axes_do_not_reach_is_finite_and_of_length_1(fitted):
    unreached = fitted | {"axes": np.zeros_like(fitted["axes"])}
    vectors, columns = SIFT_VLAD.extract(ImageBatch([photo(1, specks=20)]), unreached)
    np.testing.assert_array_equal(vectors[0], BLANK)
    assert columns["keypoints"][0] > 0


def test_column_says_how_many_keypoints_were_used(fitted):
    columns = SIFT_VLAD.extract(ImageBatch([photo(1, 200, 150, specks=40), disc(40, 30)]), fitted)[1]
    assert columns["keypoints"].tolist() == [
        len(descriptors()),
        len(sift_vlad._sift_descriptors(ImageBatch([disc(40, 30)]).grey[0])),
    ]


def test_row_depends_on_its_picture_alone(fitted):
    drawn = [noise(300, 200), gradient(80, 60), np.zeros((9, 9, 3), np.uint8), stripes(120, 90), photo(3, 400, 300, 60)]
    drawn += [photo(seed, 150 + seed, 120, specks=30) for seed in range(20)]
    alone = np.concatenate([sift_vlad.sift_vlad.compute(ImageBatch([picture]), fitted)[0] for picture in drawn])
    together = sift_vlad.sift_vlad.compute(ImageBatch(drawn), fitted)[0]
    backwards = sift_vlad.sift_vlad.compute(ImageBatch(drawn[::-1]), fitted)[0][::-1]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(backwards, alone)


EDITS = {
    "turned": lambda picture: np.rot90(picture).copy(),
    "upside down": lambda picture: picture[::-1, ::-1].copy(),
    "cropped": lambda picture: picture[30:200, 40:270].copy(),
    "cropped and turned": lambda picture: np.rot90(picture[20:190, 60:300], 3).copy(),
    "darker": lambda picture: (picture * 0.6).astype(np.uint8),
    "smaller": lambda picture: cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
}


@pytest.fixture(scope="module")
def papers():
    """Twelve pictures, and what was learnt from them and forty others, as a lake does."""
    pictures = [wallpaper(seed) for seed in range(52)]
    return pictures[:12], sift_vlad.learn([ImageBatch(pictures)])[0]


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edited_copy_is_nearest_to_its_original(papers, edit):
    pictures, arrays = papers
    vectors, copies = described(arrays, *pictures), described(arrays, *map(edit, pictures))
    for metric in SIFT_VLAD.metrics:
        assert [int(metric(copy, vectors).argmin()) for copy in copies] == list(range(12))


def test_threads_of_opencv_change_nothing(fitted):
    before = cv2.getNumThreads()
    try:
        made = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            made.append(described(fitted, *[photo(seed, 400, 300, specks=60) for seed in range(4)]))
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(*made)

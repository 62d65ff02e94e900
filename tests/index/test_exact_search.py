"""Exact search in blocks gives the results of a plain loop over all rows."""

from __future__ import annotations

import numpy as np
import pytest

from imrec_core import FEATURES, METRICS, Metric
from imrec_core.features import metrics
from imrec_core.index import exact_search

USED = sorted({(m.name, f.dtype) for f in FEATURES.values() for m in f.metrics} | {("dot", "float32")})
NEEDLESS = {"hellinger": 5e-4}  # the root of what rounding leaves of 0
NUMKONG = ("cosine", "euclidean", "dot")


def vectors(dtype: str, count: int, *, width: int = 24, ties: bool = True) -> np.ndarray:
    """Distributions, which every metric takes, or hashes; many rows are there more than once."""
    rng = np.random.default_rng(11)
    different = max(1, count // 3) if ties else count
    made = (
        rng.integers(0, 2**64, (different, 2), dtype=np.uint64)
        if dtype == "uint64"
        else rng.dirichlet(np.full(width, 0.3), size=different).astype(dtype)
    )
    return made[rng.integers(0, different, count)] if ties else made


def in_blocks(monkeypatch, matrix: np.ndarray, of_rows: int) -> None:
    monkeypatch.setattr(exact_search, "BLOCK_BYTES", 4 * matrix.shape[1] * of_rows)


def plain(metric: Metric, queries: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Each query with each row, without any other."""
    found = [[metric(query, matrix[i : i + 1])[0] for i in range(len(matrix))] for query in queries]
    return np.array(found, np.float32).reshape(len(queries), len(matrix))


def some_rows(count: int) -> list[np.ndarray | None]:
    rng = np.random.default_rng(5)
    picked = np.flatnonzero(rng.random(count) < 0.4)
    return [None, picked, np.arange(count), picked[:1], picked[:0]]


# -- blocks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_bytes", [1, 96, 1000, 9600, 10**9])
def test_blocks_hold_every_row_once_and_in_order(monkeypatch, block_bytes):
    monkeypatch.setattr(exact_search, "BLOCK_BYTES", block_bytes)
    matrix = vectors("float32", 101)
    for rows in some_rows(101):
        of_all = np.arange(101) if rows is None else rows
        places = np.zeros(len(of_all), int)
        for part, block in exact_search.blocks(matrix, rows):
            assert block.nbytes <= max(block_bytes, matrix[0].nbytes)
            np.testing.assert_array_equal(block, matrix[of_all[part]])
            places[part] += 1
        assert (places == 1).all()


def test_blocks_of_all_rows_are_views():
    matrix = vectors("float32", 50)
    for rows in (None, np.arange(50)):
        assert all(np.shares_memory(block, matrix) for _, block in exact_search.blocks(matrix, rows))


# -- distances and nearest ----------------------------------------------------------------------------------


@pytest.mark.parametrize("of_rows", [1, 7, 1000])
@pytest.mark.parametrize(("name", "dtype"), USED)
def test_results_are_those_of_a_loop(monkeypatch, name, dtype, of_rows):
    metric, matrix = METRICS[name], vectors(dtype, 41)
    in_blocks(monkeypatch, matrix, of_rows)
    queries = matrix[[3, 17, 30]]
    every = plain(metric, queries, matrix)
    for rows in some_rows(41):
        expected = every if rows is None else every[:, rows]
        found = exact_search.distances(metric, queries, matrix, rows)
        assert found.dtype == np.float32 and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=NEEDLESS.get(name, 1e-6))
        for count in (1, 5, 40, 41, 60):
            nearest = exact_search.nearest(metric, queries, matrix, count, rows)
            assert nearest.shape == (3, min(count, expected.shape[1]))
            for near, of_one in zip(nearest, found, strict=True):
                numbers = np.arange(41) if rows is None else rows
                np.testing.assert_array_equal(near, numbers[np.argsort(of_one, kind="stable")[:count]])


@pytest.mark.parametrize("name", ["cosine", "hamming"])
def test_matrix_without_rows_and_with_one(name):
    metric = METRICS[name]
    for count in (0, 1):
        matrix = vectors("uint64" if name == "hamming" else "float16", 1)[:count]
        query = vectors("uint64" if name == "hamming" else "float16", 2)[1:]
        assert exact_search.distances(metric, query, matrix).shape == (1, count)
        assert exact_search.nearest(metric, query, matrix, 3).tolist() == [list(range(count))]


@pytest.mark.parametrize("count", [1, metrics._MANY - 1, metrics._MANY, 40])
@pytest.mark.parametrize(("name", "dtype"), USED)
def test_batch_of_queries_equals_single_queries(name, dtype, count):
    metric, matrix = METRICS[name], vectors(dtype, 60, ties=False)
    if dtype != "uint64":
        matrix[7] = 0
    found = metric.of_many(matrix[:count], matrix)
    alone = np.stack([metric(query, matrix) for query in matrix[:count]])
    assert found.dtype == np.float32 and found.shape == (count, 60) and np.isfinite(found).all()
    np.testing.assert_allclose(found, alone, rtol=1e-5, atol=NEEDLESS.get(name, 1e-6))


def test_many_queries_are_one_matrix_product_and_few_are_not(monkeypatch):
    matrix = vectors("float32", 20)
    asked: list[int] = []

    def finish(products: np.ndarray) -> np.ndarray:
        asked.append(len(products))
        return 1 - products

    by_product = metrics.ByProduct(lambda v: v, finish)
    metric = Metric("dot", "", METRICS["dot"].distance, by_product=by_product)
    for count in (1, metrics._MANY - 1, metrics._MANY, metrics._MANY + 5):
        metric.of_many(matrix[:count], matrix)
    assert asked == [metrics._MANY, metrics._MANY + 5]


# -- the smallest -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_smallest_equals_the_head_of_a_full_sort(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 80))
    few = int(rng.integers(1, 6))  # so that many are equal
    keys = [rng.integers(-few, few, count).astype(np.float32) for _ in range(rng.integers(1, 4))]
    order = np.lexsort([np.arange(count), *keys[::-1]])
    for wanted in (1, 2, count // 2 + 1, count, count + 9):
        np.testing.assert_array_equal(exact_search.smallest(wanted, *keys), order[:wanted])


# -- what numkong compares ----------------------------------------------------------------------------------


def normal(count: int, width: int, scale: float, dtype: str) -> np.ndarray:
    drawn = np.random.default_rng(width).normal(size=(count, width)).clip(-2, 2) * scale
    return drawn.astype(np.float16).astype(dtype)  # numbers that both types hold


@pytest.mark.parametrize("scale", [1e-3, 1, 30_000])
@pytest.mark.parametrize("width", [1, 3, 16, 63, 500, 1280])
@pytest.mark.parametrize("name", NUMKONG)
def test_float16_and_float32_distances_equal_plain_numpy(name, width, scale):
    half, single, exact = (normal(40, width, scale, dtype) for dtype in ("float16", "float32", "float64"))
    lengths = np.linalg.norm(exact, axis=1)
    expected = {
        "cosine": 1 - exact @ exact[0] / np.maximum(lengths * lengths[0], 1e-30),
        "euclidean": np.linalg.norm(exact - exact[0], axis=1),
        "dot": 1 - exact @ exact[0],
    }[name]
    rounding = {"cosine": 1, "euclidean": lengths[0], "dot": max(1, (lengths * lengths[0]).max())}[name]
    for matrix in (half, single):
        np.testing.assert_allclose(METRICS[name](matrix[0], matrix), expected, rtol=1e-6, atol=1e-6 * rounding)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", ["cosine", "euclidean"])
def test_copy_has_distance_0(name, dtype):
    for width in (1, 2, 9, 64, 233, 510, 1280):
        for scale in (1e-3, 1, 200, 30_000):
            matrix = normal(20, width, scale, dtype) / np.array(3, dtype)  # numbers that no short sum holds
            twice = np.concatenate([matrix, matrix])
            for i in range(20):
                assert METRICS[name](matrix[i], twice)[[i, i + 20]].tolist() == [0, 0]


def test_cosine_ignores_length():
    matrix = normal(30, 200, 1, "float32")
    assert METRICS["cosine"](matrix[3], matrix * np.float32(7))[3] == 0
    np.testing.assert_allclose(METRICS["cosine"](matrix[3], -matrix)[3], 2, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_zero_vectors_have_cosine_distance_1(dtype):
    matrix = np.ones((4, 8), dtype)
    matrix[2] = 0
    for queries in (matrix[:3], np.repeat(matrix[:3], 5, axis=0)):
        found = METRICS["cosine"].of_many(queries, matrix)
        assert found[0].tolist() == [0, 0, 1, 0] and found[-1].tolist() == [1, 1, 1, 1]
    assert METRICS["euclidean"](matrix[2], matrix) == pytest.approx([8**0.5, 8**0.5, 0, 8**0.5])
    assert METRICS["dot"](matrix[2], matrix).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("name", NUMKONG)
def test_values_at_the_limits_of_float16_are_compared(name):
    limit = float(np.finfo(np.float16).max)
    matrix = np.array([[limit] * 70, [-limit] * 70, [limit] + [0] * 69, [6e-8] * 70], np.float16)
    exact = matrix.astype(np.float64)
    expected = {
        "cosine": 1 - exact @ exact[0] / np.linalg.norm(exact, axis=1) / np.linalg.norm(exact[0]),
        "euclidean": np.linalg.norm(exact - exact[0], axis=1),
        "dot": 1 - exact @ exact[0],
    }[name]
    for dtype in ("float16", "float32"):
        found = METRICS[name](matrix[0].astype(dtype), matrix.astype(dtype))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_distances_of_huge_values_do_not_overflow():
    matrix = np.array([[1e25, 0], [0, 1e25]], np.float32)
    assert METRICS["cosine"](matrix[0], matrix).tolist() == [0, 1]
    assert METRICS["euclidean"](matrix[0], matrix) == pytest.approx([0, 2**0.5 * 1e25])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
@pytest.mark.parametrize("name", NUMKONG)
def test_memory_layout_does_not_matter(name, dtype):
    matrix = (np.arange(60).reshape(6, 10) % 7).astype(dtype)
    expected = METRICS[name](matrix[1], matrix)
    twice = np.repeat(matrix, 2, axis=1)
    ways = [np.asfortranarray(matrix), twice[:, ::2], np.repeat(matrix, 3, axis=0)[::3], matrix[::-1][::-1]]
    for other in ways:
        np.testing.assert_array_equal(other, matrix)
        np.testing.assert_allclose(METRICS[name](other[1], other), expected, rtol=1e-6)
    np.testing.assert_allclose(METRICS[name](matrix[1].astype(np.float64), matrix), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", NUMKONG)
def test_empty_gallery_has_no_distances(name, dtype):
    found = METRICS[name](np.ones(5, dtype), np.ones((0, 5), dtype))
    assert found.shape == (0,) and found.dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", NUMKONG)
def test_results_do_not_depend_on_the_number_of_threads(monkeypatch, name, dtype):
    matrix = normal(501, 33, 1, dtype)
    alone = METRICS[name](matrix[4], matrix)
    asked: list[int] = []
    cdist = metrics.numkong.cdist

    def counted(*of: object, threads: int, **how: object) -> object:
        asked.append(threads)
        return cdist(*of, threads=threads, **how)

    monkeypatch.setattr(metrics, "_LARGE", 1000)
    monkeypatch.setattr(metrics, "cpu_count", lambda: 3)
    monkeypatch.setattr(metrics.numkong, "cdist", counted)
    np.testing.assert_array_equal(METRICS[name](matrix[4], matrix), alone)
    assert asked == [3]


@pytest.mark.parametrize("words", [1, 2, 4, 16])
def test_hamming_distance_counts_the_bits_of_all_words(words):
    hashes = np.random.default_rng(words).integers(0, 2**64, (50, words), dtype=np.uint64)
    hashes[1] = ~hashes[0]
    bits = np.unpackbits(hashes.view(np.uint8), axis=1)
    found = METRICS["hamming"](hashes[0], hashes)
    assert found.tolist() == (bits != bits[0]).sum(axis=1).tolist()
    assert found[1] == 64 * words


def test_hellinger_distances_of_half_floats_are_those_of_the_same_numbers_in_float32(monkeypatch):
    monkeypatch.setattr(metrics, "_ROOTS", 7)
    halves = vectors("float16", 40, ties=False)
    found, expected = (METRICS["hellinger"](some[3], some) for some in (halves, halves.astype(np.float32)))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[3] == expected[3] == 0


@pytest.mark.parametrize("of_rows", [1, 7, 100])
@pytest.mark.parametrize("count", [1, 5, 200])
def test_nearest_by_a_distance_equals_a_stable_sort(monkeypatch, count, of_rows):
    matrix = vectors("uint64", 101)
    in_blocks(monkeypatch, matrix, of_rows)
    is_removed = np.random.default_rng(1).random(101) < 0.2
    for rows in some_rows(101):
        of_all = np.arange(101) if rows is None else rows
        distances = np.where(is_removed[of_all], np.inf, METRICS["hamming"](matrix[4], matrix[of_all]))
        expected = of_all[np.argsort(distances, kind="stable")[:count]]
        found = exact_search.nearest_by(
            lambda block: METRICS["hamming"](matrix[4], block), matrix, count, rows, is_removed
        )
        np.testing.assert_array_equal(found, expected)

"""Opening generations, with the previous one instead of a damaged one; exact search and filters."""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from imrec_core import FEATURES, METRICS, Lake, Recommender
from imrec_core.errors import BadFilter, LakeError, MissingTable, QueryError, StaleIndex, UnknownName
from imrec_core.index import exact_search, row_table
from imrec_core.index.build import IndexParams, build_generation
from imrec_core.index.generation import Generation
from imrec_core.index.manifest import FORMAT, HnswIndexInfo
from imrec_core.index.opening import open_generation
from imrec_core.sql import row_filter as sql_filter
from imrec_core.sql.policy import SqlPolicy
from imrec_core.sql.row_filter import RowFilter
from tests.support.toy import build, edit_manifest, set_to

TWO = ("rgb_histogram", "phash")


@pytest.fixture
def lake(new_lake) -> Lake:
    """A lake with two generations, 000001 and 000002."""
    lake = new_lake(5, TWO)
    build_generation(lake, IndexParams(m=9))
    return lake


def damage(lake: Lake, generation: str, name: str, how: str) -> None:
    path = lake.generation_path(generation) / name
    if how == "missing":
        path.unlink()
    elif how == "short":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.write_bytes(b"")


# -- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["missing", "short", "empty"])
@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow", "phash.npy", "generation.json"])
def test_damaged_generation_is_replaced_by_the_previous_one(lake, caplog, name, how):
    damage(lake, "000002", name, how)
    with caplog.at_level(logging.WARNING, "imrec_core.index.generation"):
        assert open_generation(lake).id == "000001"
    assert name in caplog.text and "using generation 000001 instead" in caplog.text
    assert len(Recommender.open(lake).search(lake.root.parent / "photos" / "photo_001.jpg", with_self=True)) == 5


@pytest.mark.parametrize("name", ["phash.npy", "generation.json"])
def test_next_build_repairs_a_damaged_generation(lake, name):
    damage(lake, "000002", name, "missing")
    report = build_generation(lake, IndexParams(m=9))
    assert report.built and report.id == "000003"
    assert open_generation(lake).id == "000003"


def test_missing_generation_is_replaced_by_the_previous_one(lake):
    shutil.rmtree(lake.generation_path("000002"))
    assert open_generation(lake).id == "000001"
    assert build_generation(lake, IndexParams(m=9)).built


def test_two_damaged_generations_are_an_error_that_names_the_file(lake):
    damage(lake, "000002", "phash.npy", "short")
    damage(lake, "000001", "rows.parquet", "missing")
    with pytest.raises(StaleIndex, match=r"generation 000002: phash.npy has \d+ bytes, expected .*imrec build"):
        open_generation(lake)


def test_opened_generation_is_immutable(lake):
    generation = open_generation(lake)
    (name, graph), *_ = generation.graphs.items()
    for known in (generation.graphs, generation.features, generation.facts):
        with pytest.raises(TypeError, match="does not support item assignment"):
            known[name] = graph
    other = generation.with_graphs({name: replace(graph, ef=7)})
    assert other.graphs[name].ef == 7 and generation.graphs[name] == graph and other.id == generation.id


def test_manifest_names_graphs_as_older_versions_do(lake):
    generation = open_generation(lake)
    for name, stored in generation.facts["graphs"].items():
        assert HnswIndexInfo.from_dict(stored) == generation.graphs[name] == replace(generation.graphs[name])
        assert list(stored.items()) == list(generation.graphs[name].to_dict().items()) and stored["tail"] == 0
        before_tails = {key: value for key, value in stored.items() if key != "tail"}
        assert HnswIndexInfo.from_dict(before_tails) == generation.graphs[name]


def test_undamaged_generation_is_opened_without_a_warning(lake, caplog):
    assert open_generation(lake).id == "000002"
    assert not caplog.records


def test_errors_of_a_lake_without_generation_and_of_a_missing_lake_name_the_command(new_lake, tmp_path):
    lake = new_lake(1, TWO, built=False)
    with pytest.raises(MissingTable, match="has no generation yet; run: imrec build"):
        open_generation(lake)
    with pytest.raises(MissingTable, match=r"there is no lake at .*imrec build FOLDER"):
        Recommender.open(tmp_path / "nowhere")


def test_generation_of_another_format_is_refused(lake):
    edit_manifest(lake, "000002", lambda facts: facts | {"format": 99})
    with pytest.raises(StaleIndex, match=f"000002 has format 99, this imrec reads {FORMAT}"):
        Generation(lake.generation_path("000002"))
    assert build_generation(lake, IndexParams(m=9)).id == "000003"


@pytest.fixture
def declared_in_order():
    """What is taken out of the declarations and put back would come last among them, in tables too."""
    saved = dict(FEATURES)
    yield
    FEATURES.clear()
    FEATURES.update(saved)


@pytest.mark.usefixtures("declared_in_order")
def test_unknown_stored_feature_does_not_prevent_a_new_build(lake, monkeypatch):
    set_to(lake, features=("rgb_histogram",))
    monkeypatch.delitem(FEATURES, "phash")
    generation = open_generation(lake)
    assert generation.id == "000002" and list(generation.features) == ["rgb_histogram"]
    assert build(lake).features == ("rgb_histogram",)


def test_feature_with_changed_declaration_is_left_out(lake, monkeypatch):
    monkeypatch.setitem(FEATURES, "rgb_histogram", replace(FEATURES["rgb_histogram"], version=99))
    photo = lake.root.parent / "photos" / "photo_001.jpg"
    recommender = Recommender.open(lake)
    generation = recommender.generation
    assert (list(generation.features), generation.outdated, generation.graphs) == (["phash"], ("rgb_histogram",), {})
    assert list(recommender.search(photo)[0].parts) == ["phash"]
    with pytest.raises(
        StaleIndex, match="declaration of feature 'rgb_histogram' changed since generation 000002; run: imrec b"
    ):
        recommender.search(photo, by="rgb_histogram")
    assert build(lake).features == TWO
    assert recommender.search(photo, by="rgb_histogram").generation == "000003"


def test_generation_without_any_current_declaration_is_an_error(lake, monkeypatch):
    for name in TWO:
        monkeypatch.setitem(FEATURES, name, replace(FEATURES[name], version=99))
    recommender = Recommender.open(lake)
    with pytest.raises(StaleIndex, match="declarations of all features changed since generation 000002; run: imrec b"):
        recommender.search(lake.root.parent / "photos" / "photo_001.jpg")


def test_feature_with_changed_declaration_of_its_base_is_left_out(new_lake):
    def set_levels(levels: list[int]) -> None:
        less = {"base": "mine", "dims": 3}
        set_to(lake, histograms={"mine": {"levels": levels}}, projections={"less": less}, combined={"mix": mix})

    mix = {"less": 1, "phash": 1}
    lake = new_lake(6, ("phash",), built=False)
    set_levels([8, 2, 2])
    assert build(lake).features == ("phash", "mine", "less", "mix")
    set_levels([2, 8, 2])  # as many numbers, of another meaning
    assert list(open_generation(lake).features) == ["phash"]
    set_levels([8, 2, 2])
    assert list(open_generation(lake).features) == ["phash", "mine", "less", "mix"]


def test_lake_without_configured_features_is_searched_by_stored_ones(lake):
    set_to(lake, features=())
    photo = lake.root.parent / "photos" / "photo_001.jpg"
    assert Recommender.open(lake).search(photo, with_self=True)[0].path == str(photo)


# -- rows ---------------------------------------------------------------------------------------------------


def test_row_of_an_image_is_found_by_its_id(toy_lake):
    generation = open_generation(toy_lake)
    ids = generation.rows["image_id"].to_pylist()
    assert [generation.row_of(image_id) for image_id in ids] == list(range(len(ids)))


def test_columns_are_single_chunks_and_equal_the_rows(lake, monkeypatch):
    monkeypatch.setattr(row_table, "_BATCH_ROWS", 2)
    generation = open_generation(lake)
    for names in (["path"], ["row", "path", "width"], ["row"]):
        columns = generation.columns(*names)
        assert columns.equals(generation.rows.select(names)) and len(columns) == 5
        assert [columns[name].num_chunks for name in names] == [1] * len(names)


@pytest.mark.parametrize("identity", ["0" * 16, "f" * 16, "f" * 40, "no id", "", "-1"])
def test_unknown_id_is_an_error(toy_lake, identity):
    with pytest.raises(QueryError, match=r"no image|invalid image_id"):
        open_generation(toy_lake).row_of(identity)


def test_unknown_feature_suggests_the_nearest(toy_lake):
    with pytest.raises(UnknownName, match="did you mean 'rgb_histogram'"):
        open_generation(toy_lake).feature("rgb_histogramm")


# -- scan ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("among", [None, [0], [3, 4, 20, 21, 22, 50], []])
@pytest.mark.parametrize("count", [1, 7, 1000])
@pytest.mark.parametrize("name", ["efficientnet_lite0", "rgb_histogram", "phash"])
def test_exact_nearest_is_a_stable_sort_by_distance(toy_lake, monkeypatch, name, count, among):
    monkeypatch.setattr(exact_search, "BLOCK_BYTES", 4 * 10 * FEATURES[name].width)  # so that several blocks are merged
    generation, metric = open_generation(toy_lake), FEATURES[name].metric
    matrix = np.asarray(generation.matrix(name))
    rows = np.arange(len(matrix)) if among is None else np.array(among, dtype=np.int64)
    queries = matrix[[5, 40]]
    found = generation.exact_nearest(name, metric, queries, count, None if among is None else rows)
    plain = [rows[np.argsort(metric(query, matrix[rows]), kind="stable")][:count] for query in queries]
    gallery = matrix.astype(np.float32) if matrix.dtype != np.uint64 else matrix
    assert found.shape == (2, min(count, len(rows)))
    for query, ours, theirs in zip(queries, found, plain, strict=True):
        np.testing.assert_allclose(metric(query, gallery[ours]), metric(query, gallery[theirs]), atol=1e-5)
        if name == "phash":  # whole numbers: ties are exact, and in row order
            np.testing.assert_array_equal(ours, theirs)


def test_exact_nearest_returns_ties_in_row_order(toy_lake, monkeypatch):
    generation = open_generation(toy_lake)
    monkeypatch.setitem(generation._matrices, "phash", np.zeros((500, 1), np.uint64))
    found = generation.exact_nearest("phash", METRICS["hamming"], np.zeros((1, 1), np.uint64), 12)
    assert found.tolist() == [list(range(12))]


def test_graph_nearest_returns_the_rows_of_exact_nearest(toy_lake):
    generation = open_generation(toy_lake)
    for name in generation.graphs:
        feature, metric = name.split(":")
        vector = np.array(generation.matrix(feature)[7])
        exact = generation.exact_nearest(feature, METRICS[metric], vector[None], 5)[0]
        found = generation.graph_nearest(name, vector, 5)
        distances = [METRICS[metric](vector, generation.matrix(feature)[rows]) for rows in (found, exact)]
        np.testing.assert_allclose(*distances, atol=1e-6)


# -- filter -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def row_filter(toy_lake) -> RowFilter:
    return RowFilter(open_generation(toy_lake).rows_path)


@pytest.mark.parametrize(
    ("where", "keeps"),
    [
        ("true", lambda row: True),
        ("1 = 0", lambda row: False),
        ("width >= 320 AND source = 'photos'", lambda row: row["width"] >= 320),
        ("path LIKE 'drawn/%' OR row < 3", lambda row: row["path"].startswith("drawn/") or row["row"] < 3),
        ("format IN ('PNG', 'GIF')", lambda row: row["format"] in ("PNG", "GIF")),
        ("row IN (SELECT max(row) FROM rows)", lambda row: row["path"] == "photo_039.jpg"),
        ("width > height -- wide ones", lambda row: row["width"] > row["height"]),
    ],
)
def test_filter_returns_the_rows_that_satisfy_the_condition(toy_lake, row_filter, where, keeps):
    rows = open_generation(toy_lake).rows.to_pylist()
    assert row_filter.rows(where, SqlPolicy.TRUSTED).tolist() == [row["row"] for row in rows if keeps(row)]


def test_filter_that_is_loaded_in_parts_has_the_same_rows(toy_lake, row_filter, monkeypatch):
    monkeypatch.setattr(sql_filter, "ROW_GROUP", 7)
    in_parts = RowFilter(open_generation(toy_lake).rows_path)
    for where in ("true", "width >= 320"):
        assert in_parts.rows(where, SqlPolicy.TRUSTED).tolist() == row_filter.rows(where, SqlPolicy.TRUSTED).tolist()
    assert [in_parts.row(row) for row in range(20)] == [row_filter.row(row) for row in range(20)]


@pytest.mark.parametrize(
    "where",
    [
        "widht > 3",
        "width >",
        " ",
        "path > 3 AND CAST(path AS INT) > 3",
        "true; DROP TABLE rows",
        "true); DELETE FROM rows; --",
        "EXISTS (SELECT * FROM read_csv('/etc/passwd'))",
        "EXISTS (SELECT * FROM '/etc/passwd')",
        "(SELECT content FROM read_text('/etc/hostname')) <> ''",
        "EXISTS (SELECT * FROM glob('/*'))",
        "EXISTS (SELECT * FROM secret)",
    ],
)
def test_invalid_filter_is_an_error_that_lists_the_columns(row_filter, where):
    import polars

    secret = polars.DataFrame({"a": [1]})  # DuckDB reads Python variables unless this is disabled
    with pytest.raises(BadFilter, match=r"where: .*columns: row, image_id, source, path"):
        row_filter.rows(where, SqlPolicy.TRUSTED)
    assert len(secret) and len(row_filter.rows("true", SqlPolicy.TRUSTED)) == 56


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("widht > 3", "where: no column named 'widht'; did you mean 'width'? (columns: row, image_id,"),
        ("width > 3 AND smell = 'rose'", "where: no column named 'smell' (columns: row, image_id,"),
    ],
)
def test_unknown_column_is_named_with_a_suggestion(row_filter, where, words):
    with pytest.raises(BadFilter, match=f"^{re.escape(words)}"):
        row_filter.rows(where, SqlPolicy.TRUSTED)


def test_filter_cannot_write_a_file(row_filter, tmp_path):
    target = tmp_path / "stolen.csv"
    for where in (f"true; COPY rows TO '{target}'", f"EXISTS (COPY rows TO '{target}')"):
        with pytest.raises(BadFilter):
            row_filter.rows(where, SqlPolicy.TRUSTED)
    assert not target.exists()


def test_bad_filter_is_not_a_lake_error(row_filter):
    with pytest.raises(BadFilter) as caught:
        row_filter.rows("nonsense", SqlPolicy.TRUSTED)
    assert not isinstance(caught.value, LakeError)

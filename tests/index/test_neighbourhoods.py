"""Averages of neighbourhoods: of rows when a generation is built and extended, and of queries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imrec_core import ImageId, Recommender
from imrec_core.errors import BadSettings, QueryError
from imrec_core.features import generation_features, known_features
from imrec_core.features.metrics import l2_normalise
from imrec_core.index import neighbourhoods
from imrec_core.index.build import build_generation
from imrec_core.index.manifest import declaration_of, feature_record
from imrec_core.index.neighbourhoods import average
from imrec_core.lake.settings import QUALITIES
from tests.support import toy
from tests.support.toy import ids, set_to, vector_lake

NETWORK = "efficientnet_lite0"
AVERAGED = f"{NETWORK}_neighbours"
OPTIONS = {NETWORK: {"neighbourhood": 3}}


def plain_average(vectors: np.ndarray, row: int, count: int) -> np.ndarray:
    """Average a row as the papers say, without graph and blocks."""
    similarity = l2_normalise(vectors) @ l2_normalise(vectors[row])
    order = [other for other in np.argsort(-similarity, kind="stable") if other != row][:count]
    return l2_normalise(vectors[row] + (np.clip(similarity[order], 0, None) ** 3) @ vectors[order])


@pytest.fixture
def embedded(tmp_path: Path):
    rng = np.random.default_rng(4)
    centres = np.abs(rng.normal(size=(12, 1280)))
    vectors = l2_normalise(centres[np.arange(90) % 12] + np.abs(rng.normal(size=(90, 1280))) / 4)
    lake = vector_lake(tmp_path / "lake", {NETWORK: vectors}, shard_size=30)
    set_to(lake, model_options=OPTIONS)
    return lake


@pytest.mark.parametrize("scanned", [0, 5000])
def test_each_row_is_averaged_with_its_nearest(embedded, monkeypatch, scanned):
    monkeypatch.setattr(neighbourhoods, "_SCANNED", scanned)  # 0: the graph finds the nearest
    build_generation(embedded)
    generation = Recommender.open(embedded).generation
    vectors = np.asarray(generation.matrix(NETWORK), np.float32)
    expected = np.stack([plain_average(vectors, row, 3) for row in range(90)])
    np.testing.assert_allclose(generation.matrix(AVERAGED), expected, atol=2e-3)
    assert f"{AVERAGED}:cosine" in generation.graphs and "cosine" in generation.facts["calibration"][AVERAGED]


def test_appended_rows_are_averaged_and_others_stay(embedded):
    last = embedded.catalog_path(embedded.shards()[-1])
    hidden = last.rename(last.with_suffix(".hidden"))
    build_generation(embedded)
    before = np.array(Recommender.open(embedded).generation.matrix(AVERAGED))
    hidden.rename(last)
    report = build_generation(embedded)
    assert report.why.startswith("extends")
    generation = Recommender.open(embedded).generation
    vectors = np.asarray(generation.matrix(NETWORK), np.float32)
    np.testing.assert_array_equal(generation.matrix(AVERAGED)[:60], before)
    expected = np.stack([plain_average(vectors, row, 3) for row in range(60, 90)])
    np.testing.assert_allclose(generation.matrix(AVERAGED)[60:], expected, atol=2e-3)


def test_another_neighbourhood_or_none_is_due(embedded):
    assert AVERAGED in build_generation(embedded).features
    set_to(embedded, model_options={NETWORK: {"neighbourhood": 5}})
    report = build_generation(embedded)
    record = Recommender.open(embedded).generation.features[AVERAGED]
    assert report.built and json.loads(record["params"]) == {"neighbourhood": 5}
    set_to(embedded, model_options={})
    assert AVERAGED not in build_generation(embedded).features


def test_file_of_the_lake_has_the_average_of_its_row(new_lake):
    lake = new_lake(30, (NETWORK,), model_options=OPTIONS)
    opened = Recommender.open(lake)
    identity = ImageId(opened.generation.rows["image_id"][5].as_py())
    file = lake.root.parent / "photos" / opened.generation.rows["path"][5].as_py()
    by_id, by_file = (opened.search(query, k=10, by=AVERAGED) for query in (identity, file))
    assert ids(by_id)[:9] == [found for found in ids(by_file) if found != identity.value][:9]
    np.testing.assert_array_equal(opened.vector(file, AVERAGED), opened.generation.matrix(AVERAGED)[5])
    (each,) = opened.search_each([file], k=10, by=AVERAGED)
    assert ids(each) == ids(by_file)


def test_equal_rows_are_no_neighbours(embedded):
    build_generation(embedded)
    generation = Recommender.open(embedded).generation
    feature = generation.feature(NETWORK)
    vector = np.array(generation.matrix(NETWORK)[0])
    related = average(generation, feature, vector, 2)
    assert 0 < float(related @ vector.astype(np.float32)) < 1
    np.testing.assert_allclose(average(generation, feature, vector, 2, lambda d: d < 0), vector, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({NETWORK: {"neighbourhood": 101}}, "neighbourhood is 101; it must be from 0 to 100"),
        ({NETWORK: {"neighbours": 5}}, "neighbours"),
        ({"phash": {"neighbourhood": 5}}, "phash is not an embedding of a model"),
    ],
)
def test_bad_neighbourhoods_are_refused(new_lake, options, message):
    lake = new_lake(1, ("phash",), built=False)
    with pytest.raises(BadSettings, match=message):
        set_to(lake, model_options=options)
        toy.chosen_features(lake)


def test_mix_of_the_same_kind_is_by_the_averages_where_they_are(embedded, large):
    build_generation(embedded)
    opened = Recommender.open(embedded)
    query = ImageId(opened.generation.rows["image_id"][5].as_py())
    assert opened.search(query, by="mix:same_kind").features == (AVERAGED,)
    set_to(embedded, model_options={})
    build_generation(embedded)
    assert opened.search(query, by="mix:same_kind").features == (NETWORK,)
    with pytest.raises(QueryError, match="mix:same_kind needs a network; this lake has none"):
        large.search(ImageId(large.generation.rows["image_id"][5].as_py()), by="mix:same_kind")


# -- query expansion ----------------------------------------------------------------------------------------


def test_expanded_query_is_the_mean_of_the_related(embedded):
    build_generation(embedded)
    opened = Recommender.open(embedded)
    generation = opened.generation
    query = ImageId(generation.rows["image_id"][8].as_py())
    plain, expanded = (opened.search(query, k=20, by=NETWORK, exact=True, expand=count) for count in (0, 4))
    calibration = generation.calibration(NETWORK, "cosine")
    vectors = np.asarray(generation.matrix(NETWORK), np.float32)
    distances = np.array([hit.parts[NETWORK].distance for hit in plain[:4]])
    related = [
        generation.row_of(hit.image_id)
        for hit, rate in zip(plain[:4], calibration.false_match_rate(distances), strict=True)
        if rate <= 1e-3
    ]
    assert related
    mean = l2_normalise(vectors[8] + (vectors[related] @ vectors[8]) ** 3 @ vectors[related]).astype(np.float16)
    expected = generation.feature(NETWORK).metric(mean, generation.matrix(NETWORK))
    found = generation.rows_of(ids(expanded))
    np.testing.assert_allclose([hit.parts[NETWORK].distance for hit in expanded], expected[found], atol=2e-3)
    assert ids(plain) != ids(expanded)


def test_expansion_needs_vectors_that_can_be_averaged(recommender, photos):
    with pytest.raises(QueryError, match=r"expand needs the embedding of a network, .*the search is by phash"):
        recommender.search(photos / "photo_003.jpg", by="phash", expand=3)
    for wrong in (-1, 101, 2.5, True):
        with pytest.raises(QueryError, match=r"expand is .*; it must be a whole number from 0 to 100"):
            recommender.search(photos / "photo_003.jpg", expand=wrong)


def test_expansion_of_a_mix_changes_the_network_only(recommender, photos):
    mix = [NETWORK, "phash"]
    plain, expanded = (
        recommender.search(photos / "photo_003.jpg", by=mix, k=500, exact=True, expand=count) for count in (0, 5)
    )
    by_hash = {hit.image_id: hit.parts["phash"].distance for hit in plain}
    assert {hit.image_id: hit.parts["phash"].distance for hit in expanded} == by_hash


@pytest.mark.parametrize("quality", QUALITIES)
def test_averages_of_every_quality_are_recognised_in_a_generation(tmp_path, quality):
    lake = toy.new_lake(tmp_path / "lake")
    set_to(lake, features=(NETWORK,), quality=quality, model_options=OPTIONS)
    (averaged,) = (feature for feature in generation_features(lake) if feature.name == AVERAGED)
    record = feature_record(averaged)
    found = declaration_of(AVERAGED, record, known_features(lake))
    assert found is not None and feature_record(found) == record

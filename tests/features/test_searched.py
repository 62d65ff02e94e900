"""What a generation holds of each feature: content vectors, full vectors, half floats, and lakes of version 0.1."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imrec_core import FEATURES, ImageId, Recommender
from imrec_core.errors import BadSettings, StaleIndex
from imrec_core.extraction.fit import fit
from imrec_core.extraction.project import project_shard
from imrec_core.features import chosen_features, generation_features
from imrec_core.features.metrics import cosine
from imrec_core.features.projections import projection
from imrec_core.features.searched import searched
from imrec_core.index import plan, shard_selection
from imrec_core.index.build import build_generation
from imrec_core.lake import schemas
from imrec_core.models.registry import MODELS
from tests.support import toy
from tests.support.toy import ids, set_to, vector_lake

NETWORK = "efficientnet_lite0"
FEW = (NETWORK, "rgb_histogram", "phash")


def stored(lake, name: str) -> np.ndarray:
    tables = [lake.read_table(lake.feature_path(name, shard), ["vector"]) for shard in lake.live_shards()]
    return np.concatenate([schemas.to_matrix(table["vector"]) for table in tables]).astype(np.float32)


def nearest(matrix: np.ndarray, row: int, k: int) -> list[int]:
    distances = cosine(matrix[row], matrix)
    return np.argsort(distances, kind="stable")[1 : k + 1].tolist()


def rows(recommender: Recommender, hits) -> list[int]:
    return recommender.generation.rows_of(ids(hits)).tolist()


@pytest.fixture
def embedded(tmp_path: Path):
    """A lake of embeddings around forty centres, with a histogram."""
    rng = np.random.default_rng(2)
    vectors = np.abs(rng.normal(size=(40, 1280)))[np.arange(300) % 40] + np.abs(rng.normal(size=(300, 1280)))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vector_lake(tmp_path / "lake", {NETWORK: vectors, "rgb_histogram": rng.dirichlet(np.full(512, 0.1), 300)})


def test_only_networks_without_a_text_tower_have_content_vectors():
    for name, model in MODELS.items():
        held = searched(FEATURES[name])
        assert held.name == name and held.unit_norm and (held.projection is None) == model.text
        assert held.width == (model.dims if model.text else 256)


def test_search_by_a_network_ranks_by_its_content_vectors(embedded):
    build_generation(embedded)
    opened = Recommender.open(embedded)
    generation = opened.generation
    assert list(generation.features) == [NETWORK, "rgb_histogram"]
    content = stored(embedded, f"{NETWORK}_content")
    np.testing.assert_array_equal(generation.matrix(NETWORK), content.astype(np.float16))
    query = ImageId(generation.rows["image_id"][7].as_py())
    assert rows(opened, opened.search(query, k=5, by={NETWORK: 1})) == nearest(content, 7, 5)
    vector = opened.vector(query, NETWORK)
    assert vector.dtype == np.float16 and (vector == generation.matrix(NETWORK)[7]).all()


def test_full_vectors_are_searched_where_lake_toml_asks(embedded):
    build_generation(embedded)
    opened = Recommender.open(embedded)
    query = ImageId(opened.generation.rows["image_id"][7].as_py())
    with pytest.raises(StaleIndex, match=f'add "{NETWORK}:full" to features in lake.toml'):
        opened.search(query, by=f"{NETWORK}:full")
    set_to(embedded, features=(f"{NETWORK}:full", "rgb_histogram"))
    assert build_generation(embedded).built
    full = stored(embedded, NETWORK)
    for by in (f"{NETWORK}:full", f"{NETWORK}:full:cosine"):
        assert rows(opened, opened.search(query, k=5, by=by, exact=True)) == nearest(full, 7, 5)
    assert opened.search(query, by=f"{NETWORK}:full:euclidean")[0].parts[f"{NETWORK}:full:euclidean"].distance > 0


def test_histograms_are_held_in_half_floats_and_equal_images_score_1(new_lake):
    lake = new_lake(12, ("rgb_histogram", "hsv_histogram"))
    opened = Recommender.open(lake)
    assert opened.generation.matrix("rgb_histogram").dtype == np.float16
    assert stored(lake, "rgb_histogram").dtype == np.float32
    found = opened.search(
        lake.root.parent / "photos" / "photo_003.jpg", by=["rgb_histogram", "hsv_histogram"], k=1, with_self=True
    )
    assert found[0].score == 1 and found[0].path.endswith("photo_003.jpg")


def test_equal_images_score_1_by_every_metric_and_mix(new_lake):
    lake = new_lake(12, (f"{NETWORK}:full", "rgb_histogram", "phash"))
    opened, query = Recommender.open(lake), lake.root.parent / "photos" / "photo_003.jpg"
    features = map(opened.generation.feature, opened.generation.features)
    names = [f"{feature.name}:{metric.name}" for feature in features for metric in feature.metrics]
    for by in (*names, names, "mix:default"):
        found = opened.search(query, by=by, k=1, with_self=True)
        assert (found[0].score, found[0].likeness) == (1, "same image"), by


def test_names_of_version_0_1_still_work_and_say_that_they_are_deprecated(embedded):
    set_to(embedded, features=(NETWORK, f"{NETWORK}_pca"), indexes={f"{NETWORK}_pca": {"m": 8}})
    assert [f.name for f in chosen_features(embedded)] == [NETWORK, f"{NETWORK}_content"]
    assert [f.name for f in generation_features(embedded)] == [NETWORK]
    build_generation(embedded)
    opened = Recommender.open(embedded)
    assert opened.generation.graphs[f"{NETWORK}:cosine"].m == 8
    query = ImageId(opened.generation.rows["image_id"][7].as_py())
    with pytest.warns(DeprecationWarning, match=f"{NETWORK}_pca is deprecated; use {NETWORK}"):
        former = opened.search(query, by=f"{NETWORK}_pca")
    assert ids(former) == ids(opened.search(query, by=NETWORK))


@pytest.mark.parametrize("name", ["mine_content", "mine_full", "mine_neighbours", "mine_pca"])
def test_names_that_come_with_a_network_are_taken(new_lake, name):
    lake = new_lake(1, ("phash",), built=False)
    set_to(
        lake,
        models={"mine": {"file": "mine.onnx", "dims": 8}},
        histograms={name: {"levels": [2, 2, 2]}},
    )
    with pytest.raises(BadSettings, match=f"the name '{name}' is already in use"):
        chosen_features(lake)


# -- lakes of version 0.1 -----------------------------------------------------------------------------------


@pytest.fixture
def former(new_lake, monkeypatch):
    """A lake whose generation has what one of version 0.1 had."""
    lake = new_lake(40, FEW, built=False)
    reduced = projection(f"{NETWORK}_pca", FEATURES[NETWORK], 128)
    features = [FEATURES[NETWORK], reduced, FEATURES["rgb_histogram"], FEATURES["phash"]]
    toy.manifests.update(lake)
    toy.extract(lake)
    fit(lake, reduced)
    for shard in lake.live_shards():
        project_shard(lake, shard, reduced)
    with monkeypatch.context() as patched:
        patched.setattr(plan, "generation_features", lambda lake: features)
        patched.setattr(shard_selection, "chosen_features", lambda lake: features)
        build_generation(lake)
    return lake


def test_generation_of_version_0_1_answers_by_the_full_vectors(former):
    opened = Recommender.open(former)
    generation = opened.generation
    assert (
        list(generation.features) == [NETWORK, f"{NETWORK}_pca", "rgb_histogram", "phash"] and not generation.outdated
    )
    assert generation.graph_of(generation.feature(NETWORK), cosine) == f"{NETWORK}_pca:euclidean"
    full = stored(former, NETWORK)
    query = ImageId(generation.rows["image_id"][7].as_py())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for by in (NETWORK, f"{NETWORK}:full"):
            assert rows(opened, opened.search(query, k=5, by=by)) == nearest(full, 7, 5)
        opened.search(query, by=f"{NETWORK}_pca")
    file = Path(opened.search(query, k=1)[0].path)
    assert opened.search(file, k=1, with_self=True)[0].parts[NETWORK].distance == pytest.approx(0, abs=1e-3)


def test_build_after_version_0_1_decodes_nothing(former, decoded):
    opened = Recommender.open(former)
    decoded.clear()
    toy.derive(former)
    report = build_generation(former)
    assert report.built and not decoded
    assert list(opened.generation.features) == list(FEW)
    assert opened.generation.matrix(NETWORK).shape == (40, 256)


def test_rows_of_version_0_1_are_held_until_all_content_vectors_are_made(former):
    toy.derive(former)
    missing = former.feature_path(f"{NETWORK}_content", former.live_shards()[0])
    content = missing.read_bytes()
    missing.unlink()
    report = build_generation(former)
    opened = Recommender.open(former)
    assert opened.generation.matrix(NETWORK).shape[1] == 1280 and len(opened.generation) == 40
    assert report.waiting.images == 40
    missing.write_bytes(content)
    build_generation(former)
    assert opened.generation.matrix(NETWORK).shape == (40, 256)


def test_features_keep_their_declaration_in_the_lake(new_lake):
    lake = new_lake(2, FEW, built=False)
    by_name = {feature.name: feature for feature in chosen_features(lake)}
    assert by_name[NETWORK] == FEATURES[NETWORK]
    assert [f.stored_as for f in generation_features(lake)] == [f"{NETWORK}_content", "rgb_histogram", "phash"]
    assert replace(generation_features(lake)[1], dtype="float32") == FEATURES["rgb_histogram"]

"""The setting `quality`: the input of networks, the length of content vectors, and lakes where it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imrec_core import FEATURES, Recommender
from imrec_core.errors import BadSettings
from imrec_core.extraction.embed import ImageEncoder
from imrec_core.extraction.staleness import stale_features
from imrec_core.features import chosen_features, generation_features, known_features
from imrec_core.images.batch import ImageBatch
from imrec_core.images.preprocess import MIPMAP
from imrec_core.lake.settings import QUALITIES, Settings
from imrec_core.models.quality import with_quality
from imrec_core.models.registry import MODELS
from tests.support import toy

NETWORK = "efficientnet_lite0"
SIDES = {"fast": 192, "balanced": 208, "best": 224}
DIMS = {"fast": 128, "balanced": 256, "best": 256}


def sizes(features) -> tuple[int, int]:
    by_name = {feature.name: feature for feature in features}
    return by_name[NETWORK].model.preprocess.crop, by_name[f"{NETWORK}_content"].dims


def test_quality_is_one_of_three():
    with pytest.raises(BadSettings, match="quality is 'good'; use one of fast, balanced, best"):
        Settings(quality="good")


@pytest.mark.parametrize("quality", QUALITIES)
def test_quality_sets_input_and_content_vectors(tmp_path: Path, quality: str):
    lake = toy.new_lake(tmp_path, (NETWORK, "phash"), quality=quality)
    assert sizes(chosen_features(lake)) == (SIDES[quality], DIMS[quality])
    held = {feature.name: feature for feature in generation_features(lake)}
    assert held[NETWORK].dims == DIMS[quality]
    assert held[NETWORK].bases[0].model.preprocess.crop == SIDES[quality]


def test_best_is_as_declared(tmp_path: Path):
    assert known_features(toy.new_lake(tmp_path, (NETWORK,), quality="best")) == FEATURES


def test_other_networks_keep_their_input():
    for name, model in MODELS.items():
        for quality in QUALITIES:
            made = with_quality(model, quality)
            assert made.pca_dims == (min(model.pca_dims, 128) if quality == "fast" else model.pca_dims)
            is_kept = quality == "best" or not name.startswith("efficientnet")
            assert (made.preprocess == model.preprocess) == is_kept


def test_mipmap_averages_blocks_and_keeps_the_middle():
    photo = toy.photo(3, 1200, 960)
    preprocess = with_quality(MODELS[NETWORK], "fast").preprocess
    assert preprocess.interpolation == MIPMAP
    prepared = ImageBatch([photo]).prepared(preprocess)[0].astype(int)
    assert prepared.shape == (192, 192, 3)
    middle = photo[:, 120:1080].astype(float).reshape(192, 5, 192, 5, 3).mean(axis=(1, 3))
    assert np.abs(prepared - middle).max() <= 1
    assert ImageBatch([toy.photo(3, 90, 60)]).prepared(preprocess).shape == (1, 192, 192, 3)


def test_change_of_quality_recomputes_networks_only_and_queries_stay_comparable(tmp_path: Path, monkeypatch):
    toy.write_photos(tmp_path / "photos", range(6))
    lake = toy.new_lake(tmp_path / "lake", (NETWORK, "phash"), quality="fast")
    lake.save_settings(lake.settings().with_folders([f"photos={tmp_path / 'photos'}"]))
    toy.build(lake)
    first = toy.photo(0)
    before = Recommender.open(lake).search(first, by=NETWORK, k=3, with_self=True)
    assert before[0].score > 0.9

    toy.set_to(lake, quality="balanced")
    stale = {
        feature.name for shard in lake.live_shards() for feature in stale_features(lake, shard, chosen_features(lake))
    }
    assert stale == {NETWORK, f"{NETWORK}_content"}
    held = Recommender.open(lake)
    assert held.generation.feature(NETWORK).dims == 128
    assert toy.ids(held.search(first, by=NETWORK, k=3, with_self=True)) == toy.ids(before)
    [vectors] = ImageEncoder(lake).encode([first], [held.generation.feature(NETWORK)], held.generation.fit_versions)
    stored = held.generation.matrix(NETWORK)[held.generation.row_of(before[0].image_id)]
    assert float(vectors[NETWORK].astype(float) @ stored.astype(float)) > 0.97

    toy.build(lake)
    after = Recommender.open(lake)
    assert after.generation.feature(NETWORK).dims == 256
    assert after.search(first, by=NETWORK, k=1, with_self=True)[0].image_id == before[0].image_id
    assert not any(stale_features(lake, shard, chosen_features(lake)) for shard in lake.live_shards())

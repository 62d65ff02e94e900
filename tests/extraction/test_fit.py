"""Fits to many images and when they are valid, samples of images, and derived features."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from imrec_core import FEATURES, ImageBatch, ImageId, Lake, Recommender
from imrec_core.catalog import manifests
from imrec_core.errors import BadOutput, DeclarationError, LakeError, MissingTable, SchemaMismatch
from imrec_core.extraction.extract import extract_shards
from imrec_core.extraction.fit import check_rows_suffice, fit, holds
from imrec_core.extraction.project import project_shard
from imrec_core.extraction.sampling import sample_images
from imrec_core.extraction.staleness import is_feature_fresh, stale_features
from imrec_core.features import Feature, Fitter
from imrec_core.features.combined import combination
from imrec_core.features.metrics import euclidean
from imrec_core.features.projections import projection
from imrec_core.images.decode import decode
from imrec_core.index.build import build_generation
from imrec_core.lake.schemas import to_matrix
from imrec_core.sql.views import failures, query
from tests.support import toy
from tests.support.pictures import BROKEN

# The same declarations in small: eigenvectors of 1280 × 1280 would take most of the time here.
BASE = replace(FEATURES["efficientnet_lite0"], dims=96)
DERIVED = projection("efficientnet_lite0_content", BASE, 16)
BOTH = (BASE.name, DERIVED.name)
SHARDS = ("photos-0000", "photos-0001", "photos-0002")


def embeddings(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors around a few centres, wide in some directions and narrow in others."""
    rng = np.random.default_rng(seed)
    widths = 1 / np.arange(1, BASE.dims + 1)
    vectors = rng.normal(size=(count, BASE.dims)) * widths + rng.normal(size=(5, BASE.dims))[np.arange(count) % 5] / 50
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


# -- a fit in a lake ----------------------------------------------------------------------------------------


@pytest.fixture
def small_features(monkeypatch):
    monkeypatch.setitem(FEATURES, BASE.name, BASE)
    monkeypatch.setitem(FEATURES, DERIVED.name, DERIVED)


@pytest.fixture
def lake(tmp_path, small_features) -> Lake:
    return toy.vector_lake(tmp_path / "lake", {BASE.name: embeddings(60)}, shard_size=25)


def test_fit_notes_what_it_learnt_and_from_how_many(lake):
    facts = lake.fitted_facts(DERIVED.name, lake.fitted_version(DERIVED.name))
    assert facts["rows"] == facts["lake_images"] == 60


def test_second_fit_keeps_the_first(lake):
    version = lake.fitted_version(DERIVED.name)
    report = fit(lake, DERIVED)
    assert (report.version, report.fitted) == (version, False)
    assert report.facts["rows"] == 60


def test_stored_vectors_are_the_projected_ones(lake):
    fitted = lake.load_fitted(DERIVED.name, lake.fitted_version(DERIVED.name))
    for shard in lake.shards():
        base = lake.read_table(lake.feature_path(BASE.name, shard))
        derived = lake.read_table(lake.feature_path(DERIVED.name, shard))
        assert derived["image_id"].equals(base["image_id"])
        plain = (to_matrix(base["vector"]).astype(np.float64) - fitted["mean"]) @ fitted["axes"].T.astype(np.float64)
        np.testing.assert_allclose(to_matrix(derived["vector"]), plain, atol=1e-5)


@pytest.mark.parametrize(("count", "still"), [(60, True), (119, True), (120, False)])
def test_fit_holds_until_there_are_twice_the_rows(lake, count, still):
    version = lake.fitted_version(DERIVED.name)
    grown = toy.vector_lake(lake.root, {BASE.name: embeddings(count)}, shard_size=25)
    assert (grown.fitted_version(DERIVED.name) == version) is still


def test_few_more_rows_leave_old_projections_alone(lake):
    before = toy.times(lake, "features")
    toy.vector_lake(lake.root, {BASE.name: embeddings(70)}, shard_size=25)
    touched = {path for path in toy.rewritten(before, toy.times(lake, "features")) if DERIVED.name in path}
    assert touched == {f"features/{DERIVED.name}/photos-0002.parquet"}  # the shard that was not full


OTHERWISE = {
    "another version": replace(DERIVED, version=2),
    "fewer numbers": projection(DERIVED.name, BASE, 15),
    "another method": projection(DERIVED.name, BASE, 16, method="whitened_pca"),
}


@pytest.mark.parametrize("declared", OTHERWISE.values(), ids=OTHERWISE)
def test_other_declaration_means_another_fit_and_every_projection_anew(lake, declared):
    old = lake.fitted_version(DERIVED.name)
    assert holds(lake, DERIVED, old) and not holds(lake, declared, old)
    with pytest.raises(MissingTable, match="efficientnet_lite0_content is not fitted yet"):  # not with another's axes
        project_shard(lake, SHARDS[0], declared)
    assert fit(lake, declared).fitted and lake.fitted_version(DERIVED.name) != old
    assert not any(is_feature_fresh(lake, shard, declared) for shard in SHARDS)
    assert all(project_shard(lake, shard, declared).computed for shard in SHARDS)
    assert all(is_feature_fresh(lake, shard, declared) for shard in SHARDS)
    assert not any(is_feature_fresh(lake, shard, DERIVED) for shard in SHARDS)


BASES_OTHERWISE = {
    "another version": replace(BASE, version=2),
    "other weights": replace(BASE, model=replace(BASE.model, sha256="0" * 64)),
    "other parameters": replace(BASE, params={"levels": 3}),
}


@pytest.mark.parametrize("base", BASES_OTHERWISE.values(), ids=BASES_OTHERWISE)
def test_base_declared_otherwise_means_another_fit(lake, base):
    declared = projection(DERIVED.name, base, 16)
    assert not holds(lake, declared, lake.fitted_version(DERIVED.name))
    assert not is_feature_fresh(lake, SHARDS[0], declared)
    with pytest.raises(MissingTable, match="efficientnet_lite0 is not up to date for shard 'photos-0000'"):
        fit(lake, declared)


def test_projection_follows_the_vectors_of_its_base(lake):
    path = lake.feature_path(BASE.name, "photos-0000")
    lake.write_table(path, lake.read_table(path), lake.made_from(path) | {"precision": "bf16"})
    assert not is_feature_fresh(lake, "photos-0000", DERIVED) and is_feature_fresh(lake, "photos-0001", DERIVED)
    assert project_shard(lake, "photos-0000", DERIVED).computed
    assert not project_shard(lake, "photos-0000", DERIVED).computed


def test_lost_fit_is_made_again_with_the_same_numbers(lake):
    version = lake.fitted_version(DERIVED.name)
    before = lake.load_fitted(DERIVED.name, version)
    lake.fitted_path(DERIVED.name, version).unlink()
    report = fit(lake, DERIVED)
    assert report.fitted and report.version == version
    np.testing.assert_array_equal(lake.load_fitted(DERIVED.name, version)["axes"], before["axes"])


def test_projecting_before_fitting_is_an_error(new_lake, small_features):
    lake = new_lake(3, BOTH, built=False)
    manifests.update(lake)
    assert not is_feature_fresh(lake, SHARDS[0], DERIVED)
    with pytest.raises(MissingTable, match="efficientnet_lite0_content is not fitted yet; run: imrec build"):
        project_shard(lake, SHARDS[0], DERIVED)


def test_fitting_before_extracting_is_an_error(new_lake, small_features):
    lake = new_lake(3, BOTH, built=False)
    manifests.update(lake)
    with pytest.raises(MissingTable, match="efficientnet_lite0 is not up to date"):
        fit(lake, DERIVED)


def test_feature_of_the_image_alone_is_neither_fitted_nor_projected(lake):
    with pytest.raises(DeclarationError, match="phash is not computed from other features"):
        project_shard(lake, SHARDS[0], FEATURES["phash"])
    with pytest.raises(DeclarationError, match="phash is computed from each image alone; there is nothing to fit"):
        fit(lake, FEATURES["phash"])


def test_too_few_images_are_refused_before_anything_is_read(new_lake, small_features):
    lake = new_lake(3, BOTH, built=False)
    manifests.update(lake)
    check_rows_suffice(lake, projection("three", BASE, 16, least_rows=3))
    with pytest.raises(LakeError, match="four needs at least 4 images to learn from; the lake has 3"):
        fit(lake, projection("four", BASE, 16, least_rows=4))


# -- features of features -----------------------------------------------------------------------------------

CORE = projection("core", DERIVED, 4)


@pytest.fixture
def chained(tmp_path, small_features, monkeypatch) -> Lake:
    """Sixty images with a projection of a projection, in three shards."""
    monkeypatch.setitem(FEATURES, CORE.name, CORE)
    lake = toy.vector_lake(tmp_path / "lake", {BASE.name: embeddings(60)}, shard_size=25)
    toy.set_to(lake, features=(CORE.name,))
    toy.derive(lake)
    return lake


def fresh(lake: Lake, feature: Feature) -> list[str]:
    return [shard for shard in SHARDS if is_feature_fresh(lake, shard, feature)]


def test_projection_of_a_projection_is_one_product_after_the_other(chained):
    shard, version = SHARDS[1], chained.fitted_version(CORE.name)
    fits = [chained.load_fitted(f.name, chained.fitted_version(f.name)) for f in (DERIVED, CORE)]
    vectors = to_matrix(chained.read_table(chained.feature_path(BASE.name, shard))["vector"]).astype(np.float64)
    for fitted in fits:
        vectors = (vectors - fitted["mean"]) @ fitted["axes"].T
    stored = to_matrix(chained.read_table(chained.feature_path(CORE.name, shard))["vector"])
    np.testing.assert_allclose(stored, vectors, atol=1e-5)
    assert chained.fitted_facts(CORE.name, version)["rows"] == 60


def test_base_computed_anew_makes_all_above_it_stale_in_that_shard_alone(chained):
    assert fresh(chained, CORE) == list(SHARDS)
    path = chained.feature_path(BASE.name, SHARDS[1])
    chained.write_table(path, chained.read_table(path), chained.made_from(path) | {"precision": "bf16"})
    assert fresh(chained, DERIVED) == fresh(chained, CORE) == [SHARDS[0], SHARDS[2]]
    with pytest.raises(MissingTable, match=r"efficientnet_lite0_content is not up to date for shard 'photos-0001'"):
        project_shard(chained, SHARDS[1], CORE)
    assert project_shard(chained, SHARDS[1], DERIVED).computed
    assert fresh(chained, CORE) == [SHARDS[0], SHARDS[2]]  # what lies there is of the old vectors
    assert project_shard(chained, SHARDS[1], CORE).computed
    assert fresh(chained, CORE) == list(SHARDS)


def test_base_that_was_never_computed_again_keeps_what_is_above_it_stale(chained):
    version = replace(BASE, version=2)
    core = projection("core", projection(DERIVED.name, version, 16), 4)
    assert fresh(chained, core) == []
    assert stale_features(chained, SHARDS[0], [core, *core.bases]) == [core, *core.bases]


def test_fit_of_a_base_made_anew_means_another_fit_above_it(chained):
    old = chained.fitted_version(CORE.name)
    assert holds(chained, CORE, old)
    grown = toy.vector_lake(chained.root, {BASE.name: embeddings(119)}, shard_size=25)  # derives DERIVED alone
    facts = {**grown.fitted_facts(CORE.name, old), "lake_images": 119}
    grown.fitted_path(CORE.name, old).with_suffix(".json").write_text(json.dumps(facts))
    assert holds(grown, CORE, old)  # as if it had been fitted later than its base
    toy.vector_lake(chained.root, {BASE.name: embeddings(120)}, shard_size=25)
    assert not holds(grown, CORE, old)  # its base has other axes now
    assert fit(grown, CORE).fitted and grown.fitted_version(CORE.name) != old


def test_bases_of_different_images_are_refused(tmp_path):
    names = ("rgb_histogram", "hsv_histogram")
    rng = np.random.default_rng(0)
    lake = toy.vector_lake(tmp_path / "lake", {n: rng.dirichlet(np.ones(FEATURES[n].dims), size=30) for n in names})
    both = combination("both", dict.fromkeys(names, 1), FEATURES)
    fit(lake, both)
    path = lake.feature_path("hsv_histogram", SHARDS[0])
    lake.write_table(path, lake.read_table(path).take([1, 0, *range(2, 30)]), lake.made_from(path))
    with pytest.raises(SchemaMismatch, match="the bases of both have different images in shard 'photos-0000'"):
        project_shard(lake, SHARDS[0], both)


def test_vectors_of_another_shape_than_declared_are_refused(lake):
    short = replace(DERIVED, dims=12)
    fit(lake, short)
    with pytest.raises(BadOutput, match=r"efficientnet_lite0_content returned \(25, 16\); expected \(25, 12\)"):
        project_shard(lake, SHARDS[0], short)
    assert not is_feature_fresh(lake, SHARDS[0], short)


# -- a sample of images -------------------------------------------------------------------------------------


def looks(batches: Iterable[ImageBatch]) -> list[tuple[int, ...]]:
    """What tells one photo from another."""
    return [tuple(image.sum(axis=(0, 1)).tolist()) for batch in batches for image in batch.images]


def test_sample_is_bounded_and_the_same_for_the_same_lake(new_lake):
    lake = new_lake(30, ("phash",), built=False)
    manifests.update(lake)
    every, some = looks(sample_images(lake, 100)), looks(sample_images(lake, 20))
    assert len(set(every)) == len(every) == 30
    assert len(set(some)) == 20 and set(some) < set(every)
    assert looks(sample_images(lake, 20)) == some
    assert not set(some) <= set(every[:20])  # of all shards, not of the first ones
    assert max(len(batch) for batch in sample_images(lake, 100)) <= 16


def test_sample_leaves_out_what_cannot_be_read_and_sources_that_are_away(new_lake, tmp_path):
    lake = new_lake(9, ("phash",), built=False)
    for name in ("text.jpg", "truncated.jpg", "empty.jpg"):
        (tmp_path / "photos" / name).write_bytes(BROKEN[name]())
    toy.write_photos(tmp_path / "disk", range(20, 24))
    lake.save_settings(lake.settings().with_folders([f"disk={tmp_path / 'disk'}"]))
    manifests.update(lake)
    (tmp_path / "photos" / "photo_004.jpg").unlink()  # after the scan
    assert len(looks(sample_images(lake, 100))) == 8 + 4
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    assert len(looks(sample_images(lake, 100))) == 8


def test_sample_of_images_that_all_fail_is_empty(new_lake, tmp_path):
    lake = new_lake(0, ("phash",), built=False)
    (tmp_path / "photos" / "text.jpg").write_bytes(BROKEN["text.jpg"]())
    manifests.update(lake)
    assert list(sample_images(lake, 5)) == []


# -- a feature with a fit to images -------------------------------------------------------------------------


def learn_mean(batches: Iterable[ImageBatch]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    colours = np.concatenate([colours_of(batch) for batch in batches])
    return {"mean": colours.mean(axis=0)}, {"pictures": len(colours)}


def colours_of(batch: ImageBatch) -> np.ndarray:
    return np.stack([np.asarray(image, np.float32).mean(axis=(0, 1)) for image in batch.images])


def tint_of(batch: ImageBatch, fitted: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    colours = colours_of(batch)
    return colours - fitted["mean"], {"brightness": colours.mean(axis=1)}


TINT = Feature(
    name="tint",
    summary="Mean colour, less that of the lake.",
    group="colour",
    dims=3,
    dtype="float32",
    metrics=(euclidean,),
    source="ours",
    compute=tint_of,
    learnt=Fitter(learn_mean, images=24, least_images=5),
    columns={"brightness": "float32"},
)


@pytest.fixture
def tinted(new_lake, monkeypatch) -> Lake:
    monkeypatch.setitem(FEATURES, TINT.name, TINT)
    return new_lake(20, ("rgb_histogram", TINT.name))


def pixels(lake: Lake, seed: int) -> np.ndarray:
    return decode((lake.root.parent / "photos" / f"photo_{seed:03d}.jpg").read_bytes()).pixels[..., :3]


def plain_tint(lake: Lake, seed: int) -> np.ndarray:
    mean = lake.load_fitted(TINT.name, lake.fitted_version(TINT.name))["mean"]
    return pixels(lake, seed).astype(np.float32).mean(axis=(0, 1)) - mean


def test_learnt_feature_is_stored_with_its_columns_and_seen_in_sql(tinted):
    facts = tinted.fitted_facts(TINT.name, tinted.fitted_version(TINT.name))
    assert facts["pictures"] == facts["lake_images"] == 20
    table = tinted.read_table(tinted.feature_path(TINT.name, SHARDS[0]))
    assert table.schema.names == ["image_id", "vector", "brightness"] and table.schema.equals(TINT.schema)
    rows = query(
        tinted, "SELECT c.path, t.vector, t.brightness FROM tint t JOIN catalog c USING (image_id) ORDER BY path"
    ).fetchall()
    assert len(rows) == 20
    for seed in (0, 7, 19):
        path, vector, brightness = rows[seed]
        assert path == f"photo_{seed:03d}.jpg"
        np.testing.assert_allclose(vector, plain_tint(tinted, seed), atol=1e-3)
        assert brightness == pytest.approx(pixels(tinted, seed).mean(), abs=1e-3)


def test_tables_from_before_a_column_was_added_are_seen_without_it(tinted, monkeypatch):
    counted = "SELECT count(*), count(brightness) FROM tint"
    more = replace(
        TINT,
        version=2,
        columns={"brightness": "float32", "red": "float32"},
        compute=lambda batch, fitted: (tint_of(batch, fitted)[0], {n: colours_of(batch)[:, 0] for n in more.columns}),
    )
    monkeypatch.setitem(FEATURES, TINT.name, more)
    assert query(tinted, counted).fetchall() == [(20, 20)]
    assert failures(tinted) == []
    fit(tinted, more)
    list(extract_shards(tinted, SHARDS[1:2], [more]))
    assert query(tinted, counted).fetchall() == [(20, 20)]
    assert query(tinted, "SELECT count(red), min(red) > 0 FROM tint").fetchall() == [(4, True)]


def test_learnt_feature_is_searched_by_picture_and_by_id_alike(tinted):
    recommender = Recommender.open(tinted)
    assert list(recommender.generation.features) == ["rgb_histogram", TINT.name]
    photo = tinted.root.parent / "photos" / "photo_007.jpg"
    by_file = recommender.search(photo, k=6, by=TINT.name, with_self=True)
    assert by_file[0].path == str(photo) and by_file[0].parts[TINT.name].distance == pytest.approx(0, abs=1e-3)
    by_id = recommender.search(ImageId(by_file[0].image_id), k=5, by=TINT.name)
    assert [hit.image_id for hit in by_id] == [hit.image_id for hit in by_file[1:]]
    plain = [float(np.linalg.norm(plain_tint(tinted, seed) - plain_tint(tinted, 7))) for seed in range(20)]
    order = [f"photo_{seed:03d}.jpg" for seed in np.argsort(plain)[:6]]
    assert [hit.path.rpartition("/")[2] for hit in by_file] == order


def test_learnt_feature_before_its_fit_is_an_error(new_lake, monkeypatch):
    monkeypatch.setitem(FEATURES, TINT.name, TINT)
    lake = new_lake(20, (TINT.name,), built=False)
    manifests.update(lake)
    assert not is_feature_fresh(lake, SHARDS[0], TINT)
    with pytest.raises(MissingTable, match="tint is not fitted yet; run: imrec build"):
        list(extract_shards(lake, lake.live_shards(), [TINT]))
    with pytest.raises(DeclarationError, match="tint must be fitted to images"):
        TINT(ImageBatch([toy.photo(1)]))


def test_learnt_feature_needs_the_pictures_it_says(new_lake, monkeypatch):
    monkeypatch.setitem(FEATURES, TINT.name, TINT)
    lake = new_lake(4, (TINT.name,), built=False)
    manifests.update(lake)
    with pytest.raises(LakeError, match="tint needs at least 5 images to learn from; the lake has 4"):
        fit(lake, TINT)


@pytest.mark.parametrize(("images", "still"), [(24, False), (20, True), (19, True)])
def test_sample_as_large_as_it_ever_gets_stands_for_good(tinted, images, still):
    declared = replace(TINT, learnt=replace(TINT.learnt, images=images))
    version = tinted.fitted_version(TINT.name)
    toy.write_photos(tinted.root.parent / "photos", range(20, 40))
    manifests.update(tinted)
    assert holds(tinted, declared, version) is still


def test_refit_makes_every_row_anew_and_search_goes_on(tinted):
    old = tinted.fitted_version(TINT.name)
    before = toy.times(tinted, "features")
    toy.write_photos(tinted.root.parent / "photos", range(20, 40))
    toy.build(tinted)
    assert tinted.fitted_version(TINT.name) != old
    touched = {path for path in toy.rewritten(before, toy.times(tinted, "features")) if TINT.name in path}
    assert touched == {f"features/tint/{shard}.parquet" for shard in SHARDS}
    photo = tinted.root.parent / "photos" / "photo_033.jpg"
    hit = Recommender.open(tinted).search(photo, k=1, by=TINT.name, with_self=True)[0]
    assert hit.path == str(photo) and hit.parts[TINT.name].distance == pytest.approx(0, abs=1e-3)


def test_generation_keeps_the_fit_that_its_vectors_were_made_with(tinted):
    recommender = Recommender.open(tinted)
    tinted.save_fitted(TINT.name, "later", {"mean": np.full(3, 100.0)}, {})
    photo = tinted.root.parent / "photos" / "photo_003.jpg"
    itself = {"k": 1, "by": TINT.name, "with_self": True}
    assert recommender.search(photo, **itself)[0].parts[TINT.name].distance == pytest.approx(0, abs=1e-3)
    report = build_generation(tinted)  # no table is of the later fit
    assert (report.built, report.missing) == (False, ()) and set(report.waiting.reasons) == {TINT.name}
    assert recommender.search(photo, **itself)[0].parts[TINT.name].distance == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    "columns", [{}, {"other": np.zeros(2)}, {"brightness": np.zeros(1)}], ids=["none", "other", "short"]
)
def test_columns_other_than_declared_are_refused(columns):
    wrong = replace(TINT, compute=lambda batch, fitted: (colours_of(batch), columns))
    with pytest.raises(BadOutput, match=r"tint returned the columns .*; expected \['brightness'\]"):
        wrong(ImageBatch([toy.photo(1), toy.photo(2)]), {})

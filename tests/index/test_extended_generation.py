"""A generation that extends the previous one gives the results of one built whole, and rows keep their numbers."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hnswlib
import numpy as np
import pyarrow as pa
import pytest

from imrec_core import FEATURES, ImageId, Lake, Recommender
from imrec_core.catalog import ids, manifests
from imrec_core.duplicates import find_duplicates
from imrec_core.errors import LakeError, QueryError, SchemaMismatch, StaleIndex, StorageFull
from imrec_core.evaluation import ef_sweep, pair_verification, projection_quality
from imrec_core.evaluation.copy_detection import evaluate_copy_detection
from imrec_core.evaluation.ef_sweep import sweep_ef
from imrec_core.evaluation.fusion_comparison import evaluate_fusions
from imrec_core.evaluation.labels import csv_labels, folder_labels, named_labels
from imrec_core.evaluation.pair_labels import csv_pairs
from imrec_core.evaluation.pair_verification import evaluate_pairs
from imrec_core.evaluation.projection_quality import compare_in
from imrec_core.evaluation.retrieval import evaluate_retrieval
from imrec_core.evaluation.tuning_tasks import copies_task, labelled_task
from imrec_core.evaluation.weight_tuning import tune_weights
from imrec_core.extraction.staleness import has_fresh_images
from imrec_core.features.metrics import METRICS
from imrec_core.images.edits import COPY_PROTOCOL
from imrec_core.index import build as index_module
from imrec_core.index import calibration_pairs, hnsw, plan, recall
from imrec_core.index.build import GenerationReport, IndexParams, build_generation
from imrec_core.index.calibration_pairs import RandomPairs
from imrec_core.index.generation import Generation
from imrec_core.index.graph_space import GraphSpace
from imrec_core.index.opening import open_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.index.recall import graph_users, recall_at_10
from imrec_core.lake import schemas
from imrec_core.search import match_threshold
from imrec_core.search.match_threshold import joint_calibration
from imrec_core.sql import views
from imrec_core.sql.policy import SqlPolicy
from imrec_core.status import lake_status
from imrec_dagster import metadata
from tests.support import toy
from tests.support.toy import set_to, times

NETWORK, REDUCED = "efficientnet_lite0", "efficientnet_lite0_content"
RGB = "rgb_histogram:hellinger"
TWO = ("rgb_histogram", "phash")
FEW = {name: COPY_PROTOCOL[name] for name in ("jpeg10", "brighter")}


# -- a gallery that changes ---------------------------------------------------------------------------------


class Gallery:
    """Files that are no pictures, each of some content, a number; whose vectors depend on that alone.

    Attributes:
        contents: By path below the source.
    """

    def __init__(self, root: Path, features: tuple[str, ...], contents: Iterable[int], **settings: object) -> None:
        self.root, self.features = root / "photos", features
        self.lake = toy.new_lake(root / "lake", features, shard_size=64, **settings)
        self.contents: dict[str, int] = {}
        for content in contents:
            self.put(content)

    def put(self, content: int, path: str = "") -> str:
        """A new file, or another content for one that is there."""
        path = path or f"{content % 7}/{content:06d}.jpg"
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content:09d}")
        os.utime(file, ns=(content * 10**9, content * 10**9))  # so that a scan sees the change
        self.contents[path] = content
        return path

    def remove(self, path: str) -> int:
        (self.root / path).unlink()
        return self.contents.pop(path)

    def id(self, path: str) -> str:
        return ids.image_id("photos", path)

    def query(self, path: str) -> ImageId:
        return ImageId(self.id(path))

    def describe(self) -> None:
        """Scan, and make the tables of what has changed."""
        manifests.update(self.lake)
        for shard in self.lake.live_shards():
            if not has_fresh_images(self.lake, shard):
                paths = self.lake.read_table(self.lake.catalog_path(shard))["path"].to_pylist()
                contents = [self.contents[path] for path in paths]
                vectors = {name: np.array([vector(name, c) for c in contents]) for name in self.features}
                widths = [100 + c % 50 for c in contents]
                toy.write_tables(self.lake, shard, [f"{c:032x}" for c in contents], vectors, width=widths)
        toy.derive(self.lake)

    def build(self) -> GenerationReport:
        self.describe()
        return build_generation(self.lake)


def vector(name: str, content: int) -> np.ndarray:
    """What a feature says of a content; a tenth of all are in one of thirty clusters."""
    centre, own = (np.random.default_rng([seed, n]) for n, seed in enumerate((content % 30, 1000 + content)))
    if name == "phash":
        return np.array([centre.integers(0, 2**64, dtype=np.uint64) ^ (np.uint64(1) << np.uint64(own.integers(64)))])
    if name == "rgb_histogram":
        return 0.5 * centre.dirichlet(np.full(512, 0.05)) + 0.5 * own.dirichlet(np.full(512, 0.05))
    found = centre.normal(size=1280) + own.normal(size=1280)
    return found / np.linalg.norm(found)


def change(gallery: Gallery, rng: np.random.Generator, step: int) -> None:
    """Add some, remove, change and rename fewer; bring back one that was removed before."""
    first = 10_000 * (step + 1)
    paths = iter(rng.permutation(sorted(gallery.contents)).tolist())
    for _ in range(rng.integers(0, 5)):
        gallery.remove(next(paths))
    for i in range(rng.integers(0, 5)):
        gallery.put(first + 500 + i, next(paths))
    for i in range(rng.integers(0, 4)):
        gallery.put(gallery.remove(next(paths)), f"renamed/{step}_{i}.jpg")
    for i in range(rng.integers(0, 20)):
        gallery.put(first + i)
    gallery.put(gallery.contents[next(paths)], f"copies/{step}.jpg")  # of the same bytes


def built_whole(lake: Lake, calibrated_as: Generation) -> Recommender:
    """What a lake with the same tables holds that never had another generation, its scores made in the same way."""
    root = lake.root.with_name("whole")
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(lake.root, root, ignore=shutil.ignore_patterns("generations"))
    fresh = Lake(root)
    report = build_generation(fresh)
    assert (report.why, report.removed) == ("built whole: no generation to extend", 0)
    toy.edit_manifest(fresh, report.id, lambda facts: facts | {"calibration": calibrated_as.facts["calibration"]})
    return Recommender.open(fresh)


@pytest.fixture
def joint_calibrations_of(monkeypatch) -> Callable[[Generation], None]:
    """Lets scores of several features be made in the same way, too: on the random pairs of one generation."""

    def of(generation: Generation) -> None:
        for module in (match_threshold, pair_verification):
            monkeypatch.setattr(module, "joint_calibration", lambda _, chosen: joint_calibration(generation, chosen))

    return of


def same_vectors(found: Generation, expected: Generation) -> None:
    """Each image has the vectors that it is to have; what is projected alone may differ in the last bits."""
    assert list(found.features) == list(expected.features)
    ours, theirs = (
        dict(zip(zip(*g.live_table(["image_id", "content_hash"]).to_pydict().values()), g.live.tolist(), strict=True))
        for g in (found, expected)
    )
    assert ours.keys() == theirs.keys()
    for name in found.features:
        a, b = found.matrix(name)[list(ours.values())], expected.matrix(name)[[theirs[image] for image in ours]]
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-3 if name == NETWORK else 0)


def facts_of(generation: Generation) -> list[dict[str, Any]]:
    """All that the rows say but their numbers, in an order that does not depend on these."""
    table = generation.live_table(generation.rows.column_names).drop_columns(["row"])
    return sorted(table.to_pylist(), key=lambda row: row["image_id"])


def told(hits: Iterable[Any]) -> dict[str, list[float]]:
    """What hits say, by image; their places among equal ones left out."""
    return {
        hit.image_id: [
            hit.score,
            *(n for p in hit.parts.values() for n in (p.distance, p.score, p.false_match_rate, p.rank, p.unlike)),
        ]
        for hit in hits
    }


def same_hits(found: Any, expected: Any) -> None:
    """The same images with the same figures; of those that are as good as the last one others may be shown."""
    assert len(found) == len(expected) and found.cut == expected.cut
    np.testing.assert_allclose([h.score for h in found], [h.score for h in expected], atol=1e-4)
    last = [h.image_id for hits in (found, expected) for h in hits if abs(h.score - expected[-1].score) < 1e-4]
    a, b = ({image: of for image, of in told(hits).items() if image not in last} for hits in (found, expected))
    assert a.keys() == b.keys()
    for image, figures in a.items():
        np.testing.assert_allclose(figures, b[image], rtol=1e-4, atol=1e-4)


def share_missed(found: Any, exact: Any) -> float:
    """Of the hits of an exact search; which ones a graph misses is not the same each time."""
    return len({hit.image_id for hit in exact} - {hit.image_id for hit in found}) / max(len(exact), 1)


MIX = {"rgb_histogram": 1.0, "phash": 0.5, NETWORK: 2.0}
ASKED: list[dict[str, Any]] = [
    {},
    {"by": MIX},
    {"by": MIX, "fuse": "rrf"},
    {"by": MIX, "fuse": "dbsf"},
    {"where": "width > 120", "by": MIX},
    {"where": "path LIKE '3/%'"},
    {"where": "width = 101", "k": 40},
    {"distinct": "content", "k": 30},
    {"diversify": 0.5},
    {"max_false_match_rate": 0.02, "k": 400},
    {"max_false_match_rate": 0.05, "k": 400, "by": MIX},
    {"max_false_match_rate": 1e-9},
    {"k": 10_000},
    {"k": 10_000, "by": "phash"},
]


# -- answers ------------------------------------------------------------------------------------------------


@pytest.fixture
def long_tails(monkeypatch) -> None:
    """Graphs stay as they are while there are fewer new rows than old ones."""
    monkeypatch.setattr(hnsw, "_LARGE", 0)
    monkeypatch.setattr(hnsw, "_MAX_UNINDEXED_SHARE", 0.5)


@pytest.mark.usefixtures("graphs_asked")
@pytest.mark.parametrize(("seed", "tails"), [(0, False), (1, False), (1, True), (2, True)])
def test_random_changes_give_the_results_of_a_whole_build(tmp_path, request, joint_calibrations_of, seed, tails):
    if tails:
        request.getfixturevalue("long_tails")
    rng = np.random.default_rng(seed)
    gallery = Gallery(tmp_path, (NETWORK, *TWO), range(430))
    gallery.build()
    before = open_generation(gallery.lake)
    taken_away, beside = gallery.remove("3/000010.jpg"), False
    for step in range(4):
        change(gallery, rng, step)
        report = gallery.build()
        generation = open_generation(gallery.lake)
        assert report.why == (
            f"extends {before.id} by {len(generation) - len(before)} rows, "
            f"{generation.removed - before.removed} removed"
        )
        assert report.rows == len(generation.live) == len(gallery.contents)
        assert report.removed == len(generation) - report.rows
        _rows_are_kept(before, generation)
        _nothing_lingers(gallery, generation)
        beside |= any(graph.unindexed_rows for graph in generation.graphs.values())
        before = generation
        if step == 1:
            gallery.put(taken_away)
    assert beside == tails
    recommender = Recommender.open(gallery.lake)
    assert len(recommender) == len(gallery.contents) and recommender.generation.removed
    whole = built_whole(gallery.lake, recommender.generation)
    joint_calibrations_of(recommender.generation)
    same_vectors(generation, whole.generation)
    assert facts_of(generation) == facts_of(whole.generation)
    some = rng.permutation(sorted(gallery.contents)).tolist()
    missed = []
    for path, options in zip(some, ASKED, strict=False):
        asked = {"k": 10} | options
        exact, expected = (r.search(gallery.query(path), exact=True, **asked) for r in (recommender, whole))
        same_hits(exact, expected)
        missed.append(share_missed(recommender.search(gallery.query(path), **asked), exact))
    assert np.mean(missed) < 0.02
    for name in generation.features:
        for metric in generation.feature(name).metrics:
            options = {"by": f"{name}:{metric.name}", "k": 50}
            query = gallery.query(some[0])
            same_hits(*(r.search(query, exact=True, **options) for r in (recommender, whole)))
    _several_likes(gallery, recommender, whole, some)
    _orders(gallery, recommender, whole, some)
    _graphs_find_enough(generation)


def _rows_are_kept(before: Generation, after: Generation) -> None:
    old, new = (
        dict(zip(zip(*t.select(["image_id", "content_hash"]).to_pydict().values()), g.live.tolist(), strict=True))
        for g in (before, after)
        for t in [g.live_table(["image_id", "content_hash"])]
    )
    assert all(old[image] == new[image] for image in old.keys() & new.keys())
    assert all(new[image] >= len(before) for image in new.keys() - old.keys())
    assert not set(after.live.tolist()) & {old[image] for image in old.keys() - new.keys()}
    assert after.rows["row"].to_pylist() == list(range(len(after)))
    for name in after.features:
        np.testing.assert_array_equal(before.matrix(name), after.matrix(name)[: len(before)])


def _nothing_lingers(gallery: Gallery, generation: Generation) -> None:
    ids = sorted(map(gallery.id, gallery.contents))
    recommender, lake = Recommender.open(gallery.lake), gallery.lake
    assert sorted(generation.live_table(["image_id"])["image_id"].to_pylist()) == ids
    assert sorted(row[0] for row in views.query(lake, "SELECT image_id FROM rows").fetchall()) == ids
    assert "removed" not in views.query(lake, "SELECT * FROM rows").columns
    assert generation.filter.rows("true", SqlPolicy.TRUSTED).tolist() == generation.live.tolist()
    for name in ("rgb_histogram", "phash"):
        for options in ({}, {"exact": True}, {"where": "true"}, {"order_by": "path"}):
            found = recommender.search(vector(name, 3), by=name, k=10_000, **options)
            assert sorted(hit.image_id for hit in found) == ids
    assert f"exact scan of {len(ids)} rows" in found.plan
    status = lake_status(lake)
    assert status.up_to_date and status.generation is not None and status.generation["rows"] == len(ids)
    gone = set(generation.rows["image_id"].to_pylist()) - set(ids)
    for image in gone:
        with pytest.raises(QueryError, match=f"no image '{image}' in generation {generation.id}; see: imrec sql"):
            recommender.search(ImageId(image))
    for path, content in gallery.contents.items():
        row = generation.row_of(gallery.id(path))
        assert generation.rows["content_hash"][row].as_py() == f"{content:032x}"
    for name in generation.graphs:  # with k above the number of rows it uses exact search
        feature = generation.graphs[name].feature
        found = generation.graph_nearest(name, generation.matrix(feature)[0], len(ids))
        assert set(generation.live.tolist()) >= set(found.tolist())


def _several_likes(gallery: Gallery, recommender: Recommender, whole: Recommender, some: list[str]) -> None:
    likes = [gallery.query(path) for path in some[:3]]
    for pool in ("mean", "best", "all"):
        options = {"pool": pool, "k": 15, "by": MIX}
        exact, expected = (r.search(like=likes, exact=True, **options) for r in (recommender, whole))
        same_hits(exact, expected)
        assert share_missed(recommender.search(like=likes, **options), exact) < 0.15
    against = {"unlike": [gallery.query(some[4]), (gallery.query(some[5]), 0.5)], "exact": True}
    same_hits(recommender.search(likes[0], k=20, **against), whole.search(likes[0], k=20, **against))
    options = {"k": 12, "by": MIX, "where": "width < 140"}
    exact, expected = (list(r.search_each(likes, exact=True, **options)) for r in (recommender, whole))
    for one, other, by_graph in zip(exact, expected, recommender.search_each(likes, **options), strict=True):
        same_hits(one, other)
        assert share_missed(by_graph, one) < 0.15


def _orders(gallery: Gallery, recommender: Recommender, whole: Recommender, some: list[str]) -> None:
    found, expected = (
        r.search(gallery.query(some[6]), k=10, order_by="path DESC", exact=True) for r in (recommender, whole)
    )
    assert [(hit.image_id, hit.rank) for hit in found] == [(hit.image_id, hit.rank) for hit in expected]


def _graphs_find_enough(generation: Generation) -> None:
    assert generation.graphs
    queries = np.random.default_rng(9).permutation(generation.live)[:80]
    for graph in generation.graphs:
        for feature, metric in graph_users(generation, graph).values():
            exact = generation.exact_nearest(feature.name, metric, generation.matrix(feature.name)[queries], 10)
            assert recall_at_10(generation, feature, metric, queries, exact) >= 0.95


def test_measures_are_those_of_a_whole_build(tmp_path, joint_calibrations_of):
    gallery = Gallery(tmp_path, (NETWORK, *TWO), range(120))
    gallery.build()
    gone = [gallery.remove(path) for path in sorted(gallery.contents)[5:60:5]]
    for i in range(8):
        gallery.put(2000 + i)
    gallery.put(3000, "0/000000.jpg")
    report = gallery.build()
    assert report.why == "extends 000001 by 9 rows, 12 removed" and len(gone) == 11
    generation = open_generation(gallery.lake)
    whole = built_whole(gallery.lake, generation).generation
    joint_calibrations_of(generation)
    paths, sources = sorted(gallery.contents), gallery.lake.settings().sources
    labels, pairs, old = tmp_path / "labels.csv", tmp_path / "pairs.csv", tmp_path / "old.csv"
    labels.write_text("path,label\n" + "".join(f"{p},{gallery.contents[p] % 6}\n" for p in paths[::2]))
    pairs.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in zip(paths[::9], paths[1::9], strict=False)))
    old.write_text(f"path,label\n{gone[0] % 7}/{gone[0]:06d}.jpg,x\n")
    with pytest.raises(QueryError, match="names 1 files that are not in the lake"):
        csv_labels(generation, old, sources)
    for found in (lambda g: folder_labels(g), lambda g: csv_labels(g, labels, sources)):
        ours, theirs = found(generation), found(whole)
        assert len(ours.queries) == len(theirs.queries) and (ours.groups >= 0).sum() == (theirs.groups >= 0).sum()
        assert not set(np.flatnonzero(ours.groups >= 0)) - set(generation.live)
        for a, b in zip(
            *(evaluate_retrieval(g, found(g), by=[NETWORK, "rgb_histogram"]) for g in (generation, whole)), strict=True
        ):
            assert {m: pytest.approx(e.value, rel=1e-4) for m, e in b.measures.items()} == {
                m: e.value for m, e in a.measures.items()
            }
            assert a.precision == pytest.approx(b.precision)
        fused, expected = (
            evaluate_fusions(g, found(g), by=[NETWORK, "rgb_histogram"]).judged for g in (generation, whole)
        )
        for a, b in zip(fused, expected, strict=True):
            assert a.by == b.by and a.measures["mAP"].value == pytest.approx(b.measures["mAP"].value, rel=1e-4)
        ours, theirs = (labelled_task(g, found(g), by=[NETWORK, "rgb_histogram"]) for g in (generation, whole))
        assert ours.scores.shape == theirs.scores.shape
        np.testing.assert_allclose(*(np.sort(t.scores, axis=None) for t in (ours, theirs)), atol=1e-4)
        assert set(tune_weights(ours).weights) <= {NETWORK, "rgb_histogram"}
    mixes = {"both": {NETWORK: 1.0, "phash": 1.0}}
    for a, b in zip(
        *(evaluate_pairs(g, csv_pairs(g, pairs, sources), mixes=mixes) for g in (generation, whole)), strict=True
    ):
        assert (a.by, a.same, a.different) == (b.by, b.same, b.different)
        assert a.mean_average_precision.value == pytest.approx(b.mean_average_precision.value)
        assert a.average_precision == pytest.approx(b.average_precision)
        assert (a.best.f1, a.best.precision) == (pytest.approx(b.best.f1), pytest.approx(b.best.precision))
    assert all(row.recall >= 0.95 for row in sweep_ef(generation, gallery.lake.settings(), queries=30))


def test_files_named_as_in_a_benchmark_are_those_that_are_there(tmp_path):
    gallery = Gallery(tmp_path, ("phash",), ())
    for number in range(40):
        gallery.put(number, f"ukbench{number:05d}.jpg")
    gallery.build()
    for number in (3, 8, 9, 10):  # of the third group one is left
        gallery.remove(f"ukbench{number:05d}.jpg")
    assert gallery.build().why == "extends 000001 by 0 rows, 4 removed"
    labels = named_labels(open_generation(gallery.lake), "ukbench")
    assert len(labels.queries) == 35 and (labels.groups >= 0).sum() == 36


def test_projections_are_compared_on_the_images_that_are_there(tmp_path, monkeypatch):
    gallery = Gallery(tmp_path, ("rgb_histogram",), range(40))
    gallery.build()
    gallery.remove("1/000001.jpg")
    gallery.build()
    monkeypatch.setattr(projection_quality, "compare_projections", lambda matrix, **_: [matrix])
    (matrix,) = compare_in(open_generation(gallery.lake))
    expected = {
        vector("rgb_histogram", c).astype("f4").astype(matrix.dtype).tobytes() for c in gallery.contents.values()
    }
    assert {row.tobytes() for row in matrix} == expected and len(matrix) == 39


# -- pictures -----------------------------------------------------------------------------------------------


def test_added_and_removed_images_give_the_results_of_a_whole_build(new_lake, joint_calibrations_of):
    lake = new_lake(36, (*toy.CHEAP, "colour_moments"))
    folder = lake.root.parent / "photos"
    before = open_generation(lake)
    (folder / "photo_003.jpg").unlink()
    (folder / "photo_004.jpg").write_bytes((folder / "photo_005.jpg").read_bytes())
    shutil.copy(folder / "photo_006.jpg", folder / "copy.jpg")
    (folder / "photo_007.jpg").rename(folder / "other.jpg")
    report = toy.build(lake)
    assert report.why == "extends 000001 by 3 rows, 3 removed"
    recommender = Recommender.open(lake)
    generation = recommender.generation
    _rows_are_kept(before, generation)
    whole = built_whole(lake, generation)
    joint_calibrations_of(generation)
    query = folder / "photo_010.jpg"
    same_vectors(generation, whole.generation)
    for name in generation.features:
        for metric in generation.feature(name).metrics:
            options = {"by": f"{name}:{metric.name}", "k": 99}
            same_hits(recommender.search(query, **options), whole.search(query, **options))
    found, expected = (find_duplicates(of) for of in (lake, whole.lake))
    assert [[copy.below for copy in group.copies] for group in found] == [
        [copy.below for copy in group.copies] for group in expected
    ]
    assert len(found) == 2 and found.left_out == ()
    for a, b in zip(
        *(
            evaluate_copy_detection(of, g, photos=99, edits=FEW)
            for of, g in ((lake, generation), (whole.lake, whole.generation))
        ),
        strict=True,
    ):
        assert (a.by, a.edit, a.recall_at_1.value) == (b.by, b.edit, pytest.approx(b.recall_at_1.value))
        assert a.mean_average_precision.value == pytest.approx(b.mean_average_precision.value)
        assert a.kept == pytest.approx(b.kept)
    task = copies_task(lake, generation, photos=10, edits=FEW)
    assert task.scores.shape == (6, 20, 36)
    toy.write_photos(folder, [3])  # as it was
    assert toy.build(lake).why == "extends 000002 by 1 rows, 0 removed"
    hits = Recommender.open(lake).search(folder / "photo_003.jpg", k=1, with_self=True)
    assert (hits[0].path, hits[0].score) == (str(folder / "photo_003.jpg"), 1)


def test_touched_file_keeps_its_row(new_lake):
    lake = new_lake(6, TWO)
    os.utime(lake.root.parent / "photos" / "photo_002.jpg", ns=(1, 1))
    assert toy.build(lake).why == "extends 000001 by 0 rows, 0 removed"
    generation = open_generation(lake)
    assert generation.removed == 0 and generation.rows["mtime_ns"].to_pylist()[2] == 1


# -- columns of one's own -----------------------------------------------------------------------------------


def test_user_columns_follow_their_files(tmp_path):
    gallery = Gallery(tmp_path, ("phash",), range(12))
    gallery.build()
    own = tmp_path / "own.csv"
    own.write_text("path,stars\n" + "".join(f"{path},{content}\n" for path, content in gallery.contents.items()))
    set_to(gallery.lake, columns=(str(own),))
    report = gallery.build()
    assert report.why == "extends 000001 by 0 rows, 0 removed" and report.columns[0].images == 12
    row = open_generation(gallery.lake).row_of(gallery.id("2/000002.jpg"))
    gallery.remove("2/000002.jpg")
    gallery.put(50)
    report = gallery.build()
    assert (report.columns[0].images, report.columns[0].first) == (11, ["2/000002.jpg"])
    stars = dict(views.query(gallery.lake, "SELECT path, stars FROM rows").fetchall())
    assert stars == {path: content if content < 50 else None for path, content in gallery.contents.items()}
    assert open_generation(gallery.lake).rows["stars"][row].as_py() is None
    hits = Recommender.open(gallery.lake).search(gallery.query("3/000003.jpg"), k=99, where="stars < 4")
    assert sorted(hit.image_id for hit in hits) == sorted(gallery.id(f"{i}/{i:06d}.jpg") for i in (0, 1))
    set_to(gallery.lake, columns=())
    assert gallery.build().why == "extends 000003 by 0 rows, 0 removed"
    assert "stars" not in open_generation(gallery.lake).rows.column_names


# -- extended or whole --------------------------------------------------------------------------------------


def test_build_without_changes_writes_nothing(tmp_path):
    gallery = Gallery(tmp_path, TWO, range(30))
    gallery.build()
    gallery.remove("1/000001.jpg")
    report = gallery.build()
    before = times(gallery.lake, "generations")
    again = gallery.build()
    assert replace(again, built=True) == report and not again.built
    shown = metadata.of_generation(gallery.lake, again)
    assert (shown["why"], shown["dagster/row_count"]) == ("extends 000001 by 0 rows, 1 removed", 29)
    assert (shown["removed rows"], shown["built now"]) == (1, False)
    assert times(gallery.lake, "generations") == before


def test_more_than_a_quarter_of_removed_rows_causes_a_whole_build(tmp_path):
    gallery = Gallery(tmp_path, TWO, range(40))
    gallery.build()
    paths = sorted(gallery.contents)
    for path in paths[:10]:
        gallery.remove(path)
    report = gallery.build()
    assert report.why == "extends 000001 by 0 rows, 10 removed" and report.removed == 10
    gallery.remove(paths[10])
    report = gallery.build()
    assert report.why == "built whole: 11 of 40 rows are removed"
    assert (report.rows, report.removed, len(open_generation(gallery.lake))) == (29, 0, 29)


def test_large_generation_that_has_doubled_since_a_whole_build_is_built_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "_LARGE", 20)
    gallery = Gallery(tmp_path, TWO, range(8))
    gallery.build()
    whys = []
    for first, last in [(8, 18), (18, 22), (22, 40), (40, 60)]:
        for content in range(first, last):
            gallery.put(content)
        whys.append(gallery.build().why)
    assert whys == [
        "extends 000001 by 10 rows, 0 removed",  # small
        "built whole: 22 rows are more than 2 times the 8 of the last whole build",
        "extends 000003 by 18 rows, 0 removed",
        "built whole: 60 rows are more than 2 times the 22 of the last whole build",
    ]


def test_removal_of_the_only_source_is_an_error(tmp_path):
    gallery = Gallery(tmp_path, TWO, range(5))
    gallery.build()
    set_to(gallery.lake, sources={})
    with pytest.raises(LakeError, match="no image has been read yet, or all failed; see: imrec failures"):
        build_generation(gallery.lake)
    assert gallery.lake.generations() == ["000001"]


def _other_version(lake: Lake, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(FEATURES, "phash", replace(FEATURES["phash"], version=9))


def _other_images(lake: Lake, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schemas, "IMAGES_VERSION", schemas.IMAGES_VERSION + 1)


def _other_fit(lake: Lake, patch: pytest.MonkeyPatch) -> None:
    lake.fitted_path(REDUCED, "").parent.joinpath("CURRENT").unlink()
    patch.setattr("imrec_core.extraction.fit._count_images", lambda lake: 99)  # noted with a fit, and so another one
    patch.setattr("imrec_core.extraction.fit.digest", lambda facts: "another")


CHANGED: dict[str, tuple[Callable[[Lake, pytest.MonkeyPatch], None], str]] = {
    "m": (lambda lake, _: set_to(lake, indexes={"rgb_histogram": {"m": 8}}), "HNSW parameters changed"),
    "ef": (
        lambda lake, _: set_to(lake, indexes={"rgb_histogram": {"ef": 100}}),
        "HNSW parameters changed",
    ),
    "version": (_other_version, "features added, removed or computed differently: phash"),
    "images": (_other_images, "image properties are computed differently"),
    "fit": (_other_fit, f"features added, removed or computed differently: {NETWORK}"),
    "feature": (
        lambda lake, _: set_to(lake, features=TWO),
        f"features added, removed or computed differently: {NETWORK}",
    ),
    "true_pairs": (lambda lake, _: set_to(lake, calibration_copies=3), "edited copies changed"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_changed_computation_causes_a_whole_build(tmp_path, monkeypatch, what):
    gallery = Gallery(tmp_path, (NETWORK, *TWO), range(30))
    gallery.build()
    changed, why = CHANGED[what]
    changed(gallery.lake, monkeypatch)
    if what in ("version", "images"):
        for path in list(gallery.contents):
            gallery.put(gallery.contents[path] + 5000, path)
    assert gallery.build().why == f"built whole: {why}"
    assert open_generation(gallery.lake).removed == 0
    assert not gallery.build().built


def test_changed_precision_causes_a_whole_build(tmp_path, monkeypatch):
    gallery = Gallery(tmp_path, (NETWORK, *TWO), range(30))
    gallery.build()
    path = gallery.lake.feature_path(NETWORK, "photos-0000")
    table = gallery.lake.read_table(path)
    gallery.lake.write_table(path, table, gallery.lake.made_from(path) | {"precision": "fp32"})
    assert gallery.build().why == f"built whole: features added, removed or computed differently: {NETWORK}"


def test_changed_edits_cause_a_whole_build(new_lake, monkeypatch):
    lake = new_lake(5, TWO, calibration_copies=2)
    monkeypatch.setattr(plan, "COPY_PROTOCOL", FEW)
    assert toy.build(lake).why == "built whole: edited copies changed"


@pytest.mark.parametrize("how", ["missing", "short", "facts"])
def test_damaged_generation_is_not_extended(tmp_path, how):
    gallery = Gallery(tmp_path, TWO, range(20))
    gallery.build()
    gallery.put(100)
    path = gallery.lake.generation_path("000001") / ("generation.json" if how == "facts" else "phash.npy")
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    report = gallery.build()
    assert (report.why, report.rows) == ("built whole: no generation to extend", 21)


def test_generation_of_an_older_imrec_is_searched_and_not_extended(tmp_path):
    gallery = Gallery(tmp_path, TWO, range(20))
    gallery.build()
    later = ("why", "images_version", "removed", "indexes", "true_pairs", "measured_rows", "checksums")

    def as_before(facts: dict[str, Any]) -> dict[str, Any]:
        facts = {name: of for name, of in facts.items() if name not in later}
        features = {name: {k: v for k, v in of.items() if k != "made"} for name, of in facts["features"].items()}
        return facts | {"format": 2, "fingerprint": "another", "features": features}

    toy.edit_manifest(gallery.lake, "000001", as_before)
    gallery.lake.current_path.write_text("000001")
    assert len(Recommender.open(gallery.lake).search(gallery.query("1/000001.jpg"), k=99)) == 19
    assert gallery.build().why.startswith("built whole: ")


def test_generation_whose_graphs_have_every_row_is_extended(tmp_path):
    gallery = Gallery(tmp_path, TWO, range(20))
    gallery.build()

    def as_before(facts: dict[str, Any]) -> dict[str, Any]:
        for graph in facts["graphs"].values():
            del graph["tail"]
        return facts | {"format": 3, "fingerprint": "another"}

    toy.edit_manifest(gallery.lake, "000001", as_before)
    assert len(Recommender.open(gallery.lake).search(gallery.query("1/000001.jpg"), k=99)) == 19
    assert grow(gallery, 100).why == "extends 000001 by 3 rows, 0 removed"
    assert same_as_whole(gallery).facts["format"] == 5


# -- measured again -----------------------------------------------------------------------------------------


def test_a_tenth_more_rows_are_measured_again_and_fewer_are_not(tmp_path):
    gallery = Gallery(tmp_path, TWO, range(200))
    gallery.build()
    first = open_generation(gallery.lake)
    for content in range(1000, 1020):
        gallery.put(content)
    gallery.build()
    grown = open_generation(gallery.lake)
    assert grown.facts["calibration"] == first.facts["calibration"] and grown.graphs == first.graphs
    assert grown.facts["measured_rows"] == 200 and len(grown) == 220
    gallery.put(1020)
    assert gallery.build().why.startswith("extends")
    grown = open_generation(gallery.lake)
    assert grown.facts["measured_rows"] == 221
    assert grown.facts["calibration"] != first.facts["calibration"]


def test_ef_is_chosen_again_after_growth_by_a_tenth(tmp_path, monkeypatch):
    gallery = Gallery(tmp_path, TWO, range(200))
    gallery.build()
    assert open_generation(gallery.lake).graphs[RGB].ef == 64
    monkeypatch.setattr(recall, "recall_at_10", lambda g, *_, ef, **how: 1.0 if ef >= 256 or len(g) < 221 else 0.9)
    for content in range(1000, 1020):
        gallery.put(content)
    gallery.build()
    assert open_generation(gallery.lake).graphs[RGB].ef == 64
    gallery.put(1020)
    report = gallery.build()
    assert open_generation(gallery.lake).graphs[RGB].ef == 256 and report.recall == {"rgb_histogram": 1.0}


def test_graph_with_low_recall_after_growth_is_built_again_without_removed_rows(tmp_path, monkeypatch):
    gallery = Gallery(tmp_path, TWO, range(100))
    gallery.build()
    gallery.remove("1/000001.jpg")
    for content in range(1000, 1020):
        gallery.put(content)
    monkeypatch.setattr(recall, "recall_at_10", lambda g, *_, **how: 1.0 if g.graphs[RGB].m > 16 else 0.9)
    assert gallery.build().why == "extends 000001 by 20 rows, 1 removed"
    generation = open_generation(gallery.lake)
    assert generation.graphs[RGB].m == 32
    assert len(generation) == 120 and generation.removed == 1
    found = generation.graph_nearest(RGB, generation.matrix("rgb_histogram")[~generation.is_live][0], 119)
    assert sorted(found.tolist()) == generation.live.tolist()


def test_removed_images_are_not_in_the_calibration(tmp_path):
    gallery = Gallery(tmp_path, ("phash",), ())
    for content in range(0, 3000, 30):  # one cluster, and some that are far from it
        gallery.put(content)
    far = [gallery.put(content) for content in range(1, 20 * 30, 30)]
    gallery.build()
    assert max(open_generation(gallery.lake).facts["calibration"]["phash"]["hamming"]["distances"]) > 16
    for path in far:
        gallery.remove(path)
    for content in range(3000, 3600, 30):
        gallery.put(content)
    assert gallery.build().why == "extends 000001 by 20 rows, 20 removed"
    assert max(open_generation(gallery.lake).facts["calibration"]["phash"]["hamming"]["distances"]) <= 2


def test_removed_images_are_neither_in_joint_calibrations_nor_queries_of_recall(tmp_path, monkeypatch):
    gallery = Gallery(tmp_path, TWO, range(40))
    gallery.build()
    for path in sorted(gallery.contents)[:8]:
        gallery.remove(path)
    gallery.build()
    generation, asked = open_generation(gallery.lake), []
    at_10 = ef_sweep.recall_at_10

    def drawn(generation: Generation) -> RandomPairs:
        pairs = RandomPairs.of(generation)
        asked.extend([*pairs.queries, *pairs.others])
        return pairs

    monkeypatch.setattr(calibration_pairs, "RandomPairs", SimpleNamespace(of=drawn))
    monkeypatch.setattr(ef_sweep, "recall_at_10", lambda *a, **how: asked.extend(a[3]) or at_10(*a, **how))
    Recommender.open(gallery.lake).search(gallery.query("6/000006.jpg"), by=list(TWO), max_false_match_rate=0.1)
    assert set(asked) == set(generation.live.tolist())
    asked.clear()
    sweep_ef(generation, gallery.lake.settings())
    assert set(asked) == set(generation.live.tolist())


def test_graph_that_was_left_out_stays_left_out(tmp_path, monkeypatch):
    gallery = Gallery(tmp_path, TWO, range(60))
    with monkeypatch.context() as patch:
        patch.setattr(recall, "recall_at_10", lambda *args, **how: 0.5)
        assert gallery.build().scanned == (RGB,)
    for content in range(1000, 1030):
        gallery.put(content)
    report = gallery.build()
    assert report.why == "extends 000001 by 30 rows, 0 removed" and report.scanned == (RGB,)
    generation = open_generation(gallery.lake)
    assert generation.graphs == {} and not list(generation.folder.glob("*.hnsw"))
    hits = Recommender.open(gallery.lake).search(gallery.query("6/001000.jpg"), k=99)
    assert len(hits) == 89


def test_extended_graph_has_the_parameters_it_was_built_with(tmp_path):
    gallery = Gallery(tmp_path, TWO, range(60), indexes={RGB: {"m": 11, "ef_construction": 37}})
    gallery.build()
    gallery.put(100)
    gallery.remove("0/000000.jpg")
    gallery.build()
    graph = hnswlib.Index(space="l2", dim=512)
    graph.load_index(str(open_generation(gallery.lake).folder / "rgb_histogram.hellinger.hnsw"))
    assert (graph.M, graph.ef_construction, graph.element_count) == (11, 37, 61)


# -- shared files -------------------------------------------------------------------------------------------


def contents(lake: Lake) -> dict[str, bytes]:
    """Of every file of the generations."""
    return {str(path): path.read_bytes() for path in (lake.root / "generations").rglob("*") if path.is_file()}


def same_as_whole(gallery: Gallery) -> Generation:
    """The generation in use, which has what a whole build gives."""
    generation = open_generation(gallery.lake)
    same_vectors(generation, built_whole(gallery.lake, generation).generation)
    return generation


def grow(gallery: Gallery, first: int, count: int = 3) -> GenerationReport:
    for content in range(first, first + count):
        gallery.put(content)
    return gallery.build()


@pytest.mark.usefixtures("long_tails")
def test_extension_writes_no_vector_and_no_graph_again(tmp_path):
    gallery = Gallery(tmp_path, TWO, range(200))
    gallery.build()
    first = open_generation(gallery.lake)
    vectors = {name: np.array(first.matrix(name)) for name in TWO}
    for start, rows in ((1000, 203), (2000, 206)):
        grow(gallery, start)
        after = same_as_whole(gallery)
        for file in ("phash.npy", "rgb_histogram.npy", "rgb_histogram.hellinger.hnsw"):
            assert (after.folder / file).samefile(first.folder / file)
        for name in TWO:  # as any reader of such files sees them
            np.testing.assert_array_equal(np.load(after.folder / f"{name}.npy"), after.matrix(name))
            assert len(after.matrix(name)) == rows
    reopened = Generation(first.folder)  # held, so that it is there still; its files have grown
    for name, expected in vectors.items():
        np.testing.assert_array_equal(first.matrix(name), expected)
        np.testing.assert_array_equal(reopened.matrix(name), expected)


def test_without_hard_links_files_are_copied(tmp_path, monkeypatch):
    def refused(*args: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    gallery = Gallery(tmp_path, TWO, range(40))
    gallery.build()
    before = contents(gallery.lake)
    assert grow(gallery, 100).why == "extends 000001 by 3 rows, 0 removed"
    after = contents(gallery.lake)
    assert {path: after[path] for path in before if "CURRENT" not in path} == {
        path: data for path, data in before.items() if "CURRENT" not in path
    }
    assert len(same_as_whole(gallery)) == 43


def test_rows_of_a_killed_extension_are_not_read(tmp_path, monkeypatch):
    gallery = Gallery(tmp_path, TWO, range(40))
    gallery.build()
    first = open_generation(gallery.lake)
    for name in TWO:  # the header comes last; either may be there when it is killed
        path = first.folder / f"{name}.npy"
        size = path.stat().st_size
        killed = replace(first.vector_file(name), rows=60)
        with path.open("ab") as file:
            file.write(b"\xff" * (killed._byte_size() - size))
        with path.open("r+b") as file:
            file.write(killed._header() if name == "phash" else b"")
    assert len(Recommender.open(gallery.lake).search(gallery.query("1/000001.jpg"), k=99)) == 39
    assert grow(gallery, 100).why == "extends 000001 by 3 rows, 0 removed"
    after = same_as_whole(gallery)
    assert not any((after.folder / f"{n}.npy").samefile(first.folder / f"{n}.npy") for n in TWO)
    assert after.vector_file("phash").is_complete()


def test_extension_of_an_older_generation_leaves_a_newer_one_alone(tmp_path):
    gallery = Gallery(tmp_path, TWO, range(40))
    gallery.build()
    first = open_generation(gallery.lake)
    grow(gallery, 100)
    newer = open_generation(gallery.lake)
    vectors = {name: np.array(newer.matrix(name)) for name in TWO}
    gallery.lake.publish(first.id)
    assert grow(gallery, 200, 5).why == "extends 000001 by 8 rows, 0 removed"
    assert len(same_as_whole(gallery)) == 48
    for name, expected in vectors.items():
        np.testing.assert_array_equal(newer.matrix(name), expected)
        np.testing.assert_array_equal(Generation(newer.folder).matrix(name), expected)


def test_many_unindexed_rows_are_added_to_the_graph(tmp_path, monkeypatch):
    monkeypatch.setattr(hnsw, "_LARGE", 0)
    gallery = Gallery(tmp_path, TWO, range(200))
    gallery.build()
    tails = []
    for step in range(4):
        if step == 1:
            gallery.remove("3/000003.jpg")  # its row is in the graph, and marked there only when it is read
        if step == 2:
            gallery.remove("6/001000.jpg")  # its row is not
        grow(gallery, 1000 * (step + 1), 2)
        generation = open_generation(gallery.lake)
        tails.append(generation.graphs[RGB].unindexed_rows)
        found = generation.graph_nearest(RGB, generation.matrix("rgb_histogram")[-1], 150)
        exact = generation.exact_nearest(
            "rgb_histogram", FEATURES["rgb_histogram"].metric, generation.matrix("rgb_histogram")[-1:], 150
        )[0]
        assert len(np.intersect1d(found, exact)) >= 149 and found[0] == len(generation) - 1
    assert tails == [2, 4, 0, 2]
    graph = hnswlib.Index(space="l2", dim=512)
    graph.load_index(str(generation.folder / "rgb_histogram.hellinger.hnsw"))
    assert graph.element_count == 206


# -- what goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["assign_rows", "write_vectors", "extend_graphs", "calibrate", "_write_manifest"])
def test_failed_extension_leaves_the_current_generation_unchanged(tmp_path, monkeypatch, step):
    gallery = Gallery(tmp_path, TWO, range(40))
    gallery.build()
    before = contents(gallery.lake)
    for content in range(100, 110):
        gallery.put(content)
    gallery.describe()

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    for breaks, kind in ((full, StorageFull), (_interrupted, KeyboardInterrupt)):
        with monkeypatch.context() as patch:
            patch.setattr(index_module, step, breaks)
            with pytest.raises(kind if step != "assign_rows" or breaks is not full else OSError):
                build_generation(gallery.lake)
        assert contents(gallery.lake) == before
        assert not list(gallery.lake.root.rglob(".writing-*"))
        assert len(Recommender.open(gallery.lake)) == 40 and not is_up_to_date(
            gallery.lake, plan_generation(gallery.lake)
        )
    assert build_generation(gallery.lake, IndexParams()).why == "extends 000001 by 10 rows, 0 removed"


def _interrupted(*args, **options):
    raise KeyboardInterrupt


@pytest.mark.parametrize("described", [True, False])
def test_tables_that_change_during_a_build_are_an_error(tmp_path, monkeypatch, described):
    gallery = Gallery(tmp_path, TWO, range(40))
    gallery.build()
    gallery.put(100)
    gallery.describe()

    def assign_and_change(*args):
        assigned = original(*args)
        gallery.put(200, "0/000000.jpg")  # as many images as before
        gallery.describe() if described else manifests.update(gallery.lake)
        return assigned

    original = index_module.assign_rows
    with monkeypatch.context() as patch:
        patch.setattr(index_module, "assign_rows", assign_and_change)
        with pytest.raises(StaleIndex, match=r"changed.*; run: imrec build"):
            build_generation(gallery.lake)
    assert gallery.lake.generations() == ["000001"]
    assert gallery.build().why == "extends 000001 by 2 rows, 1 removed"


def test_feature_of_other_images_than_the_shard_is_refused(tmp_path):
    gallery = Gallery(tmp_path, TWO, range(40))
    gallery.build()
    gallery.put(100)
    gallery.describe()
    path = gallery.lake.feature_path("phash", "photos-0000")
    made_from = gallery.lake.made_from(path)
    table = gallery.lake.read_table(path)
    gallery.lake.write_table(path, pa.concat_tables([table, table.slice(0, 1)]), made_from)
    with pytest.raises(SchemaMismatch, match=re.escape("phash has 42 rows for 41 images in shard 'photos-0000'")):
        build_generation(gallery.lake)


# -- the order in which a graph is built ----------------------------------------------------------------------


def test_large_graphs_are_built_region_by_region_after_some_rows_from_everywhere(monkeypatch):
    monkeypatch.setattr(hnsw, "_LARGE", 1000)
    rng = np.random.default_rng(0)
    group = rng.integers(0, 8, 2000)
    matrix = (rng.normal(size=(8, 32))[group] * 10 + rng.normal(size=(2000, 32))).astype(np.float16)
    order = hnsw._insertion_order(GraphSpace(METRICS["euclidean"]), matrix)
    assert sorted(order.tolist()) == list(range(2000))
    first, rest = group[order[:400]], group[order[400:]]
    assert set(first.tolist()) == set(range(8)) and np.count_nonzero(np.diff(first)) > 300
    assert np.count_nonzero(np.diff(rest)) < 40
    assert np.array_equal(order, hnsw._insertion_order(GraphSpace(METRICS["euclidean"]), matrix))
    assert hnsw._insertion_order(GraphSpace(METRICS["euclidean"]), matrix[:999]).tolist() == list(range(999))

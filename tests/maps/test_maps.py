"""Maps: where images lie, nearest neighbours, and clusters."""

import shutil

import numpy as np
import pytest
from numpy.typing import NDArray

from imrec_core import Lake
from imrec_core.errors import MissingTable, QueryError, SchemaMismatch, UnknownName
from imrec_core.features import FEATURES
from imrec_core.index.build import build_generation
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.maps import (
    Map,
    align_rows,
    build_map,
    colour_names,
    colours_of,
    layout,
    load_map,
    map_names,
    update_map,
)
from imrec_core.maps.build import NEIGHBOURS
from imrec_core.maps.gallery import load_gallery
from imrec_core.maps.neighbours import Nearest
from tests.support import s3
from tests.support.toy import build, vector_lake, write_photos
from tests.support.toy import new_lake as empty_lake

pytest.importorskip("umap", reason="umap-learn is not installed")
pytest.importorskip("openTSNE", reason="openTSNE is not installed")

KINDS, EACH = 4, 30


def histograms() -> NDArray[np.float64]:
    """Distributions of four kinds, a third of the bins of each its own."""
    rng = np.random.default_rng(3)
    found = []
    for kind in range(KINDS):
        weights = np.full(512, 0.01)
        weights[kind * 100 : kind * 100 + 100] = 2.0
        found.append(rng.dirichlet(weights, size=EACH))
    return np.concatenate(found)


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """Pictures of four kinds, as histograms and as hashes. Maps may be added."""
    rng = np.random.default_rng(4)
    kinds = rng.integers(0, 2**64, (KINDS, 1), dtype=np.uint64).repeat(EACH, axis=0)
    flips = np.uint64(1) << rng.integers(0, 64, (KINDS * EACH, 3), dtype=np.uint64)
    hashes = kinds ^ np.bitwise_xor.reduce(flips, axis=1)[:, None]
    made = vector_lake(tmp_path_factory.mktemp("maps") / "lake", {"rgb_histogram": histograms(), "phash": hashes})
    build_generation(made)
    return made


def purity(clusters: NDArray[np.int32]) -> float:
    """Share of the images in a cluster that are of its commonest kind."""
    kinds = np.arange(len(clusters)) // EACH
    inside = clusters >= 0
    return sum(np.bincount(kinds[clusters == c]).max() for c in set(clusters[inside])) / inside.sum()


@pytest.mark.parametrize(("feature", "method"), [("rgb_histogram", "umap"), ("phash", "umap"), ("phash", "tsne")])
def test_map_tells_kinds_apart(lake, feature, method):
    report = build_map(lake, feature, method=method, name="kinds", neighbours=10)
    made = load_map(lake, "kinds")
    clusters = made.table["cluster"].to_numpy()
    assert (report.rows, report.fitted, len(made.table)) == (120, 120, 120)
    assert report.clusters == len(made.clusters) >= KINDS and purity(clusters) == 1
    assert (clusters >= 0).mean() > 0.8 and report.noise == (clusters < 0).sum()
    assert [c.size for c in made.clusters] == sorted(np.bincount(clusters[clusters >= 0]), reverse=True)
    assert report.kept == made.kept > 0.3


@pytest.mark.parametrize(("method", "count"), NEIGHBOURS.items())
def test_each_method_has_its_own_number_of_neighbours(lake, method, count):
    build_map(lake, "phash", method=method, name="own")
    made = load_map(lake, "own")
    assert {len(found) for found in made.table["neighbours"].to_pylist()} == {made.parameters["neighbours"]} == {count}


def test_neighbours_are_the_exact_nearest(lake):
    build_map(lake, "rgb_histogram", name="near", neighbours=5)
    table = load_map(lake, "near").table
    matrix = np.asarray(open_generation(lake).matrix("rgb_histogram"), np.float64)
    matrix /= matrix.sum(axis=1, keepdims=True)  # half floats do not add up to 1
    distances = np.sqrt(np.clip(1 - np.sqrt(matrix) @ np.sqrt(matrix).T, 0, None))
    np.fill_diagonal(distances, np.inf)
    assert table["neighbours"].to_pylist() == np.argsort(distances, axis=1)[:, :5].tolist()
    assert np.allclose(table["distances"].to_pylist(), np.sort(distances, axis=1)[:, :5], atol=1e-3)


def test_medoid_is_nearest_to_its_cluster(lake):
    build_map(lake, "rgb_histogram", name="medoids")
    made = load_map(lake, "medoids")
    matrix, metric = open_generation(lake).matrix("rgb_histogram"), FEATURES["rgb_histogram"].metric
    for cluster in made.clusters:
        members = np.flatnonzero(made.table["cluster"].to_numpy() == cluster.cluster)
        sums = [metric(matrix[row], matrix[members]).sum() for row in members]
        assert cluster.row == members[int(np.argmin(sums))]
        assert cluster.image_id == made.table["image_id"][cluster.row].as_py()


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_same_seed_gives_the_same_map(lake, method):
    options = {"method": method, "sample": 60, "neighbours": 8, "name": "again"}
    build_map(lake, "phash", **options, seed=1)
    first = load_map(lake, "again").table
    build_map(lake, "phash", **options, seed=1)
    assert load_map(lake, "again").table.equals(first)
    build_map(lake, "phash", **options, seed=2)
    assert not load_map(lake, "again").table.equals(first)


def test_those_not_in_the_sample_lie_with_their_kind(lake):
    report = build_map(lake, "rgb_histogram", name="sampled", sample=60, neighbours=8, cluster_size=5)
    table = load_map(lake, "sampled").table
    assert (report.rows, report.fitted) == (120, 60)
    assert purity(table["cluster"].to_numpy()) == 1
    places = np.column_stack([table["x"], table["y"]])
    middles = np.stack([np.median(places[i * EACH : i * EACH + EACH], axis=0) for i in range(KINDS)])
    nearest = np.linalg.norm(places[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == np.arange(120) // EACH).mean() > 0.95


@pytest.mark.parametrize("method", ["umap", "tsne"])
@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_few_images_make_a_map(tmp_path, method, count):
    few = vector_lake(tmp_path / "lake", {"rgb_histogram": histograms()[:count]})
    build_generation(few)
    report = build_map(few, method=method)
    table = load_map(few, report.name).table
    assert len(table) == count and report.clusters == 0
    assert np.isfinite(np.column_stack([table["x"], table["y"]])).all()
    assert {len(near) for near in table["neighbours"].to_pylist()} == {min(15, count - 1)}


@pytest.mark.parametrize("method", ["umap", "tsne"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_vectors_make_a_map(tmp_path, method, value):
    same = vector_lake(tmp_path / "lake", {"rgb_histogram": np.full((40, 512), value / 512)})
    build_generation(same)
    table = load_map(same, build_map(same, method=method).name).table
    assert np.isfinite(np.column_stack([table["x"], table["y"]])).all()


@pytest.mark.parametrize("others", [0, 500])
def test_neighbours_are_found_among_thousands_that_are_equal(tmp_path, monkeypatch, others):
    """A graph of them may be in pieces."""
    rng = np.random.default_rng(0)
    vectors = np.concatenate([np.full((2_500, 512), 1 / 512), rng.dirichlet(np.ones(512), size=others)])
    many = vector_lake(tmp_path / "lake", {"rgb_histogram": vectors})
    build_generation(many)
    generation = open_generation(many)
    near = load_gallery(generation, generation.feature("rgb_histogram"), 10, lambda line: None).near
    assert near.indices.shape == (2_500 + others, 10) and near.distances[:2_500].max() < 1e-3
    assert not (near.indices == np.arange(2_500 + others)[:, None]).any()


def test_wrong_words_are_refused_before_anything_is_made(lake):
    before = map_names(lake)
    with pytest.raises(UnknownName, match="no feature named 'rgb_histogramm'; did you mean"):
        build_map(lake, "rgb_histogramm")
    with pytest.raises(UnknownName, match="no map method named 'pca'"):
        build_map(lake, method="pca")
    for name in ("../up", "", "a b", "a" * 65):
        with pytest.raises(QueryError, match="invalid map name "):
            build_map(lake, name=name)
    with pytest.raises(QueryError, match="neighbours is 1; it must be 2 to 50"):
        build_map(lake, neighbours=1)
    with pytest.raises(QueryError, match="sample is 15; it must be more than the 15 neighbours"):
        build_map(lake, sample=15)
    with pytest.raises(QueryError, match="cluster_size is 1; it must be 2 or more"):
        build_map(lake, cluster_size=1)
    assert map_names(lake) == before


def test_map_that_is_not_there_is_reported(lake, tmp_path):
    build_map(lake, "phash")
    assert "phash" in map_names(lake)
    with pytest.raises(UnknownName, match="no map named 'phahs'; did you mean 'phash'"):
        load_map(lake, "phahs")
    empty = Lake(tmp_path / "empty").open_for_writing()
    with pytest.raises(MissingTable, match="has no map yet; make one with: imrec map"):
        load_map(empty, "phash")
    assert map_names(empty) == []


def test_file_that_is_no_map_is_reported(lake):
    path = lake.map_path("broken")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"PAR1")
    try:
        with pytest.raises(SchemaMismatch, match="rebuild it with: imrec map --name broken"):
            load_map(lake, "broken")
        path.write_bytes(lake.catalog_path("photos-0000").read_bytes())
        with pytest.raises(SchemaMismatch, match="map format is None, expected"):
            load_map(lake, "broken")
    finally:
        path.unlink()


def test_interrupted_map_leaves_the_one_before(lake, monkeypatch):
    build_map(lake, "phash", name="kept")
    before = load_map(lake, "kept").table

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyarrow.parquet.write_table", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_map(lake, "phash", name="kept", seed=5)
    assert load_map(lake, "kept").table.equals(before)
    assert not any(".writing" in path.name for path in lake.map_path("kept").parent.iterdir())


# -- as the lake changes ------------------------------------------------------------------------------------


def grown(lake: Lake, count: int) -> Lake:
    """The lake with the first `count` pictures of each kind, as a scan would leave it."""
    rows = np.concatenate([np.arange(kind * EACH, kind * EACH + count) for kind in range(KINDS)])
    names = [f"{row:06d}.jpg" for row in rows]
    made = vector_lake(lake.root, {"rgb_histogram": histograms()[rows]}, names=names)
    build_generation(made)
    return made


def test_update_leaves_what_is_on_the_map_and_places_what_is_new(tmp_path):
    lake = grown(Lake(tmp_path / "lake"), 20)
    build_map(lake, name="kept", neighbours=8, cluster_size=8)
    before = load_map(lake, "kept")
    grown(lake, EACH)
    report = update_map(lake, "kept")
    after = load_map(lake, "kept")
    assert (report.rows, report.fitted, report.updated) == (120, 80, True)
    assert after.generation != before.generation and after.parameters == before.parameters
    places, rows = align_rows(before, open_generation(lake))
    where = {row: i for i, row in enumerate(after.table["row"].to_pylist())}
    stayed = after.table.take([where[row] for row in rows.tolist()])
    for name in ("image_id", "x", "y", "cluster"):
        assert stayed[name].to_pylist() == before.table.take(places)[name].to_pylist()
    kinds = np.array([int(path[:6]) // EACH for path in open_generation(lake).columns("path")["path"].to_pylist()])
    clusters = after.table["cluster"].to_numpy()
    assert all(len(set(kinds[clusters == cluster])) == 1 for cluster in range(clusters.max() + 1))


def test_update_drops_what_is_gone(tmp_path):
    lake = grown(Lake(tmp_path / "lake"), EACH)
    build_map(lake, name="kept", neighbours=8)
    before = load_map(lake, "kept")
    grown(lake, 20)
    generation = open_generation(lake)
    places, rows = align_rows(before, generation)
    assert len(places) == 80 and set(rows) == set(generation.live)
    assert (update_map(lake, "kept").rows, len(load_map(lake, "kept").table)) == (80, 80)
    assert set(load_map(lake, "kept").table["row"].to_pylist()) == set(generation.live)


def test_update_moves_a_picture_that_was_replaced(new_lake, tmp_path):
    lake = new_lake(24, ("rgb_histogram",))
    build_map(lake, name="kept", neighbours=6)
    before = load_map(lake, "kept").table.to_pylist()
    photo = tmp_path / "photos" / "photo_003.jpg"
    photo.write_bytes((tmp_path / "photos" / "photo_008.jpg").read_bytes())
    build(lake)
    report = update_map(lake, "kept")
    after = {row["image_id"]: row for row in load_map(lake, "kept").table.to_pylist()}
    assert (report.rows, report.fitted) == (24, 23)
    places = {row["row"]: (row["x"], row["y"]) for row in before}
    now = {row["row"]: (after[row["image_id"]]["x"], after[row["image_id"]]["y"]) for row in before}
    assert [row for row in places if places[row] != now[row]] == [3]
    assert np.hypot(*np.subtract(now[3], now[8])) < 0.5  # which it shows now


def test_map_of_a_lake_in_an_object_store(store, tmp_path):
    write_photos(tmp_path / "photos", range(8))
    s3.put_folder(tmp_path / "photos", "photos")
    lake = empty_lake(s3.path("lake"), ("phash",), sources={"photos": s3.path("photos")})
    build(lake)
    assert map_names(lake) == []
    report = build_map(lake)
    assert map_names(lake) == ["phash"] == [report.name]
    assert len(load_map(lake, "phash").table) == 8 and update_map(lake, "phash").fitted == 8


def test_update_without_common_images_is_refused(tmp_path):
    lake = grown(Lake(tmp_path / "lake"), 2)
    build_map(lake, name="few")
    grown(lake, EACH)
    with pytest.raises(QueryError, match="map few: 8 of its images are unchanged, expected more than 15"):
        update_map(lake, "few")


# -- colours ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coloured(toy_lake, tmp_path_factory) -> tuple[Map, Generation]:
    """A map of every drawn picture and forty photos, in a lake of its own."""
    root = tmp_path_factory.mktemp("coloured") / "lake"
    shutil.copytree(toy_lake.root, root)
    build_map(Lake(root), "rgb_histogram")
    return load_map(Lake(root), "rgb_histogram"), open_generation(Lake(root))


def test_every_colour_has_a_value_for_each_image(coloured):
    made, generation = coloured
    names = colour_names(generation)
    assert names[:3] == ["cluster", "source", "folder"] and {"width", "camera", "taken"} < set(names)
    kinds = set()
    for name in names:
        colours = colours_of(made, generation, name)
        kinds.add(colours.kind)
        values = colours.codes if colours.kind == "category" else colours.values
        assert len(values) == len(made.table)
        assert colours.codes is None or colours.codes.max() < len(colours.labels)
    assert kinds == {"category", "number", "date"}
    with pytest.raises(UnknownName, match="no colour column named 'widht'; did you mean 'width'"):
        colours_of(made, generation, "widht")


def test_colours_are_what_the_rows_say(coloured):
    made, generation = coloured
    rows = generation.columns("path", "width", "format").to_pylist()
    folders = colours_of(made, generation, "folder")
    assert [folders.labels[code] for code in folders.codes] == [
        "drawn" if row["path"].startswith("drawn/") else "photos" for row in rows
    ]
    assert colours_of(made, generation, "width").values.tolist() == [row["width"] for row in rows]
    few = colours_of(made, generation, "format", most=1)
    assert few.labels == ("JPEG", "other")
    assert (few.codes == 0).tolist() == [row["format"] == "JPEG" for row in rows]


# -- empty bands --------------------------------------------------------------------------------------------


def test_islands_come_nearer_and_stay_as_they_are(monkeypatch):
    rng = np.random.default_rng(0)
    here, there = rng.uniform(0, 1, (2, 200, 2))
    far = np.concatenate([here, there + np.array([0, 60]), here + np.array([40, 1000])]).astype(np.float32)
    monkeypatch.setattr(layout, "_umap", lambda start, near, seed: far)
    near = Nearest(np.zeros((600, 2), np.int64), np.zeros((600, 2), np.float32))
    made = layout.lay_out("umap", rng.normal(size=(600, 5)).astype(np.float32), near, 0)
    for first in (0, 200, 400):
        part, before = made[first : first + 200], far[first : first + 200]
        np.testing.assert_allclose(part - part[0], before - before[0], atol=1e-4)
    assert np.diff(np.sort(made[:, 1])).max() == pytest.approx(0.03 * np.ptp(far[:, 1]), rel=0.01)
    assert made.mean(axis=0) == pytest.approx(far.mean(axis=0), abs=1)


@pytest.mark.parametrize("positions", [np.zeros((9, 2)), np.eye(9)[:, :2]], ids=["one place", "two"])
def test_what_has_no_width_is_laid_out(monkeypatch, positions):
    monkeypatch.setattr(layout, "_umap", lambda start, near, seed: positions)
    near = Nearest(np.zeros((9, 2), np.int64), np.zeros((9, 2), np.float32))
    made = layout.lay_out("umap", np.zeros((9, 3), np.float32), near, 0)
    assert np.isfinite(made).all()

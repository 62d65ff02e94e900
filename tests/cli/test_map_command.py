"""`imrec map`: makes maps, lists them, draws them."""

import io
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from imrec_core import Lake
from imrec_core.index.build import build_generation
from imrec_core.index.image_files import thumbnail
from imrec_core.index.opening import open_generation
from imrec_core.maps import METHODS, Cluster, build_map, load_map
from imrec_core.maps.map_table import save_map
from imrec_core.maps.picture import draw_map
from imrec_core.plots.style import SCALE
from imrec_dagster.cli import map as map_command
from tests.support import toy

pytest.importorskip("umap", reason="umap-learn is not installed")


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """Twenty photos, half of them in a folder. Maps may be added."""
    root = tmp_path_factory.mktemp("mapped")
    toy.write_photos(root / "photos", range(10))
    toy.write_photos(root / "photos" / "more", range(10, 20))
    made = toy.new_lake(root / "lake")
    toy.build(made)
    return made


def drawn(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_methods_are_those_of_the_core():
    assert map_command._METHODS == METHODS


def test_map_is_built_and_reported(imrec, lake):
    ran = imrec("map", "--by", "rgb_histogram", "--lake", lake.root)
    assert ran.status == 0
    assert ran.out.startswith("map rgb_histogram: 20 images of generation 000001 by rgb_histogram:hellinger\n")
    assert "20 laid out by umap\n" in ran.out and "laying out 20 images with umap\n" in ran.err
    report = json.loads(imrec("map", "--by", "phash", "--method", "tsne", "--json", "--lake", lake.root).out)
    assert (report["name"], report["rows"], report["metric"]) == ("phash-tsne", 20, "hamming")
    ran = imrec("map", "--name", "phash-tsne", "--update", "--lake", lake.root)
    assert "20 kept their positions\n" in ran.out
    runs = [json.loads(line) for line in lake.run_logs()[-1].read_text().splitlines()]
    assert [(run["what"], run["name"], run["rows"]) for run in runs][-1] == ("map", "phash-tsne", 20)
    listed = json.loads(imrec("map", "--list", "--json", "--lake", lake.root).out)
    assert {m["name"] for m in listed} >= {"rgb_histogram", "phash-tsne"} and all(m["current"] for m in listed)


@pytest.fixture(scope="module")
def named(tmp_path_factory) -> Lake:
    """Two folders of ten images each, as two clusters, and ten in no cluster."""
    names = [f"{folder}/{i}.jpg" for folder in ("owls", "bees", "else") for i in range(10)]
    vectors = np.random.default_rng(0).dirichlet(np.ones(512), size=len(names))
    made = toy.vector_lake(tmp_path_factory.mktemp("named") / "lake", {"rgb_histogram": vectors}, names=names)
    build_generation(made)
    build_map(made, name="two")
    two = load_map(made, "two")
    paths = open_generation(made).columns("path")["path"].to_pylist()
    numbers = [{"owls": 0, "bees": 1, "else": -1}[path.split("/")[0]] for path in paths]
    table = two.table.set_column(two.table.column_names.index("cluster"), "cluster", pa.array(numbers, pa.int32()))
    rows = [numbers.index(0), numbers.index(1)]
    ids = [table["image_id"][row].as_py() for row in rows]
    x, y = two.table["x"].to_numpy(), two.table["y"].to_numpy()
    low, high = float(y.min()), float(y.max())
    clusters = (Cluster(0, 10, float(x[0]), low, ids[0], rows[0]), Cluster(1, 10, float(x[0]), high, ids[1], rows[1]))
    save_map(made, replace(two, table=table, clusters=clusters))
    return made


def test_clusters_are_listed_by_name(imrec, named):
    ran = imrec("map", "--name", "two", "--clusters", "--lake", named.root)
    assert [line.split() for line in ran.out.splitlines()] == [
        ["cluster", "images", "name", "by", "share", "lift"],
        ["0", "10", "owls", "folder", "100%", "3"],
        ["1", "10", "bees", "folder", "100%", "3"],
    ]
    listed = json.loads(imrec("map", "--name", "two", "--clusters", "--json", "--lake", named.root).out)
    assert [(one["name"], one["terms"][0]["text"]) for one in listed] == [("owls", "owls"), ("bees", "bees")]
    refused = imrec("map", "--name", "two", "--clusters", "--update", "--lake", named.root)
    assert refused.status == 2 and "--clusters makes no map" in refused.err
    missing = imrec("map", "--name", "tow", "--clusters", "--lake", named.root)
    assert missing.complaint == "imrec: no map named 'tow'; did you mean 'two'?"


def test_map_without_clusters_says_so(imrec, lake):
    build_map(lake, "phash", name="bare")
    bare = load_map(lake, "bare")
    none = bare.table.set_column(5, "cluster", pa.array([-1] * 20, pa.int32()))
    save_map(lake, replace(bare, table=none, clusters=()))
    ran = imrec("map", "--name", "bare", "--clusters", "--lake", lake.root)
    assert ran.out == "map bare has no clusters\n"


@pytest.mark.parametrize("thumbnails", [False, True])
def test_names_are_drawn_at_the_clusters_but_not_with_only(named, thumbnails):
    made, generation = load_map(named, "two"), open_generation(named)
    svg = draw_map(named, made, generation, kind="svg", thumbnails=thumbnails).decode()
    assert "owls 100 %" in svg and "bees 100 %" in svg
    only = draw_map(named, made, generation, kind="svg", colour="folder", only="owls").decode()
    assert "owls 100 %" not in only
    near = tuple(replace(cluster, y=made.clusters[0].y) for cluster in made.clusters)
    svg = draw_map(named, replace(made, clusters=near), generation, kind="svg").decode()
    assert "owls 100 %" in svg and "bees 100 %" not in svg, "names do not overlap"


def test_picture_is_drawn_of_a_map_that_is_there(imrec, lake, tmp_path):
    file = tmp_path / "map.png"
    assert "plot of map rgb_histogram" in imrec("map", "--picture", file, "--lake", lake.root).err
    before = lake.map_path("rgb_histogram").stat().st_mtime_ns
    plain = drawn(file)
    assert plain.shape == (SCALE * 960, SCALE * 1320, 3) and (plain != 255).any(axis=2).sum() > 5000
    for options in (["--colour", "folder"], ["--colour", "width"], ["--colour", "taken"], ["--thumbnails"]):
        imrec("map", "--picture", file, *options, "--lake", lake.root)
        assert drawn(file).shape == plain.shape
    assert lake.map_path("rgb_histogram").stat().st_mtime_ns == before
    imrec("map", "--picture", tmp_path / "map.svg", "--lake", lake.root)
    assert b"<svg" in (tmp_path / "map.svg").read_bytes()[:2000]


def test_map_is_built_again_if_options_change_its_layout(imrec, lake, tmp_path):
    asked = ("map", "--by", "phash", "--name", "again", "--picture", tmp_path / "map.png", "--lake", lake.root)
    assert "laying out 20 images with umap" in imrec(*asked).err
    assert "laying out" not in imrec(*asked).err
    for options in (["--cluster-size", 3], ["--neighbours", 4], ["--sample", 19], ["--seed", 1]):
        assert "laying out" in imrec(*asked, *options).err
        refused = imrec(*asked, *options, "--update")
        assert refused.status == 2 and "--update keeps the layout options of the map" in refused.err


def test_colour_that_is_none_is_refused_before_a_map_is_made(imrec, lake, tmp_path):
    asked = ("map", "--name", "never", "--picture", tmp_path / "map.png", "--colour", "widht", "--lake", lake.root)
    assert imrec(*asked).complaint == "imrec: no colour column named 'widht'; did you mean 'width'?"
    assert not lake.map_path("never").exists()


def test_one_value_stands_out_against_the_rest(imrec, lake, tmp_path):
    file = tmp_path / "map.png"
    imrec("map", "--picture", file, "--colour", "folder", "--only", "more", "--lake", lake.root)
    accent = np.abs(drawn(file).astype(int) - (0xD1, 0x49, 0x5B)).max(axis=2) < 60
    assert accent.sum() > 100
    ran = imrec("map", "--picture", file, "--colour", "folder", "--only", "mroe", "--lake", lake.root)
    assert ran.complaint == "imrec: no folder named 'mroe'; did you mean 'more'?"


def test_pictures_of_clusters_are_drawn(lake):
    made, generation = load_map(lake, "rgb_histogram"), open_generation(lake)
    row = made.table.slice(7, 1).to_pylist()[0]
    shown = replace(made, clusters=(Cluster(0, 20, row["x"], row["y"], row["image_id"], row["row"]),))
    with_it = drawn(io.BytesIO(draw_map(lake, shown, generation, thumbnails=True)))
    without = drawn(io.BytesIO(draw_map(lake, shown, generation)))
    assert (with_it != without).any(axis=2).sum() > 40 * 60


def test_words_that_are_no_formula_and_no_label_are_drawn_as_they_are(tmp_path):
    names = [f"{folder}/{i}.jpg" for folder in ("_a$b", "c$^{", "漢字\n", "x" * 90) for i in range(3)]
    vectors = np.random.default_rng(0).dirichlet(np.ones(512), size=len(names))
    lake = toy.vector_lake(tmp_path / "lake", {"rgb_histogram": vectors}, names=names)
    build_generation(lake)
    build_map(lake)
    made, generation = load_map(lake, "rgb_histogram"), open_generation(lake)
    svg = draw_map(lake, made, generation, colour="folder", thumbnails=True, kind="svg").decode()
    assert all(word in svg for word in ("_a$b", "c$^{", "漢字", "x…x"))
    assert "_a$b (3)" in draw_map(lake, made, generation, colour="folder", only="_a$b", kind="svg").decode()


def test_thumbnail_of_what_is_gone_is_none(new_lake):
    lake = new_lake(3)
    generation = open_generation(lake)
    image_id = generation.rows["image_id"][0].as_py()
    assert max(thumbnail(lake, generation, image_id, 50).size) == 50
    (lake.settings().source("photos").root / generation.rows["path"][0].as_py()).unlink()
    assert thumbnail(lake, generation, image_id, 50) is None
    assert thumbnail(lake, generation, "0" * 16, 50) is None


def test_wrong_usage_is_reported(imrec, lake, tmp_path):
    assert imrec("map", "--thumbnails", "--lake", lake.root).status == 2
    assert imrec("map", "--picture", "map.gif", "--lake", lake.root).status == 2
    ran = imrec("map", "--by", "rgb_histogramm", "--lake", lake.root)
    assert "no feature named 'rgb_histogramm'; did you mean 'rgb_histogram'?" in ran.complaint
    assert "there is no lake at" in imrec("map", "--lake", tmp_path / "none").complaint


def test_missing_library_is_reported_before_reading(imrec, lake, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ran = imrec("map", "--by", "phash", "--lake", lake.root)
    assert ran.complaint == "imrec: umap-learn is not installed; install it with: pip install 'imrec[map]'"

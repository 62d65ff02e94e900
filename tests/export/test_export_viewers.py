"""What viewers get of a generation is opened by the viewers themselves."""

import io
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imrec_core import Lake
from imrec_core.errors import BadExport, BadFilter, MissingDependency, StorageFull, UnknownName
from imrec_core.export import VIEWERS, export_view, graphml, projector, thumbnails
from imrec_core.index.build import build_generation
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.maps import build_map, load_map
from imrec_dagster.cli import export as command
from tests.support import toy
from tests.support.export_folder import Killed, state

PHOTOS = 24


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """Photos in two folders, one of a name with a tab, one that is gone since; with a map."""
    pytest.importorskip("umap", reason="umap-learn is not installed")
    root = tmp_path_factory.mktemp("viewers")
    toy.write_photos(root / "photos", range(12))
    toy.write_photos(root / "photos" / "more", range(12, PHOTOS))
    (root / "photos" / "photo_005.jpg").rename(root / "photos" / "a\tb  <&>.jpg")
    made = toy.new_lake(root / "lake", ("rgb_histogram", "phash"))
    toy.build(made)
    (root / "photos" / "photo_007.jpg").unlink()
    build_map(made, "rgb_histogram")
    return made


@pytest.fixture(scope="module")
def generation(lake) -> Generation:
    return open_generation(lake)


def paths(generation: Generation) -> list[str]:
    return generation.columns("path")["path"].to_pylist()


# -- TensorBoard --------------------------------------------------------------------------------------------


class Projector:
    """The projector's own plugin, queried as the page queries it."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
        from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
        from tensorboard.plugins import base_plugin
        from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
        from werkzeug.test import Client

        data = MultiplexerDataProvider(EventMultiplexer(), str(folder))
        plugin = ProjectorPlugin(base_plugin.TBContext(logdir=str(folder), data_provider=data))
        self._routes = {path: Client(app) for path, app in plugin.get_plugin_apps().items()}

    def get(self, route: str, name: str = "rgb_histogram") -> bytes:
        answer = self._routes[route].get(f"{route}?run=.&name={name}")
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_data()


@pytest.fixture
def opened():
    """Opens what was exported in TensorBoard's projector."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Projector


def test_projector_reads_vectors_facts_and_pictures(lake, generation, tmp_path, opened):
    report = export_view(lake, tmp_path / "out", "projector")
    assert (report.rows, report.left_out, list(report.features)) == (PHOTOS, 0, ["rgb_histogram"])
    page = opened(tmp_path / "out")
    assert json.loads(page.get("/runs")) == ["."]
    (found,) = json.loads(page.get("/info"))["embeddings"]
    assert (found["tensorName"], found["tensorShape"]) == ("rgb_histogram", [PHOTOS, 512])
    held = np.frombuffer(page.get("/tensor"), np.float32).reshape(PHOTOS, 512)
    assert np.allclose(held, np.sqrt(generation.matrix("rgb_histogram").astype(np.float32)), atol=1e-6)
    heading, *rows = [line.split("\t") for line in page.get("/metadata").decode().splitlines()]
    assert {"path", "image_id", "folder", "width", "x", "y", "cluster"} <= set(heading)
    assert {len(row) for row in rows} == {len(heading)}
    assert [row[0] for row in rows] == [path.replace("\t", " ") for path in paths(generation)]
    sheet = Image.open(io.BytesIO(page.get("/sprite_image")))
    side, side_ = found["sprite"]["singleImageDim"]
    assert side == side_ == 96 and sheet.size == (5 * side, 5 * side)
    for row, path in enumerate(paths(generation)):
        cell = sheet.crop((row % 5 * side, row // 5 * side, row % 5 * side + side, row // 5 * side + side))
        if path == "photo_007.jpg":
            assert np.ptp(np.asarray(cell), axis=(0, 1)).max() < 20  # its file is gone: paper
            continue
        photo = Image.open(lake.settings().source("photos").root / path)
        photo.thumbnail((side, side))
        shown = np.asarray(cell)[(side - photo.height) // 2 :, (side - photo.width) // 2 :][
            : photo.height, : photo.width
        ]
        assert np.abs(shown.astype(int) - np.asarray(photo.convert("RGB"))).mean() < 12


def test_projector_reads_vectors_that_look_like_text(tmp_path, opened):
    zeros = toy.vector_lake(tmp_path / "lake", {"rgb_histogram": np.zeros((5, 512))})
    build_generation(zeros)
    export_view(zeros, tmp_path / "out", "projector")
    held = np.frombuffer(opened(tmp_path / "out").get("/tensor"), np.float32)
    assert held.shape == (5 * 512,) and not held.any()
    assert "tensor-rgb_histogram.tsv" in (tmp_path / "out" / "projector_config.pbtxt").read_text()


def test_projector_gets_hashes_as_bits(lake, generation, tmp_path, opened):
    export_view(lake, tmp_path / "out", "projector", by="phash")
    held = np.frombuffer(opened(tmp_path / "out").get("/tensor", "phash"), np.float32).reshape(PHOTOS, 64)
    hashes = np.asarray(generation.matrix("phash"))
    squares = ((held[:, None] - held) ** 2).sum(axis=2)
    assert np.array_equal(squares, np.bitwise_count(hashes ^ hashes.T))


@pytest.mark.parametrize(("count", "side"), [(1, 96), (100, 96), (7_225, 96), (10_000, 81), (100_000, 25)])
def test_pictures_fit_on_a_sheet_that_a_graphics_card_holds(count, side):
    assert projector.thumbnail_side(count) == side
    across = int(np.ceil(np.sqrt(count)))
    assert across * side <= 8192 and across**2 >= count


def test_sample_is_reported(lake, tmp_path):
    report = export_view(lake, tmp_path / "out", "projector", rows=10)
    assert (report.rows, report.left_out) == (10, PHOTOS - 10)
    assert report.summary().startswith(f"projector: 10 of {PHOTOS} images of generation 000001 in")
    assert "a random sample of the images" in report.summary()
    assert "open it with: tensorboard --logdir" in report.summary()
    assert len((tmp_path / "out" / "metadata.tsv").read_text("utf-8").splitlines()) == 11


# -- Embedding Atlas ----------------------------------------------------------------------------------------


@pytest.fixture
def atlas():
    """Opens a file as the command `embedding-atlas` does, and asks its server."""
    pytest.importorskip("embedding_atlas", reason="embedding-atlas is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedding_atlas.data_source import DataSource
        from embedding_atlas.options import make_embedding_atlas_props
        from embedding_atlas.server import make_server
        from embedding_atlas.utils import load_pandas_data
        from starlette.testclient import TestClient

        def open_file(path: Path, folder: Path):
            table = load_pandas_data(str(path))
            table["__row_index__"] = range(len(table))
            props = make_embedding_atlas_props(
                row_id="__row_index__", x="x", y="y", neighbors="neighbors", image="image"
            )
            folder.mkdir()
            server = make_server(DataSource("test", table, {"props": props}), static_path=str(folder))
            return TestClient(server)

        yield open_file


def test_atlas_reads_places_neighbours_and_pictures(lake, generation, tmp_path, atlas):
    report = export_view(lake, tmp_path / "out", "atlas", neighbours=4)
    assert (report.rows, report.parts, report.kept) == (PHOTOS, 1, 0)
    server = atlas(tmp_path / "out" / "atlas.parquet", tmp_path / "static")
    result = server.get("/data/metadata.json").json()["props"]["data"]
    assert (result["projection"], result["neighbors"], result["image"]) == ({"x": "x", "y": "y"}, "neighbors", "image")
    served = pq.read_table(io.BytesIO(server.get("/data/dataset.parquet").content))
    on = load_map(lake, "rgb_histogram").table
    assert served["x"].to_pylist() == on["x"].to_pylist() and served["cluster"].to_pylist() == on["cluster"].to_pylist()
    nearest = [near[:4] for near in on["neighbours"].to_pylist()]
    assert [value["ids"] for value in served["neighbors"].to_pylist()] == nearest
    assert all(value["distances"] == sorted(value["distances"]) for value in served["neighbors"].to_pylist())
    for path, value in zip(served["path"].to_pylist(), served["image"].to_pylist(), strict=True):
        if path == "photo_007.jpg":
            assert value is None
        else:
            assert Image.open(io.BytesIO(value["bytes"])).size == (160, 120)


def test_pagerank_of_the_atlas_takes_the_neighbours(lake, tmp_path):
    """The command computes it by itself where there are pictures."""
    pytest.importorskip("embedding_atlas", reason="embedding-atlas is not installed")
    export_view(lake, tmp_path / "out", "atlas", where="row <> 3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedding_atlas.graph_metrics import compute_pagerank_column
        from embedding_atlas.utils import load_pandas_data

        ranks = compute_pagerank_column(
            load_pandas_data(str(tmp_path / "out" / "atlas.parquet")), neighbors="neighbors"
        )
    assert len(ranks) == PHOTOS - 1 and abs(ranks.sum() - 1) < 1e-6


def test_neighbours_of_a_selection_are_within_it(lake, generation, tmp_path):
    export_view(lake, tmp_path / "out", "atlas", where="row % 2 = 0", neighbours=3)
    table = pq.read_table(tmp_path / "out" / "atlas.parquet")
    rows = np.arange(0, PHOTOS, 2)
    assert table["path"].to_pylist() == [paths(generation)[row] for row in rows]
    roots = np.sqrt(np.asarray(generation.matrix("rgb_histogram"), np.float64)[rows])
    overlap = roots @ roots.T
    np.fill_diagonal(overlap, -1)
    assert [value["ids"] for value in table["neighbors"].to_pylist()] == np.argsort(-overlap, axis=1)[:, :3].tolist()


def test_atlas_without_a_map_is_refused(lake, tmp_path):
    with pytest.raises(BadExport, match="there is no map by phash; build one with: imrec map --by phash"):
        export_view(lake, tmp_path / "out", "atlas", by="phash")
    with pytest.raises(UnknownName, match="no map named 'rgb'"):
        export_view(lake, tmp_path / "out", "atlas", on="rgb")
    assert not (tmp_path / "out").exists()


# -- GraphML ------------------------------------------------------------------------------------------------


def test_graph_is_read_with_weights_communities_and_places(lake, generation, tmp_path):
    networkx = pytest.importorskip("networkx", reason="networkx is not installed")
    pytest.importorskip("igraph", reason="igraph is not installed")
    report = export_view(lake, tmp_path / "out", "graphml", neighbours=3)
    assert report.features == {"rgb_histogram": "hellinger"}
    graph = networkx.read_graphml(tmp_path / "out" / "graph.graphml")
    assert not graph.is_directed() and not graph.is_multigraph() and graph.number_of_nodes() == PHOTOS
    near = [near[:3] for near in load_map(lake, "rgb_histogram").table["neighbours"].to_pylist()]
    wanted = {frozenset((row, other)) for row, others in enumerate(near) for other in others}
    number = {node: row for row, node in enumerate(graph.nodes)}
    assert {frozenset((number[a], number[b])) for a, b in graph.edges} == wanted
    nodes = [facts for _, facts in graph.nodes(data=True)]
    assert [facts["path"] for facts in nodes] == paths(generation)
    assert [facts["id"] for facts in nodes] == generation.columns("image_id")["image_id"].to_pylist()
    on = load_map(lake, "rgb_histogram").table
    assert np.allclose([facts["x"] for facts in nodes], on["x"].to_numpy())
    edges = [facts for _, _, facts in graph.edges(data=True)]
    assert all(0 < facts["weight"] <= 1 for facts in edges)
    by_distance = sorted(edges, key=lambda facts: facts["distance"])
    assert [facts["weight"] for facts in by_distance] == sorted((facts["weight"] for facts in edges), reverse=True)
    groups: dict[float, set[str]] = {}
    for node, facts in graph.nodes(data=True):
        groups.setdefault(facts["community"], set()).add(node)
    sizes = [len(groups[community]) for community in sorted(groups)]
    assert sizes == sorted(sizes, reverse=True) and 1 < len(sizes) < PHOTOS
    assert networkx.community.modularity(graph, groups.values(), weight="weight") > 0.3
    again = tmp_path / "again"
    export_view(lake, again, "graphml", neighbours=3)
    assert (again / "graph.graphml").read_bytes() == (tmp_path / "out" / "graph.graphml").read_bytes()


def test_name_that_xml_cannot_hold_is_read_all_the_same(tmp_path):
    networkx = pytest.importorskip("networkx", reason="networkx is not installed")
    pytest.importorskip("igraph", reason="igraph is not installed")
    rng = np.random.default_rng(0)
    names = ["a\x01b.jpg", "<&>.jpg", "ü🙂.jpg", "d.jpg"]
    lake = toy.vector_lake(tmp_path / "lake", {"rgb_histogram": rng.dirichlet(np.ones(512), size=4)}, names=names)
    build_generation(lake)
    export_view(lake, tmp_path / "out", "graphml")
    graph = networkx.read_graphml(tmp_path / "out" / "graph.graphml")
    assert sorted(facts["path"] for _, facts in graph.nodes(data=True)) == sorted(["a?b.jpg", *names[1:]])


@pytest.mark.parametrize("target", ["projector", "graphml"])
def test_lake_of_one_image_is_exported(tmp_path, target):
    pytest.importorskip("igraph", reason="igraph is not installed")
    one = toy.vector_lake(tmp_path / "lake", {"rgb_histogram": np.full((1, 512), 1 / 512)})
    build_generation(one)
    assert export_view(one, tmp_path / "out", target).rows == 1


def test_missing_igraph_is_reported(lake, tmp_path, monkeypatch):
    monkeypatch.setattr(graphml, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=re.escape("pip install 'imrec[map]'")):
        export_view(lake, tmp_path / "out", "graphml")
    assert not (tmp_path / "out").exists()


# -- as every export ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", VIEWERS)
def test_the_same_export_again_writes_nothing_and_another_starts_over(lake, tmp_path, target):
    pytest.importorskip("igraph", reason="igraph is not installed")
    out = tmp_path / "out"
    first = export_view(lake, out, target)
    before = state(out)
    again = export_view(lake, out, target)
    assert again.kept == again.parts == first.parts and not again.replaced
    assert {name for name, when in state(out).items() if before.get(name) != when} <= {"export.json", ".export.lock"}
    other = export_view(lake, out, target, where="row < 10")
    assert other.replaced and (other.rows, other.kept) == (10, 0)
    last = export_view(lake, out, VIEWERS[VIEWERS.index(target) - 1])
    assert last.replaced and not set(state(out)) & (set(before) - {"export.json", ".export.lock"})


def test_map_that_was_made_again_starts_over(lake, tmp_path):
    build_map(lake, "rgb_histogram", name="again")
    export_view(lake, tmp_path / "out", "atlas", on="again")
    build_map(lake, "rgb_histogram", name="again", seed=3)
    assert export_view(lake, tmp_path / "out", "atlas", on="again").replaced


@pytest.mark.parametrize("target", ["projector", "atlas"])
def test_killed_export_keeps_its_pictures(lake, tmp_path, monkeypatch, target):
    monkeypatch.setattr(thumbnails, "PART", 5)
    made = thumbnails._jpeg
    decoded = []

    def dying(lake, generation, image_id, side):
        decoded.append(image_id)
        if len(decoded) > 12:
            raise Killed
        return made(lake, generation, image_id, side)

    with monkeypatch.context() as deadly, pytest.raises(Killed):
        deadly.setattr(thumbnails, "_jpeg", dying)
        export_view(lake, tmp_path / "out", target)
    left = sorted(path.name for path in (tmp_path / "out").glob("pictures-*"))
    assert left == ["pictures-00000.parquet", "pictures-00001.parquet"]
    decoded.clear()
    monkeypatch.setattr(thumbnails, "_jpeg", lambda *args: decoded.append(args[2]) or made(*args))
    export_view(lake, tmp_path / "out", target)
    assert len(decoded) == PHOTOS - 10
    export_view(lake, tmp_path / "whole", target)
    last = {"projector": "sprite.jpg", "atlas": "atlas.parquet"}[target]
    assert (tmp_path / "out" / last).read_bytes() == (tmp_path / "whole" / last).read_bytes()
    assert not [name for name in state(tmp_path / "out") if "pictures" in name or "writing" in name]


def test_full_disk_is_reported(lake, tmp_path, monkeypatch):
    def failing(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(thumbnails.pq, "write_table", failing)
    with pytest.raises(StorageFull, match="run the command again"):
        export_view(lake, tmp_path / "out", "projector")


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ({"to": "projektor"}, UnknownName, "did you mean 'projector'"),
        ({"by": "phas"}, UnknownName, "did you mean 'phash'"),
        ({"where": "colour = 3"}, BadFilter, "columns: row, image_id"),
        ({"where": "row < 0"}, BadExport, "no image matches the condition 'row < 0'"),
        ({"rows": 0}, BadExport, "rows is 0"),
        ({"rows": 200_000}, BadExport, "rows is 200000; the projector reads at most 100000 points"),
        ({"neighbours": 0, "to": "graphml"}, BadExport, "neighbours is 0; it must be 1 to 50"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_anything_is_written(lake, tmp_path, how, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        export_view(lake, tmp_path / "out", **({"to": "projector"} | how))
    assert not (tmp_path / "out").exists()


def test_url_is_refused(lake):
    with pytest.raises(BadExport, match="is a URL; atlas is written to a local folder"):
        export_view(lake, "s3://bucket/out", "atlas")


def test_command_knows_the_viewers_and_refuses_what_they_have_no_use_for(imrec, lake, tmp_path):
    assert command._VIEWERS == VIEWERS
    done = imrec("export", "out", "--to", "atlas", "--neighbours", 3, "--lake", lake.root)
    assert done.status == 0 and "embedding-atlas out/atlas.parquet --x x --y y" in done.out
    for options in (["--hnsw"], ["--part-rows", 5], ["--by", "phash", "--by", "rgb_histogram"]):
        assert imrec("export", "other", "--to", "atlas", *options, "--lake", lake.root).status == 2
    assert imrec("export", "other", "--to", "csv", "--rows", 5, "--lake", lake.root).status == 2

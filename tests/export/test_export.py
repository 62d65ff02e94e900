"""What other tools get of a generation is what it holds; an export goes on where it stopped, or says why not."""

from __future__ import annotations

import csv
import errno
import json
import re
import shutil
import sqlite3
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import imrec_core.export as package
from imrec_core import FEATURES, METRICS, ImageId, Lake, Recommender
from imrec_core.errors import BadExport, BadFilter, MissingDependency, QueryError, StorageFull, UnknownName
from imrec_core.export import PART_ROWS, TARGETS, export
from imrec_core.export import output_folder as folder_module
from imrec_core.export import qdrant as qdrant_module
from imrec_core.export import selection as selection_module
from imrec_core.export.selection import BLOCK_BYTES, Reader
from imrec_core.index.build import IndexParams, build_generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.schemas import to_matrix
from imrec_core.sql.policy import SqlPolicy
from imrec_dagster.cli import export as command
from imrec_dagster.cli.main import imrec as group
from tests.support import toy
from tests.support.export_folder import Killed, state

DOC = (Path(__file__).parents[2] / "docs" / "guides" / "export.md").read_text("utf-8")
LIBRARIES = {"faiss": "faiss", "lance": "lance", "qdrant": "qdrant_client"}
PICTURES = 150
KINDS = ("efficientnet_lite0", "rgb_histogram", "phash", "pdq")  # float16, float32, 64 bits, 256 bits


def needs(target: str) -> None:
    """Skip where a library is not installed, with the reason."""
    if target in LIBRARIES:
        pytest.importorskip(LIBRARIES[target], reason=f"{LIBRARIES[target]} is not installed")


def each(*targets: str) -> Any:
    return pytest.mark.parametrize("target", targets or TARGETS)


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """A hundred and fifty pictures that never were, in one feature of each dtype, with columns of a person's own."""
    rng = np.random.default_rng(3)
    root = tmp_path_factory.mktemp("export")
    vectors = {
        "efficientnet_lite0": rng.normal(size=(PICTURES, 1280)).astype(np.float16),
        "rgb_histogram": rng.dirichlet(np.full(512, 0.05), size=PICTURES).astype(np.float32),
        "phash": rng.integers(0, 2**64, (PICTURES, 1), dtype=np.uint64),
        "pdq": rng.integers(0, 2**64, (PICTURES, 4), dtype=np.uint64),
        "edge_histogram": rng.dirichlet(np.full(80, 0.2), size=PICTURES).astype(np.float32),
    }
    names = [f'{i}, "ü"\n.jpg' if i == 5 else f"{i}.jpg" for i in range(PICTURES)]
    lake = toy.vector_lake(root / "lake", vectors, names=names)
    with (root / "own.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "rating", "caption"])
        rows.writerows([[f"{i}.jpg", i % 7, f"it's, {i}"] for i in range(100, PICTURES)])
    pq.write_table(
        pa.table({"path": [f"{i}.jpg" for i in range(10)], "words": [["a", f"b{i}"] for i in range(10)]}),
        root / "tags.parquet",
    )
    toy.set_to(lake, columns=(str(root / "own.csv"), str(root / "tags.parquet")))
    build_generation(lake)
    return lake


@pytest.fixture(scope="module")
def rec(lake) -> Recommender:
    return Recommender.open(lake)


def rows_of(out: Path) -> pa.Table:
    return pq.read_table(sorted(out.glob("rows-*.parquet")))


def matrix_of(column: pa.ChunkedArray) -> np.ndarray:
    return to_matrix(column)


# -- how each target is read --------------------------------------------------------------------------------


def read_csv(out: Path) -> list[dict[str, str]]:
    rows = []
    for path in sorted(out.glob("rows-*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    return rows


def held_in(target: str, out: Path, name: str) -> np.ndarray:
    """The vectors of a feature in an export, in the order of the rows."""
    if target == "parquet":
        return matrix_of(rows_of(out)[name])
    if target == "csv":
        values = [json.loads(row[name]) for row in read_csv(out)]
        return np.array([value if isinstance(value, list) else [value] for value in values], FEATURES[name].dtype)
    if target == "faiss":
        import faiss

        path = str(out / f"{name}.faiss")
        if FEATURES[name].dtype == "uint64":
            index = faiss.read_index_binary(path)
            return faiss.vector_to_array(index.xb).reshape(index.ntotal, -1)
        return faiss.read_index(path).reconstruct_n()
    if target == "lance":
        import lance

        return matrix_of(lance.dataset(out / "images.lance").to_table()[name])
    held = np.array([point.vector[name] for point in points(out)])
    by_angle = FEATURES[name].metric.name == "cosine"  # a server keeps such vectors at length 1, a folder may not
    return held / np.linalg.norm(held, axis=1, keepdims=True) if by_angle else held


def points(out: Path) -> list[Any]:
    from qdrant_client import QdrantClient

    client = QdrantClient(path=str(out / "qdrant"))
    try:
        return client.scroll("imrec", limit=10_000, with_vectors=True)[0]
    finally:
        client.close()


def expected(target: str, generation: Any, name: str) -> np.ndarray:
    """What a target should hold, by five plain lines."""
    stored = np.asarray(generation.matrix(name))
    if target in ("parquet", "csv"):
        return stored
    if stored.dtype == np.uint64:
        bits = np.unpackbits(stored.view(np.uint8), axis=1)
        return bits if target == "qdrant" else stored.view(np.uint8)
    if name == "rgb_histogram":
        return np.sqrt(stored.astype(np.float32))
    if target == "lance" and stored.dtype == np.float16:
        return stored
    values = stored.astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


# -- contents -----------------------------------------------------------------------------------------------


@each()
@pytest.mark.parametrize("part_rows", [PART_ROWS, 50, 37])
def test_vectors_of_every_dtype_are_those_of_the_generation(lake, rec, tmp_path, monkeypatch, target, part_rows):
    needs(target)
    monkeypatch.setattr(selection_module, "BLOCK_BYTES", 4 * 2000 * 30)  # some thirty rows
    report = export(lake, tmp_path / "out", target, by=KINDS, part_rows=part_rows)
    assert (report.rows, report.kept, report.replaced, tuple(report.features)) == (PICTURES, 0, False, KINDS)
    for name in KINDS:
        held = held_in(target, tmp_path / "out", name)
        wanted = expected(target, rec.generation, name)
        assert held.shape == wanted.shape
        if target in ("parquet", "csv", "lance") and name != "rgb_histogram":
            assert held.dtype == wanted.dtype
            np.testing.assert_array_equal(held, wanted)
        else:
            np.testing.assert_allclose(held, wanted, atol=2e-4)


@each()
def test_rows_are_those_of_the_generation_with_columns_of_ones_own(lake, rec, tmp_path, target):
    needs(target)
    export(lake, tmp_path / "out", target, by=["rgb_histogram"], part_rows=64)
    wanted = rec.generation.rows
    assert {"rating", "caption", "words"} <= set(wanted.column_names)
    if target in ("parquet", "faiss"):
        assert rows_of(tmp_path / "out").select(wanted.column_names).equals(wanted.replace_schema_metadata(None))
    elif target == "lance":
        import lance

        found = lance.dataset(tmp_path / "out" / "images.lance").to_table(columns=wanted.column_names)
        assert found.to_pylist() == wanted.to_pylist()
    elif target == "csv":
        found = read_csv(tmp_path / "out")
        for row, of_csv in zip(wanted.to_pylist(), found, strict=True):
            words = json.loads(of_csv["words"]) if of_csv["words"] else None
            assert (of_csv["image_id"], of_csv["path"], words) == (row["image_id"], row["path"], row["words"])
            rating = "" if row["rating"] is None else str(row["rating"])
            assert (of_csv["rating"], of_csv["caption"]) == (rating, row["caption"] or "")
    else:
        found = [(point.id, point.payload) for point in points(tmp_path / "out")]
        assert found == [(row["row"], row | {"tags": []}) for row in wanted.to_pylist()]


@each()
def test_condition_keeps_the_rows_for_which_it_holds(lake, rec, tmp_path, monkeypatch, target):
    needs(target)
    monkeypatch.setattr(selection_module, "BLOCK_BYTES", 4 * 512 * 30)
    where = "rating >= 1 AND row % 2 = 0"
    kept = rec.generation.filter.rows(where, SqlPolicy.TRUSTED)
    assert 15 < len(kept) < 50
    report = export(lake, tmp_path / "out", target, by=["rgb_histogram"], where=where, part_rows=7)
    assert report.rows == len(kept)
    held = held_in(target, tmp_path / "out", "rgb_histogram")
    np.testing.assert_allclose(held, expected(target, rec.generation, "rgb_histogram")[kept], atol=2e-4)
    if target in ("parquet", "faiss"):
        assert rows_of(tmp_path / "out")["row"].to_pylist() == kept.tolist()
    if target == "qdrant":
        assert [point.id for point in points(tmp_path / "out")] == kept.tolist()


@each()
def test_images_that_were_removed_are_not_exported(new_lake, tmp_path, target):
    needs(target)
    lake = new_lake(20, ("rgb_histogram", "phash"))
    (tmp_path / "photos" / "photo_003.jpg").unlink()
    toy.build(lake)
    generation = open_generation(lake)
    assert generation.removed == 1
    assert export(lake, tmp_path / "out", target, by=["rgb_histogram"]).rows == 19
    held = held_in(target, tmp_path / "out", "rgb_histogram")
    np.testing.assert_allclose(held, expected(target, generation, "rgb_histogram")[generation.live], atol=2e-4)


def test_csv_has_no_vectors_unless_they_are_named_and_the_others_have_all(lake, tmp_path):
    assert export(lake, tmp_path / "csv", "csv").features == {}
    assert "phash" not in read_csv(tmp_path / "csv")[0]
    every = export(lake, tmp_path / "parquet", "parquet")
    assert set(every.features) == {*KINDS, "edge_histogram"}
    assert set(every.features) <= set(rows_of(tmp_path / "parquet").column_names)


def test_numbers_and_times_that_json_does_not_have_become_such_as_it_has():
    import datetime
    import decimal

    day = datetime.datetime(2024, 6, 1, 12)
    found = [qdrant_module._as_json(v) for v in (float("nan"), day, decimal.Decimal("1.5"), [1, None, 0.5], True)]
    assert found == [None, "2024-06-01T12:00:00", 1.5, [1, None, 0.5], True]


def test_parquet_is_read_by_duckdb_and_polars(lake, rec, tmp_path):
    import duckdb
    import polars as pl

    export(lake, tmp_path / "out", "parquet", part_rows=64)
    files = str(tmp_path / "out" / "rows-*.parquet")
    made_from = json.loads(pq.read_schema(tmp_path / "out" / "rows-00001.parquet").metadata[b"imrec"])
    assert made_from["generation"] == "000001"
    assert made_from["features"]["phash"] == {"dims": 64, "dtype": "uint64"}
    assert duckdb.sql(f"SELECT count(*), sum(rating) FROM '{files}'").fetchall()[0][0] == PICTURES
    frame = pl.read_parquet(files)
    assert frame.shape[0] == PICTURES and frame["rgb_histogram"].dtype.shape == (512,)


def test_graph_of_faiss_finds_what_is_nearest(lake, rec, tmp_path):
    needs("faiss")
    import faiss

    export(lake, tmp_path / "out", "faiss", by=["rgb_histogram", "efficientnet_lite0", "phash"], hnsw=True)
    for name in ("rgb_histogram", "efficientnet_lite0"):
        index = faiss.read_index(str(tmp_path / "out" / f"{name}.faiss"))
        assert isinstance(index, faiss.IndexHNSWFlat) and index.ntotal == PICTURES
        queries = np.stack([rec.vector(at(rec, row), name, to="faiss") for row in range(50)])
        assert (index.search(queries, 1)[1][:, 0] == np.arange(50)).mean() > 0.95
    assert faiss.read_index_binary(str(tmp_path / "out" / "phash.faiss")).ntotal == PICTURES


def at(rec: Recommender, row: int) -> ImageId:
    return ImageId(rec.generation.rows["image_id"][row].as_py())


# -- distances ----------------------------------------------------------------------------------------------


def nearest(target: str, out: Path, name: str, distance: str, vector: np.ndarray, k: int) -> list[int]:
    """Rows by a target's own search."""
    if target == "faiss":
        import faiss

        binary = FEATURES[name].dtype == "uint64"
        index = (faiss.read_index_binary if binary else faiss.read_index)(str(out / f"{name}.faiss"))
        return index.search(vector[None], k)[1][0].tolist()
    if target == "lance":
        import lance

        how = {"column": name, "q": vector, "k": k, "metric": distance}
        return (
            lance.dataset(out / "images.lance").to_table(columns=["row", "_distance"], nearest=how)["row"].to_pylist()
        )
    from qdrant_client import QdrantClient

    client = QdrantClient(path=str(out / "qdrant"))
    try:
        return [p.id for p in client.query_points("imrec", query=vector.tolist(), using=name, limit=k).points]
    finally:
        client.close()


@each("faiss", "lance", "qdrant")
@pytest.mark.parametrize("by", [f"{name}:{metric.name}" for name in KINDS for metric in FEATURES[name].metrics])
def test_target_gives_the_order_of_imrec_or_refuses(lake, rec, tmp_path, target, by):
    needs(target)
    name, _, metric = by.partition(":")
    try:
        distance = export(lake, tmp_path / "out", target, by=[by]).features[name]
    except BadExport as error:
        assert METRICS[metric].space is None and f"{target} cannot compare {name} by {metric}" in str(error)
        assert f"{name}:{FEATURES[name].metric.name}" in str(error)  # what can be had
        return
    vector = rec.vector(at(rec, 7), by, to=target)
    found = nearest(target, tmp_path / "out", name, distance, vector, 6)
    matrix = np.asarray(rec.generation.matrix(name))
    exact = METRICS[metric](matrix[7], matrix)
    if metric == "chi_square":  # its map has nearly the same order
        assert len(set(found) & set(np.argsort(exact)[:12])) >= 5
    else:
        np.testing.assert_allclose(exact[found], np.sort(exact)[:6], rtol=1e-3, atol=1e-3)
    if metric != "dot":  # by which a longer vector may be nearer
        assert found[0] == 7


def test_feature_by_a_distance_that_lance_lacks_is_refused_with_those_it_has(lake, tmp_path):
    needs("lance")
    with pytest.raises(
        BadExport, match=r"lance cannot compare edge_histogram by manhattan; .*edge_histogram:euclidean"
    ):
        export(lake, tmp_path / "out", "lance")
    assert not (tmp_path / "out").exists()
    needs("qdrant")
    assert export(lake, tmp_path / "out", "qdrant").features["edge_histogram"] == "Manhattan"


@pytest.mark.parametrize(("many", "is_advised"), [(10, True), (20_000, False)])
def test_server_is_advised_for_many_points_in_a_folder(lake, tmp_path, monkeypatch, caplog, many, is_advised):
    needs("qdrant")
    monkeypatch.setattr(qdrant_module, "_MANY_IN_A_FOLDER", many)
    export(lake, tmp_path / "out", "qdrant", by=["phash"])
    assert ("use a server, or --to lance" in caplog.text) == is_advised


def test_vector_is_that_of_the_image_in_the_stored_dtype(rec):
    for name in KINDS:
        vector = rec.vector(at(rec, 9), name)
        assert vector.dtype == rec.generation.feature(name).dtype
        np.testing.assert_array_equal(vector, rec.generation.matrix(name)[9])
    assert rec.vector(at(rec, 9)).dtype == np.float16  # of the first feature
    given = rec.vector(np.ones(512), "rgb_histogram")
    assert given.dtype == np.float16 and given.shape == (512,)
    with pytest.raises(QueryError, match="several features"):
        rec.vector(at(rec, 9), ["phash", "rgb_histogram"])
    with pytest.raises(UnknownName, match="target"):
        rec.vector(at(rec, 9), "phash", to="fais")


def test_vector_of_a_file_is_near_that_of_the_lake(recommender, photos):
    path = photos / "photo_003.jpg"
    hit = recommender.search(path, by="rgb_histogram", k=1, with_self=True)[0]
    stored = recommender.generation.matrix("rgb_histogram")[recommender.generation.row_of(hit.image_id)]
    np.testing.assert_allclose(recommender.vector(path, "rgb_histogram"), stored, atol=0.02)


# -- going on -----------------------------------------------------------------------------------------------


def kill_after(monkeypatch, blocks: int) -> None:
    read = Reader.blocks
    left = [blocks]

    def dying(self, *args, **options):
        for block in read(self, *args, **options):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            yield block

    monkeypatch.setattr(Reader, "blocks", dying)


@each()
@pytest.mark.parametrize("blocks", [0, 3, 5])
def test_killed_export_goes_on_and_is_the_same_in_the_end(lake, rec, tmp_path, monkeypatch, target, blocks):
    needs(target)
    how = {"by": ["rgb_histogram", "phash"], "part_rows": 50}
    monkeypatch.setattr(selection_module, "_MOST_ROWS", 20)  # so that a part has three blocks
    with monkeypatch.context() as deadly, pytest.raises((Killed, OSError, BadExport)):  # Lance makes an error of it
        kill_after(deadly, blocks)
        export(lake, tmp_path / "out", target, **how)
    assert json.loads((tmp_path / "out" / "export.json").read_text())["complete"] is False
    (tmp_path / "out" / ".writing-0-rows-00002.parquet").write_bytes(b"PAR1")  # as SIGKILL leaves it
    if target == "lance" and blocks:
        (tmp_path / "out" / "images.lance" / "data" / "0123456789abcdef.lance").write_bytes(b"half")
    before = state(tmp_path / "out")
    report = export(lake, tmp_path / "out", target, **how)
    assert report.rows == PICTURES
    assert report.kept == ({0: 0, 3: 40, 5: 80}[blocks] if target == "qdrant" else blocks // 3)
    for name in how["by"]:
        held = held_in(target, tmp_path / "out", name)
        np.testing.assert_allclose(held, expected(target, rec.generation, name), atol=2e-4)
    after = state(tmp_path / "out")
    if target in ("parquet", "csv", "faiss"):
        whole = [name for name in before if name.startswith("rows-")]
        assert [after[name] for name in whole] == [before[name] for name in whole]
    assert not [name for name in after if "writing" in name or "0123456789abcdef" in name]
    assert json.loads((tmp_path / "out" / "export.json").read_text())["complete"] is True


def test_killed_faiss_index_is_made_again_and_the_others_stay(lake, tmp_path, monkeypatch):
    needs("faiss")
    vectors = selection_module.Selection.vectors

    def dying(self, column, places):
        if column.name == "phash":
            raise Killed
        return vectors(self, column, places)

    with monkeypatch.context() as deadly, pytest.raises(Killed):
        deadly.setattr(selection_module.Selection, "vectors", dying)
        export(lake, tmp_path / "out", "faiss", by=["rgb_histogram", "phash"])
    assert [p.name for p in (tmp_path / "out").glob("*.faiss")] == ["rgb_histogram.faiss"]
    before = state(tmp_path / "out")
    assert export(lake, tmp_path / "out", "faiss", by=["rgb_histogram", "phash"]).kept == 2
    assert state(tmp_path / "out")["rgb_histogram.faiss"] == before["rgb_histogram.faiss"]


@each()
def test_the_same_export_again_writes_nothing(lake, tmp_path, target):
    needs(target)
    first = export(lake, tmp_path / "out", target, by=["phash"], part_rows=50)
    before = state(tmp_path / "out")
    again = export(lake, tmp_path / "out", target, by=["phash"], part_rows=50)
    assert again.kept == again.parts == first.parts and not again.replaced
    changed = {name for name, when in state(tmp_path / "out").items() if before.get(name) != when}
    assert changed <= {"export.json", ".export.lock", "qdrant/.lock"}


@each()
@pytest.mark.parametrize("other", [{"by": ["pdq"]}, {"where": "row < 20"}, {"part_rows": 40}], ids=str)
def test_other_options_start_over_and_leave_what_is_not_theirs(lake, rec, tmp_path, target, other):
    needs(target)
    out = tmp_path / "out"
    export(lake, out, target, by=["phash"], part_rows=50)
    (out / "note.txt").write_text("mine")
    how = {"by": ["phash"], "part_rows": 50} | other
    report = export(lake, out, target, **how)
    assert report.replaced and report.kept == 0 and (out / "note.txt").read_text() == "mine"
    (name,) = how["by"]
    wanted = expected(target, rec.generation, name)
    np.testing.assert_array_equal(held_in(target, out, name), wanted[: report.rows])
    assert not (out / "phash.faiss").exists() or how["by"] == ["phash"]


def test_another_target_and_another_generation_start_over(new_lake, tmp_path):
    lake = new_lake(6, ("phash",))
    out = tmp_path / "out"
    export(lake, out, "csv")
    assert export(lake, out, "parquet").replaced and not list(out.glob("*.csv"))
    toy.write_photos(tmp_path / "photos", range(6, 9))
    toy.build(lake)
    report = export(lake, out, "parquet")
    assert report.replaced and report.rows == 9 == len(rows_of(out))


@each()
def test_generation_of_as_many_rows_that_says_something_else_starts_over(new_lake, tmp_path, target):
    needs(target)
    lake = new_lake(6, ("phash",))
    out = tmp_path / "out"
    export(lake, out, target, by=["phash"])
    picture = tmp_path / "photos" / "photo_002.jpg"
    toy.write_photos(tmp_path / "others", [9])
    picture.write_bytes((tmp_path / "others" / "photo_009.jpg").read_bytes())
    toy.build(lake)
    report = export(lake, out, target, by=["phash"])
    assert report.replaced and report.kept == 0
    generation = open_generation(lake)
    held = held_in(target, out, "phash")
    np.testing.assert_array_equal(held, expected(target, generation, "phash")[generation.live])


def test_kill_while_the_old_export_is_removed_starts_over(lake, tmp_path, monkeypatch):
    out = tmp_path / "out"
    export(lake, out, "parquet", by=["phash"], part_rows=50)
    with monkeypatch.context() as deadly, pytest.raises(Killed):
        deadly.setattr(folder_module, "_remove", lambda *_: (_ for _ in ()).throw(Killed))
        export(lake, out, "parquet", by=["pdq"], part_rows=50)
    for by in (["pdq"], ["phash"]):  # neither the new nor the old one takes what is there for its own
        copied = shutil.copytree(out, tmp_path / by[0])
        assert export(lake, copied, "parquet", by=by, part_rows=50).kept == 0
        assert by[0] in rows_of(copied).column_names


def test_two_exports_at_a_time_into_one_folder_are_refused(lake, tmp_path):
    with (
        folder_module.open_folder(tmp_path / "out", {"imrec_export": 1}),
        pytest.raises(BadExport, match="another export is writing"),
    ):
        export(lake, tmp_path / "out", "csv")


# -- memory -------------------------------------------------------------------------------------------------

ROWS = 30_000


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Lake:
    rng = np.random.default_rng(0)
    histograms = rng.random((ROWS, 256), dtype=np.float32)
    hashes = rng.integers(0, 2**64, (ROWS, 1), dtype=np.uint64)
    lake = toy.vector_lake(
        tmp_path_factory.mktemp("many") / "lake", {"hsv_histogram": histograms, "phash": hashes}, shard_size=10_000
    )
    build_generation(lake, IndexParams(m=4, ef_construction=10))
    return lake


@pytest.mark.parametrize(
    ("target", "where", "rows"),
    [
        ("parquet", None, ROWS),
        ("parquet", "row % 10 <> 0", 27_000),
        ("csv", "row % 10 = 0", 3_000),  # tracemalloc makes it slow
        ("faiss", None, ROWS),
        ("faiss", "row % 10 <> 0", 27_000),
        ("lance", "row % 10 <> 0", 27_000),
    ],
)
def test_export_holds_a_few_blocks_whatever_the_number_of_rows(many, tmp_path, monkeypatch, target, where, rows):
    """Ten, of full size 160 MB of the 250 in docs/guides/export.md. Here a sixteenth, and the matrix is 30 MB."""
    needs(target)
    block = BLOCK_BYTES // 16
    monkeypatch.setattr(selection_module, "BLOCK_BYTES", block)
    monkeypatch.setattr(selection_module, "_MOST_ROWS", 8192 // 16)
    by = ["hsv_histogram", "phash"]
    export(many, tmp_path / "first", target, by=by, where="row < 2000", part_rows=500)  # what is read once is kept
    default = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(default)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        assert export(many, tmp_path / "out", target, by=by, where=where).rows == rows
        held = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(default)
    assert held + pool.max_memory() <= 10 * block


def test_lance_of_many_rows_gets_an_index_once(many, tmp_path):
    needs("lance")
    import lance

    def indexes() -> list[tuple[str, str]]:
        found = lance.dataset(tmp_path / "out" / "images.lance").describe_indices()
        return sorted((index.name, index.index_type) for index in found)

    export(many, tmp_path / "out", "lance", part_rows=9_000)
    assert [name for name, _ in indexes()] == ["hsv_histogram_index", "phash_index"]
    before = state(tmp_path / "out")
    export(many, tmp_path / "out", "lance", part_rows=9_000)
    assert {n for n, when in state(tmp_path / "out").items() if before.get(n) != when} <= {
        "export.json",
        ".export.lock",
    }
    rec = Recommender.open(many)
    for name, distance in (("hsv_histogram", "l2"), ("phash", "hamming")):
        vector = rec.vector(at(rec, 12_345), name, to="lance")
        assert nearest("lance", tmp_path / "out", name, distance, vector, 1) == [12_345]


# -- what cannot be -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ({"to": "parket"}, UnknownName, "did you mean 'parquet'"),
        ({"by": ["phas"]}, UnknownName, "did you mean 'phash'"),
        ({"by": ["phash:hamming"]}, BadExport, "parquet holds vectors as stored"),
        ({"by": ["phash:cosine"], "to": "qdrant"}, UnknownName, "metric of phash"),
        ({"by": ["phash", "phash"]}, BadExport, "phash is named twice"),
        ({"where": "colour = 3"}, BadFilter, "columns: row, image_id"),
        ({"where": "row < 0"}, BadExport, "no image matches the condition 'row < 0'"),
        ({"part_rows": 0}, BadExport, "part_rows is 0"),
        ({"hnsw": True}, BadExport, "HNSW indexes are written for faiss only"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_anything_is_written(lake, tmp_path, how, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        export(lake, tmp_path / "out", **({"to": "parquet"} | how))
    assert not (tmp_path / "out").exists()


def test_url_is_for_qdrant_alone(lake):
    with pytest.raises(BadExport, match="is a URL; parquet is written to a local folder"):
        export(lake, "s3://bucket/out", "parquet")


def test_place_that_is_something_else_is_refused_and_left_alone(lake, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadExport, match=r"is not a folder"):
        export(lake, tmp_path / "file", "csv")
    with pytest.raises(BadExport, match=r"is not a folder|cannot write"):
        export(lake, tmp_path / "file" / "out", "csv")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "rows-00000.csv").write_text("mine")
    with pytest.raises(BadExport, match=r"contains other files, such as 'rows-00000\.csv'"):
        export(lake, tmp_path / "full", "csv")
    for text in ("[]", "{", '{"a": 1}'):
        (tmp_path / "full" / "export.json").write_text(text)
        with pytest.raises(BadExport, match=r"export\.json was not written by imrec"):
            export(lake, tmp_path / "full", "csv")
    assert (tmp_path / "full" / "rows-00000.csv").read_text() == (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("message", ["IO error: No space left on device (os error 28)", "database or disk is full"])
def test_full_disk_is_reported_where_a_library_gives_no_number(message):
    with pytest.raises(StorageFull, match="run the command again"), folder_module.translate_os_errors("out"):
        raise OSError(message)


def test_index_or_points_that_find_no_space_are_reported(lake, tmp_path, monkeypatch):
    def full(error: Exception) -> Callable[..., None]:
        def failing(*_: object, **__: object) -> None:
            raise error

        return failing

    needs("faiss")
    monkeypatch.setattr("faiss.write_index", full(RuntimeError("write error:\nNo space left on device")))
    for hnsw in (False, True):
        with pytest.raises(StorageFull):
            export(lake, tmp_path / "faiss", "faiss", by=["rgb_histogram"], hnsw=hnsw)
    assert not list((tmp_path / "faiss").glob(".writing*"))
    needs("qdrant")
    monkeypatch.setattr(qdrant_module, "upsert", full(sqlite3.OperationalError("database or disk is full")))
    with pytest.raises(StorageFull):
        export(lake, tmp_path / "qdrant", "qdrant", by=["phash"])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_full_disk_and_one_that_may_not_be_written_are_reported(lake, tmp_path, monkeypatch, number):
    def failing(*_):
        raise OSError(number, "why")

    monkeypatch.setattr("os.replace", failing)
    full = number == errno.ENOSPC
    message = "run the command again" if full else "cannot write to .*: why"
    with pytest.raises(StorageFull if full else BadExport, match=message):
        export(lake, tmp_path / "out", "csv")
    assert not [p.name for p in (tmp_path / "out").iterdir() if p.name != ".export.lock"]


@each("faiss", "lance", "qdrant")
def test_library_that_is_missing_is_named_with_its_extra(lake, tmp_path, monkeypatch, target):
    module = getattr(package, target)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=re.escape(f"pip install 'imrec[{target}]'")):
        export(lake, tmp_path / "out", target, by=["phash"])
    assert not (tmp_path / "out").exists()


def test_feature_with_the_name_of_a_column_is_refused(new_lake, tmp_path):
    lake = new_lake(4, ("phash", "dhash"), built=False)
    (tmp_path / "own.csv").write_text("path,PHash\nphoto_001.jpg,1\n")
    toy.set_to(lake, columns=(str(tmp_path / "own.csv"),))
    toy.build(lake)
    with pytest.raises(BadExport, match="column 'phash' has the name of a feature"):
        export(lake, tmp_path / "out", "parquet")
    assert export(lake, tmp_path / "out", "parquet", by=["dhash"]).rows == 4


def test_qdrant_that_is_not_there_and_a_collection_of_another_are_reported(lake, tmp_path):
    needs("qdrant")
    from qdrant_client import QdrantClient, models

    with pytest.raises(BadExport, match=r"Qdrant at http://127\.0\.0\.1:9 cannot be reached"):
        export(lake, "http://127.0.0.1:9", "qdrant", by=["phash"])
    out = tmp_path / "out"
    export(lake, out, "qdrant", by=["phash"])
    client = QdrantClient(path=str(out / "qdrant"))
    client.create_collection("mine", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    client.close()
    with pytest.raises(BadExport, match=r"'mine' in .* was not created by imrec"):
        export(lake, out, "qdrant", by=["phash"], collection="mine")


def test_qdrant_goes_on_within_a_collection_and_deletes_that_of_another_export(lake, tmp_path, monkeypatch):
    """As on a server, where there is no folder that says what is there."""
    needs("qdrant")
    place, facts = str(tmp_path / "qdrant"), {"generation": "1"}
    generation = open_generation(lake)
    chosen = selection_module.select(generation, "qdrant", ["phash"], part_rows=50)
    monkeypatch.setattr(selection_module, "BLOCK_BYTES", 4 * 64 * 20 * 20)
    asked: list[slice] = []
    upsert = qdrant_module.upsert

    def dying(client, selection, collection, places, progress):
        asked.append(places)
        upsert(client, selection, collection, slice(places.start, 130), progress)
        raise Killed

    with monkeypatch.context() as deadly, pytest.raises(Killed):
        deadly.setattr(qdrant_module, "upsert", dying)
        qdrant_module.write_qdrant(chosen, place, "imrec", facts, print)
    assert qdrant_module.write_qdrant(chosen, place, "imrec", facts, print) == 110  # a block before the last
    assert qdrant_module.write_qdrant(chosen, place, "imrec", facts, print) == PICTURES
    assert qdrant_module.write_qdrant(chosen, place, "imrec", {"generation": "2"}, print) == 0


def test_server_that_keeps_no_metadata_is_refused(lake, tmp_path, monkeypatch):
    needs("qdrant")
    from qdrant_client import QdrantClient

    make = QdrantClient.create_collection
    monkeypatch.setattr(
        QdrantClient, "create_collection", lambda self, *args, metadata, **options: make(self, *args, **options)
    )
    with pytest.raises(BadExport, match="does not store collection metadata"):
        export(lake, tmp_path / "out", "qdrant", by=["phash"])


# -- the command and its document ---------------------------------------------------------------------------


@pytest.fixture
def gallery(new_lake) -> Lake:
    return new_lake(12, ("rgb_histogram", "hsv_histogram", "phash"))


def test_command_says_what_is_there_and_goes_on(imrec, gallery, tmp_path):
    done = imrec("export", "out", "--to", "parquet", "--part-rows", 5, "--lake", gallery.root)
    assert done.status == 0
    assert done.out.startswith("parquet: 12 images of generation 000001 in out\n  rgb_histogram\n")
    assert "docs/guides/export.md" in done.out and "part 3 of 3: rows-00002.parquet" in done.err
    again = imrec("export", "out", "--to", "parquet", "--part-rows", 5, "--json", "--lake", gallery.root)
    found = json.loads(again.out)
    assert (found["rows"], found["parts"], found["kept"], again.err) == (12, 3, 3, "")
    assert (
        "3 of 3 parts were already complete"
        in imrec("export", "out", "--to", "parquet", "--part-rows", 5, "--lake", gallery.root).out
    )
    other = imrec("export", "out", "--to", "csv", "--by", "phash", "--where", "row < 4", "--lake", gallery.root)
    assert "replaced a different export" in other.out and len(read_csv(tmp_path / "out")) == 4
    logged = imrec("sql", "SELECT name, rows FROM runs WHERE what = 'export'", "--json", "--lake", gallery.root)
    assert json.loads(logged.out)[-1] == {"name": "csv", "rows": 4}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("out", "--to", "parquet", "--by", "phas"), "no feature named 'phas'; did you mean 'phash'?"),
        (("out", "--to", "csv", "--where", "row <"), "where: the filter ends too early"),
        (("out", "--to", "csv", "--where", "row < 0"), "no image matches the condition"),
        (("photos", "--to", "csv"), "contains other files, such as 'photo_000.jpg'"),
        (("out", "--to", "csv", "--lake", "nowhere"), "there is no lake"),
    ],
    ids=str,
)
def test_command_that_cannot_be_carried_out_says_one_line(imrec, gallery, arguments, message):
    lake = () if "--lake" in arguments else ("--lake", gallery.root)
    found = imrec("export", *arguments, *lake)
    assert found.status == 1 and message in found.complaint


@pytest.mark.parametrize(
    "arguments", [("out",), ("out", "--to", "excel"), ("--to", "csv"), ("o", "--to", "csv", "--part-rows", 0)]
)
def test_wrong_usage_exits_with_2(imrec, arguments):
    assert imrec("export", *arguments).status == 2


def test_command_knows_the_targets_of_the_core():
    assert (command._TARGETS, command._PART_ROWS) == (TARGETS, PART_ROWS)


SECTIONS = re.findall(r"^## (\w+)\n+```sh\n(imrec [^\n]*)\n```\n+```python\n(.*?)```", DOC, re.DOTALL | re.MULTILINE)


def test_document_has_a_snippet_for_each_target_and_names_every_metric():
    assert [line.split()[line.split().index("--to") + 1] for _, line, _ in SECTIONS] == list(TARGETS)
    assert {name for name in METRICS if f"`{name}`" not in DOC} == set()


@pytest.mark.parametrize(("line", "snippet"), [(line, snippet) for _, line, snippet in SECTIONS], ids=TARGETS)
def test_snippet_of_the_document_finds_what_imrec_finds(imrec, tmp_path, line: str, snippet: str):
    words = line.split()[1:]
    needs(words[words.index("--to") + 1])
    toy.write_photos(tmp_path / "photos", range(40))
    toy.write_photos(tmp_path, [3])
    (tmp_path / "photo_003.jpg").rename(tmp_path / "photo.jpg")
    toy.build(toy.new_lake(tmp_path / "data_lake", ("rgb_histogram", "hsv_histogram", "phash")))
    assert imrec(*words).status == 0
    (head,) = re.findall(r"In all that follows:\n+```python\n(.*?)```", DOC, re.DOTALL)
    names: dict[str, Any] = {}
    exec(head + snippet, names)
    by = re.search(r"# as by ([\w:]+)", snippet)[1]
    exact = names["rec"].search("photo.jpg", by=by, exact=True, k=5, where="width >= 100", with_self=True)
    assert len(names["hits"]) == 5 == len(set(names["hits"]))
    everything = names["rec"].search("photo.jpg", by=by, exact=True, k=40, with_self=True)
    distances = {hit.image_id: hit.parts[by].distance for hit in everything}
    found = [distances[image_id] for image_id in names["hits"]]  # by a hash several are as near
    np.testing.assert_allclose(found, [hit.parts[by].distance for hit in exact], atol=1e-4)


@pytest.mark.parametrize("line", re.findall(r"^imrec (export [^#\n]*)", DOC, re.MULTILINE))
def test_commands_of_the_document_have_those_options(line):
    known = {option for parameter in group.commands["export"].params for option in parameter.opts}
    assert {word for word in line.split() if word.startswith("--")} <= known


def test_extras_of_the_document_are_declared():
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    for extra in re.findall(r"imrec\[(\w+)\]", DOC):
        assert re.search(rf"^{extra} = \[", pyproject, re.MULTILINE)

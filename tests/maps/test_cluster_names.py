"""Names of clusters: what can name one, what cannot, and that no two are the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from imrec_core import Lake
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.tags import change_tag
from imrec_core.maps import ClusterName, Map, name_clusters
from imrec_core.maps.cluster_names import COUNT, LIFT, SHARE, WORD_SHARE, names_of
from imrec_core.maps.map_table import SCHEMA
from tests.support.toy import set_to, vector_lake, write_tables


def named(
    tmp_path: Path,
    folders: Sequence[str],
    clusters: Sequence[int],
    *,
    columns: Mapping[str, Sequence[str | None]] | None = None,
    tags: Mapping[str, Sequence[int]] | None = None,
    cameras: Sequence[str | None] | None = None,
    stem: str = "0",
) -> list[ClusterName]:
    """Name the clusters of a map whose row `i` is an image of `folders[i]` in `clusters[i]`."""
    paths = [f"{folder}/{stem}{i:03d}.jpg".lstrip("/") for i, folder in enumerate(folders)]
    vectors = {"phash": np.arange(len(paths), dtype=np.uint64)[:, None]}
    lake = vector_lake(tmp_path / "lake", vectors, names=paths)
    if cameras:
        hashes = [f"{i:032x}" for i in range(len(paths))]
        write_tables(lake, "photos-0000", hashes, vectors, camera=cameras)
    if columns:
        file = tmp_path / "own.parquet"
        pl.DataFrame({"path": [f"photos/{path}" for path in paths], **columns}).write_parquet(file)
        set_to(lake, columns=(str(file),))
    build_generation(lake)
    hashes = open_generation(lake).columns("content_hash")["content_hash"].to_pylist()
    for tag, rows in (tags or {}).items():
        change_tag(lake, tag, [hashes[row] for row in rows])
    return name_clusters(map_of(lake, clusters), open_generation(lake))


def map_of(lake: Lake, clusters: Sequence[int]) -> Map:
    generation = open_generation(lake)
    ids = generation.columns("image_id")["image_id"].to_pylist()
    columns = {"row": range(len(ids)), "image_id": ids, "cluster": clusters}
    empty = {field.name: [None] * len(ids) for field in SCHEMA}
    table = pa.table([pa.array((empty | columns)[field.name], field.type) for field in SCHEMA], schema=SCHEMA)
    return Map("m", "phash", "hamming", "umap", generation.id, {}, 1.0, 1.0, table, ())


def test_folder_with_most_of_a_cluster_names_it(tmp_path):
    folders = ["trip/beach"] * 9 + ["trip/town"] + ["trip/town"] * 30
    (one,) = named(tmp_path, folders, [0] * 10 + [-1] * 30)
    assert (one.name, one.label(), one.size) == ("beach", "beach 90 %", 10)
    (term,) = one.terms
    assert (term.by, term.text, term.count, term.share, term.lift) == ("folder", "trip/beach", 9, 0.9, 4.0)


def test_folder_above_several_names_a_cluster_of_all_of_them(tmp_path):
    folders = [f"cats/{i % 5}" for i in range(10)] + [f"dogs/{i % 5}" for i in range(10)]
    found = named(tmp_path, folders, [0] * 10 + [1] * 10)
    assert [one.name for one in found] == ["cats", "dogs"]


def test_number_of_a_folder_is_shown_with_the_folder_above(tmp_path):
    (one,) = named(tmp_path, ["2024/07"] * 6 + ["2023/07"] * 14, [0] * 6 + [-1] * 14)
    assert one.name == "2024/07"


@pytest.mark.parametrize(
    ("inside", "outside", "is_named"),
    [(5, 0, True), (4, 0, False), (5, 5, True), (10, 15, False), (10, 10, True)],
    ids=["half", "less than half", "rare elsewhere", "too frequent elsewhere", "twice as frequent"],
)
def test_share_and_lift_decide_whether_a_term_names_a_cluster(tmp_path, inside, outside, is_named):
    assert (SHARE, LIFT) == (0.5, 2.0)
    kinds = ["red"] * inside + [None] * (10 - inside) + ["red"] * outside + [None] * (30 - outside)
    (one,) = named(tmp_path, [""] * 40, [0] * 10 + [-1] * 30, columns={"kind": kinds})
    assert one.name == ("red" if is_named else "")
    assert one.label() == (f"red {inside / 10:.0%}".replace("%", " %") if is_named else "")
    assert names_of([one]) == ({0: one.label()} if is_named else {})


def test_few_images_name_nothing(tmp_path):
    assert COUNT == 3
    kinds = ["red", "red", None, None, "blue", "blue", "blue", None] + [None] * 12
    found = named(tmp_path, [""] * 20, [0] * 4 + [1] * 4 + [-1] * 12, columns={"kind": kinds})
    assert [one.name for one in found] == ["", "blue"]


def test_tag_of_a_user_names_a_cluster(tmp_path):
    (one,) = named(tmp_path, [""] * 40, [0] * 10 + [-1] * 30, tags={"cat": range(8), "all": range(40)})
    assert (one.name, one.terms[0].by) == ("cat", "tag")


def test_words_of_captions_name_a_cluster_by_fewer_images(tmp_path):
    assert WORD_SHARE == 0.3
    captions = [f"The boat number {i} in a Harbour" for i in range(4)] + [f"A view of number {i}" for i in range(36)]
    (one,) = named(tmp_path, [""] * 40, [0] * 10 + [-1] * 30, columns={"caption": captions})
    assert (one.terms[0].by, one.terms[0].share, one.terms[0].text) == ("caption", 0.4, "harbour")


def test_values_of_a_list_name_a_cluster(tmp_path):
    labels = [["sky", "sky", f"n{i}"] for i in range(10)] + [[f"n{i}"] for i in range(20)]
    (one,) = named(tmp_path, [""] * 30, [0] * 10 + [-1] * 20, columns={"labels": labels})
    assert (one.name, one.terms[0].count) == ("sky", 10)


def test_words_of_file_names_name_a_cluster_but_not_those_of_cameras(tmp_path):
    assert [one.name for one in named(tmp_path / "a", [""] * 20, [0] * 9 + [-1] * 11, stem="IMG_")] == [""]
    folders = [f"x/{'orchid_' if i < 9 else 'IMG_'}" for i in range(20)]
    paths = [f"{folder}{i:03d}" for i, folder in enumerate(folders)]
    lake = vector_lake(
        tmp_path / "b" / "lake",
        {"phash": np.arange(20, dtype=np.uint64)[:, None]},
        names=[f"{path}.jpg" for path in paths],
    )
    build_generation(lake)
    (one,) = name_clusters(map_of(lake, [0] * 9 + [-1] * 11), open_generation(lake))
    assert (one.name, one.terms[0].by) == ("orchid", "file name")


def test_camera_names_a_cluster_only_without_a_better_term(tmp_path):
    cameras = ["Nikon D90"] * 10 + [None] * 20
    clusters = [0] * 10 + [-1] * 20
    (one,) = named(tmp_path / "a", [""] * 30, clusters, cameras=cameras)
    assert (one.name, one.terms[0].by) == ("Nikon D90", "camera")
    kinds = ["owl"] * 5 + [None] * 25
    (one,) = named(tmp_path / "b", [""] * 30, clusters, cameras=cameras, columns={"kind": kinds})
    assert one.name == "owl"


def test_names_of_clusters_differ(tmp_path):
    folders = ["roses"] * 20 + ["other"] * 60
    colours = ["red"] * 10 + ["white"] * 10 + [None] * 60
    clusters = [0] * 10 + [1] * 10 + [-1] * 60
    found = named(tmp_path / "a", ["Roses"] * 10 + folders[10:], clusters, columns={"colour": colours})
    assert len({one.name.casefold() for one in found}) == 2
    found = named(tmp_path / "b", folders, [*[0, 1] * 10, *[-1] * 60], columns={"colour": colours})
    assert [one.name for one in found] == ["roses", "roses (2)"]
    half = ["red" if i % 2 and i < 20 else None for i in range(80)]
    found = named(tmp_path / "c", folders, [*[0, 1] * 10, *[-1] * 60], columns={"colour": half})
    assert [one.name for one in found] == ["roses", "red"]


def test_second_term_tells_clusters_of_one_folder_apart(tmp_path):
    folders = ["roses"] * 20 + ["other"] * 60
    colours = ["red" if i < 7 else "white" if 10 <= i < 17 else None for i in range(20)] + ["red", "white"] * 2
    colours += [None] * 56
    clusters = [0] * 10 + [1] * 10 + [-1] * 60
    found = named(tmp_path, folders, clusters, columns={"colour": colours})
    assert [one.name for one in found] == ["roses, red", "roses, white"]
    assert [one.label() for one in found] == ["roses, red 70 %", "roses, white 70 %"]


def test_map_without_clusters_has_no_names(tmp_path):
    assert named(tmp_path, ["a"] * 4, [-1] * 4) == []

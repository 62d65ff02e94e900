"""Tags: by content, in filters at once, in SQL, exports and commands."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest

from imrec_core import Lake, Recommender
from imrec_core.curation.tags import TagCount, count_tags, tag_images
from imrec_core.errors import BadFilter, QueryError, SchemaMismatch
from imrec_core.export import export
from imrec_core.export.viewer_selection import select_for_viewer
from imrec_core.index.opening import open_generation
from imrec_core.lake.tags import change_tag, tag_file
from imrec_core.sql.policy import SqlPolicy
from imrec_core.sql.views import query
from tests.support import toy


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Eight photos and a copy of the first."""
    toy.write_photos(tmp_path / "photos", range(8))
    shutil.copy(tmp_path / "photos" / "photo_000.jpg", tmp_path / "photos" / "photo_000_copy.jpg")
    made = toy.new_lake(tmp_path / "lake")
    toy.build(made)
    return made


def paths(lake: Lake, where: str, policy: SqlPolicy = SqlPolicy.TRUSTED) -> list[str]:
    generation = open_generation(lake)
    return generation.columns("path")["path"].take(generation.filter.rows(where, policy)).to_pylist()


def id_of(lake: Lake, path: str) -> str:
    return query(lake, f"SELECT image_id FROM rows WHERE path = '{path}'").fetchall()[0][0]


def test_tag_of_an_image_is_that_of_its_copies(lake):
    assert tag_images(lake, "holiday", [id_of(lake, "photo_000.jpg")]) == 2
    assert paths(lake, "'holiday' IN tags") == ["photo_000.jpg", "photo_000_copy.jpg"]
    assert count_tags(lake, open_generation(lake)) == [TagCount("holiday", 2)]


@pytest.mark.parametrize("policy", [SqlPolicy.TRUSTED, SqlPolicy.untrusted(5)])
def test_filters_of_an_open_recommender_see_a_change_at_once(lake, policy):
    recommender, query_image = Recommender(lake, sql_policy=policy), toy.photo(50)

    def found() -> set[str]:
        return {hit.path.rpartition("/")[2] for hit in recommender.search(query_image, where="'new' IN tags", k=20)}

    assert found() == set()
    tag_images(lake, "new", where="path < 'photo_002'")
    assert len(found()) == 3
    tag_images(lake, "new", where="path < 'photo_001'", remove=True)
    assert found() == {"photo_001.jpg"}
    ordered = recommender.search(query_image, order_by="len(tags) DESC, path DESC", k=20)
    assert [hit.path[-13:] for hit in ordered][:2] == ["photo_001.jpg", "photo_007.jpg"]


def test_tag_survives_a_rename_and_a_build(lake):
    tag_images(lake, "kept", where="path = 'photo_003.jpg'")
    photos = lake.settings().source("photos").root
    (photos / "photo_003.jpg").rename(photos / "renamed.jpg")
    toy.build(lake)
    assert paths(lake, "list_contains(tags, 'kept')") == ["renamed.jpg"]


def test_any_name_can_be_a_tag_except_those_that_cannot_be_read(lake):
    for name in ("it's", 'a "quoted" one', "Ünïcödé 🙂", "x, y"):
        assert tag_images(lake, name, where="path = 'photo_004.jpg'") == 1
    assert open_generation(lake).filter.row(paths(lake, "true").index("photo_004.jpg"))["tags"] == sorted(
        ("it's", 'a "quoted" one', "Ünïcödé 🙂", "x, y")
    )
    for name in ("", " x", "x\n", "a" * 101):
        with pytest.raises(QueryError, match="invalid tag"):
            change_tag(lake, name, ["0"])


def test_removing_a_tag_from_its_last_image_removes_the_tag(lake):
    tag_images(lake, "short", where="path = 'photo_005.jpg'")
    assert tag_images(lake, "short", where="true", remove=True) == 1
    assert count_tags(lake, open_generation(lake)) == []


def test_what_cannot_be_tagged_is_named(lake, tmp_path):
    with pytest.raises(QueryError, match="no image 'ffffffffffffffff'"):
        tag_images(lake, "x", ["ffffffffffffffff"])
    other = tmp_path / "other.jpg"
    other.write_bytes(b"not in the lake")
    with pytest.raises(QueryError, match=r"other\.jpg is not in the lake"):
        tag_images(lake, "x", [str(other)])
    with pytest.raises(QueryError, match="none satisfies 'width < 0'"):
        tag_images(lake, "x", where="width < 0")
    with pytest.raises(QueryError, match="name some"):
        tag_images(lake, "x")
    assert tag_file(lake).status() is None


def test_damaged_file_stops_only_what_needs_the_tags(lake):
    tag_images(lake, "x", where="true")
    path = lake.layout.tags_path
    generation = open_generation(lake)
    path.write_text("{")
    assert len(generation.filter.rows("width > 0", SqlPolicy.TRUSTED)) == 9
    with pytest.raises(SchemaMismatch, match=r"tags\.json cannot be read"):
        generation.filter.rows("'x' IN tags", SqlPolicy.TRUSTED)
    with pytest.raises(SchemaMismatch, match="move it away"):
        tag_images(lake, "y", where="true")
    path.write_text(json.dumps({"format": 2, "tags": {}}))
    with pytest.raises(SchemaMismatch, match="format 1"):
        tag_file(lake).read()


def test_sql_and_exports_have_a_column_of_tags(lake, tmp_path):
    tag_images(lake, "a", where="path < 'photo_002'")
    tag_images(lake, "b", where="path = 'photo_001.jpg'")
    counted = query(lake, "SELECT tag, count(*) FROM (SELECT unnest(tags) AS tag FROM rows) GROUP BY 1 ORDER BY 1")
    assert counted.fetchall() == [("a", 3), ("b", 1)]
    export(lake, tmp_path / "out", "parquet", where="'a' IN tags")
    rows = pq.read_table(tmp_path / "out" / "rows-00000.parquet", columns=["path", "tags"]).to_pylist()
    assert {row["path"]: row["tags"] for row in rows} == {
        "photo_000.jpg": ["a"],
        "photo_000_copy.jpg": ["a"],
        "photo_001.jpg": ["a", "b"],
    }
    facts = select_for_viewer(lake, open_generation(lake), None, None, None, None, needs_map=False).facts
    assert facts["tags"].to_pylist()[:4] == ["a", "a", "a, b", ""]


def test_export_after_a_change_of_tags_is_written_again(lake, tmp_path):
    assert not export(lake, tmp_path / "out", "csv").replaced
    assert export(lake, tmp_path / "out", "csv").kept == 1
    tag_images(lake, "a", where="path = 'photo_001.jpg'")
    assert export(lake, tmp_path / "out", "csv").replaced
    assert '"[""a""]"' in (tmp_path / "out" / "rows-00000.csv").read_text()


def test_user_column_of_that_name_is_renamed_by_the_next_build(lake, tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("path,Tags\nphoto_002.jpg,mine\n")
    toy.set_to(lake, columns=(str(own),))
    toy.build(lake)
    tag_images(lake, "theirs", where="own_Tags = 'mine'")
    assert paths(lake, "'theirs' IN tags") == ["photo_002.jpg"]


def test_unknown_column_is_still_an_error(lake):
    with pytest.raises(BadFilter, match="did you mean 'tags'"):
        paths(lake, "'x' IN tag")


def test_command_tags_lists_and_refuses(lake, imrec, tmp_path):
    where = ["--lake", str(lake.root)]
    first = str(lake.settings().source("photos").root / "photo_001.jpg")
    assert imrec("tag", "one", first, *where).out == "1 images now have the tag 'one'\n"
    ids = tmp_path / "ids.txt"
    ids.write_text(f"{id_of(lake, 'photo_002.jpg')}\n\n{first}\n")
    assert json.loads(imrec("tag", "two", "--ids", str(ids), "--json", *where).out)["images"] == 2
    assert imrec("tag", "like", "--like", first, "-k", "3", *where).status == 0
    assert json.loads(imrec("tag", "--list", "--json", *where).out)[1:] == [
        {"tag": "one", "images": 1},
        {"tag": "two", "images": 2},
    ]
    assert imrec("tag", "two", first, "--remove", *where).out == "1 images have no longer the tag 'two'\n"
    assert imrec("sample", "2", "--tag", "drawn", *where).status == 0
    assert len(paths(lake, "'drawn' IN tags")) >= 2
    for wrong in (["x"], [], ["x", "--list"], ["x", first, "-k", "3"]):
        assert imrec("tag", *wrong, *where).status == 2, wrong

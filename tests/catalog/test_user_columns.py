"""A person's own columns beside the images: what is joined to which, in which types, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imrec_core import ImageId, Lake, Recommender
from imrec_core.catalog import ids, user_columns
from imrec_core.catalog.path_lookup import AMBIGUOUS, NOT_FOUND, find_rows
from imrec_core.catalog.user_columns import Joined
from imrec_core.errors import BadColumns, BadFilter
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.lake import schemas
from imrec_core.lake.schemas import ROWS
from imrec_core.lake.settings import Settings
from imrec_core.sql.policy import SqlPolicy
from imrec_core.sql.views import query
from imrec_core.status import lake_status
from imrec_dagster.asset_keys import GENERATION
from imrec_dagster.builder import Builder
from tests.support import toy

NAMES = ["1.jpg", "2.jpg", "beach/1.jpg", "beach/2.jpg", "0123456789012345"]


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Five files that never were, of the source `photos`."""
    hashes = np.arange(len(NAMES), dtype=np.uint64)[:, None]
    return toy.vector_lake(tmp_path / "lake", {"phash": hashes}, names=NAMES)


@pytest.fixture
def csv(tmp_path):
    """Writes a CSV file of these lines."""

    def write(*lines: str, name: str = "own.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    return write


@pytest.fixture
def parquet(tmp_path):
    """Writes a Parquet file of these columns."""

    def write(columns: dict[str, object], name: str = "own.parquet") -> Path:
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    return write


def joined(lake: Lake, *files: Path) -> pa.Table:
    """The rows of a generation with these files joined."""
    toy.set_to(lake, columns=tuple(map(str, files)))
    build_generation(lake)
    return open_generation(lake).rows


def image_id(path: str) -> str:
    return ids.image_id("photos", path)


# -- which row goes to which image --------------------------------------------------------------------------


def test_values_go_to_the_image_of_that_id_and_are_null_elsewhere(lake, csv):
    rows = joined(lake, csv("caption,image_id", f"sea,{image_id('beach/2.jpg')}", f"one,{image_id('1.jpg').upper()}"))
    assert rows.column_names == [*ROWS.names, "caption"]
    assert rows["path"].to_pylist() == NAMES
    assert rows["caption"].to_pylist() == ["one", None, None, "sea", None]


def test_path_may_be_below_its_source_begin_with_its_name_or_be_absolute(lake, csv, tmp_path):
    absolute = tmp_path / "photos" / "beach" / "1.jpg"
    rows = joined(lake, csv("path,n", "2.jpg,1", "photos/1.jpg,2", f"{absolute},3", "beach/2.jpg,4"))
    assert rows["n"].to_pylist() == [2, 1, 3, 4, None]


def test_root_with_dots_or_by_a_link_is_the_same_root(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    images = pa.table({"source": ["a", "b"], "path": ["x.jpg", "y.jpg"]})
    sources = {"a": tmp_path / "lake" / ".." / "photos", "b": tmp_path / "lake" / ".." / "link"}
    names = ["photos/x.jpg", "lake/../photos/x.jpg", "link/y.jpg", "disk/y.jpg", "photos/y.jpg", "link/x.jpg"]
    asked = pa.array([f"{tmp_path}/{name}" for name in names])
    assert find_rows(asked, images, sources).tolist() == [0, 0, 1, 1, NOT_FOUND, NOT_FOUND]
    assert find_rows(pa.array(["/x.jpg"]), images, {"a": Path("/"), "b": Path("/b")}).tolist() == [0]


def test_paths_that_nothing_or_several_sources_have_are_told_apart():
    images = pa.table({"source": ["a", "b", "a"], "path": ["x.jpg", "x.jpg", "b/x.jpg"]})
    asked = pa.array(["x.jpg", "a/x.jpg", "b/x.jpg", "a/b/x.jpg", "c/x.jpg", "", "a"])
    assert find_rows(asked, images, {}).tolist() == [AMBIGUOUS, 0, AMBIGUOUS, 2, NOT_FOUND, NOT_FOUND, NOT_FOUND]
    assert find_rows(pa.array([], pa.string()), images, {}).tolist() == []


def test_path_of_two_sources_is_refused_until_the_source_is_said(new_lake, csv, tmp_path):
    for source in ("a", "b"):
        toy.write_photos(tmp_path / source, range(2))
    lake = new_lake(0, ("phash",), built=False, sources={"a": tmp_path / "a", "b": tmp_path / "b"})
    toy.build(lake)
    with pytest.raises(
        BadColumns, match=r"own.csv: photo_001.jpg is in several sources \(1 such rows\); write it as S"
    ):
        joined(lake, csv("path,n", "a/photo_000.jpg,1", "photo_001.jpg,2"))
    rows = joined(lake, csv("path,n", "a/photo_000.jpg,1", "b/photo_001.jpg,2"))
    assert rows["n"].to_pylist() == [1, None, None, 2]


def test_id_goes_before_path_which_is_then_left_alone(lake, csv):
    rows = joined(lake, csv("path,image_id,n", f"1.jpg,{image_id('2.jpg')},7"))
    assert rows.column_names == [*ROWS.names, "n"]
    assert rows["n"].to_pylist() == [None, 7, None, None, None]


def test_key_of_digits_alone_stays_text(lake, csv):
    assert joined(lake, csv("path,n", "0123456789012345,7"))["n"].to_pylist() == [None] * 4 + [7]


def test_several_files_come_one_after_the_other(lake, csv, parquet):
    first = csv("path,b,a", "1.jpg,1,2")
    rows = joined(lake, first, parquet({"path": ["2.jpg"], "c": [3]}))
    assert rows.column_names == [*ROWS.names, "b", "a", "c"]
    assert [rows[name].to_pylist()[:2] for name in "bac"] == [[1, None], [2, None], [None, 3]]


def test_row_that_says_the_same_again_counts_once(lake, parquet):
    file = parquet({"path": ["1.jpg", "2.jpg", "photos/1.jpg", "1.jpg"], "x": [float("nan"), 1.0, *[float("nan")] * 2]})
    values = joined(lake, file)["x"].to_pylist()
    assert repr(values) == "[nan, 1.0, None, None, None]"
    (of_file,) = build_generation(lake).columns
    assert of_file.images == 2 and of_file.unmatched == 0


# -- types --------------------------------------------------------------------------------------------------


def test_columns_of_csv_get_the_type_that_all_their_values_have(lake, csv):
    heading = "path,whole,part,truth,day,moment,text,none"
    rows = joined(
        lake,
        csv(
            heading, "1.jpg,1,1,true,2024-02-29,2024-02-29T10:00:00,1,", '2.jpg,,2.5,false,,,"",', "beach/1.jpg,3,,,,,,"
        ),
    )
    assert rows.select(heading.split(",")[1:]).slice(0, 3).to_pylist() == [
        {"whole": 1, "part": 1.0, "truth": True, "day": date(2024, 2, 29), "moment": datetime(2024, 2, 29, 10),
         "text": "1", "none": None},
        {"whole": None, "part": 2.5, "truth": False, "day": None, "moment": None, "text": "", "none": None},
        {"whole": 3, "part": None, "truth": None, "day": None, "moment": None, "text": None, "none": None},
    ]  # fmt: skip
    found = query(
        lake, "SELECT path FROM rows WHERE day = '2024-02-29' AND moment < '2024-03-01' AND truth AND part < 2"
    )
    assert found.fetchall() == [("1.jpg",)]


def test_type_of_a_csv_column_is_known_from_its_last_row_too_and_text_may_have_lines(lake, csv):
    lines = [f'no/{i}.jpg,{i},"{"x" * 30}\n{"y" * 30}"' for i in range(20_000)]
    file = csv("path,n,text", *lines, '1.jpg,0.5,"two', 'lines, one ""word"""')
    assert file.stat().st_size > 1 << 20  # more than Arrow reads at a time
    rows = joined(lake, file)
    assert rows["n"].type == pa.float64()
    assert [rows[name][0].as_py() for name in ("n", "text")] == [0.5, 'two\nlines, one "word"']


def test_parquet_is_known_by_its_first_bytes_whatever_its_name(lake, parquet):
    assert joined(lake, parquet({"path": ["1.jpg"], "n": [1]}, name="own.data"))["n"][0].as_py() == 1


WORDS = pa.array(["a", None])
DAY = pa.array([date(2024, 1, 2), None])


@pytest.mark.parametrize(
    ("column", "stored_as", "condition"),
    [
        (WORDS, pa.string(), "x = 'a'"),
        (WORDS.cast(pa.large_string()), pa.string(), "x = 'a'"),
        (WORDS.cast(pa.string_view()), pa.string(), "x = 'a'"),
        (WORDS.dictionary_encode(), pa.string(), "x = 'a'"),
        (pa.nulls(2), pa.string(), "x IS NULL AND path = '1.jpg'"),
        (pa.array([200, None], pa.uint8()), pa.uint8(), "x = 200"),
        (pa.array([2**64 - 1, None], pa.uint64()), pa.uint64(), "x = 18446744073709551615"),
        (pa.array([1.5, None], pa.float32()), pa.float32(), "x BETWEEN 1 AND 2"),
        (pa.array([True, None]), pa.bool_(), "x"),
        (DAY, pa.date32(), "x >= '2024-01-02'"),
        (DAY.cast(pa.timestamp("us")), pa.timestamp("us"), "x < '2024-01-03'"),
        (DAY.cast(pa.timestamp("ns")), pa.timestamp("ns"), "x < '2024-01-03'"),
        (DAY.cast(pa.timestamp("us", "UTC")), pa.timestamp("us", "UTC"), "x < '2024-01-04'"),
        (pa.array([["a", "b"], None]), pa.list_(pa.string()), "list_contains(x, 'b')"),
        (pa.array([["a", "b"], None], pa.large_list(pa.large_string())), pa.list_(pa.string()), "x[1] = 'a'"),
        (pa.array([[1, 2], None], pa.list_(pa.int32(), 2)), pa.list_(pa.int32()), "list_sum(x) = 3"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_columns_of_parquet_are_plain_and_can_be_asked_for(lake, parquet, column, stored_as, condition):
    rows = joined(lake, parquet({"path": ["1.jpg", "2.jpg"], "x": column}))
    assert rows["x"].type.equals(stored_as)
    assert rows["x"].to_pylist() == [*column.to_pylist(), None, None, None]
    assert open_generation(lake).filter.rows(condition, SqlPolicy.TRUSTED).tolist() == [0]


@pytest.mark.parametrize(
    "encoded", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_key_may_be_text_of_any_kind(lake, parquet, encoded):
    rows = joined(lake, parquet({"image_id": pa.array([image_id("2.jpg")]).cast(encoded), "n": [1]}))
    assert rows["n"].to_pylist() == [None, 1, None, None, None]


def test_column_with_the_name_of_one_that_rows_have_since_0_1_gets_another(lake, csv):
    rows = joined(lake, csv("path,Latitude,n", "1.jpg,48.5,1"))
    assert rows["own_Latitude"].to_pylist() == [48.5, None, None, None, None]
    assert rows["latitude"].null_count == 5


def test_later_columns_are_columns_of_images():
    assert set(schemas.LATER_COLUMNS) < set(schemas.IMAGES.names)


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["file,n", "1.jpg,1"], r"has no key column image_id or path; its columns are \['file', 'n'\]"),
        (["path;n", "1.jpg;1"], r"has no key column image_id or path; its columns are \['path;n'\]"),
        (["path", "1.jpg"], "has no column besides the key"),
        (["path,n,path", "1.jpg,1,1.jpg"], "has the column 'path' twice"),
        (["path,Width", "1.jpg,1"], "column 'Width' cannot be joined: the rows already have it; rename it"),
        (["path,row", "1.jpg,1"], "column 'row' cannot be joined"),
        (["path,n,N", "1.jpg,1,2"], "column 'N' cannot be joined: .*own.csv already has it"),
        (["path,n,n", "1.jpg,1,2"], "column 'n' cannot be joined: .*own.csv already has it"),
        ([",path,n", "0,1.jpg,1"], "has a column without a name"),
        (["path, ,n", "1.jpg,1,2"], "has a column without a name"),
        (["path,n", "1.jpg,1", ",2", '"",3'], "2 of its rows have an empty path, the first is row 2"),
        (["path,n", "1.jpg,1", "2.jpg,1", "1.jpg,2"], r"1.jpg occurs twice \(rows 1 and 3\), 'n' is 1 and 2"),
        (["path,n", "1.jpg,1", "photos/1.jpg,"], r"photos/1.jpg occurs twice .*, 'n' is 1 and None; keep one"),
        (["path,n", "1.jpg,1,2"], "cannot be read .*Expected 2 columns, got 3"),
        (["path,n", "1.jpg"], "cannot be read .*Expected 2 columns, got 1"),
        (["path,n", '"1.jpg,1', "2.jpg," + "x" * 10_000], r"cannot be read .{50,250}; expected Parquet"),
        ([], "cannot be read"),
    ],
)  # fmt: skip
def test_file_that_cannot_be_joined_is_named_and_the_generation_stays(lake, csv, lines, complaint):
    before = joined(lake, csv("path,good", "1.jpg,1", name="good.csv"))
    with pytest.raises(BadColumns, match=rf"own\.csv: {complaint}") as told:
        joined(lake, csv(*lines))
    assert told.value.file.endswith("own.csv") and len(str(told.value)) < 500
    assert open_generation(lake).rows.equals(before)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["path,n", "no.jpg,1", "2.png,1"], "none of its 2 rows matches an image .*: no.jpg, 2.png; expected"),
        (["image_id,n", "1.jpg,1"], "none of its 1 rows matches an image of the lake: 1.jpg"),
        (["path,n", *(f"{i},1" for i in range(9))], "none of its 9 rows .*: 0, 1, 2, 3, 4; expected"),
        (["path,n"], "none of its 0 rows matches an image"),
    ],
)
def test_new_file_that_names_no_image_is_refused_but_one_that_names_none_any_more_is_not(lake, csv, lines, complaint):
    file = csv(*lines)
    settings = replace(lake.settings(), columns=(str(file),))
    with pytest.raises(BadColumns, match=complaint):
        user_columns.check(lake, settings)
    values = joined(lake, file)[lines[0].split(",")[-1]]
    assert values.null_count == len(values)


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"path": [1], "n": [1]}, "column 'path' is int64; expected strings"),
        ({"path": ["1.jpg"], "n": [{"a": 1}]}, "column 'n' is struct<a: int64>; expected strings, numbers, "),
        ({"path": ["1.jpg"], "n": [b"a"]}, "column 'n' is binary"),
        ({"path": ["1.jpg"], "n": [[["a"]]]}, "column 'n' is list<"),
        ({"path": ["1.jpg"], "n": pa.array([b"caf\xe9"]).view(pa.string())}, "cannot be read .*UTF8"),
    ],
)
def test_types_that_sql_does_not_know_are_refused(lake, parquet, columns, complaint):
    with pytest.raises(BadColumns, match=rf"own\.parquet: {complaint}"):
        joined(lake, parquet(columns))


def test_file_that_is_gone_damaged_or_in_another_encoding_is_refused(lake, tmp_path, parquet, csv):
    with pytest.raises(
        BadColumns, match=r"own.csv: there is no such file; to build .*: imrec build --without .*own.csv"
    ):
        joined(lake, tmp_path / "own.csv")
    with pytest.raises(BadColumns, match="cannot be read"):
        joined(lake, tmp_path)
    whole = parquet({"path": ["1.jpg"], "n": [1]})
    whole.write_bytes(whole.read_bytes()[:-9])
    with pytest.raises(BadColumns, match=r"own.parquet: cannot be read"):
        joined(lake, whole)
    with pytest.raises(BadColumns, match=r"own.parquet: cannot be read .*Parquet"):
        joined(lake, csv("path,n", "1.jpg,1", name="own.parquet"))
    (tmp_path / "latin.csv").write_bytes("path,n\n1.jpg,café\n".encode("latin-1"))
    with pytest.raises(BadColumns, match=r"latin.csv: cannot be read \(column 'n' is not UTF-8\)"):
        joined(lake, tmp_path / "latin.csv")


def test_two_files_with_the_same_column_are_refused(lake, csv):
    files = [csv("path,Caption", "1.jpg,a", name="one.csv"), csv("path,caption", "1.jpg,a", name="two.csv")]
    with pytest.raises(BadColumns, match=r"two.csv: column 'caption' cannot be joined: .*one.csv already has it"):
        joined(lake, *files)


def test_rows_for_files_that_are_not_there_are_counted_and_five_are_named(lake, csv):
    file = csv("path,n,m", "1.jpg,1,2", *[f"no/{i}.jpg,1,2" for i in range(7)])
    joined(lake, file)
    (of_file,) = build_generation(lake).columns
    assert of_file == Joined(str(file), ["n", "m"], 1, 7, [f"no/{i}.jpg" for i in range(5)])
    assert of_file.summary() == (
        f"n, m of 1 images from {file}; 7 of its rows match no image, the first five: "
        "no/0.jpg, no/1.jpg, no/2.jpg, no/3.jpg, no/4.jpg"
    )
    facts = json.loads((open_generation(lake).folder / "generation.json").read_text())
    assert facts["columns"][0]["unmatched"] == 7


# -- when a new generation is due ---------------------------------------------------------------------------


def test_lake_without_columns_of_ones_own_is_what_it_was(lake, csv):
    build_generation(lake)
    generation = open_generation(lake)
    before = generation.rows_path.read_bytes()
    assert generation.rows.schema.equals(ROWS) and "columns" not in generation.facts
    assert user_columns.made_from(Settings(sources={"a": Path("/a")})) == []
    joined(lake, csv("path,n", "1.jpg,1"))
    assert open_generation(lake).facts["fingerprint"] != generation.facts["fingerprint"]
    joined(lake)
    after = open_generation(lake)
    assert after.id == "000003" and after.rows_path.read_bytes() == before
    assert after.facts["fingerprint"] == generation.facts["fingerprint"]


def test_edited_file_is_a_new_generation_and_a_touched_or_moved_one_is_not(lake, csv, tmp_path):
    file = csv("path,n", "1.jpg,1")
    joined(lake, file)
    file.touch()
    assert not build_generation(lake).built
    toy.set_to(lake, columns=(str(file.rename(tmp_path / "moved.csv")),))
    assert not build_generation(lake).built
    (tmp_path / "moved.csv").write_text("path,n\n1.jpg,2\n")
    report = build_generation(lake)
    assert report.built and open_generation(lake).rows["n"].to_pylist()[0] == 2
    toy.set_to(lake, sources={"photos": tmp_path / "elsewhere"})  # absolute paths mean other files now
    assert not is_up_to_date(lake, plan_generation(lake))


def test_missing_file_stops_a_build_but_no_search_and_no_status(lake, csv):
    file = csv("path,n", "1.jpg,1")
    joined(lake, file)
    file.unlink()
    assert not lake_status(lake).up_to_date
    (hit,) = Recommender.open(lake).search(ImageId(image_id("2.jpg")), where="n = 1")
    assert hit.image_id == image_id("1.jpg")
    with pytest.raises(BadColumns, match="there is no such file"):
        build_generation(lake)


# -- asking -------------------------------------------------------------------------------------------------


def test_columns_can_be_filtered_ordered_and_selected_by(lake, csv):
    joined(lake, csv("path,caption,rating", "1.jpg,a dog,3", "beach/1.jpg,two dogs,5", "beach/2.jpg,hot dog,4"))
    recommender = Recommender.open(lake)
    asked = ImageId(image_id("2.jpg"))
    hits = recommender.search(asked, where="caption LIKE '%dog%' AND rating >= 4", order_by="rating DESC")
    assert toy.ids(hits) == [image_id("beach/1.jpg"), image_id("beach/2.jpg")]
    assert toy.ids(recommender.search(asked, where="caption IS NULL")) == [image_id(NAMES[4])]
    assert query(lake, "SELECT caption FROM rows WHERE rating = 5").fetchall() == [("two dogs",)]
    for wrong in ({"where": "captoin = 'x'"}, {"order_by": "captoin"}):
        with pytest.raises(BadFilter, match=r"columns: row, image_id, .*, is_grey, caption, rating, tags\)"):
            recommender.search(asked, **wrong)


# -- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def built(imrec, tmp_path):
    """A lake of four photos, built by the command in the folder where it runs."""
    toy.write_photos(tmp_path / "photos", range(4))
    assert imrec("build", "photos", "--features", "phash").status == 0
    return Lake(tmp_path / "data_lake")


def test_command_joins_files_for_this_and_all_later_builds(imrec, built, csv, parquet, tmp_path):
    captions = csv("path,caption,rating", "photo_000.jpg,a dog,4", "photo_001.jpg,a cat,5", "no.jpg,x,1")
    own = parquet({"path": [f"{tmp_path}/photos/photo_002.jpg"], "words": [["a"]]})
    said = imrec("build", "--with", "own.csv", "--with", own.name, "--with", "./own.csv")
    assert said.status == 0
    assert f"joined caption, rating of 2 images from {captions}; 1 of its rows match no image: no.jpg" in said.out
    assert f"joined words of 1 images from {own}\n" in said.out
    assert built.settings().columns == (str(captions), str(own))
    assert "nothing to do" in imrec("build").out
    toy.write_photos(tmp_path / "photos", [4])
    assert "generation 000003: 5 images" in imrec("build").out
    found = imrec("search", "photos/photo_003.jpg", "--where", "caption LIKE '%dog%' AND rating >= 4", "--json")
    assert [Path(hit["path"]).name for hit in json.loads(found.out)["hits"]] == ["photo_000.jpg"]
    assert "a cat" in imrec("sql", "SELECT caption FROM rows").out


def test_command_takes_files_away_again(imrec, built, csv):
    csv("path,n", "photo_000.jpg,1")
    assert imrec("build", "--with", "own.csv").status == 0
    assert "these are: " in imrec("build", "--without", "other.csv").complaint
    other = csv("path,n", "photo_001.jpg,1", name="other.csv")
    assert imrec("build", "--without", "own.csv", "--with", "other.csv").status == 0
    assert built.settings().columns == (str(other),)
    assert open_generation(built).rows["n"].to_pylist() == [None, 1, None, None]
    other.unlink()
    assert imrec("build", "--without", "other.csv").status == 0
    assert built.settings().columns == () and open_generation(built).rows.schema.equals(ROWS)


def test_bad_file_is_refused_before_anything_is_built(imrec, built, csv, tmp_path):
    before = toy.times(built, ".")
    toy.write_photos(tmp_path / "photos", [4])
    for lines in (["file,n", "photo_000.jpg,1"], ["path,n", "no.jpg,1"], ["path,row", "photo_000.jpg,1"]):
        csv(*lines)
        assert "own.csv: " in imrec("build", "--with", "own.csv").complaint
        assert toy.times(built, ".") == before
        assert "own.csv: " in imrec("build", "photos", "--with", "own.csv", "--lake", "other").complaint
        assert not (tmp_path / "other").exists()
    assert "there is no such file" in imrec("build", "--with", "nowhere.csv").complaint


def test_first_build_joins_to_images_that_no_scan_has_seen_yet(imrec, csv, tmp_path):
    toy.write_photos(tmp_path / "photos", range(2))
    csv("path,n", "photo_001.jpg,1")
    built = imrec("build", "photos", "--features", "phash", "--with", "own.csv")
    assert built.status == 0 and "joined n of 1 images" in built.out


def test_file_for_a_source_that_is_away_is_checked_by_what_it_held(lake, csv):
    user_columns.check(lake, replace(lake.settings(), columns=(str(csv("path,n", "1.jpg,1")),)))
    with pytest.raises(BadColumns, match="none of its 1 rows"):
        user_columns.check(lake, replace(lake.settings(), columns=(str(csv("path,n", "no.jpg,1")),)))


# -- in Dagster ---------------------------------------------------------------------------------------------


def test_run_in_dagster_joins_the_columns_and_shows_what_came_of_them(new_lake, csv):
    lake = new_lake(4, ("phash",), built=False)
    file = csv("path,caption", "photo_000.jpg,a dog", "no.jpg,x")
    toy.set_to(lake, columns=(str(file),))
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            Builder(lake, instance).build()
        csv("path,caption", "photo_000.jpg,a cat")
        Builder(lake, instance).build()
        records = instance.fetch_materializations(GENERATION, limit=10, ascending=True).records
    shown = [{name: v.value for name, v in record.asset_materialization.metadata.items()} for record in records]
    assert [one["unmatched"] for one in shown] == [1, 0]
    assert shown[0]["joined"].startswith(f"- caption of 1 images from {file}; 1 of its rows match no image")
    assert open_generation(lake).rows["caption"].to_pylist() == ["a cat", None, None, None]

"""The `imrec` command: what it prints where, its exit statuses, one clear line for whatever is wrong."""

from __future__ import annotations

import csv
import errno
import io
import itertools
import json
import os
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import click
import pyarrow.parquet as pq
import pytest
from PIL import Image

import imrec_core
from imrec_core import Lake
from imrec_core.extraction import read_ahead
from imrec_core.extraction.pipeline import ShardExtractor
from imrec_core.features import FEATURES
from imrec_core.lake import run_log
from imrec_core.runtime.timing import STAGES
from imrec_core.search.hits import FeatureScore
from imrec_dagster.cli import progress as progress_module
from imrec_dagster.cli import search_each as each
from imrec_dagster.cli.build import run_build
from imrec_dagster.cli.main import imrec as group
from tests.conftest import Outcome
from tests.support import toy
from tests.support.pictures import BROKEN, PICTURES

pytestmark = pytest.mark.usefixtures("blank_plots")

ROOT = Path(imrec_core.__file__).parent.parent
CHEAP = "rgb_histogram,phash"
ODD = ("two\nlines.jpg", "sun 🌞.jpg", 'it\'s "quoted".jpg')


@pytest.fixture(scope="module")
def gallery(tmp_path_factory) -> Lake:
    """Twenty photos, three with odd names, and broken ones; built once, for looking only."""
    root = tmp_path_factory.mktemp("gallery")
    toy.write_photos(root / "photos", range(20))
    for seed, name in enumerate(ODD, start=30):
        toy.write_photos(root / "photos", [seed])
        (root / "photos" / f"photo_{seed:03d}.jpg").rename(root / "photos" / name)
    for name in ("text.jpg", "truncated.jpg"):
        (root / "photos" / name).write_bytes(BROKEN[name]())
    (root / "photos" / "broken\nname.jpg").write_bytes(b"")
    lake = toy.new_lake(root / "lake", CHEAP.split(","))
    toy.build(lake)
    return lake


def photo(lake: Lake, name: str = "photo_003.jpg") -> Path:
    return lake.root.parent / "photos" / name


def ids(lake: Lake) -> dict[str, str]:
    """File name to image_id."""
    rows = [row for table in toy.tables_of(lake, "catalog").values() for row in table.to_pylist()]
    return {row["path"]: row["image_id"] for row in rows}


# -- every command does its work ----------------------------------------------------------------------------


def test_build_says_what_was_read_and_published(imrec, tmp_path):
    toy.write_photos(tmp_path / "holiday", range(12))
    (tmp_path / "holiday" / "text.jpg").write_bytes(BROKEN["text.jpg"]())
    built = imrec("build", "holiday", "--features", CHEAP)
    assert built.status == 0
    assert "13 new, 0 changed, 0 removed, 0 unchanged images" in built.out
    assert "13 decoded at " in built.out and "in 1 shard 12 extracted, 1 failed (see: imrec failures)" in built.out
    assert "generation 000001: 12 images" in built.out and "; built whole: no generation to extend\n" in built.out
    again = imrec("build")
    assert again.status == 0
    assert "0 new, 0 changed, 0 removed, 13 unchanged images" in again.out
    assert "nothing to do: generation 000001 is up to date" in again.out
    assert Lake("data_lake").settings().features == tuple(CHEAP.split(","))


def test_build_adds_a_folder_under_the_name_that_is_given(imrec, tmp_path):
    toy.write_photos(tmp_path / "a", range(3))
    toy.write_photos(tmp_path / "b", range(3, 6))
    assert imrec("build", "a", "--features", CHEAP).status == 0
    again = imrec("build", "summer=b", "--lake", "data_lake").out
    assert "generation 000002: 6 images" in again and "; extends 000001 by 3 rows, 0 removed\n" in again
    assert Lake("data_lake").settings().sources == {"a": tmp_path / "a", "summer": tmp_path / "b"}


def test_search_by_file_leaves_out_the_file_unless_asked_to_keep_it(imrec, gallery):
    asked = ("search", photo(gallery), "-k", 3, "--by", "phash", "--lake", gallery.root)
    assert str(photo(gallery)) not in imrec(*asked).out
    found = imrec(*asked, "--with-self")
    assert found.status == 0
    heading, first, *others = found.out.splitlines()
    assert heading.split() == ["score", "phash", "image_id", "path"]
    assert first.split() == ["1", "1.000", "same", "image", "0", ids(gallery)["photo_003.jpg"], str(photo(gallery))]
    assert len(others) == 2


def test_search_by_id_leaves_out_the_image_itself(imrec, gallery):
    own = ids(gallery)["photo_003.jpg"]
    found = imrec("search", own, "-k", 5, "--lake", gallery.root)
    assert found.status == 0
    assert len(found.out.splitlines()) == 6
    assert own not in found.out


def test_search_prints_json_for_programs(imrec, gallery):
    by = ("--by", "phash=0.25", "--by", "rgb_histogram:manhattan")
    found = imrec("search", photo(gallery), "-k", 4, *by, "--exact", "--with-self", "--json", "--lake", gallery.root)
    hits = json.loads(found.out)["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4]
    assert hits[0]["path"] == str(photo(gallery))
    assert set(hits[0]["parts"]) == {"phash", "rgb_histogram:manhattan"}
    best = {"distance": 0.0, "score": 1.0, "false_match_rate": 0.0, "rank": 1, "unlike": 0.0, "note": ""}
    assert hits[0]["parts"]["phash"] == best


def test_search_with_a_condition_keeps_to_it(imrec, gallery):
    where = "path LIKE 'photo_01%'"
    found = imrec("search", photo(gallery), "-k", 50, "--where", where, "--json", "--lake", gallery.root)
    hits = json.loads(found.out)["hits"]
    assert {Path(hit["path"]).name for hit in hits} == {f"photo_01{n}.jpg" for n in range(10)}


def test_search_that_leaves_no_image_says_so(imrec, gallery):
    found = imrec("search", photo(gallery), "--where", "width > 100000", "--lake", gallery.root)
    assert (found.status, found.out) == (0, "no image left to compare with\n")


def test_search_for_more_than_there_are_gives_all(imrec, gallery):
    found = imrec("search", photo(gallery), "-k", 10_000, "--with-self", "--lake", gallery.root)
    assert found.status == 0
    assert len(found.out.splitlines()) == 1 + 20 + len(ODD)


def test_search_says_how_it_was_done_and_how_long_its_stages_took_when_asked(imrec, gallery):
    asked = ("search", photo(gallery), "--by", "phash", "--by", "rgb_histogram", "--lake", gallery.root)
    quiet, verbose = imrec(*asked), imrec(*asked, "--verbose")
    assert (verbose.out, quiet.err) == (quiet.out, "")
    how, times = verbose.err.splitlines()
    plan = json.loads(imrec(*asked, "--json").out)["plan"]
    assert how == f"by phash, rgb_histogram: {plan}; generation {gallery.current_generation()}"
    assert [word.split()[0] for word in times.split(", ")] == ["open", *STAGES]
    assert all(float(word.split()[1]) >= 0 and word.endswith(" ms") for word in times.split(", "))
    assert "--verbose" in imrec(*asked, "--each", "-v").err


def test_search_writes_a_contact_sheet(imrec, gallery, tmp_path):
    found = imrec("search", photo(gallery), "--sheet", tmp_path / "sheet.png", "--lake", gallery.root)
    assert found.status == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 300


def test_search_by_several_images_takes_likes_unlikes_and_weights(imrec, gallery):
    a, b, c = (photo(gallery, f"photo_00{n}.jpg") for n in (1, 5, 6))
    asked = imrec("search", a, "+", f"0.5:{b}", "-", f"2:{c}", "--pool", "best", "--json", "--lake", gallery.root)
    parsed = json.loads(asked.out)
    expected = imrec_core.Recommender.open(gallery).search(like=[(b, 1), (a, 2)], unlike=[(c, 4)], pool="best")
    assert parsed == expected.to_dict() == json.loads(expected.to_json())
    again = imrec("search", f"0.5:{b}", a, "--unlike", f"2:{c}", "--pool", "best", "--json", "--lake", gallery.root)
    assert json.loads(again.out) == parsed
    back = imrec("search", f"0.5:{b}", "-", f"2:{c}", "+", a, "--pool", "best", "--json", "--lake", gallery.root)
    assert json.loads(back.out) == parsed


def test_file_whose_name_looks_like_a_weight_is_the_file(imrec, gallery, tmp_path):
    (tmp_path / "0.5:b.jpg").write_bytes(photo(gallery).read_bytes())
    found = json.loads(imrec("search", "0.5:b.jpg", "-k", 1, "--with-self", "--json", "--lake", gallery.root).out)
    assert found["hits"][0]["path"] == str(photo(gallery))


@pytest.mark.parametrize("name", ["text:dog.jpg", "0.5:text:dog.jpg", "00c5a1f09b3d7e42", "nan:b.jpg"])
@pytest.mark.parametrize("each", [False, True])
def test_file_that_exists_is_a_file_whatever_its_name(imrec, gallery, tmp_path, name, each):
    (tmp_path / name).write_bytes(photo(gallery).read_bytes())
    asked = ("search", name, "-k", 1, "--with-self", "--json", "--lake", gallery.root, *(["--each"] if each else []))
    assert json.loads(imrec(*asked).out)["hits"][0]["path"] == str(photo(gallery))


def test_weight_before_a_file_that_is_called_like_a_text(imrec, gallery, tmp_path):
    (tmp_path / "text:dog.jpg").write_bytes(photo(gallery).read_bytes())
    asked = ("search", photo(gallery, "photo_004.jpg"), "0.1:text:dog.jpg", "--json", "--lake", gallery.root)
    found = imrec(*asked, "--pool", "best", "--by", "phash", "--with-self", "-k", 2)
    assert [Path(hit["path"]).name for hit in json.loads(found.out)["hits"]] == ["photo_003.jpg", "photo_004.jpg"]


def test_folder_is_refused_as_a_query(imrec, gallery):
    asked = imrec("search", photo(gallery).parent, "--lake", gallery.root)
    assert asked.status == 2 and "is a folder; with --each every image in it is a query" in asked.err


def test_search_that_is_cut_says_that_there_is_no_good_match(imrec, gallery):
    asked = ("search", ids(gallery)["photo_003.jpg"], "--max-false-match-rate", "1e-9", "--lake", gallery.root)
    assert imrec(*asked).out == "no good match\n"
    parsed = json.loads(imrec(*asked, "--json").out)
    assert (
        parsed["hits"] == []
        and parsed["cut"] == 22
        and "0 of them within a false match rate of 1e-09" in parsed["plan"]
    )


def test_search_passes_on_how_to_fuse_order_and_choose(imrec, gallery):
    how = {"fuse": "rrf", "order_by": "path DESC", "distinct": "content", "diversify": 0.4, "max_false_match_rate": 0.9}
    options = [word for name, value in how.items() for word in (f"--{name.replace('_', '-')}", value)]
    by = ("--by", "phash", "--by", "rgb_histogram")
    parsed = json.loads(imrec("search", photo(gallery), *options, *by, "--json", "--lake", gallery.root).out)
    expected = imrec_core.Recommender.open(gallery).search(photo(gallery), by=["phash", "rgb_histogram"], **how)
    assert parsed == expected.to_dict() and len(parsed["hits"]) == 5


def test_each_image_of_a_folder_or_glob_is_a_search_in_a_line_of_its_own(imrec, gallery):
    folder = photo(gallery).parent
    found = imrec("search", folder, "--each", "--with-self", "-k", 2, "--lake", gallery.root)
    lines = [json.loads(line) for line in found.out.splitlines()]
    assert found.status == 0 and "3 images could not be read" in found.err
    assert [line["query"] for line in lines] == sorted(str(path) for path in folder.iterdir())
    good = [line for line in lines if "hits" in line]
    assert len(good) == 20 + len(ODD) and all(line["hits"][0]["path"] == line["query"] for line in good)
    assert all(
        line["error"].startswith(("UnreadableImage: ", "TruncatedImage: ")) for line in lines if line not in good
    )
    some = imrec("search", folder / "photo_00*.jpg", "--each", "--with-self", "-k", 2, "--lake", gallery.root)
    assert [json.loads(line) for line in some.out.splitlines()] == [x for x in good if "photo_00" in x["query"]]


def test_each_of_nothing_and_with_unlikes_is_refused(imrec, gallery, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no image to search for" in complaint(imrec("search", "empty", "--each", "--lake", gallery.root))
    refused = imrec("search", photo(gallery), "--each", "--unlike", "x.jpg", "--lake", gallery.root)
    assert refused.status == 2 and "--each searches for each image separately" in refused.err
    pooled = imrec("search", photo(gallery), "--each", "--pool", "best", "--lake", gallery.root)
    assert pooled.status == 2 and "leave out --sheet, --explain, " in pooled.err and "- and --pool" in pooled.err


def flat(line: dict[str, object]) -> list[dict[str, object]]:
    """A line of JSON as the rows of the table: one for each hit, one of nulls where there is none."""
    parsed = {"query": line["query"], "error": line.get("error")}
    rows = []
    for hit in line.get("hits", []):
        parts = {f"{by}_{fact}": value for by, part in hit["parts"].items() for fact, value in part.items()}
        rows.append({**parsed, **{name: value for name, value in hit.items() if name != "parts"}, **parts})
    return rows or [parsed]


@pytest.mark.parametrize("together", [1, 3, 1000])
def test_each_as_a_table_says_what_the_lines_say(imrec, gallery, tmp_path, monkeypatch, together):
    monkeypatch.setattr(each, "_GROUP_QUERIES", together)
    folder = photo(gallery).parent  # a file that cannot be read comes first in it, others in between
    toy.write_photos(tmp_path / "others", range(100, 104))
    asked = ("search", folder, "others", "--each", "-k", 2, "--by", "phash", "--by", "rgb_histogram:manhattan=0.5",
             "--max-false-match-rate", 0.02, "--lake", gallery.root)  # fmt: skip
    lines = [json.loads(line) for line in imrec(*asked).out.splitlines()]
    assert "error" in lines[0] and {0, 1} <= {len(line["hits"]) for line in lines if "hits" in line}
    table = imrec(*asked, "--parquet", "hits.parquet")
    assert table.status == 0 and table.out == "" and "3 images could not be read" in table.err
    read = pq.read_table(tmp_path / "hits.parquet")
    parts = [f"{by}_{fact.name}" for by in ("phash", "rgb_histogram:manhattan") for fact in fields(FeatureScore)]
    assert read.column_names == ["query", "rank", "image_id", "source", "path", "score", "likeness", *parts, "error"]
    expected = [row for line in lines for row in flat(line)]
    assert read.to_pylist() == [{name: row.get(name) for name in read.column_names} for row in expected]
    assert {path.name for path in tmp_path.iterdir()} == {"hits.parquet", "others"}


def test_table_of_each_where_nothing_can_be_read_holds_the_errors(imrec, gallery, tmp_path):
    found = imrec("search", "a.jpg", "b.jpg", "--each", "--parquet", "hits.parquet", "--lake", gallery.root)
    assert found.status == 0 and "2 images could not be read" in found.err
    table = pq.read_table(tmp_path / "hits.parquet")
    assert table.column_names == ["query", "rank", "image_id", "source", "path", "score", "likeness", "error"]
    assert table["query"].to_pylist() == ["a.jpg", "b.jpg"] and table["rank"].null_count == 2
    assert all(error.startswith("UnreadableImage: ") for error in table["error"].to_pylist())


@pytest.mark.parametrize("file", ["gone/hits.parquet", "note.txt/hits.parquet", f"{'x' * 250}.parquet"])
def test_unwritable_table_is_reported_before_any_search(imrec, gallery, tmp_path, monkeypatch, file):
    (tmp_path / "note.txt").write_text("mine")
    monkeypatch.setattr(imrec_core.Recommender, "search_each", lambda *asked, **how: pytest.fail("searched"))
    found = imrec("search", photo(gallery), "--each", "--parquet", file, "--lake", gallery.root)
    assert found.status == 2 and found.out == "" and f"cannot write {file}" in found.err
    assert "Traceback" not in found.err
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("after", [1, 5])
def test_interrupted_table_leaves_the_one_before_it(imrec, gallery, tmp_path, monkeypatch, after):
    monkeypatch.setattr(each, "_GROUP_QUERIES", 2)
    (tmp_path / "hits.parquet").write_bytes(b"from before")
    search_each = imrec_core.Recommender.search_each

    def interrupted(*asked, **how):
        yield from itertools.islice(search_each(*asked, **how), after)
        raise KeyboardInterrupt

    monkeypatch.setattr(imrec_core.Recommender, "search_each", interrupted)
    found = imrec("search", photo(gallery).parent, "--each", "--parquet", "hits.parquet", "--lake", gallery.root)
    assert found.status not in (0, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["hits.parquet"]
    assert (tmp_path / "hits.parquet").read_bytes() == b"from before"


def test_folder_is_not_searched_for_as_one_picture(imrec, gallery):
    folder = photo(gallery).parent
    for asked in ((folder,), (photo(gallery), "-", folder), (photo(gallery), "--unlike", folder)):
        refused = imrec("search", *asked, "--lake", gallery.root)
        assert refused.status == 2 and f"{folder} is a folder; with --each every image" in refused.err


def test_table_of_one_search_is_refused(imrec, gallery, tmp_path):
    refused = imrec("search", photo(gallery), "--parquet", "hits.parquet", "--lake", gallery.root)
    assert refused.status == 2 and "--parquet needs --each" in refused.err
    refused = imrec("search", photo(gallery), "--each", "--parquet", ".", "--lake", gallery.root)
    assert refused.status == 2 and "is a directory" in refused.err
    assert not list(tmp_path.iterdir())


def test_each_that_cannot_be_asked_leaves_no_table(imrec, gallery, tmp_path):
    found = imrec("search", "0" * 16, "--each", "--parquet", "hits.parquet", "--lake", gallery.root)
    assert "no image '0000000000000000'" in complaint(found)
    assert not list(tmp_path.iterdir())


def test_status_tells_a_person_and_a_program_the_same(imrec, gallery):
    words = imrec("status", "--lake", gallery.root)
    parsed = json.loads(imrec("status", "--json", "--lake", gallery.root).out)
    assert words.status == 0
    assert parsed["failed"] == 3
    assert parsed["shards"] == 2
    assert parsed["generation"]["rows"] == 20 + len(ODD)
    assert parsed["up_to_date"] is True
    assert [(f["name"], f["fresh_shards"], f["stale_shards"]) for f in parsed["features"]] == [
        ("rgb_histogram", 2, []),
        ("phash", 2, []),
    ]
    assert f"photos: {20 + len(ODD) + 3} images in {gallery.root.parent / 'photos'}" in words.out
    assert "2 shards, 3 failed images (imrec failures)" in words.out
    assert "  rgb_histogram, phash: fresh for 2 of 2 shards" in words.out
    assert "generation 000001: 23 images" in words.out


def test_status_says_what_a_build_would_do(imrec, new_lake):
    lake = new_lake(20, ("phash",))
    toy.set_to(lake, features=("phash", "dhash"))
    assert "imrec build would compute dhash" in imrec("status", "--lake", lake.root).out
    toy.extract(lake)
    assert "imrec build would publish a generation" in imrec("status", "--lake", lake.root).out
    photo(lake).unlink()
    imrec_core.catalog.manifests.update(lake)
    assert "imrec build would read what is new in photos-0000" in imrec("status", "--lake", lake.root).out


def test_features_lists_all_of_the_registry(imrec):
    words, parsed = imrec("features"), json.loads(imrec("features", "--json").out)
    assert [f["name"] for f in parsed] == list(FEATURES)
    assert [line.split()[0] for line in words.out.splitlines()[1:]] == list(FEATURES)
    assert [f["group"] for f in parsed] == [feature.group for feature in FEATURES.values()]
    assert parsed[0]["metrics"] == [m.name for m in FEATURES[parsed[0]["name"]].metrics]
    assert words.out.splitlines()[0].split() == ["name", "group", "dims", "metrics", "summary"]


def test_features_lists_those_of_the_lake_after_all_others(imrec, new_lake):
    own = {"histograms": {"coarse": {"levels": [4, 4, 4]}}, "combined": {"mix": {"coarse": 1, "phash:hamming": 2}}}
    lake = new_lake(0, ("phash",), built=False, **own)
    words, parsed = (imrec("features", *option, "--lake", lake.root) for option in ((), ("--json",)))
    *known, coarse, mix = json.loads(parsed.out)
    assert [f["name"] for f in known] == list(FEATURES)
    assert (coarse["name"], coarse["group"], coarse["dims"]) == ("coarse", "colour", 64)
    assert (mix["name"], mix["group"], mix["dims"]) == ("mix", "combined", 128)
    *_, coarse_line, mix_line = words.out.splitlines()
    assert coarse_line.split()[:3] == ["coarse", "colour", "64"]
    assert mix_line.split()[:3] == ["mix", "combined", "128"] and mix_line.endswith("1 coarse; 2 phash:hamming.")


def test_features_marks_those_of_the_lake_with_their_images(imrec, new_lake):
    lake = new_lake(12, ("phash", "dhash"))
    photo(lake).unlink()
    imrec_core.catalog.manifests.update(lake)
    toy.extract(lake)
    toy.build(lake)  # 12 rows, of which one is removed
    toy.set_to(lake, features=("phash", "edge_histogram"))
    heading, *lines = imrec("features", "--lake", lake.root).out.splitlines()
    assert heading.split() == ["name", "group", "dims", "in", "the", "lake", "metrics", "summary"]
    marks = {line.split()[0]: line[heading.index("in the lake") : heading.index("metrics")].strip() for line in lines}
    found = {"phash": "✓ 11", "dhash": "✓ 11", "edge_histogram": "needs imrec build"}
    assert marks == dict.fromkeys(FEATURES, "") | found
    parsed = json.loads(imrec("features", "--json", "--lake", lake.root).out)
    assert parsed == json.loads(imrec("features", "--json").out)


def test_features_of_a_lake_whose_settings_cannot_be_are_refused(imrec, new_lake):
    lake = new_lake(0, ("phash",), built=False)
    lake.settings_path.write_text("[combined.mix]\nphash = 1\n")
    assert "expected two features or more" in complaint(imrec("features", "--lake", lake.root))


def test_build_computes_a_new_feature_alone_and_says_that_images_are_decoded_again(imrec, tmp_path):
    toy.write_photos(tmp_path / "photos", range(10))
    first = imrec("build", "photos", "--features", CHEAP)
    assert "decoded again" not in first.err
    lake = Lake("data_lake")
    text = lake.settings_path.read_text()
    lake.settings_path.write_text(text + "\n[histograms.coarse] # mine\nlevels = [4, 4, 4]\n")
    before = toy.times(lake, "catalog", "features")
    again = imrec("build", "--features", f"{CHEAP},dhash")
    assert again.status == 0
    assert "10 images are decoded again for coarse, dhash" in again.err.splitlines()
    assert "10 decoded at " in again.out and "generation 000002: 10 images" in again.out
    assert toy.rewritten(before, toy.times(lake, "catalog", "features")) == {
        f"features/{name}/photos-0000.parquet" for name in ("coarse", "dhash")
    }
    assert "[histograms.coarse] # mine" in lake.settings_path.read_text()
    found = imrec("search", "photos/photo_003.jpg", "--by", "coarse", "-k", 1, "--with-self")
    assert "photo_003.jpg" in found.out
    assert "decoded again" not in imrec("build").err


def test_build_of_new_images_alone_decodes_none_again(imrec, tmp_path):
    toy.write_photos(tmp_path / "photos", range(4))
    toy.new_lake(tmp_path / "data_lake", CHEAP.split(","), shard_size=4)
    assert imrec("build").status == 0
    toy.write_photos(tmp_path / "photos", range(4, 6))
    assert "decoded again" not in imrec("build").err  # they are in a shard of their own
    toy.set_to(Lake("data_lake"), features=(*CHEAP.split(","), "ahash"))
    toy.write_photos(tmp_path / "photos", range(6, 10))
    built = imrec("build").err.splitlines()
    # Of the three shards one was read and lacks the new feature, one has two new images too, and one is new.
    assert "6 images are decoded again for ahash" in built


def test_features_with_a_plus_join_those_there_are(imrec, tmp_path):
    toy.write_photos(tmp_path / "photos", range(3))
    assert imrec("build", "photos", "--features", "phash").status == 0
    built = imrec("build", "--features", "+ahash, +phash")
    assert "3 images are decoded again for ahash" in built.err
    assert Lake("data_lake").settings().features == ("phash", "ahash")
    assert imrec("build", "--features", "+ahash").out.startswith("0 new")


def test_no_feature_is_no_choice_even_where_some_are_declared(imrec, tmp_path):
    toy.write_photos(tmp_path / "photos", range(3))
    lake = toy.new_lake(tmp_path / "data_lake", ("phash",), histograms={"coarse": {"levels": [4, 4, 4]}})
    assert "no feature is chosen" in complaint(imrec("build", "--features", ""))
    assert lake.settings().features == ("phash",)


def test_lake_of_declared_features_alone_is_built(imrec, tmp_path):
    toy.write_photos(tmp_path / "photos", range(3))
    lake = toy.new_lake(tmp_path / "data_lake", (), histograms={"coarse": {"levels": [4, 4, 4]}})
    assert imrec("build").status == 0
    assert imrec("search", "photos/photo_001.jpg", "-k", 1).out.splitlines()[0].split()[1] == "coarse"
    lake.settings_path.write_text("features = []\n[sources]\nphotos = '../photos'\n")
    assert "no feature is chosen" in complaint(imrec("build"))


def test_failures_lists_each_with_its_reason(imrec, gallery):
    words, parsed = (imrec("failures", *option, "--lake", gallery.root) for option in ((), ("--json",)))
    failed = {row["path"]: row["error"] for row in json.loads(parsed.out)}
    assert set(failed) == {"broken\nname.jpg", "text.jpg", "truncated.jpg"}
    assert failed["truncated.jpg"].startswith("TruncatedImage: ")
    assert all(reason in words.out for reason in failed.values())


def test_failures_of_a_lake_without_any_are_none(imrec, new_lake):
    assert imrec("failures", "--lake", new_lake(3, ("phash",)).root).out == "none\n"


def test_failures_are_tried_again_when_asked(imrec, tmp_path, monkeypatch):
    toy.write_photos(tmp_path / "photos", range(5))
    (tmp_path / "photos" / "bad.jpg").write_bytes(BROKEN["text.jpg"]())
    decode = read_ahead.decode
    with monkeypatch.context() as patch:
        later = (tmp_path / "photos" / "photo_002.jpg").read_bytes()
        patch.setattr(read_ahead, "decode", lambda data, **how: 1 / 0 if data == later else decode(data, **how))
        assert "4 extracted, 2 failed" in imrec("build", "photos", "--features", CHEAP).out
    assert "0 new, 0 changed, 0 removed, 6 unchanged images\nnothing to do" in imrec("build").out
    words = imrec("failures", "--retry").out.splitlines()
    assert words[0] == "1 recovered, 1 still fails"
    assert [line.split()[1] for line in words[2:]] == ["bad.jpg"]
    assert "photo_002.jpg" in imrec("search", "photos/photo_002.jpg", "-k", 1, "--with-self").out
    parsed = imrec("failures", "--retry", "--json")
    assert [row["path"] for row in json.loads(parsed.out)] == ["bad.jpg"]
    assert parsed.err == "0 recovered, 1 still fails\n"
    (tmp_path / "photos" / "bad.jpg").unlink()
    imrec("build")
    assert imrec("failures", "--retry").out == "0 recovered, 0 still fail\nnone\n"


def test_failures_of_no_lake_cannot_be_tried_again(imrec):
    assert "there is no lake" in complaint(imrec("failures", "--retry"))
    assert not Path("data_lake").exists()


class Bar:
    """A progress bar that remembers where it ended."""

    ended: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, total: int, **_: object) -> None:
        self.total, self.n = total, 0

    def update(self, count: int) -> None:
        self.n += count

    def set_postfix_str(self, text: str) -> None:
        pass

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        self.ended.append((self.n, self.total))


def test_progress_reaches_its_end_and_counts_what_is_read(imrec, tmp_path, monkeypatch):
    monkeypatch.setattr(progress_module, "tqdm", Bar)
    monkeypatch.setattr(Bar, "ended", [])
    toy.write_photos(tmp_path / "photos", range(9))
    imrec("build", "photos", "--features", CHEAP)
    imrec("build")  # reads nothing, and draws nothing
    toy.write_photos(tmp_path / "photos", range(9, 11))
    (tmp_path / "photos" / "bad.jpg").write_bytes(BROKEN["text.jpg"]())
    added = imrec("build")
    assert "3 decoded at " in added.out and "11 extracted, 1 failed" in added.out
    assert "decoded again" not in added.err
    imrec("failures", "--retry")
    (tmp_path / "photos" / "photo_003.jpg").rename(tmp_path / "photos" / "renamed.jpg")
    assert "0 decoded; in 1 shard 11 extracted, 1 failed" in imrec("build").out
    imrec("build", "--features", f"{CHEAP},ahash")
    assert Bar.ended == [(9, 9), (3, 3), (1, 1), (1, 1), (12, 12)]


def test_progress_bar_grows_with_more_images_than_expected(monkeypatch):
    monkeypatch.setattr(progress_module, "tqdm", Bar)
    monkeypatch.setattr(Bar, "ended", [])
    progress = progress_module.BuildProgress()
    progress.expect(2, 0, [])
    for _ in range(3):
        progress.images(1, 0)
    progress.close()
    assert Bar.ended == [(3, 3)]


def test_sql_prints_a_table_csv_and_json(imrec, gallery):
    statement = "SELECT path, width FROM rows WHERE path LIKE 'photo_00%' ORDER BY path DESC LIMIT 2"
    words, comma, parsed = (
        imrec("sql", statement, *option, "--lake", gallery.root) for option in ((), ("--csv",), ("--json",))
    )
    assert "photo_009.jpg" in words.out
    assert list(csv.reader(io.StringIO(comma.out))) == [
        ["path", "width"],
        ["photo_009.jpg", "160"],
        ["photo_008.jpg", "160"],
    ]
    assert json.loads(parsed.out) == [{"path": "photo_009.jpg", "width": 160}, {"path": "photo_008.jpg", "width": 160}]


def test_sql_compares_hashes_bit_by_bit(imrec, gallery):
    statement = "SELECT max(bit_count(xor(a.vector, b.vector))) AS bits FROM phash a, phash b"
    ((_, *_), (bits,)) = csv.reader(io.StringIO(imrec("sql", statement, "--csv", "--lake", gallery.root).out))
    assert 10 < int(bits) <= 64


@pytest.mark.parametrize("statement", ["SELECT what, name, stages, features FROM runs", "SELECT * FROM rgb_histogram"])
def test_maps_lists_and_vectors_are_json_in_csv(imrec, gallery, statement):
    run_log.note(gallery, "search", "a.jpg", 0.5, stages={"read": 0.5}, features=["phash:hamming"])
    found = imrec("sql", statement, "--csv", "--lake", gallery.root)
    header, *rows = csv.reader(io.StringIO(found.out))
    assert found.status == 0 and rows
    if "stages" in header:
        assert ["search", "a.jpg", '{"read":0.5}', '["phash:hamming"]'] in rows
    else:
        assert all(len(json.loads(row[header.index("vector")])) == 512 for row in rows)


def test_names_with_newlines_quotes_and_emoji_stay_in_one_row(imrec, gallery):
    listed = imrec("failures", "--lake", gallery.root).out.splitlines()
    assert len(listed) == 1 + 3
    assert any("broken\\nname.jpg" in line for line in listed)
    hits = imrec("search", photo(gallery), "-k", 100, "--with-self", "--lake", gallery.root).out.splitlines()
    assert len(hits) == 1 + 20 + len(ODD)
    for name in ("two\\nlines.jpg", "sun 🌞.jpg", 'it\'s "quoted".jpg'):
        assert any(line.endswith(name) for line in hits)


def test_query_with_an_odd_name_is_found_like_others(imrec, gallery):
    for name in ODD:
        parsed = json.loads(
            imrec("search", photo(gallery, name), "-k", 1, "--with-self", "--json", "--lake", gallery.root).out
        )
        assert parsed["hits"][0]["path"] == str(photo(gallery, name))


def test_demo_of_own_photos_searches_three_times_and_draws_a_sheet(imrec, tmp_path):
    toy.write_photos(tmp_path / "my photos", range(12))
    lake = toy.new_lake(tmp_path / "lake", ("efficientnet_lite0", "hsv_histogram", "phash"), sources={})
    asked = imrec("demo", "my photos", "--lake", lake.root)
    assert asked.status == 0
    for subject in ("content (efficientnet_lite0)", "colour (hsv_histogram)", "hash (phash)"):
        _, _, answer = asked.out.partition(f"by {subject}, most like my photos/photo_")
        assert len([line for line in answer.split("\n\n")[0].splitlines() if line.startswith("  ")]) == 5
    with Image.open(lake.root / "contact_sheet.png") as sheet:
        assert sheet.height > 300
    *_, search, ui, build, _, _, serve = asked.out.splitlines()
    assert "imrec search 'my photos/photo_" in search
    assert f"imrec ui --lake {lake.root}  #" in ui
    assert "imrec build " in build
    assert serve == f"  .venv/bin/imrec serve --lake {lake.root}"


# -- errors in one line -------------------------------------------------------------------------------------


def complaint(outcome: Outcome) -> str:
    assert outcome.status == 1
    assert outcome.complaint.startswith("imrec: ")
    return outcome.complaint


@pytest.mark.parametrize(
    ("folder", "said"), [("nowhere", "does not exist"), ("empty", "holds no image"), ("texts", "holds no image")]
)
def test_folder_without_images_is_refused_and_nothing_is_made(imrec, tmp_path, folder, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    line = complaint(imrec("build", folder, "--features", CHEAP))
    assert str(tmp_path / folder) in line
    assert said in line
    assert not (tmp_path / "data_lake").exists()


def test_file_in_the_place_of_a_folder_is_refused(imrec, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(PICTURES["noise.jpg"]())
    assert "is a file" in complaint(imrec("build", "photo.jpg"))


def test_build_of_no_folder_asks_for_one(imrec):
    assert "imrec build FOLDER" in complaint(imrec("build"))


def test_build_where_every_image_is_broken_says_so_and_records_why(imrec, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"")
    refused = imrec("build", "bad", "--features", CHEAP)
    assert refused.status == 1
    assert "Traceback" not in refused.err
    assert "imrec failures" in refused.err.splitlines()[-1]
    assert "a.jpg" in imrec("failures").out


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ("rgb_histogramm", "did you mean 'rgb_histogram'?"),
        ("", "no feature is chosen"),
        ("phash,+ahash", "only some names have a '+'"),
        ("+", "no feature named ''"),
    ],
)
def test_features_that_cannot_be_are_refused(imrec, tmp_path, features, said):
    toy.write_photos(tmp_path / "photos", range(2))
    assert said in complaint(imrec("build", "photos", "--features", features))


def test_schedule_that_cannot_be_is_refused(imrec, tmp_path):
    toy.write_photos(tmp_path / "photos", range(2))
    toy.new_lake(tmp_path / "data_lake", ("phash",), dagster={"scan_schedule": "daily"})
    assert "dagster: scan_schedule is 'daily'; expected a cron expression (minute, hour" in complaint(
        imrec("build", "photos")
    )


def test_name_that_another_folder_has_is_refused(imrec, tmp_path):
    toy.write_photos(tmp_path / "a", range(2))
    toy.write_photos(tmp_path / "b", range(2))
    assert imrec("build", "x=a", "--features", CHEAP).status == 0
    assert "choose another name" in complaint(imrec("build", "x=b"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.jpg",), "nowhere.jpg"),
        (("text.jpg",), "text.jpg"),
        (("0123456789abcdef",), "no image '0123456789abcdef'"),
        (("photo_003.jpg", "--by", "phsah"), "did you mean 'phash'?"),
        (("photo_003.jpg", "--by", "rgb_histogram:helinger"), "did you mean 'hellinger'?"),
        (("photo_003.jpg", "-k", "0"), "k is 0"),
        (("photo_003.jpg", "-k", "-3"), "k is -3"),
        (("photo_003.jpg", "--by", "phash=-1"), "weight"),
        (("photo_003.jpg", "--by", "phash=nan"), "the weight in 'phash=nan' is not a finite number of 0 or more"),
        (("photo_003.jpg", "--by", "phash=1e999"), "not a finite number"),
        (("photo_003.jpg", "--by", "phash=much"), "not a finite number"),
        (("nan:photo_003.jpg",), "weights of the queries are [nan]"),
        (("1e999:photo_003.jpg",), "weights of the queries are [inf]"),
        (("photo_003.jpg", "--unlike", "inf:photo_004.jpg"), "weights of the queries are [inf]"),
        (("photo_003.jpg", "photo_003.jpg"), "given twice"),
        (("photo_003.jpg", "-", "photo_003.jpg"), "both a like and an unlike"),
        (("+", "-", "photo_003.jpg"), "give an image to search for"),
        (("0:photo_003.jpg",), "all likes weigh 0"),
        (("photo_003.jpg", "--pool", "bets"), "did you mean 'best'?"),
        (("photo_003.jpg", "--fuse", "rff"), "did you mean 'rrf'?"),
        (("photo_003.jpg", "--distinct", "contents"), "did you mean 'content'?"),
        (("photo_003.jpg", "--diversify", "2"), "diversify is 2.0"),
        (("photo_003.jpg", "--max-false-match-rate", "0"), "max_false_match_rate is 0.0"),
        (("photo_003.jpg", "--order-by", "widht"), "order_by: "),
        (("photo_003.jpg", "--where", "widht > 3"), "widht"),
        (("photo_003.jpg", "--where", "width >"), "where: "),
        (("photo_003.jpg", "--where", "true; DROP TABLE rows"), "where: "),
        (("photo_003.jpg", "--where", "(SELECT count(*) FROM read_csv('/etc/passwd')) > 0"), "where: "),
        (("photo_003.jpg", "--where", "(SELECT count(*) FROM '/etc/passwd') > 0"), "where: "),
        (("photo_003.jpg", "--where", "(" * 100_000), "brackets are nested more than 50 deep"),
        (("photo_003.jpg", "--order-by", "[" * 51), "brackets are nested more than 50 deep"),
        (("photo_003.jpg", "--where", "1) UNION (SELECT 1"), "where: "),
    ],
)
def test_search_that_cannot_be_answered_says_why(imrec, gallery, monkeypatch, arguments, said):
    query, *options = arguments
    monkeypatch.chdir(gallery.root.parent / "photos")
    line = complaint(imrec("search", query, *options, "--lake", gallery.root))
    assert said in line


@pytest.mark.parametrize(
    "statement",
    ["DROP VIEW catalog", "SELECT 1; SELECT 2", "COPY catalog TO 'x.csv'", "SELEC 1", "SELECT nothing FROM rows", ""],
)
def test_sql_that_is_not_one_valid_select_is_refused(imrec, gallery, tmp_path, statement):
    assert "SQL: " in complaint(imrec("sql", statement, "--lake", gallery.root))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [("search", "a.jpg"), ("status",), ("failures",), ("sql", "SELECT 1")],
    ids=lambda arguments: arguments[0],
)
def test_lake_that_was_never_built_is_reported_with_advice(imrec, tmp_path, arguments):
    line = complaint(imrec(*arguments, "--lake", "nowhere"))
    assert (
        f"there is no lake at {tmp_path / 'nowhere'}; make one with: imrec build FOLDER, or name another (--lake)"
        in line
    )
    assert not (tmp_path / "nowhere").exists()


def test_lake_settings_that_cannot_be_are_named(imrec, new_lake):
    lake = new_lake(2, ("phash",))
    lake.settings_path.write_text("shard_siez = 3\n")
    assert "did you mean 'shard_size'?" in complaint(imrec("build", "--lake", lake.root))


def test_lake_in_a_place_that_cannot_be_written_is_refused(imrec, tmp_path):
    toy.write_photos(tmp_path / "photos", range(2))
    (tmp_path / "taken").write_text("a file")
    assert "taken" in complaint(imrec("build", "photos", "--lake", "taken/lake", "--features", CHEAP))


def test_full_disk_keeps_what_is_finished(imrec, tmp_path, monkeypatch):
    toy.write_photos(tmp_path / "photos", range(30))
    lake = toy.new_lake(tmp_path / "data_lake", CHEAP.split(","), shard_size=8)
    write = pq.write_table

    def full(table, path, **options):
        if str(path).endswith("photos-0002.parquet") and "features" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(table, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        line = complaint(imrec("build"))
    assert "no space left on the disk" in line
    before = toy.times(lake, "images", "features")
    assert {Path(name).stem for name in before} == {"photos-0000", "photos-0001"}
    assert "generation 000001: 30 images" in imrec("build").out
    assert before.items() <= toy.times(lake, "images", "features").items()


def test_interrupted_build_says_one_line_and_goes_on_the_next_time(imrec, tmp_path, monkeypatch):
    toy.write_photos(tmp_path / "photos", range(30))
    lake = toy.new_lake(tmp_path / "data_lake", CHEAP.split(","), shard_size=8)
    extract = ShardExtractor.extract

    def interrupted(self, shard, features, **how):
        if shard == "photos-0002":
            raise KeyboardInterrupt
        return extract(self, shard, features, **how)

    with monkeypatch.context() as patch:
        patch.setattr(ShardExtractor, "extract", interrupted)
        assert "interrupted; completed work is kept" in complaint(imrec("build"))
    before = toy.times(lake, "images", "features")
    assert {Path(name).stem for name in before} == {"photos-0000", "photos-0001"}
    assert "generation 000001: 30 images" in imrec("build").out
    assert before.items() <= toy.times(lake, "images", "features").items()


def test_source_that_is_away_is_a_warning_and_the_others_are_built(imrec, tmp_path):
    toy.write_photos(tmp_path / "here", range(4))
    toy.write_photos(tmp_path / "disk", range(4, 8))
    assert imrec("build", "here", "disk", "--features", CHEAP).status == 0
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    toy.write_photos(tmp_path / "here", [9])
    built = imrec("build")
    assert built.status == 0
    assert f"imrec: skipped: source 'disk': {tmp_path / 'disk'} does not exist" in built.err
    assert "1 new, 0 changed, 0 removed" in built.out
    assert "9 images" in built.out
    (tmp_path / "here").rename(tmp_path / "also elsewhere")
    refused = imrec("build")
    assert refused.status == 1
    assert "no source can be read; the lake is unchanged" in refused.err.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("serach",),
        ("search",),
        ("search", "a.jpg", "-k", "many"),
        ("build", "--device", "abacus"),
        ("build", "--device", "cuda:0,cpu"),
        ("build", "--colour"),
        ("sql",),
        ("ui", "--port", "x"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_says_how(imrec, arguments):
    refused = imrec(*arguments)
    assert refused.status == 2
    assert refused.out == ""
    assert "Usage: imrec" in refused.err
    assert "Error: " in refused.err


@pytest.mark.parametrize("sheet", ["no/such/folder/sheet.png", "sheet.xyz"])
def test_sheet_that_cannot_be_written_is_wrong_usage(imrec, gallery, sheet):
    refused = imrec("search", photo(gallery), "--sheet", sheet, "--lake", gallery.root)
    assert refused.status == 2
    assert f"cannot write {sheet}" in refused.err


@pytest.mark.parametrize("command", [(), *((name,) for name in group.commands)], ids=" ".join)
def test_help_of_every_command_exits_with_0(imrec, command):
    shown = imrec(*command, "--help")
    assert shown.status == 0
    assert shown.out.startswith("Usage: imrec")


def test_every_option_says_what_it_is_for():
    commands = [*group.commands.values(), *group.commands["plot"].commands.values()]
    options = [option for command in commands for option in command.params if isinstance(option, click.Option)]
    assert len(options) > 80 and [option.opts for option in options if not option.help] == []


def test_help_lists_all_commands(imrec):
    shown = imrec("--help").out
    assert all(f"\n  {name} " in shown for name in group.commands)


def test_reference_has_every_command():
    reference = (ROOT / "docs/reference/cli.md").read_text("utf-8")
    assert [name for name in group.commands if f"\n### imrec {name}\n" not in reference] == []


# -- from outside -------------------------------------------------------------------------------------------


def outside(*arguments: object, cwd: Path | None = None, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "imrec_dagster.cli", *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "IMREC_LAKE")}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd or ROOT, env=environment, **options)


def test_error_reaches_the_shell_as_status_1_and_one_line(tmp_path):
    refused = outside("status", "--lake", tmp_path / "nowhere")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("imrec: there is no lake at ")
    assert refused.stderr.count("\n") == 1


def test_console_script_of_version_0_1_still_runs():
    code = "import sys; from imrec_dagster.cli import main; sys.argv = ['imrec', '--version']; main()"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stdout.startswith("imrec, version ") and ran.stderr == ""


def test_module_that_the_tour_of_version_0_1_imports_is_still_there():
    with pytest.warns(DeprecationWarning, match=r"imrec_dagster\.cli\.build"):
        assert import_module("imrec_dagster.command").run_build is run_build


def test_old_name_of_a_setting_is_one_line_that_names_the_new_one(tmp_path):
    lake = toy.new_lake(tmp_path / "lake", ("phash",))
    lake.settings_path.write_text('nightly_scan = "5 22 * * 1"\nfeatures = ["phash"]\n')
    looked = outside("features", "--lake", lake.root)
    assert looked.returncode == 0
    expected = "lake.toml: deprecated names of settings; use dagster.scan_schedule instead of nightly_scan\n"
    assert looked.stderr == expected


def test_old_name_of_a_measure_is_one_line_that_names_the_new_one(imrec, gallery):
    asked = ("tune", "--measure", "map", "--lake", gallery.root)
    old, new = (
        imrec(*asked, "--recall", 0.98),
        imrec(*asked[:2], "mean_average_precision", *asked[3:], "--recall", 0.98),
    )
    assert (old.status, new.status) == (2, 2)  # both options at once, so that nothing is tuned
    assert old.err == "--measure map: deprecated; use mean_average_precision\n" + new.err
    assert "mean_average_precision|precision|recall1" in imrec("tune", "--help").out


@pytest.mark.parametrize("command", ["--help", "search", "status", "failures", "sql", "features"])
def test_looking_at_a_lake_loads_neither_torch_nor_dagster(gallery, command):
    arguments = {
        "search": [ids(gallery)["photo_003.jpg"]],
        "sql": ["SELECT count(*) FROM images"],
    }.get(command, [])
    lake = [] if command in ("--help", "features") else ["--lake", str(gallery.root)]
    code = (
        "import sys; from imrec_dagster.cli.main import main\n"
        "try: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, command, *arguments, *lake], cwd=ROOT, capture_output=True, text=True
    )
    loaded = set(ran.stderr.split())
    assert ran.stdout
    assert "imrec_dagster.cli" in loaded
    assert loaded & {"torch", "torchvision", "openvino", "dagster"} == set()
    assert command != "search" or "pandas" not in loaded


def test_reader_that_stops_early_is_no_error(gallery):
    command = f"{sys.executable} -m imrec_dagster.cli sql 'SELECT * FROM range(200000)' --csv --lake {gallery.root}"
    ran = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -1"], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.stderr == ""
    assert ran.stdout == "range\n"

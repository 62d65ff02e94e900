"""Parsing, validating and rendering of `lake.toml`."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imrec_core.errors import BadSettings, UnknownName
from imrec_core.lake import settings_file
from imrec_core.lake.settings import RENAMED, IndexParams, Settings, Source
from imrec_core.lake.settings_file import parse, render
from imrec_core.lake.source_names import NAME, slug

BASE = Path("/lake")


def added(*folders: str, **sources: str) -> dict[str, str]:
    known = Settings(sources={name: Path(root) for name, root in sources.items()})
    return {name: str(root) for name, root in known.with_folders(folders).sources.items()}


# -- reading ------------------------------------------------------------------------------------------------


def test_empty_file_means_the_defaults():
    assert parse("", BASE) == Settings()


def test_relative_folders_lie_beside_lake_toml_and_absolute_ones_stay(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    settings = parse('[sources]\na = "../photos"\nb = "/photos"\nc = "~/photos"', BASE)
    assert settings.sources == {
        "a": Path("/lake/../photos"),
        "b": Path("/photos"),
        "c": Path("/home/me/photos"),
    }


def test_source_is_found_by_name_or_the_nearest_is_told():
    settings = parse('[sources]\nholiday = "/p"', BASE)
    assert settings.source("holiday") == Source("holiday", Path("/p"))
    with pytest.raises(UnknownName, match="no source named 'holidy'; did you mean 'holiday'"):
        settings.source("holidy")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("shard_size = ", "not valid TOML"),
        ("shard_sise = 5", "no setting named 'shard_sise'; did you mean 'shard_size'"),
        ("shard_size = 0", "shard_size is 0; it must be 1 or more"),
        ("max_pixels = -1", "max_pixels is -1; it must be 1 or more"),
        ("limit = -5", "limit is -5; it must be 0 or more"),
        ("calibration_copies = -1", "calibration_copies is -1; it must be from 0 to 10000"),
        ("calibration_copies = 10_001", "calibration_copies is 10001; it must be from 0 to 10000"),
        ('inference_precision = "int4"', "inference_precision is 'int4'; use one of auto, bf16, fp32"),
        ("[model_options.resnet18]\nbach = 4", "model_options.resnet18: no setting named 'bach'; did you mean 'batch'"),
        ("[model_options.resnet18]\nbatch = 0", "model_options.resnet18: batch is 0; it must be from 1 to 1024"),
        ("[model_options.resnet18]\nbatch = true", "model_options.resnet18: batch is True; it must be from 1 to 1024"),
        ('sources = "photos"', r"\[sources\] must map names to folders"),
        ("[sources]\na = 5", r"\[sources\] must map names to folders"),
        ("dagster = 5", r"\[dagster\] must be a table, found 5"),
        ('nightly_scan = "0 1 * * *"\ndagster = [1]', r"\[dagster\] must be a table, found \[1\]"),
        ("features = [1]", "features must be a list of strings"),
        ('[sources]\n"a b" = "x"', "invalid source name 'a b': expected letters, .*; try 'a-b'"),
    ],
)
def test_what_cannot_be_is_refused_and_named(text, complaint):
    with pytest.raises(BadSettings, match=complaint):
        parse(text, BASE)


@pytest.mark.parametrize("name", [f.name for f in fields(Settings)])
@pytest.mark.parametrize("value", ["1.5", "1979-05-27", "[[1]]"])
def test_every_setting_refuses_a_value_of_another_type(name, value):
    with pytest.raises(BadSettings, match=name):
        parse(f"{name} = {value}", BASE)


@pytest.mark.parametrize("name", [f.name for f in fields(Settings) if f.type == "int"])
def test_number_is_no_truth_value(name):
    with pytest.raises(BadSettings, match=f"{name} must be int, found True"):
        parse(f"{name} = true", BASE)


@pytest.mark.parametrize("name", ["a/b", "a b", "", "a..b", ".a", "a-", "a[0]", "a,b", "a...b", "..", "a'b", "a\n"])
def test_name_that_would_break_a_path_or_a_partition_range_is_refused(name):
    with pytest.raises(BadSettings, match="invalid source name"):
        Settings(sources={name: Path("/p")})


@pytest.mark.parametrize("name", ["a", "Holiday_2024", "a-b.c", "ürlaub", "2024"])
def test_plain_name_is_taken(name):
    assert Settings(sources={name: Path("/p")}).source(name).root == Path("/p")


# -- writing ------------------------------------------------------------------------------------------------

FULL = Settings(
    sources={"a": Path("/p/a"), "b-2": Path('/p/qu"ote\nline')},
    features=("phash",),
    shard_size=7,
    max_pixels=10,
    calibration_copies=5,
    inference_precision="fp32",
    extensions=("jpg",),
    scan_hidden=True,
    columns=("/c/a.csv", "/c/b.parquet"),
    model_options={"mine": {"batch": 2}, "dreamsim": {"batch": 4}},
    models={"mine": {"file": "a.onnx", "dims": 8, "crop": 32, "mean": [0.5, 0.5, 0.5]}},
    histograms={"coarse": {"levels": [4, 4, 4], "joint": False}},
    projections={"less": {"base": "mine", "dims": 4}},
    combined={"mix": {"coarse": 1, "rgb_histogram:euclidean": 0.25}, "other": {"less": 2, "phash": 1}},
    indexes={"rgb_histogram:euclidean": {"m": 8}},
    dagster={"scan_schedule": "0 1 * * *", "of_the_future": [1]},
)


def test_settings_come_back_as_they_were_written():
    assert parse(render(FULL, "", BASE), BASE) == FULL


def test_defaults_are_not_written():
    assert render(Settings(), "", BASE).split() == ["[sources]"]


def test_comments_order_and_relative_folders_survive_a_change():
    before = '# mine\nshard_size = 7 # small\nscan_hidden = true\n\n[sources]\n# the old ones\na = "../photos"\n'
    settings = parse(before, BASE)
    assert render(settings, before, BASE) == before
    after = render(replace(settings, shard_size=8).with_folders(["b=/b"]), before, BASE)
    assert after == before.replace("7", "8") + 'b = "/b"\n'


DECLARED = """# what we have
shard_size = 7

[projections.less] # of the network
base = "efficientnet_lite0" # the default one
dims = 64

[combined.mix]
# colour counts more
"rgb_histogram:hellinger" = 2.5
phash = 1 # and shape

[indexes."rgb_histogram:euclidean"]
m = 32 # more links

[sources]
a = "/a"
"""


def test_declared_tables_are_read_as_they_stand():
    settings = parse(DECLARED, BASE)
    assert settings.projections == {"less": {"base": "efficientnet_lite0", "dims": 64}}
    assert settings.combined == {"mix": {"rgb_histogram:hellinger": 2.5, "phash": 1}}
    assert settings.indexes == {"rgb_histogram:euclidean": {"m": 32}}
    assert settings.models == settings.histograms == {}


def test_declared_tables_and_their_comments_survive_a_change_of_something_else():
    settings = parse(DECLARED, BASE)
    assert render(settings, DECLARED, BASE) == DECLARED
    more = replace(settings, shard_size=9, inference_precision="fp32", features=("phash", "less")).with_folders(
        ["b=/b"]
    )
    after = render(more, DECLARED, BASE)
    assert parse(after, BASE) == more
    kept = DECLARED.replace("7", "9")
    assert [line for line in kept.splitlines() if line not in after.splitlines()] == []


@pytest.mark.parametrize(
    "changed", [{}, {"mix": {"phash": 1, "dhash": 3}}, {"other": {"phash": 1, "dhash": 3}}], ids=str
)
def test_changed_table_is_written_and_the_others_keep_their_comments(changed):
    settings = replace(parse(DECLARED, BASE), combined=changed)
    after = render(settings, DECLARED, BASE)
    assert parse(after, BASE) == settings
    assert all(words in after for words in ("# what we have", "# of the network", "# the default one", "# more links"))


@pytest.mark.parametrize("name", ["model_options", "models", "histograms", "projections", "combined", "indexes"])
@pytest.mark.parametrize("value", ["3", '"x"', "[]", "[{a = 1}]", "true", "{a = 1}", "{a = {b = 1}, c = []}"])
def test_table_of_tables_refuses_what_is_none(name, value):
    with pytest.raises(BadSettings, match=rf"lake.toml: \[{name}\] must hold a table for each name, found "):
        parse(f"{name} = {value}", BASE)


def test_table_twice_in_the_file_is_refused():
    with pytest.raises(BadSettings, match="not valid TOML"):
        parse("[combined.mix]\nphash = 1\n[combined.mix]\ndhash = 1\n", BASE)


def test_index_parameters_are_the_defaults_where_nothing_is_said():
    assert IndexParams.of("hog", {}) == IndexParams()
    assert IndexParams.of("hog", {"m": 8, "ef": 50}) == replace(IndexParams(), m=8, ef=50)


def test_setting_set_back_to_its_default_is_written_where_it_stood():
    text = render(Settings(), "shard_size = 7\n", BASE)
    assert parse(text, BASE).shard_size == Settings().shard_size


def test_dropped_and_moved_sources_are_dropped_and_moved_in_the_file():
    before = '[sources]\na = "/a"\nb = "/b" # here\n'
    after = render(Settings(sources={"b": Path("/c")}), before, BASE)
    assert parse(after, BASE).sources == {"b": Path("/c")}
    assert "# here" in after


def test_files_of_columns_are_each_there_once_and_relative_ones_lie_beside_lake_toml():
    settings = parse('columns = ["own/a.csv", "/c/b.csv", "/lake/own/a.csv", "own/../own/a.csv"]', BASE)
    assert settings.columns == ("/lake/own/a.csv", "/c/b.csv")
    assert settings.with_columns(["/lake/own/a.csv", "/d.csv", "/e/../d.csv"]).columns[2:] == ("/e/../d.csv",)


def test_files_of_columns_keep_their_place_comments_and_relative_paths_in_the_file():
    before = 'columns = [\n    "own/a.csv", # mine\n    "/c/b.csv",\n]\n\n[sources]\n'
    settings = parse(before, BASE)
    assert render(settings, before, BASE) == before
    more = render(settings.with_columns(["/d.csv"]), before, BASE)
    assert 'columns = ["own/a.csv", "/c/b.csv", "/d.csv"]' in more
    fewer = settings.without_columns(["/c/b.csv", "/lake/own/a.csv"])
    assert parse(render(fewer, before, BASE), BASE) == fewer == Settings()


def test_file_of_columns_that_is_not_there_cannot_be_taken_away():
    with pytest.raises(BadSettings, match=r"/d.csv is not among the files of columns; these are: /c/b.csv"):
        Settings(columns=("/c/b.csv",)).without_columns(["/d.csv"])


# -- the table of imrec_dagster, and names of version 0.1 ---------------------------------------------------

OLD = 'nightly_scan = "5 22 * * 1" # late\n\n[sources]\n'
BOTH = 'nightly_reindex = "0 4 * * *"\n' + OLD + '\n[dagster]\nreindex_schedule = "0 5 * * *"\n'
OLD_NAMES = """# mine
true_pairs = 5 # few
precision = "fp32"
hidden = true

[networks.mine] # large
batch = 2

[sources]
"""


def test_table_of_dagster_is_passed_through_unread():
    text = "[dagster]\nscan_schedule = 5 # never\nof_the_future = [1]\n\n[sources]\n"
    settings = parse(text, BASE)
    assert settings.dagster == {"scan_schedule": 5, "of_the_future": [1]}
    assert render(settings, text, BASE) == text


def test_names_of_version_0_1_mean_the_new_ones_which_win():
    assert parse(OLD, BASE).dagster == {"scan_schedule": "5 22 * * 1"}
    assert parse(BOTH, BASE).dagster == {"scan_schedule": "5 22 * * 1", "reindex_schedule": "0 5 * * *"}
    expected = {"calibration_copies": 5, "inference_precision": "fp32", "scan_hidden": True}
    assert parse(OLD_NAMES, BASE) == Settings(**expected, model_options={"mine": {"batch": 2}})
    both = parse("calibration_copies = 6\n" + OLD_NAMES + "[model_options.other]\nbatch = 3\n", BASE)
    assert both.calibration_copies == 6
    assert both.model_options == {"mine": {"batch": 2}, "other": {"batch": 3}}


def test_value_under_an_old_name_is_checked_as_the_new_setting():
    with pytest.raises(BadSettings, match="calibration_copies is -1; it must be from 0 to 10000"):
        parse("true_pairs = -1", BASE)
    with pytest.raises(BadSettings, match=r"\[model_options\] must hold a table for each name, found 3"):
        parse("networks = 3", BASE)


def test_one_line_in_a_process_names_the_new_names(caplog):
    settings_file._warn_of_old_names.cache_clear()
    for _ in range(2):
        parse(BOTH, BASE)
    (line,) = caplog.messages
    assert (
        "use dagster.scan_schedule instead of nightly_scan, dagster.reindex_schedule instead of nightly_reindex" in line
    )
    caplog.clear()
    parse(OLD_NAMES, BASE)
    (line,) = caplog.messages
    assert "use calibration_copies instead of true_pairs, " in line and "model_options instead of networks" in line


@pytest.mark.parametrize("text", [OLD, BOTH])
def test_file_with_old_names_stays_as_it_is_until_its_schedules_change(text):
    settings = parse(text, BASE)
    assert render(settings, text, BASE) == text
    assert text in render(replace(settings, sources={"a": Path("/a")}), text, BASE).replace('a = "/a"\n', "")
    changed = replace(settings, dagster={"scan_schedule": "0 2 * * *"})
    after = render(changed, text, BASE)
    assert parse(after, BASE) == changed and "nightly" not in after


@pytest.mark.parametrize(
    ("change", "old_line"),
    [
        ({"calibration_copies": 7}, "true_pairs = 5 # few\n"),
        ({"calibration_copies": 0}, "true_pairs = 5 # few\n"),
        ({"inference_precision": "bf16"}, 'precision = "fp32"\n'),
        ({"scan_hidden": False}, "hidden = true\n"),
        ({"model_options": {"mine": {"batch": 3}}}, "[networks.mine] # large\nbatch = 2\n"),
    ],
    ids=str,
)
def test_old_name_stays_in_the_file_until_its_own_setting_changes(change, old_line):
    settings = parse(OLD_NAMES, BASE)
    assert render(settings, OLD_NAMES, BASE) == OLD_NAMES
    more = render(replace(settings, shard_size=9), OLD_NAMES, BASE)
    assert parse(more, BASE) == replace(settings, shard_size=9) and old_line in more
    after = render(replace(settings, **change), OLD_NAMES, BASE)
    assert parse(after, BASE) == replace(settings, **change)
    assert {line for line in OLD_NAMES.splitlines() if line not in after.splitlines()} == set(old_line.splitlines())
    assert next(iter(change)) in after


@pytest.mark.parametrize("old", [old for old, new in RENAMED.items() if "." not in new])
def test_attribute_of_version_0_1_gives_the_setting_with_a_warning(old):
    with pytest.warns(DeprecationWarning, match=f"Settings.{old} is deprecated; use {RENAMED[old]}"):
        assert getattr(FULL, old) == getattr(FULL, RENAMED[old])
    with pytest.raises(AttributeError, match="has no attribute 'nightly_scan'"):
        _ = FULL.nightly_scan


# -- folders from the command line --------------------------------------------------------------------------


def test_folder_gives_the_source_its_name():
    assert added("/p/My Holiday, 2024!") == {"my-holiday-2024": "/p/My Holiday, 2024!"}
    assert added("/p/Été") == {"ete": "/p/Été"}


def test_folder_without_a_letter_in_its_name_is_called_photos():
    assert added("/p/写真", "/q/写真") == {"photos": "/p/写真", "photos-2": "/q/写真"}
    assert added("/") == {"photos": "/"}


def test_second_folder_of_a_name_is_numbered():
    assert added("/a/photos", "/b/photos", "/c/Photos", photos="/p") == {
        "photos": "/p",
        "photos-2": "/a/photos",
        "photos-3": "/b/photos",
        "photos-4": "/c/Photos",
    }


def test_folder_that_is_known_stays_what_it_is():
    assert added("/p", "/p/", "/p/.", mine="/p") == {"mine": "/p"}
    assert added("mine=/p", mine="/p") == {"mine": "/p"}


def test_given_name_is_used_and_never_handed_to_another_folder():
    assert added("trip=/a/photos") == {"trip": "/a/photos"}
    with pytest.raises(BadSettings, match=r"source 'trip' is /a already; choose another name for /b"):
        added("trip=/b", trip="/a")


def test_given_name_must_be_a_good_one():
    with pytest.raises(BadSettings, match="my trip"):
        added("my trip=/a")


def test_relative_folders_are_taken_from_where_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert added("pics", "n=pics2", "~/x") == {"pics": f"{tmp_path}/pics", "n": f"{tmp_path}/pics2", "x": "/home/me/x"}


def test_folder_with_an_equals_sign_is_a_folder_where_it_exists(tmp_path, monkeypatch):
    (tmp_path / "year=2024").mkdir()
    monkeypatch.chdir(tmp_path)
    assert added("year=2024") == {"year-2024": f"{tmp_path}/year=2024"}
    assert added("/p/year=2025") == {"year-2025": "/p/year=2025"}


def test_settings_that_get_folders_are_not_changed_themselves():
    settings = Settings(sources={"a": Path("/a")})
    settings.with_folders(["/b"])
    assert settings.sources == {"a": Path("/a")}


@given(st.text())
def test_slug_is_empty_or_a_good_source_name(text):
    name = slug(text)
    assert name == "" or NAME.fullmatch(name)
    assert slug(name) == name

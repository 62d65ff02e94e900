"""Run times by feature: of extractions, and of the searches that `search_log` asks for."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from imrec_core import ImageId, Lake, Recommender
from imrec_core.errors import BadSettings
from imrec_core.lake import run_log
from imrec_core.lake.settings import Settings
from imrec_core.lake.settings_file import parse
from imrec_core.runtime.timing import record_timings, timed
from imrec_core.search import search_log
from imrec_core.sql import views
from tests.support import toy

RECIPES = (Path(__file__).parents[2] / "docs" / "guides" / "recipes.md").read_text("utf-8")
EXTRACT_SQL, SEARCH_SQL = re.findall(r"```sql\n(.*?)```", RECIPES, re.DOTALL)
SEVERAL = ["rgb_histogram:manhattan", "phash"]


def logged(lake: Lake, columns: str) -> list[tuple[object, ...]]:
    return views.query(lake, f"SELECT {columns} FROM runs WHERE what = 'search' ORDER BY ended").fetchall()


@pytest.fixture
def lake(new_lake) -> Lake:
    lake = new_lake(6, ("rgb_histogram", "phash"))
    toy.set_to(lake, search_log=1.0)
    return lake


def query_of(recommender: Recommender) -> ImageId:
    return ImageId(recommender.generation.rows["image_id"][0].as_py())


# -- searches -----------------------------------------------------------------------------------------------


def test_search_is_logged_with_features_metric_k_and_plan(lake):
    recommender = Recommender.open(lake)
    with record_timings() as outer:
        hits = recommender.search(query_of(recommender), by=SEVERAL, k=3)
    list(recommender.search_each([query_of(recommender)] * 2, by="phash", max_distance=64))
    recommender.search_log.flush()
    names = ["rgb_histogram:manhattan", "phash:hamming"]
    assert logged(lake, "name, features, k, plan, rows")[0] == ("python", names, 3, hits.plan, 3)
    assert [row[:2] for row in logged(lake, "features, k, plan")[1:]] == [(["phash:hamming"], 10_000)] * 2
    for seconds, stages in logged(lake, "seconds, stages"):
        assert {"candidates", "re-rank", "fetch"} <= stages.keys() and 0 < sum(stages.values()) <= seconds + 1e-3
    assert {"candidates", "re-rank", "fetch"} <= outer.keys()  # the recorder of the caller gets them too


def test_share_of_the_searches_is_logged(lake, monkeypatch):
    toy.set_to(lake, search_log=0.25)
    recommender = Recommender.open(lake)
    drawn = iter([0.1, 0.25, 0.9, 0.24])
    monkeypatch.setattr(search_log.random, "random", lambda: next(drawn))
    for _ in range(4):
        recommender.search(query_of(recommender))
    recommender.search_log.flush()
    assert len(logged(lake, "name")) == 2


def test_no_search_is_logged_by_default(new_lake):
    lake = new_lake(6, ("phash",))
    recommender = Recommender.open(lake)
    recommender.search(query_of(recommender))
    recommender.search_log.flush()
    assert logged(lake, "name") == []


def test_searches_of_several_threads_are_all_logged(lake):
    recommender = Recommender.open(lake)
    query = query_of(recommender)
    threads = [threading.Thread(target=lambda: [recommender.search(query) for _ in range(20)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recommender.search_log.flush()
    assert len(logged(lake, "name")) == 100


def test_slow_or_missing_log_neither_holds_up_nor_fails_a_search(lake, monkeypatch):
    recommender = Recommender.open(lake)
    writing, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(search_log, "append", lambda *_: (writing.set(), go_on.wait(20)))
    monkeypatch.setattr(search_log, "_MAX_WAITING", 3)
    recommender.search(query_of(recommender))
    assert writing.wait(20)
    for _ in range(9):  # while the log is being written
        assert len(recommender.search(query_of(recommender))) == 5
    assert len(recommender.search_log._waiting) == 3
    go_on.set()
    monkeypatch.undo()
    recommender.search_log.flush()
    (lake.root / "runs").mkdir(exist_ok=True)
    for log in lake.run_logs():
        log.unlink()
    (lake.root / "runs").rmdir()
    (lake.root / "runs").write_text("a file where the folder would be")
    assert len(recommender.search(query_of(recommender))) == 5
    recommender.search_log.flush()


def test_search_of_the_server_is_logged_under_its_name(lake, monkeypatch):
    from fastapi.testclient import TestClient

    from imrec_core.web import create_app

    written = threading.Event()
    monkeypatch.setattr(search_log, "append", lambda *entries: (run_log.append(*entries), written.set()))
    asked = {"like": [{"image_id": query_of(Recommender.open(lake)).value}], "k": 2}
    with TestClient(create_app(lake, hosts=("testserver",))) as client:
        assert client.post("/api/search", json=asked).status_code == 200
        assert written.wait(20)
    assert logged(lake, "name, features, k") == [("http", ["rgb_histogram:hellinger"], 2)]


def test_search_of_the_command_is_logged_once_with_its_words(imrec, lake):
    toy.set_to(lake, search_log=1.0)
    query = query_of(Recommender.open(lake)).value
    assert imrec("search", query, "--by", "phash", "--lake", lake.root).status == 0
    assert imrec("search", query, "--by", "phash", "--each", "-k", 2, "--lake", lake.root).status == 0
    first, each = logged(lake, "name, features, k, plan")
    assert first == (query, ["phash:hamming"], 5, "exact scan of 6 rows")
    assert each == ("each of 1", ["phash:hamming"], 2, None)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_invalid_share_is_refused(share):
    with pytest.raises(BadSettings, match=r"lake.toml: search_log is .*; it must be from 0 to 1"):
        Settings(search_log=share)


def test_whole_share_may_be_written_without_a_point(tmp_path):
    assert parse("search_log = 1", tmp_path).search_log == 1.0
    with pytest.raises(BadSettings, match="search_log must be float, found 'all'"):
        parse("search_log = 'all'", tmp_path)


# -- recipes ------------------------------------------------------------------------------------------------


def test_recipe_tells_how_long_each_feature_takes_to_extract(imrec, tmp_path):
    toy.write_photos(tmp_path / "photos", range(7))
    features = ("rgb_histogram", "phash", "efficientnet_lite0")
    assert imrec("build", "photos", "--features", ",".join(features)).status == 0
    lake = Lake("data_lake")
    found = {name: (ms, images) for name, ms, images in views.query(lake, EXTRACT_SQL).fetchall()}
    assert found.keys() >= {"rgb_histogram", "phash", "efficientnet_lite0"}
    assert all(images == 7 for _, images in found.values())
    assert found["efficientnet_lite0"][0] > found["phash"][0] > 0
    assert "ms_per_image" in imrec("sql", EXTRACT_SQL).out
    toy.write_photos(tmp_path / "photos", [9])
    assert imrec("build").status == 0
    assert dict(views.query(lake, f"SELECT feature, images FROM ({EXTRACT_SQL})").fetchall())["phash"] == 8


def test_recipe_tells_how_long_searches_by_each_feature_take(lake):
    run_log.note(lake, "search", "of version 0.1", 0.1)  # without features
    recommender = Recommender.open(lake)
    for by in ("phash", "phash", SEVERAL):
        recommender.search(query_of(recommender), by=by)
    recommender.search_log.flush()
    found = views.query(lake, SEARCH_SQL).fetchall()
    assert {(tuple(features), k, plan, searches) for features, k, plan, searches, *_ in found} == {
        (("phash:hamming",), 5, "scan", 2),
        (("rgb_histogram:manhattan", "phash:hamming"), 5, "scan", 1),
    }
    assert all(0 < median <= slow for *_, median, slow in found)


def test_nested_recorders_get_the_stages_inside_them():
    with record_timings() as outer:
        with timed("decode"):
            pass
        with record_timings() as inner, timed("encode"):
            pass
    assert inner.keys() == {"encode"} and outer.keys() == {"decode", "encode"}

"""Background searches for duplicates: how many run, and which are replaced."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from imrec_core.duplicates import Duplicates
from imrec_core.duplicates.decisions import Decisions
from imrec_core.duplicates.progress import Progress
from imrec_core.errors import LakeError, QueryError, UnknownName
from imrec_core.web import duplicate_jobs
from imrec_core.web.duplicate_jobs import DuplicateJobs, Unfinished
from tests.support import toy

NOTHING = Decisions()


class Searches:
    """Fake of `find_duplicates` that waits until the test lets it continue.

    Attributes:
        begun: Tiers of the searches, in order.
        ended: Tiers of the searches that were not stopped.
        fails: Whether the next search raises.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.fails = False
        self._begins, self._continue = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, lake, *, tier, progress) -> Duplicates:
        self.begun.append(tier)
        self._begins.release()
        assert self._continue.acquire(timeout=20)
        progress(Progress("comparing", 5, 10))
        self.ended.append(tier)
        if self.fails:
            raise LakeError("the disk is gone")
        return Duplicates((), tier, "largest", None, "1", len(self.begun), (), {"photos": "there"})

    def wait_for_begin(self) -> None:
        assert self._begins.acquire(timeout=20)

    def let_continue(self, times: int = 1) -> None:
        self._continue.release(times)


@pytest.fixture
def searches(monkeypatch):
    made = Searches()
    monkeypatch.setattr(duplicate_jobs, "find_duplicates", made)
    monkeypatch.setattr(duplicate_jobs, "_WAIT", 0.01)
    yield made
    made.let_continue(100)


@pytest.fixture
def jobs(tmp_path, searches):
    made = DuplicateJobs(toy.new_lake(tmp_path / "lake"))
    yield made
    searches.let_continue(100)
    made.close()


@pytest.fixture
def found(jobs):
    return jobs.result


def wait_for_result(found, *arguments) -> Duplicates:
    for _ in range(2000):
        result = found(*arguments)
        if isinstance(result, Duplicates):
            return result
    raise AssertionError(result)


def apart(*names: str) -> Decisions:
    return Decisions(frozenset((name, "z") for name in names))


def test_one_search_serves_all_rules_and_decisions_to_keep(found, searches):
    waiting = found("1", "near", "largest", NOTHING)
    assert not waiting.is_cancelled
    assert str(waiting.progress) in ("waiting for other searches for duplicates", "looking for candidates")
    searches.let_continue()
    assert wait_for_result(found, "1", "near", "largest", NOTHING).keep == "largest"
    for rule in ("oldest", "source:photos"):
        assert found("1", "near", rule, Decisions(keep=frozenset({"a"}))).keep == rule
    assert searches.begun == ["near"]


@pytest.mark.parametrize(("rule", "error"), [("newest", QueryError), ("source:none", UnknownName)])
def test_unknown_rule_is_refused_before_a_search_starts(found, searches, rule, error):
    with pytest.raises(error):
        found("1", "near", rule, NOTHING)
    assert not searches.begun


def test_only_the_newest_waiting_job_of_a_tier_runs(found, searches):
    for tier in ("near", "same_pixels"):
        found("1", tier, "largest", NOTHING)
        searches.wait_for_begin()
    for decided in (apart("a"), apart("a", "b"), apart("a", "b", "c")):
        found("1", "edited", "largest", decided)
    found("2", "edited", "largest", apart("a"))
    searches.let_continue(3)
    for tier, generation, decided in (("edited", "2", apart("a")), ("near", "1", NOTHING)):
        assert wait_for_result(found, generation, tier, "largest", decided).tier == tier
    assert searches.begun == ["near", "same_pixels", "edited"]


def test_quick_tier_does_not_wait_for_a_slow_one(found, searches):
    found("1", "edited", "largest", NOTHING)
    searches.wait_for_begin()
    found("1", "near", "largest", NOTHING)
    searches.wait_for_begin()
    assert searches.begun == ["edited", "near"]


def test_running_job_stops_when_a_newer_one_replaces_it(found, searches):
    with ThreadPoolExecutor(1) as pool:
        found("1", "near", "largest", NOTHING)
        searches.wait_for_begin()
        waits = pool.submit(found, "1", "near", "largest", apart("a"))
        assert isinstance(waits.result(), Unfinished)
        searches.let_continue(2)
    assert wait_for_result(found, "1", "near", "largest", apart("a")).compared == 2
    assert searches.begun == ["near", "near"]
    assert searches.ended == ["near"]


def test_failed_job_raises_and_is_retried(found, searches):
    searches.fails = True
    searches.let_continue()
    with pytest.raises(LakeError, match="disk is gone"):
        wait_for_result(found, "1", "near", "largest", NOTHING)
    searches.fails = False
    searches.let_continue()
    assert wait_for_result(found, "1", "near", "largest", NOTHING).compared == 2


def wait_for_cancelled(found, tier: str) -> Unfinished:
    for _ in range(2000):
        result = found("1", tier, "largest", NOTHING)
        if isinstance(result, Unfinished) and result.is_cancelled:
            return result
    raise AssertionError(result)


def test_cancelled_search_stops_and_starts_again_on_request_only(jobs, searches):
    jobs.result("1", "edited", "largest", NOTHING)
    searches.wait_for_begin()
    jobs.cancel("edited")
    searches.let_continue()
    for _ in range(3):
        assert wait_for_cancelled(jobs.result, "edited").progress.step == "looking for candidates"
    assert (searches.begun, searches.ended) == (["edited"], [])
    jobs.resume("edited")
    searches.let_continue()
    assert wait_for_result(jobs.result, "1", "edited", "largest", NOTHING).compared == 2


def test_waiting_search_can_be_cancelled(jobs, searches):
    for tier in ("near", "same_pixels"):
        jobs.result("1", tier, "largest", NOTHING)
        searches.wait_for_begin()
    jobs.result("1", "edited", "largest", NOTHING)
    jobs.cancel("edited")
    assert wait_for_cancelled(jobs.result, "edited")
    searches.let_continue(2)
    assert wait_for_result(jobs.result, "1", "near", "largest", NOTHING).tier == "near"
    assert "edited" not in searches.begun


def test_finished_search_is_not_cancelled(jobs, searches):
    searches.let_continue()
    wait_for_result(jobs.result, "1", "near", "largest", NOTHING)
    jobs.cancel("near")
    jobs.cancel("edited")
    jobs.resume("edited")
    assert isinstance(jobs.result("1", "near", "largest", NOTHING), Duplicates)

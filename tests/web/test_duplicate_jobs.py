"""Duplicates looked for in the background: how often, and for whom."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from imrec_core.duplicates import Duplicates
from imrec_core.duplicates.decisions import Decisions
from imrec_core.errors import LakeError, QueryError, UnknownName
from imrec_core.web import duplicate_jobs
from imrec_core.web.duplicate_jobs import DuplicateJobs
from tests.support import toy

NOTHING = Decisions()


class Searches:
    """Stands in for the search: says when it was begun, and goes on when it is let.

    Attributes:
        begun: Tiers, in order.
        ended: The same, without those given up.
        fails: Whether the next one does.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.fails = False
        self._begins, self._goes_on = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, lake, *, tier, progress, known) -> Duplicates:
        self.begun.append(tier)
        self._begins.release()
        assert self._goes_on.acquire(timeout=20)
        progress("comparing")
        self.ended.append(tier)
        if self.fails:
            raise LakeError("the disk is gone")
        return Duplicates((), tier, "largest", None, "1", len(self.begun), (), {"photos": "there"})

    def has_begun(self) -> None:
        assert self._begins.acquire(timeout=20)

    def go_on(self, times: int = 1) -> None:
        self._goes_on.release(times)


@pytest.fixture
def searches(monkeypatch):
    made = Searches()
    monkeypatch.setattr(duplicate_jobs, "find_duplicates", made)
    monkeypatch.setattr(duplicate_jobs, "_WAIT", 0.01)
    yield made
    made.go_on(100)


@pytest.fixture
def found(tmp_path, searches):
    made = DuplicateJobs(toy.new_lake(tmp_path / "lake"))
    yield made.result
    searches.go_on(100)
    made.close()


def ended(found, *asked) -> Duplicates:
    for _ in range(2000):
        said = found(*asked)
        if isinstance(said, Duplicates):
            return said
    raise AssertionError(said)


def apart(*names: str) -> Decisions:
    return Decisions(frozenset((name, "z") for name in names))


def test_one_search_answers_all_rules_and_what_is_decided_to_be_kept(found, searches):
    assert found("1", "near", "largest", NOTHING) in (
        "waiting for other searches for duplicates",
        "looking for candidates",
    )
    searches.go_on()
    assert ended(found, "1", "near", "largest", NOTHING).keep == "largest"
    for rule in ("oldest", "source:photos"):
        assert found("1", "near", rule, Decisions(keep=frozenset({"a"}))).keep == rule
    assert searches.begun == ["near"]


@pytest.mark.parametrize(("rule", "error"), [("newest", QueryError), ("source:none", UnknownName)])
def test_rule_that_is_none_is_refused_before_anything_is_looked_for(found, searches, rule, error):
    with pytest.raises(error):
        found("1", "near", rule, NOTHING)
    assert not searches.begun


def test_of_those_that_wait_only_the_newest_of_a_tier_is_begun(found, searches):
    for tier in ("near", "same_pixels"):
        found("1", tier, "largest", NOTHING)
        searches.has_begun()
    for decided in (apart("a"), apart("a", "b"), apart("a", "b", "c")):
        found("1", "edited", "largest", decided)
    found("2", "edited", "largest", apart("a"))
    searches.go_on(3)
    for tier, generation, decided in (("edited", "2", apart("a")), ("near", "1", NOTHING)):
        assert ended(found, generation, tier, "largest", decided).tier == tier
    assert searches.begun == ["near", "same_pixels", "edited"]


def test_quick_one_does_not_wait_for_a_slow_one(found, searches):
    found("1", "edited", "largest", NOTHING)
    searches.has_begun()
    found("1", "near", "largest", NOTHING)
    searches.has_begun()
    assert searches.begun == ["edited", "near"]


def test_one_that_runs_is_given_up_for_a_newer_one(found, searches):
    with ThreadPoolExecutor(1) as pool:
        found("1", "near", "largest", NOTHING)
        searches.has_begun()
        waits = pool.submit(found, "1", "near", "largest", apart("a"))
        assert isinstance(waits.result(), str)
        searches.go_on(2)
    assert ended(found, "1", "near", "largest", apart("a")).compared == 2
    assert searches.begun == ["near", "near"]
    assert searches.ended == ["near"]


def test_one_that_failed_is_told_and_tried_again(found, searches):
    searches.fails = True
    searches.go_on()
    with pytest.raises(LakeError, match="disk is gone"):
        ended(found, "1", "near", "largest", NOTHING)
    searches.fails = False
    searches.go_on()
    assert ended(found, "1", "near", "largest", NOTHING).compared == 2

"""A sample of hostile requests, beside an honest search that must go on; see `tests.support.hostile`."""

from __future__ import annotations

import sys

import pytest

from tests.support import hostile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory and files are read from /proc"),
]


def test_hostile_requests_hold_up_no_honest_search(tmp_path):
    report = hostile.run(hostile.drawn_lake(tmp_path), requests=50, seconds=3.0)
    limit = max(2.0, 20 * report.quiet)  # two seconds on a quiet machine
    assert {name: seconds for name, seconds in report.slowest.items() if seconds > limit} == {}
    assert report.errors == 0
    for usage in (report.after_attacks, report.after_requests):
        assert usage.megabytes <= 1.1 * report.before.megabytes, report
        assert usage.files <= report.before.files + 4 and usage.sockets <= report.before.sockets + 4, report

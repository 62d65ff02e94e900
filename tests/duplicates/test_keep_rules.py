"""Which file of a group stays, by which step of the rule, and what is said of it."""

from dataclasses import replace

import pytest

from imrec_core.duplicates.contents import Copy
from imrec_core.duplicates.decisions import Decisions
from imrec_core.duplicates.derivation import ENLARGED, FRAMED
from imrec_core.duplicates.keep_rules import changes_of, date_of, reason_to_keep, resolve_rule, sort_key
from imrec_core.duplicates.verified_pairs import VerifiedPair
from imrec_core.errors import QueryError, UnknownName

NOTHING = Decisions()
PLAIN = Copy("1", "photos", "/photos/b.jpg", "b.jpg", "b", 400, 300, 5000, 1_700_000_000_000_000_000)


def other(**changes) -> Copy:
    return replace(
        PLAIN, **{"image_id": "2", "path": "/photos/a.jpg", "below": "c.jpg", "content_hash": "a", **changes}
    )


def kept(
    rule: str, *copies: Copy, decided: Decisions = NOTHING, pairs: tuple[VerifiedPair, ...] = ()
) -> tuple[Copy, str]:
    changes = changes_of(pairs, copies)
    found = [sorted(order, key=sort_key(rule, decided, changes)) for order in (copies, copies[::-1])]
    assert found[0] == found[1]
    return found[0][0], reason_to_keep(found[0], rule, decided, changes)


def made(original: str, other: str, change: str = FRAMED) -> VerifiedPair:
    return VerifiedPair((min(original, other), max(original, other)), "edited", 1.0, "cropped", original, change)


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        ({"taken": "2020-05-01T10:00:00"}, {"width": 4000, "byte_size": 10**6}, "has the time taken"),
        ({"camera": "D90", "taken": "2020-05-01"}, {"camera": "D90"}, "has the time taken and a camera"),
        ({"color_profile": "Display P3"}, {"color_profile": "damaged", "byte_size": 10**6}, "has a colour profile"),
        ({"latitude": 0.0, "longitude": 7.5}, {"latitude": 48.9, "byte_size": 10**6}, "has the place taken"),
        ({"width": 800}, {"byte_size": 10**6}, "has more pixels"),
        ({"bit_depth": 16}, {"bit_depth": 8, "byte_size": 10**6}, "has 16 bits per channel"),
        ({"has_alpha": True}, {"has_alpha": False, "byte_size": 10**6}, "has transparency"),
        ({"format": "PNG"}, {"format": "JPEG", "byte_size": 10**6}, "is stored without loss"),
        ({"damaged": False}, {"damaged": True, "width": 4000, "camera": "D90"}, "is not damaged"),
        ({"byte_size": 6000}, {"mtime_ns": 1}, "has more bytes"),
        ({"mtime_ns": 1}, {}, "is older, by the time of the file"),
        ({"below": "a.jpg"}, {}, "is first by path, as nothing else differs"),
    ],
)  # fmt: skip
def test_original_stays(better, worse, why):
    first = other(**better)
    assert kept("original", first, replace(PLAIN, **worse)) == (first, why)


def test_generation_without_the_facts_is_ranked_by_what_it_has():
    larger = other(width=500)
    assert kept("original", PLAIN, larger) == (larger, "has more pixels")


def test_oldest_means_taken_before_the_time_of_the_file():
    copied = other(taken="2001-01-01T00:00:00", mtime_ns=1_800_000_000_000_000_000)
    assert kept("oldest", PLAIN, copied) == (copied, "is older, by the time taken")
    assert date_of(copied)[1] == "taken" and date_of(PLAIN)[1] == "of the file"


def test_largest_looks_at_no_metadata():
    larger = other(width=500)
    assert kept("largest", replace(PLAIN, taken="2001-01-01T00:00:00"), larger)[0] == larger


def test_decision_comes_before_the_rule_and_source_before_the_original():
    small = other(width=10, source="old")
    assert kept("original", PLAIN, small, decided=Decisions(keep=frozenset({"a"}))) == (
        small,
        "is always kept by decision",
    )
    assert kept("source:old", PLAIN, small) == (small, "is in the source old")


def test_rules_are_checked():
    assert resolve_rule(None, None, ["photos"]) == "original"
    with pytest.raises(QueryError, match="original, largest, oldest or source:NAME"):
        resolve_rule("best", None, ["photos"])
    with pytest.raises(UnknownName):
        resolve_rule("source:gone", None, ["photos"])


def test_original_stays_though_what_was_made_of_it_has_more_of_everything():
    shot = {"taken": "2020-05-01T10:00:00", "camera": "D90"}
    original, screenshot = replace(PLAIN, **shot), other(width=4000, byte_size=10**6, **shot)
    assert kept("original", original, screenshot, pairs=(made("b", "a"),)) == (
        original,
        "is the original: another file has something around it",
    )
    assert kept("source:photos", original, screenshot, pairs=(made("b", "a"),))[0] == original
    assert kept("largest", original, screenshot, pairs=(made("b", "a"),))[0] == screenshot
    assert kept("original", original, screenshot)[0] == screenshot


def test_metadata_of_a_camera_was_not_made_of_a_file_without():
    small, shot = PLAIN, other(width=4000, camera="D90")
    assert kept("original", small, shot, pairs=(made("b", "a", ENLARGED),)) == (shot, "has a camera")
    with_both = replace(small, camera="D90", taken="2020-05-01T10:00:00")
    assert kept("original", with_both, shot, pairs=(made("b", "a", ENLARGED),))[0] == with_both


def test_decision_and_damage_come_before_the_original():
    original, framed = replace(PLAIN, damaged=True), other(width=4000)
    assert kept("original", original, framed, pairs=(made("b", "a"),)) == (framed, "is not damaged")
    decided = Decisions(keep=frozenset({"a"}))
    assert kept("original", PLAIN, framed, decided=decided, pairs=(made("b", "a"),))[0] == framed


def test_chain_of_changes_leads_to_the_first():
    files = [
        replace(PLAIN, image_id=name, content_hash=name, below=name, width=400 + i) for i, name in enumerate("bac")
    ]
    assert kept("original", *files, pairs=(made("b", "a"), made("a", "c")))[0].content_hash == "b"


def test_file_that_is_gone_changes_nothing():
    larger = other(width=500)
    assert kept("original", PLAIN, larger, pairs=(made("z", "a"),))[0] == larger


def test_file_that_is_no_original_is_not_called_one():
    shot = other(image_id="3", content_hash="c", below="d.jpg", camera="D90")
    framed = other(width=4000)
    assert kept("original", PLAIN, framed, shot, pairs=(made("b", "a"),)) == (shot, "was not made from another file")

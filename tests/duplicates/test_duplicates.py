"""Groups of copies in a lake: all copies found, no different images, one that stays, and what was decided."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from imrec_core import Lake, Recommender
from imrec_core.catalog import manifests
from imrec_core.duplicates import find_duplicates, hash_pairs, loaded_images, stored_hash_pairs, verification
from imrec_core.duplicates.comparison import TIERS
from imrec_core.duplicates.decisions import (
    Decisions,
    content_of,
    decide,
    decide_keep,
    decide_not_duplicate,
    forget,
    hash_file,
    load_decisions,
)
from imrec_core.duplicates.loaded_images import LoadedImages
from imrec_core.errors import MissingTable, QueryError, SchemaMismatch, UnknownName, UnreadableImage
from imrec_core.images import sample_photos
from imrec_core.images.edits import EDITS
from tests.support import toy
from tests.support.pictures import encode

HASHES = ("phash", "dhash")
EDITED = {"crop", "mirrored", "turned90"}


def with_spot(picture: Image.Image) -> Image.Image:
    """Add a detail that the hashes do not notice."""
    picture = picture.copy()
    ImageDraw.Draw(picture).ellipse((290, 205, 302, 217), "white", "black", 3)
    return picture


def write_copies(folder, seeds=range(6)):
    """Photos, and of each copies: identical, of equal pixels, re-encoded, smaller, mirrored, and with a spot."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        picture = Image.fromarray(toy.photo(seed, 320, 240))
        for name, data in {
            f"{seed}.png": encode(picture, "PNG"),
            f"{seed}_identical.png": encode(picture, "PNG"),
            f"{seed}_pixels.bmp": encode(picture, "BMP"),
            f"{seed}_near.jpg": encode(picture, "JPEG", quality=70),
            f"{seed}_half.png": EDITS["half_size"](picture),
            f"{seed}_mirrored.jpg": EDITS["mirrored"](picture),
            f"{seed}_spot.jpg": encode(with_spot(picture), "JPEG", quality=85),
        }.items():
            (folder / name).write_bytes(data)


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> Lake:
    """For looking only."""
    root = tmp_path_factory.mktemp("copies")
    write_copies(root / "photos")
    lake = toy.new_lake(root / "lake", (*HASHES, "efficientnet_lite0"))
    toy.build(lake)
    return lake


@pytest.fixture
def lake(tmp_path) -> Lake:
    """May be changed."""
    write_copies(tmp_path / "photos", range(2))
    made = toy.new_lake(tmp_path / "lake", HASHES)
    toy.build(made)
    return made


def names(group):
    return {copy.below for copy in group.copies}


def photo(lake, name):
    return str(lake.root.parent / "photos" / name)


WITHIN = {
    "identical": ("{}.png", "{}_identical.png"),
    "same_pixels": ("{}.png", "{}_identical.png", "{}_pixels.bmp"),
    "near": ("{}.png", "{}_identical.png", "{}_pixels.bmp", "{}_near.jpg", "{}_half.png"),
    "edited": ("{}.png", "{}_identical.png", "{}_pixels.bmp", "{}_near.jpg", "{}_half.png", "{}_mirrored.jpg"),
    "variant": ("{}.png", "{}_identical.png", "{}_pixels.bmp", "{}_near.jpg", "{}_half.png", "{}_spot.jpg"),
}


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_takes_along_those_before_it_and_nothing_else(copies, tier):
    found = find_duplicates(copies, tier=tier)
    assert sorted(map(sorted, map(names, found))) == [
        sorted(name.format(seed) for name in WITHIN[tier]) for seed in range(6)
    ]
    assert {group.tier for group in found} == {tier}
    assert found.left_out == ()


@pytest.mark.parametrize("tier", ["near", "edited"])
def test_groups_do_not_depend_on_how_many_files_are_held(copies, monkeypatch, tier):
    expected = find_duplicates(copies, tier=tier)
    monkeypatch.setattr("imrec_core.duplicates.contents._AT_ONCE", 1)
    monkeypatch.setattr("imrec_core.duplicates.groups._AT_ONCE", 2)
    assert find_duplicates(copies, tier=tier) == expected


def test_every_pair_of_a_group_was_verified(copies):
    for group in find_duplicates(copies, tier="edited"):
        contents = sorted({copy.content_hash for copy in group.copies})
        assert sorted(pair.contents for pair in group.pairs) == list(combinations(contents, 2))
        assert all(pair.agreement >= 0.94 and pair.how for pair in group.pairs)


def test_groups_share_no_file_and_one_of_each_stays(copies):
    found = find_duplicates(copies)
    files = [copy.path for group in found for copy in group.copies]
    assert len(files) == len(set(files))
    assert all([copy.is_kept for copy in group.copies] == [True] + [False] * 4 for group in found)
    assert {os.path.splitext(group.representative.below)[1] for group in found} == {".bmp"}  # as large, more bytes


def test_results_are_plain_data(copies):
    found = find_duplicates(copies)
    result = json.loads(found.to_json())
    assert len(result["groups"]) == len(found) == 6
    assert set(result["groups"][0]["copies"][0]) >= {"image_id", "source", "path", "content_hash", "is_kept"}
    assert result["tier"] == "near" and result["keep"] == "original"


def test_groups_do_not_depend_on_the_order_of_the_rows(copies, tmp_path):
    other = toy.new_lake(tmp_path / "lake", HASHES, shard_size=5, sources={"photos": copies.root.parent / "photos"})
    toy.build(other)
    assert sorted(map(sorted, map(names, find_duplicates(other)))) == sorted(
        map(sorted, map(names, find_duplicates(copies)))
    )


def test_files_that_are_gone_or_changed_are_left_out_and_named(lake):
    os.remove(photo(lake, "0_near.jpg"))
    with open(photo(lake, "1_half.png"), "ab") as file:
        file.write(b" ")
    found = find_duplicates(lake)
    assert {os.path.basename(path) for path in found.left_out} == {"0_near.jpg", "1_half.png"}
    assert sorted(map(len, map(names, found))) == [4, 4]


def test_file_that_cannot_be_decoded_any_more_is_left_out(lake):
    path = photo(lake, "0_near.jpg")
    stat = os.stat(path)
    with open(path, "wb") as file:
        file.write(b"x" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    found = find_duplicates(lake)
    assert found.left_out == (path,)
    assert sorted(map(len, map(names, found))) == [4, 5]


def test_file_of_two_overlapping_sources_is_no_copy_of_itself(tmp_path, monkeypatch):
    """A lake of 0.1 may have such a generation; a scan refuses them."""
    monkeypatch.setattr(manifests, "require_disjoint", lambda sources: None)
    toy.write_photos(tmp_path / "photos" / "inner", range(3))
    sources = {"all": tmp_path / "photos", "part": tmp_path / "photos" / "inner"}
    lake = toy.new_lake(tmp_path / "lake", HASHES, sources=sources)
    toy.build(lake)
    assert len(find_duplicates(lake)) == 0
    assert len(find_duplicates(lake, between=("all", "part"))) == 0


# -- which one stays ----------------------------------------------------------------------------------------


def test_oldest_stays_where_that_is_requested(lake):
    os.utime(photo(lake, "0_half.png"), ns=(10**18, 10**18))
    toy.build(lake)
    first, _ = sorted(find_duplicates(lake, keep="oldest"), key=lambda group: group.representative.below[0])
    assert first.representative.below == "0_half.png"


@pytest.fixture
def two_sources(tmp_path) -> Lake:
    """`holiday` has photos 0 to 3, `shared` smaller ones of 2 to 5, the last of them twice."""
    for source, seeds, edit in (("holiday", range(4), "png"), ("shared", range(2, 6), "half_size")):
        (tmp_path / source).mkdir()
        for seed in seeds:
            data = EDITS[edit](Image.fromarray(toy.photo(seed, 320, 240)))
            (tmp_path / source / f"{seed}.png").write_bytes(data)
    (tmp_path / "shared" / "5_again.png").write_bytes((tmp_path / "shared" / "5.png").read_bytes())
    lake = toy.new_lake(tmp_path / "lake", HASHES, sources={s: tmp_path / s for s in ("holiday", "shared")})
    toy.build(lake)
    return lake


def test_source_that_is_named_stays(two_sources):
    kept = {
        keep: [g.representative.source for g in find_duplicates(two_sources, keep=keep)]
        for keep in ("largest", "source:shared")
    }
    assert kept == {"largest": ["holiday", "holiday", "shared"], "source:shared": ["shared"] * 3}


def test_between_finds_copies_of_one_source_in_another(two_sources):
    found = find_duplicates(two_sources, between=("shared", "holiday"))
    assert [[(c.source, c.below, c.is_kept) for c in group.copies] for group in found] == [
        [("shared", f"{seed}.png", True), ("holiday", f"{seed}.png", False)] for seed in (2, 3)
    ]


def test_between_a_pair_is_not_hidden_by_a_group(tmp_path):
    """Two of the first source are near each other and to one of the second, which is in two groups."""
    picture = Image.fromarray(toy.photo(0, 320, 240))
    for path, data in {
        "train/a.png": encode(picture, "PNG"),
        "train/b.jpg": encode(picture, "JPEG", quality=60),
        "test/c.png": EDITS["half_size"](picture),
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    lake = toy.new_lake(tmp_path / "lake", HASHES, sources={s: tmp_path / s for s in ("train", "test")})
    toy.build(lake)
    found = find_duplicates(lake, between=("test", "train"))
    assert sorted(sorted(names(group)) for group in found) == [["a.png", "c.png"], ["b.jpg", "c.png"]]


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"tier": "nearr"}, UnknownName, "near"),
        ({"keep": "smallest"}, QueryError, "largest, oldest or source:NAME"),
        ({"keep": "source:holidy"}, UnknownName, "photos"),
        ({"between": ("photos", "photo")}, UnknownName, "photos"),
        ({"between": ("photos", "photos")}, QueryError, "different"),
        ({"tier": "edited"}, QueryError, "imrec build --features phash,dhash,efficientnet_lite0"),
    ],
)
def test_bad_request_is_reported(lake, asked, error, words):
    with pytest.raises(error, match=words):
        find_duplicates(lake, **asked)


def test_lake_that_was_never_built_is_reported(tmp_path):
    with pytest.raises(MissingTable, match="imrec build"):
        find_duplicates(tmp_path / "none")


def test_another_rule_than_that_of_between_is_reported(two_sources):
    with pytest.raises(QueryError, match="source:holiday"):
        find_duplicates(two_sources, between=("holiday", "shared"), keep="oldest")


# -- decisions ----------------------------------------------------------------------------------------------


def test_pair_that_is_marked_as_none_is_in_no_group_also_after_a_build(lake):
    decide_not_duplicate(lake, photo(lake, "0.png"), photo(lake, "0_near.jpg"))
    os.rename(photo(lake, "0_near.jpg"), photo(lake, "renamed.jpg"))
    toy.write_photos(lake.root.parent / "photos", [7])
    toy.build(lake)
    for group in find_duplicates(lake):
        assert not {"0.png", "renamed.jpg"} <= names(group)
    forget(lake, photo(lake, "renamed.jpg"))
    assert any({"0.png", "renamed.jpg"} <= names(group) for group in find_duplicates(lake))


def test_content_that_is_to_be_kept_comes_before_any_rule(lake):
    wanted = photo(lake, "0_half.png")
    decide_keep(lake, wanted)
    decide_keep(lake, photo(lake, "0_near.jpg"))
    toy.write_photos(lake.root.parent / "photos", [7])
    toy.build(lake)
    (group,) = (group for group in find_duplicates(lake, keep="largest") if wanted in {c.path for c in group.copies})
    assert {copy.below for copy in group.copies if copy.is_kept} == {"0_half.png", "0_near.jpg"}
    assert group.representative.below == "0_near.jpg"  # the larger of the two


def test_one_decision_is_taken_back_alone(lake):
    a, b, c = (content_of(lake, photo(lake, name)) for name in ("0.png", "0_near.jpg", "0_half.png"))
    decide(lake, keep=a)
    for other in (b, c):
        decide(lake, apart=(a, other))
    assert decide(lake, apart=(b, a), undo=True) == Decisions(frozenset({(min(a, c), max(a, c))}), frozenset({a}))
    assert decide(lake, keep=a, undo=True) == Decisions(frozenset({(min(a, c), max(a, c))}))
    assert decide(lake, keep=b, undo=True) == load_decisions(lake)  # which was never decided


def test_decisions_of_several_threads_are_all_kept(lake):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: decide(lake, keep=f"{i:032x}"), range(20)))
    assert len(load_decisions(lake).keep) == 20


@pytest.mark.parametrize("keep", [None, "largest", "oldest", "source:holiday"])
def test_what_stays_can_be_chosen_afterwards(two_sources, keep):
    found = find_duplicates(two_sources, keep="source:shared")
    content = found[0].copies[-1].content_hash
    decided = decide(two_sources, keep=content)
    assert found.with_rule(keep, decided) == find_duplicates(two_sources, keep=keep)
    assert found.with_rule("source:shared", Decisions()) == found
    with pytest.raises(QueryError, match="keep is 'newest'"):
        found.with_rule("newest", decided)


def test_what_was_compared_before_is_not_read_again(lake, monkeypatch):
    first = find_duplicates(lake)
    monkeypatch.setattr(LoadedImages, "load", lambda *_: pytest.fail("an image was read again"))
    assert find_duplicates(lake).groups == first.groups


def test_search_after_changes_finds_what_a_first_search_finds(lake, monkeypatch):
    monkeypatch.setattr(hash_pairs, "_FEW", 1)  # so that few images are enough to be compared with the changes alone
    assert len(find_duplicates(lake)) == 2
    write_copies(lake.root.parent / "photos", [2])
    (lake.root.parent / "photos" / "0_near.jpg").unlink()
    toy.build(lake)
    with monkeypatch.context() as patch:
        patch.setattr(stored_hash_pairs, "close_hashes", lambda *_: pytest.fail("all images were compared"))
        found = find_duplicates(lake)
    lake.layout.hash_pairs_path.unlink()
    assert find_duplicates(lake).groups == found.groups
    assert [len(group.copies) for group in found] == [4, 5, 5]


def test_decisions_are_taken_by_image_id_too(lake):
    row = find_duplicates(lake, tier="identical")[0].representative
    assert content_of(lake, row.image_id) == row.content_hash == hash_file(row.path)
    assert decide_keep(lake, row.image_id) == load_decisions(lake) == Decisions(keep=frozenset({row.content_hash}))
    assert forget(lake, row.image_id) == load_decisions(lake) == Decisions()


def test_bad_decisions_are_reported(lake):
    with pytest.raises(QueryError, match="same bytes"):
        decide_not_duplicate(lake, photo(lake, "0.png"), photo(lake, "0_identical.png"))
    with pytest.raises(UnreadableImage, match=r"none\.png"):
        decide_keep(lake, "none.png")
    with pytest.raises(QueryError, match="0123456789abcdef"):
        decide_keep(lake, "0123456789abcdef")
    for text in ("{", "[]", '{"format": 99}', '{"format": 1, "not_duplicate": [1], "keep": []}'):
        lake.decisions_path.parent.mkdir(exist_ok=True)
        lake.decisions_path.write_text(text)
        with pytest.raises(SchemaMismatch, match=r"duplicates\.json"):
            find_duplicates(lake)


# -- the command --------------------------------------------------------------------------------------------


def test_command_shows_groups_and_json(imrec, lake):
    shown = imrec("duplicates", "--lake", lake.root)
    assert shown.status == 0
    assert len(shown.out.splitlines()) == 11
    assert shown.out.count("keep") == 2
    result = json.loads(imrec("duplicates", "--tier", "identical", "--json", "--lake", lake.root).out)
    assert [group["tier"] for group in result["groups"]] == ["identical"] * 2


def test_command_notes_decisions(imrec, lake):
    a, b = photo(lake, "0.png"), photo(lake, "0_near.jpg")
    result = imrec("duplicates", "--not-duplicate", a, b, "--json", "--lake", lake.root)
    assert json.loads(result.out) == [{"decision": "not_duplicate", "contents": sorted(map(hash_file, (a, b)))}]
    assert "keep" in imrec("duplicates", "--always-keep", a, "--lake", lake.root).out
    assert imrec("duplicates", "--forget", a, "--lake", lake.root).out == "none\n"


@pytest.mark.parametrize(
    "words",
    [
        ("--apply", "plan.json"),
        ("--to", "folder"),
        ("--undo", "plan.json", "--forget", "a"),
        ("--forget", "a", "--plan", "plan.json"),
        ("--tier", "alike"),
        ("--between", "photos"),
    ],
)
def test_wrong_usage_ends_with_2(imrec, words):
    assert imrec("duplicates", *words).status == 2


def test_command_tells_of_errors_in_one_line(imrec, tmp_path):
    found = imrec("duplicates", "--lake", tmp_path / "none")
    assert found.status == 1
    assert "imrec build" in found.complaint


# -- the demo photos ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo_lake(tmp_path_factory) -> Lake:
    root = tmp_path_factory.mktemp("demo")
    sample_photos.prepare(root / "photos")
    for name in ("coffee.jpg", "moon.jpg"):
        (root / "photos" / f"again_{name}").write_bytes((root / "photos" / name).read_bytes())
    lake = toy.new_lake(root / "lake", HASHES)
    toy.build(lake)
    return lake


def test_demo_photos_have_no_false_pair_and_all_identical_copies(demo_lake):
    identical = find_duplicates(demo_lake, tier="identical")
    assert sorted(map(sorted, map(names, identical))) == [[f"again_{n}.jpg", f"{n}.jpg"] for n in ("coffee", "moon")]
    found = find_duplicates(demo_lake, tier="near")
    kinds = [
        {name.removeprefix("again_").partition(".")[0].partition("__") for name in names(group)} for group in found
    ]
    assert all(len({kind[0] for kind in group}) == 1 for group in kinds)
    edits = [{kind[2] for kind in group} for group in kinds]
    assert not any(EDITED & group or {"", "caption"} <= group for group in edits)
    assert len({next(iter(group))[0] for group in kinds}) == 21
    assert sum(len(group - {"caption"}) for group in edits) >= 0.96 * 21 * 8


def test_pictures_held_are_few(copies, monkeypatch):
    monkeypatch.setattr(loaded_images, "_INPUTS", 2)
    monkeypatch.setattr(verification, "_AT_ONCE", 3)
    assert len(find_duplicates(copies)) == 6


def test_hundreds_of_alike_hashes_cost_no_files(large_lake):
    found = find_duplicates(large_lake, tier="identical")
    assert (len(found), found.compared) == (0, 0)
    assert np.all([len(group) > 1 for group in found.groups])


def test_open_recommender_finds_the_same(copies):
    found = Recommender.open(copies).duplicates(tier="same_pixels", keep="oldest")
    assert found.to_json() == find_duplicates(copies, tier="same_pixels", keep="oldest").to_json()
    assert len(found) == 6

"""Hits and recommenders show themselves as pictures in a notebook, whatever the files are called or have become."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from imrec_core import Recommender
from imrec_core.plots.html_grid import grid
from imrec_core.plots.sheet_layout import Cell
from imrec_core.plots.tiles import DAMAGED, MISSING
from tests.support import toy
from tests.support.html import ParsedHtml

HOSTILE = [
    "<script>alert(1)</script>.jpg",
    'a" onerror="alert(1).jpg',
    "a'><img src=x onerror=alert(1)>.jpg",
    "&lt;b&gt;&amp;.jpg",
    "\u202egpj.exe\n\t\x07.jpg",
    "\udcff\udcfe.jpg",
    "javascript:alert(1)",
]


def cell(name: str, **more) -> Cell:
    return Cell(Image.new("RGB", (300, 200), (200, 30, 30)), ("0.500", name), **more)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_whatever_they_hold(name):
    seen = ParsedHtml(grid([name], [cell(name)]))
    assert {tag for tag, _ in seen.tags} == {"div", "b", "table", "tr", "td", "img", "br", "small"}
    assert {a for _, attributes in seen.tags for a in attributes} <= {"src", "alt", "title", "style"}
    assert all(c.isprintable() for c in seen.text)
    (shown,) = [attributes["alt"] for tag, attributes in seen.tags if tag == "img"]
    if name.isprintable():
        assert shown == f"0.500 {name}" and name in seen.text


def test_pictures_are_small_and_in_their_colours_and_long_names_are_cut():
    seen = ParsedHtml(grid(["two"], [cell("a" * 300), cell("b.jpg", frame="like")]))
    assert [image.size for image in seen.images] == [(128, 85)] * 2
    assert abs(seen.images[0].getpixel((60, 40))[0] - 200) < 10
    assert "b.jpg" in seen.text and "a" * 30 not in seen.text
    assert ["style" in attributes for tag, attributes in seen.tags if tag == "img"] == [False, True]


def test_no_more_than_some_are_shown_and_the_others_are_counted():
    seen = ParsedHtml(grid(["many"], [cell("a")] * 20, most=7))
    assert len(seen.images) == 7 and "13 more are not shown" in seen.text
    assert [tag for tag, _ in seen.tags].count("tr") == 2
    assert "more" not in ParsedHtml(grid(["few"], [cell("a")] * 7, most=7)).text
    assert "table" not in grid(["none"], [])


def test_hits_show_the_query_and_themselves(recommender, photos):
    hits = recommender.search(photos / "photo_004.jpg", by=["phash", "rgb_histogram"], k=4)
    seen = ParsedHtml(hits._repr_html_())
    assert len(seen.images) == 5
    assert "4 hits by phash, rgb_histogram" in seen.text and hits.plan in seen.text
    for hit in hits:
        assert f"{hit.score:.3f} {hit.likeness}{hit.path.rpartition('/')[2]}" in seen.text


def test_page_of_a_thousand_hits_stays_small(recommender, photos):
    hits = recommender.search(photos / "photo_004.jpg", by="phash", k=1)
    many = replace(hits, hits=hits.hits * 1000)
    html = many._repr_html_()
    assert len(html) < 400_000 and "970 more are not shown" in html


def test_no_hits_are_shown_as_text(recommender, photos):
    none = recommender.search(photos / "photo_004.jpg", by="phash", max_false_match_rate=1e-12, where="width = 1")
    seen = ParsedHtml(replace(none, hits=(), cut=3)._repr_html_())
    assert "no good match by phash" in seen.text and len(seen.images) == 1
    assert "no image left to compare with" in replace(none, hits=(), cut=0)._repr_html_()


def test_recommender_shows_what_it_is_and_some_of_its_images(recommender):
    seen = ParsedHtml(recommender._repr_html_())
    assert len(seen.images) == 6
    assert f"{len(recommender)} images of lake, generation {recommender.generation.id}" in seen.text
    assert all(name in seen.text for name in recommender.generation.features)


def test_groups_of_copies_show_what_stays(new_lake, tmp_path):
    lake = new_lake(4, ("phash",), built=False)
    for i in range(4):
        shutil.copy(tmp_path / "photos" / f"photo_{i:03d}.jpg", tmp_path / "photos" / f"copy_{i}.jpg")
    toy.build(lake)
    found = Recommender.open(lake).duplicates(tier="identical")
    seen = ParsedHtml(found[0]._repr_html_())
    assert len(seen.images) == 2 and "2 files, identical; kept files are framed" in seen.text
    assert ["style" in attributes for tag, attributes in seen.tags if tag == "img"] == [True, False]
    assert "copy_0.jpg" in seen.text and "160×120" in seen.text
    whole = ParsedHtml(found._repr_html_())
    assert "4 groups, 8 files; the first 3 groups" in whole.text and len(whole.images) == 6


def test_file_that_is_gone_leaves_a_placeholder(new_lake, tmp_path):
    rec = Recommender.open(new_lake(4, ("phash",)))
    hits = rec.search(tmp_path / "photos" / "photo_001.jpg", k=3)
    for file in (tmp_path / "photos").iterdir():
        file.write_bytes(b"") if "001" in file.name else file.unlink()
    for shown in (hits, rec):
        seen = ParsedHtml(shown._repr_html_())
        assert not seen.images and seen.text.count(MISSING) + seen.text.count(DAMAGED) == 4


def test_lake_of_one_image_shows_it(tmp_path):
    toy.write_photos(tmp_path / "photos", [1])
    lake = toy.new_lake(tmp_path / "lake", ("phash",))
    toy.build(lake)
    assert len(ParsedHtml(Recommender.open(lake)._repr_html_()).images) == 1


def test_neither_names_the_folders_above(recommender, photos):
    hits = recommender.search(photos / "photo_004.jpg", by="phash", k=2)
    for html in (hits._repr_html_(), recommender._repr_html_()):
        assert not re.search(r"/(tmp|photos|lake)/", html.replace("data:image/", ""))

"""Plots show what they are given, in every format, whatever the names in them hold."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from imrec_core import FEATURES, ImageBatch, ImageId
from imrec_core.errors import QueryError
from imrec_core.evaluation import figures
from imrec_core.evaluation.confusion import confusion
from imrec_core.evaluation.figures import distances_panel, plot_hashes, plot_histograms
from imrec_core.evaluation.labels import Labels
from imrec_core.features.colour import bin_colours, histogram, layout_of
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.index.calibration import Calibration, PositivePairs
from imrec_core.index.calibration_pairs import RandomPairs
from imrec_core.lake import run_log
from imrec_core.plots import (
    EfCurve,
    draw_confusion,
    draw_curves,
    draw_distances,
    draw_extraction,
    draw_hashes,
    draw_histograms,
    draw_precision_recall,
    draw_recall_by_ef,
    draw_stages,
    draw_values,
    format_of,
)
from imrec_core.plots.comparisons import Bins, ImageWithVector
from imrec_core.plots.distributions import Distances, Values
from imrec_core.plots.stages import Times
from imrec_core.plots.style import BLUE, GREEN, INK, PALETTE, RED
from tests.support import toy

HOSTILE = "a$b_{c}$ \\frac <b> & \n \u202e 日本 \x07 " + "x" * 300


def curve(y) -> dict:
    return {"x": list(range(50)), "y": y, "x_label": "axes", "y_label": "share"}


def drawn(curves) -> np.ndarray:
    return pixels(draw_curves(curves))


def pixels(picture: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def words(picture: bytes) -> list[str]:
    """What is written in an SVG, from the first to the last."""
    texts = [
        " ".join("".join(text.itertext()).split())
        for text in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert texts, "letters are drawn as lines"
    return texts


def colour(name: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(name[1:]))


def count(picture: np.ndarray, name: str) -> int:
    return int((picture == colour(name)).all(axis=2).sum())


def lines(picture: np.ndarray) -> int:
    """How many of the first colours that lines get are in a picture."""
    return sum(count(picture, name) > 0 for name in PALETTE[:3])


# -- curves -------------------------------------------------------------------------------------------------


def test_a_curve_is_drawn_in_its_colour_and_another_one_is_another_picture():
    rising, falling = (drawn({"kept": curve(list(values))}) for values in (range(50), range(50, 0, -1)))
    assert lines(rising) == 1
    assert rising.shape == falling.shape and (rising != falling).any()


def test_curves_stand_side_by_side():
    one, two = drawn({"a": curve(list(range(50)))}), drawn({name: curve(list(range(50))) for name in "ab"})
    assert abs(two.shape[1] - 2 * one.shape[1]) <= 2 and two.shape[0] == one.shape[0]


def test_several_lines_of_one_plot_have_their_own_colours():
    both = {"training": list(range(50)), "validation": list(range(50, 0, -1))}
    assert lines(drawn({"loss": curve(both)})) == 2


def test_more_lines_than_colours_differ_by_their_stroke():
    same = {"a": ([0, 1], [1, 1])}
    names = [f"n{i}" for i in range(9)]
    many = draw_precision_recall({name: ([0, 1], [1, i / 9]) for i, name in enumerate(names)}, format="svg").decode()
    assert many.count("stroke-dasharray") > draw_precision_recall(same, format="svg").decode().count("stroke-dasharray")


def test_steps_hold_a_precision_from_the_recall_before_on():
    stepped = pixels(draw_precision_recall({"a": ([0.5, 1], [1, 0.4])}, steps=True))
    plain = pixels(draw_precision_recall({"a": ([0, 0.5, 0.5, 1], [1, 1, 0.4, 0.4])}))
    straight = pixels(draw_precision_recall({"a": ([0.5, 1], [1, 0.4])}))
    assert (stepped != plain).any(axis=2).sum() < 20 < (stepped != straight).any(axis=2).sum()


def test_mark_is_a_dot_in_the_colour_of_its_curve():
    curves = {"a": ([0, 1], [1, 1]), "b": ([0, 1], [0.5, 0.5])}
    bare, marked = (pixels(draw_precision_recall(curves, marks=marks)) for marks in (None, {"b": (0.5, 0.8)}))
    more = (marked == colour(PALETTE[1])).all(axis=2) & (bare != marked).any(axis=2)
    assert 80 < more.sum() < 800


def test_failures_are_bars_beside_the_speed_of_shards_and_left_out_where_there_are_none():
    both, speed = pixels(draw_extraction([90, 120], {"TruncatedImage": 3})), pixels(draw_extraction([90, 120], {}))
    assert abs(both.shape[1] - 2 * speed.shape[1]) <= 2
    assert count(both, RED) > 1000 and not count(speed, RED)
    assert lines(speed) == 1
    one, two = (pixels(draw_extraction([9], {"a": 3, "b": n})) for n in (1, 3))
    assert count(one, RED) < count(two, RED)


def test_recall_is_drawn_over_ef_and_over_speed_with_a_dot_where_searches_are():
    found = EfCurve([128, 256], [0.9, 0.99], [4000, 2500], in_use=256)
    texts = words(draw_recall_by_ef({"a:cosine": found}, format="svg"))
    assert {"128", "256", "recall@10", "queries per second, one thread", "a:cosine"} <= set(texts)
    all_found = words(draw_recall_by_ef({"a:cosine": replace(found, recalls=[1.0, 1.0])}, format="svg"))
    assert not [text for text in all_found if text.startswith("1.0") and float(text) > 1]  # there is no such recall
    bare = pixels(draw_recall_by_ef({"a:cosine": replace(found, in_use=None)}))
    assert count(pixels(draw_recall_by_ef({"a:cosine": found})), BLUE) > count(bare, BLUE) + 40


def test_bars_are_as_long_as_their_stages_together():
    short, long = (
        pixels(draw_stages([Times("t", "s", [("a", {"read": 1.0, "decode": n}), ("b", {"read": 9.0})])]))
        for n in (2, 4)
    )
    assert abs(count(long, RED) / count(short, RED) - 2) < 0.3  # its key is as large in both
    texts = words(draw_stages([Times("shards", "ms", [("one", {"read": 1.0, "decode": 200.4})])], format="svg"))
    assert {"shards", "ms", "one", "read", "decode", "201"} <= set(texts)


# -- formats ------------------------------------------------------------------------------------------------

EVERY: dict[str, Callable[[str, str], bytes]] = {
    "curves": lambda name, f: draw_curves({"t": curve({name: list(range(50)), "b": list(range(50))})}, format=f),
    "extraction": lambda name, f: draw_extraction([1, 2], {"Truncated": 1}, format=f),
    "precision": lambda name, f: draw_precision_recall({name: ([0, 1], [1, 0])}, format=f),
    "recall": lambda name, f: draw_recall_by_ef({name: EfCurve([1], [0.5], [9.0])}, format=f),
    "stages": lambda name, f: draw_stages([Times("t", "s", [(name, {"read": 1.0})])], format=f),
    "distances": lambda name, f: draw_distances([panel(name)], format=f),
    "values": lambda name, f: draw_values([Values(name, np.arange(9.0))], format=f),
    "histograms": lambda name, f: draw_histograms(pictured(name, [1, 0]), [pictured(name, [0, 1])], Bins(), format=f),
    "hashes": lambda name, f: draw_hashes(hashed(name, 0), [hashed(name, 3)], format=f),
    "confusion": lambda name, f: draw_confusion((name, "b"), np.eye(2, 3, dtype=int), format=f),
}


@pytest.mark.parametrize("kind", EVERY)
def test_every_plot_is_the_same_each_time_and_svg_keeps_its_letters(kind):
    for format in ("png", "svg"):
        assert EVERY[kind]("a", format) == EVERY[kind]("a", format)
    svg = EVERY[kind]("a", "svg")
    assert words(svg) and b"<dc:date>" not in svg


@pytest.mark.parametrize("kind", sorted(EVERY.keys() - {"extraction"}))
def test_name_may_hold_anything(kind):
    pixels(EVERY[kind](HOSTILE, "png"))
    (shown,) = {text for text in words(EVERY[kind](HOSTILE, "svg")) if text.startswith("a$b_{c}$ ")}
    assert len(shown) <= 60 and "\u202e" not in shown and "\x07" not in shown


def test_other_formats_are_refused_in_words():
    with pytest.raises(QueryError, match="unknown plot format 'pdf'; expected png or svg"):
        draw_extraction([1], {}, format="pdf")
    assert [format_of(Path(name)) for name in ("a.png", "b.SVG")] == ["png", "svg"]
    for name in ("a.pdf", "a", ".png"):
        with pytest.raises(QueryError, match=r"plots are written as \.png or \.svg"):
            format_of(Path(name))


# -- distances and values -----------------------------------------------------------------------------------


PAIRS = np.random.default_rng(0).normal(0.8, 0.1, 10_000).clip(0).astype(np.float32)


def panel(name: str, pairs=PAIRS, **more) -> Distances:
    return distances_panel(name, pairs, Calibration.of(pairs), **more)


@pytest.mark.parametrize("rate", [0.47, 0.013, 0.0017])
def test_cut_is_where_that_share_of_pairs_is_nearer(rate):
    cut = panel("a", rate=rate).threshold.distance
    assert abs(np.mean(cut >= PAIRS) - rate) < 0.1 * rate
    assert Calibration.of(PAIRS).false_match_rate(np.array([cut])) == pytest.approx(rate, rel=1e-6)


def test_panel_says_where_is_cut_and_which_hits_pass_and_ticks_them():
    found = panel("a:cosine", rate=0.01, hits=[0.1, 0.2, 0.9])
    cut = Calibration.of(PAIRS).threshold(0.01)
    texts = words(draw_distances([found], format="svg"))
    assert {f"threshold {cut:.3g}: 2 of 3 hits pass", "threshold at a false match rate of 0.01", "hits"} <= set(texts)
    assert count(pixels(draw_distances([found])), RED) and not count(pixels(draw_distances([panel("a")])), RED)


def test_copies_are_a_line_where_they_were_measured():
    with_copies = replace(Calibration.of(PAIRS), positive_pairs=PositivePairs.of(np.full(5, 0.2)))
    panels = panel("a"), distances_panel("a", PAIRS, with_copies)
    green = [count(pixels(draw_distances([p])), GREEN) for p in panels]
    assert green[0] == 0 < green[1]


def test_whole_numbers_have_bins_of_their_own():
    even = np.repeat(np.arange(0, 51, 2), 50).astype(np.float32)
    bars = draw_distances([panel("phash", even)], format="svg").decode()
    outline = max(re.findall(rf'<path d="(M [^"]*)"[^>]*fill: {BLUE}', bars), key=len)  # the other is in the key
    heights = [float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", outline)]
    assert len(set(heights)) == 2 and heights.count(max(heights)) < 6  # on the ground at its ends: there are no gaps


def test_values_show_median_spread_and_bits():
    values = np.random.default_rng(0).random((50, 8))
    texts = words(
        draw_values([Values("f", values), Values("h", values > 0.5), Values("width", values[:, 0])], format="svg")
    )
    assert {"f", "h", "width", "median", "middle 90 % of the images", "dimension, of 8", "bit, of 8"} <= set(texts)


# -- query and hits -----------------------------------------------------------------------------------------


def pictured(name: str, vector) -> ImageWithVector:
    return ImageWithVector(Image.new("RGB", (30, 20), (255, 255, 255)), (name,), np.array(vector, np.float32))


def hashed(name: str, bits: int) -> ImageWithVector:
    return ImageWithVector(None, (name,), np.arange(64) < bits)


def test_histogram_has_bars_in_the_colours_of_its_bins_and_the_query_as_a_line():
    bins = Bins(np.array([[1.0, 0, 0], [0, 0, 1.0]]))
    same, other = (pixels(draw_histograms(pictured("q", [1, 0]), [pictured("h", h)], bins)) for h in ([1, 0], [0, 1]))
    assert [count(same, c) > 500 for c in ("#ff0000", "#0000ff")] == [True, False]
    assert [count(other, c) > 500 for c in ("#ff0000", "#0000ff")] == [True, True]
    assert count(same, "#ff0000") > 1.5 * count(other, "#ff0000")


def test_line_over_a_hit_is_the_query():
    svg = draw_histograms(pictured("q", [0.75, 0.25]), [pictured("h", [0.25, 0.75])], Bins(), format="svg").decode()
    paths = re.findall(rf'<path d="(M [^"]*)"[^>]*stroke: {INK}', svg)
    heights = [np.array(re.findall(r"[ML] [\d.]+ ([\d.]+)", path), float) for path in paths]
    assert len(heights) == 3 and np.ptp(heights[0]) > 30 and np.ptp(heights[2]) == 0  # the last is in the legend
    assert np.allclose(heights[0] - heights[0].min(), heights[1] - heights[1].min(), atol=0.01)


def test_joint_histogram_shows_its_fullest_bins_alone():
    vector = np.zeros(512)
    vector[[7, 300]] = 0.5
    colours = np.zeros((512, 3))
    colours[[7, 300]] = [[1, 0, 0], [0, 0, 1]]
    bins = Bins(colours, is_joint=True)
    png = pixels(draw_histograms(pictured("q", vector), [], bins))
    assert min(count(png, "#ff0000"), count(png, "#0000ff")) > 500
    svg = draw_histograms(pictured("q", vector), [], bins, format="svg")
    assert "the 28 fullest of 512 bins, those of the query first, in their colours" in words(svg)


def test_cross_marks_each_bit_that_differs():
    crosses = [count(pixels(draw_hashes(hashed("q", 0), [hashed("h", n)])), RED) for n in (0, 1, 4)]
    assert crosses[0] == 0 < crosses[1] and crosses[2] == pytest.approx(4 * crosses[1], rel=0.1)


@pytest.mark.parametrize("name", [n for n, f in FEATURES.items() if layout_of(f)])
def test_colour_of_the_fullest_bin_is_that_of_the_picture(name):
    layout = layout_of(FEATURES[name])
    assert layout.dims == FEATURES[name].dims
    seen = (200, 40, 30)
    vector = FEATURES[name](ImageBatch([np.full((8, 8, 3), seen, np.uint8)]))[0]
    colours = bin_colours(layout)
    assert colours.shape == (layout.dims, 3) and colours.min() >= 0 and colours.max() <= 1
    if layout.joint:
        assert np.abs(colours[vector.argmax()] * 255 - seen).max() < 80


def test_every_bin_of_fine_channels_has_its_own_colour():
    colours = bin_colours(layout_of(histogram("mine", "rgb", [256, 10, 2], joint=False)))
    np.testing.assert_allclose(colours[:256, 0], (np.arange(256) + 0.5) / 256)
    assert (colours[256:266, 1] == (np.arange(10) + 0.5) / 10).all() and (colours[266:, 2] == [0.25, 0.75]).all()


def test_layout_is_that_of_the_settings_and_other_features_have_none():
    own = histogram("mine", "hsv", [4, 5, 6], joint=False)
    assert layout_of(own).levels == (4, 5, 6) and bin_colours(layout_of(own)).shape == (15, 3)
    assert [layout_of(FEATURES[name]) for name in ("colour_moments", "phash", "lbp")] == [None] * 3
    assert own.is_histogram
    assert {name for name, f in FEATURES.items() if f.is_histogram and layout_of(f) is None} == {
        "edge_histogram",
        "hog",
        "lbp",
    }
    assert all(f.is_histogram for f in FEATURES.values() if layout_of(f))


# -- confusion ----------------------------------------------------------------------------------------------


def test_confusion_counts_labels_of_the_nearest(large):
    generation = large.generation
    rng = np.random.default_rng(0)
    groups = rng.integers(-1, 3, len(generation))
    labels = Labels(groups, np.flatnonzero(groups >= 0), names=("b", "a", "c"))
    found = confusion(generation, labels, "rgb_histogram", k=3, queries=40, classes=2)
    assert len(found.names) == 2 and list(found.names) == sorted(found.names)
    asked = np.sort(np.random.default_rng(20_26).permutation(labels.queries)[:40])
    matrix = np.asarray(generation.matrix("rgb_histogram"), np.float64)
    expected = np.zeros((2, 3), int)
    gallery = np.flatnonzero(groups >= 0)
    for row in asked:
        others = gallery[gallery != row]
        distances = FEATURES["rgb_histogram"].metric(matrix[row], matrix[others])
        for near in others[np.argsort(distances, kind="stable")[:3]]:
            names = [labels.names[groups[r]] for r in (row, near)]
            if names[0] in found.names:
                expected[
                    found.names.index(names[0]), found.names.index(names[1]) if names[1] in found.names else 2
                ] += 1
    assert (found.counts == expected).all()


def test_confusion_is_written_in_percent_and_others_stand_last():
    texts = words(draw_confusion(("cat", "dog"), np.array([[3, 1, 0], [0, 2, 2]]), format="svg"))
    assert {"75", "25", "50", "other labels", "cat", "dog"} <= set(texts)
    assert "other labels" not in words(draw_confusion(("a", "b"), np.eye(2, 3, dtype=int), format="svg"))


# -- of a lake ----------------------------------------------------------------------------------------------


def test_pairs_are_those_of_the_calibration(large):
    generation, feature = large.generation, FEATURES["rgb_histogram"]
    pairs = RandomPairs.of(generation)
    distances = pairs.distances(generation, FeatureMetric.of(feature))
    assert pairs.calibration(distances) == generation.calibration("rgb_histogram", feature.metric.name)


KINDS = {
    "histograms": ("IMAGE", "--by", "hsv_histogram:chi_square"),
    "histograms of edges": ("histograms", "IMAGE", "--by", "hog", "-k", 2),
    "hashes": ("IMAGE", "--by", "pdq", "-k", 3),
    "distances": ("IMAGE", "--by", "phash", "--by", "rgb_histogram", "--max-false-match-rate", 0.01),
    "distances of all": ("distances",),
    "values": ("rgb_histogram", "phash", "brightness"),
    "confusion": ("--by", "rgb_histogram", "--labels", "labels.csv", "-k", 3),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_command_draws_each_kind(kind, suffix, imrec, toy_lake, photos, tmp_path):
    first, *more = KINDS[kind] if " " in kind else (kind, *KINDS[kind])
    (tmp_path / "labels.csv").write_text(
        "path,label\n" + "".join(f"photo_{i:03d}.jpg,{'ab'[i % 2]}\n" for i in range(20))
    )
    words = [photos / "photo_004.jpg" if word == "IMAGE" else word for word in more]
    result = imrec("plot", first, *words, "-o", f"a.{suffix}", "--lake", toy_lake.root)
    assert (result.status, result.out, result.err) == (0, "", "")
    assert (tmp_path / f"a.{suffix}").stat().st_size > 4000


def test_stages_of_the_last_runs_are_drawn_and_their_absence_is_reported(imrec, new_lake, tmp_path, monkeypatch):
    lake = new_lake(4)
    out = ("-o", "a.svg", "--lake", lake.root)
    assert "no run is recorded in" in imrec("plot", "stages", *out).complaint
    for i in range(4):
        monkeypatch.setattr(run_log, "datetime", SimpleNamespace(now=lambda zone, i=i: datetime(2026, 1, 1 + i)))
        run_log.note(lake, "extract", f"photos-000{i}", 1.0, rows=9, failed=1, stages={"read": 0.5, "decode": 1.283})
    run_log.note(lake, "generation", "000001", 2.5)
    run_log.note(lake, "search", HOSTILE, 0.02, stages={"open": 0.012, "search": 0.008})
    assert imrec("plot", "stages", "--last", 3, *out).status == 0
    texts = words((tmp_path / "a.svg").read_bytes())
    shards = [text for text in texts if text.endswith(", 10 images")]
    assert shards == [f"photos-000{i}, 10 images" for i in (1, 2, 3)]
    assert {"178", "20", "2.5", "generation 000001", "open", "decode"} <= set(texts)


def test_hits_that_are_drawn_are_those_of_a_search(recommender, photos):
    query = ImageId(recommender.generation.columns("image_id")["image_id"][5].as_py())
    found = recommender.search(query, by="phash", k=3)
    texts = words(plot_hashes(recommender, query, "phash", k=3, format="svg"))
    assert [text for text in texts if "of 64 bits" in text] == [
        f"{hit.rank} {hit.parts['phash'].distance:.0f} of 64 bits" for hit in found
    ]
    query, asked = photos / "photo_004.jpg", {"by": "rgb_histogram", "k": 2, "where": "width > 9"}
    texts = " ".join(words(plot_histograms(recommender, query, **asked, format="svg")))
    for hit in recommender.search(query, **asked):
        distance = f"distance {hit.parts['rgb_histogram'].distance:.4g}"
        assert f"{hit.rank} {hit.score:.3f} {hit.likeness} {distance} {hit.path.rpartition('/')[2]}" in texts


def test_bits_that_are_crossed_out_are_as_many_as_the_distance(recommender, photos):
    generation = recommender.generation
    rows = np.asarray(generation.matrix("pdq")[:2])
    assert np.flatnonzero(figures._bits(np.array([1 << 63, 1], np.uint64))).tolist() == [0, 127]
    bits = [figures._bits(row) for row in rows]
    metric = generation.feature("pdq").metric
    assert bits[0].shape == (256,) and (bits[0] != bits[1]).sum() == metric(rows[0], rows[1:])[0]


WRONG = {
    "no phash": (
        ("hashes", "IMAGE", "--by", "rgb_histogram"),
        "rgb_histogram is no hash of one length; of this lake it can be a",
    ),
    "no histogram": (
        ("histograms", "IMAGE", "--by", "phash"),
        "phash is no histogram; of this lake it can be rgb",
    ),
    "turned": (("hashes", "IMAGE", "--by", "phash:hamming_dihedral"), "rotates the query for each hit"),
    "a wrong name": (("values", "brigtness"), "did you mean 'brightness'"),
    "a column of text": (("values", "format"), "no feature or column of numbers named 'format'"),
    "an empty column": (("values", "taken_by"), "no feature or column"),
    "labels": (("confusion",), "2 different labels|1 different labels"),
    "words": (("distances", "text:a red car"), "expected an image: text queries have no"),
    "a rate": (("distances", "--max-false-match-rate", 0), "it must be above 0"),
    "a suffix": (("values", "-o", "a.pdf"), r"plots are written as \.png or \.svg"),
    "a picture that is not there": (("hashes", "none.jpg"), "none.jpg"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_drawn_is_reported(case, imrec, new_lake, tmp_path):
    lake = new_lake(4)
    asked, words = WRONG[case]
    asked = [tmp_path / "photos" / "photo_000.jpg" if word == "IMAGE" else word for word in asked]
    result = imrec("plot", *asked[:1], "-o", "a.png", *asked[1:], "--lake", lake.root)
    assert result.status == 1 and re.search(words, result.complaint)
    assert not list(tmp_path.glob("a.*"))


def test_lake_without_such_a_feature_or_without_any_says_what_to_do(imrec, new_lake, tmp_path):
    lake = new_lake(4, ("rgb_histogram",))
    photo, out = tmp_path / "photos" / "photo_000.jpg", ("-o", "a.png", "--lake")
    assert (
        "the lake has no hash of one length; add one: imrec build --features"
        in imrec("plot", "hashes", photo, *out, lake.root).complaint
    )
    empty = toy.new_lake(tmp_path / "empty", ("phash",))
    for kind in (("values",), ("distances",), ("confusion",), ("hashes", photo)):
        assert "imrec build" in imrec("plot", *kind, *out, empty.root).complaint
    assert "has no histogram" in imrec("plot", "histograms", photo, *out, phash_lake(tmp_path).root).complaint


def phash_lake(folder: Path):
    lake = toy.new_lake(folder / "hashes", ("phash",))
    toy.build(lake)
    return lake


def test_wrong_usage_is_reported(imrec, toy_lake, photos):
    photo, lake = photos / "photo_004.jpg", ("--lake", toy_lake.root)
    assert "Missing option" in imrec("plot", "hashes", photo, *lake).err
    assert "--where chooses hits" in imrec("plot", "distances", "--where", "true", "-o", "a.png", *lake).err
    unwritable = imrec("plot", "values", "phash", "-o", "no/such/a.png", *lake)
    assert unwritable.status == 2 and "cannot write" in unwritable.err

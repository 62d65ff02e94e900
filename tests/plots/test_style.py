"""Plots share one style: the page's colours, which colour-blind readers can tell apart, and text that is never cut."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import imrec_core
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
    style,
)
from imrec_core.plots.canvas import new_figure, render
from imrec_core.plots.comparisons import Bins, ImageWithVector
from imrec_core.plots.distributions import Distances, Threshold, Values
from imrec_core.plots.stages import Times
from imrec_core.plots.style import PALETTE, rgb

CSS = (Path(imrec_core.__file__).parent / "web" / "static" / "style.css").read_text("utf-8")

# Machado, Oliveira and Fernandes 2009, severity 1, over linear RGB.
VISIONS = {
    "usual": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def page_colours(name: str) -> list[str]:
    """Values of a custom property of the page: light, then dark."""
    return re.findall(rf"--{name}: (#[0-9a-f]+);", CSS)


def linear(colour: str) -> np.ndarray:
    share = np.array(rgb(colour)) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ light
    x, y, z = np.cbrt(np.maximum(xyz / (0.9505, 1, 1.089), 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    luminances = sorted(float(linear(colour) @ (0.2126, 0.7152, 0.0722)) for colour in (one, other))
    return (luminances[1] + 0.05) / (luminances[0] + 0.05)


PARTS = [page_colours(f"part-{i}") for i in range(8)]


# -- colours ------------------------------------------------------------------------------------------------


def test_colours_are_those_of_the_page():
    assert tuple(light for light, _ in PARTS) == PALETTE
    for name, colour in {
        "card": style.PAPER,
        "sunken": style.SUNKEN,
        "ink": style.INK,
        "soft-ink": style.SOFT_INK,
        "line": style.LINE,
        "good": style.LIKE,
        "bad": style.UNLIKE,
    }.items():
        assert page_colours(name)[0] == colour, name


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_series_differ_for_colour_blind_readers(vision, scheme):
    seen = [lab(np.clip(np.array(VISIONS[vision]) @ linear(part[scheme]), 0, 1)) for part in PARTS]
    apart = {(i, j): np.linalg.norm(seen[i] - seen[j]) for i, j in itertools.combinations(range(8), 2)}
    assert min(distance for (_, j), distance in apart.items() if j < 4) >= 30
    assert min(apart.values()) >= 15


def test_series_stand_out_from_their_background():
    for light, dark in PARTS:
        assert contrast(light, page_colours("card")[0]) >= 3 and contrast(dark, page_colours("card")[1]) >= 3


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    draw_values([Values("a", np.arange(9.0))])
    assert dict(matplotlib.rcParams) == before


# -- text ---------------------------------------------------------------------------------------------------

LONG = "a_feature_of_a_very_long_name_of_its_own:with_the_metric_of_it " * 3
VECTOR = ImageWithVector(None, (LONG, LONG, LONG), np.arange(64) / 2016)
HASH = ImageWithVector(None, (LONG, LONG, LONG), np.arange(64) < 9)
HEAD = {"title": LONG * 2, "about": LONG * 2}
PAIRS = np.random.default_rng(0).normal(30, 5, 1000).round()
CURVE = {"x": range(9), "y": {LONG: range(9), f"b{LONG}": range(9)}, "x_label": "x", "y_label": "y"}
LONG_LABELS = [f"{i}{LONG}" for i in range(30)]

EVERY = {
    "curves": lambda: draw_curves({LONG: CURVE, "other": CURVE}, **HEAD),
    "extraction": lambda: draw_extraction([1, 2], {LONG: 12345, "b": 1}, about=LONG),
    "precision": lambda: draw_precision_recall({LONG: ([0, 1], [1, 0])}, notes={LONG: LONG}, **HEAD),
    "recall": lambda: draw_recall_by_ef({LONG: EfCurve([10, 1000], [0.5, 1], [9.0, 2e6], 10)}, about=LONG),
    "stages": lambda: draw_stages([Times(LONG, "s", [(LONG, dict.fromkeys(LONG_LABELS[:12], 1e6))])], about=LONG),
    "distances": lambda: draw_distances([Distances(LONG, PAIRS, None, Threshold(9.7, 0.001), [3])] * 5, **HEAD),
    "values": lambda: draw_values([Values(LONG, PAIRS), Values(LONG, PAIRS.reshape(50, 20) > 30)], **HEAD),
    "histograms": lambda: draw_histograms(VECTOR, [VECTOR] * 2, Bins(channels=(("red", 0), ("green", 30))), **HEAD),
    "hashes": lambda: draw_hashes(HASH, [HASH] * 7, **HEAD),
    "confusion": lambda: draw_confusion(LONG_LABELS, np.eye(30, 31, dtype=int), queries=[10**6] * 30, **HEAD),
    "small confusion": lambda: draw_confusion(["a", "b"], np.array([[1, 2, 1], [0, 1, 3]]), **HEAD),
}


@pytest.fixture
def figure(monkeypatch) -> list[Figure]:
    """Figures that are rendered from now on."""
    rendered: list[Figure] = []
    save = Figure.savefig

    def savefig(self, *args, **options):
        rendered.append(self)
        save(self, *args, **options)
        self.set_dpi(options["dpi"])  # labels keep the positions that they were drawn at

    monkeypatch.setattr(Figure, "savefig", savefig)
    return rendered


def texts(figure: Figure) -> list[Text]:
    """The text that is drawn; ticks beyond the limits of their axes are not."""
    hidden: set[Text] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            drawn = {tick.label1 for tick in axis._update_ticks()} | {axis.label, axis.offsetText}
            hidden.update(set(axis.findobj(Text)) - drawn)
    return [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible() and t not in hidden]


@pytest.mark.parametrize("kind", EVERY)
def test_no_text_is_cut_and_heading_and_legends_hide_no_axes(kind, figure):
    EVERY[kind]()
    (drawn,) = figure
    renderer = FigureCanvasAgg(drawn).get_renderer()
    width, height = drawn.bbox.size
    for text in texts(drawn):
        box = text.get_window_extent(renderer)
        inside = box.x0 >= -2 and box.y0 >= -2 and box.x1 <= width + 2 and box.y1 <= height + 2
        assert inside, f"{text.get_text()!r} at {box} of {width} × {height}"
    legends = [legend for legend in (*drawn.legends, *(axes.get_legend() for axes in drawn.axes)) if legend]
    for axes in drawn.axes:
        frame = axes.get_window_extent(renderer)
        assert frame.width > 100 or axes.get_label() == "<colorbar>"
        for heading in drawn.texts:
            assert heading.get_window_extent(renderer).y0 >= frame.y1
        for legend in legends:
            box = legend.get_window_extent(renderer)
            assert box.x0 >= frame.x1 or box.y1 <= frame.y0 or box.y0 >= frame.y1 or box.x1 <= frame.x0


def test_png_has_two_pixels_for_each_on_the_page():
    data = render(new_figure(4, 3, title="title", about="about"))
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert width == 2 * 400 and 2 * 300 < height < 2 * 400


# -- what a plot says ---------------------------------------------------------------------------------------


def said(figure: Figure) -> set[str]:
    return {line for text in texts(figure) for line in text.get_text().split("\n")}


def test_integer_distances_have_an_integer_threshold(figure):
    draw_distances([Distances("phash:hamming", PAIRS, None, Threshold(17.6, 0.01), [9, 17, 18], "bits")])
    assert {"threshold 17 bits: 2 of 3 hits pass", "distance, in bits"} <= said(figure[0])
    draw_distances([Distances("a:cosine", PAIRS / 100, None, Threshold(0.176, 0.01))])
    assert {"threshold 0.176", "distance"} <= said(figure[1])
    assert [drawn.axes[0].get_yscale() for drawn in figure] == ["log", "log"]


def test_curves_are_named_with_their_intervals(figure):
    notes = {"mix:default": "0.640 [0.596, 0.683]"}
    draw_precision_recall({"mix:default": ([0, 1], [1, 0])}, notes=notes, legend="mAP [95 % interval]")
    assert {"mix:default", "0.640 [0.596, 0.683]", "mAP [95 % interval]", "Precision over recall"} <= said(figure[0])


def test_confusion_has_a_colour_bar_counts_and_numbers(figure):
    draw_confusion(["cat", "dog"], np.array([[3, 1, 0], [0, 2, 0]]), queries=[40, 1200])
    assert {"cat  (40)", "dog  (1,200)", "75", "25", "100", "% of the nearest images of a row"} <= said(figure[0])
    assert len(figure[0].axes) == 2


def test_rest_of_a_run_is_grey_and_stages_beyond_the_colours_are_hatched(figure):
    stages = {"other": 1.0, **{f"s{i}": 1.0 for i in range(9)}}
    draw_stages([Times("t", "s", [("a", stages)])])
    bars = figure[0].axes[0].patches
    colours = [matplotlib.colors.to_hex(bar.get_facecolor()) for bar in bars]
    assert colours == [*PALETTE, PALETTE[0], style.LINE]
    assert len({(colour, bar.get_hatch()) for colour, bar in zip(colours, bars, strict=True)}) == 10

"""Plots show what they are given."""

import io

import numpy as np
from PIL import Image

from imrec_core.plots import draw_curves, draw_extraction, draw_precision_recall


def curve(y) -> dict:
    return {"x": list(range(50)), "y": y, "x_label": "axes", "y_label": "share"}


def drawn(curves) -> np.ndarray:
    return pixels(draw_curves(curves))


def pixels(picture: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def lines(picture: np.ndarray) -> int:
    """How many of the first colours that lines get are in a picture."""
    first = [(31, 119, 180), (255, 127, 14), (44, 160, 44)]
    return sum((picture == colour).all(axis=2).any() for colour in first)


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


def test_steps_hold_a_precision_from_the_recall_before_on():
    stepped = pixels(draw_precision_recall({"a": ([0.5, 1], [1, 0.4])}, steps=True))
    plain = pixels(draw_precision_recall({"a": ([0, 0.5, 0.5, 1], [1, 1, 0.4, 0.4])}))
    straight = pixels(draw_precision_recall({"a": ([0.5, 1], [1, 0.4])}))
    assert (stepped != plain).any(axis=2).sum() < 20 < (stepped != straight).any(axis=2).sum()


def test_mark_is_a_dot_in_the_colour_of_its_curve():
    curves = {"a": ([0, 1], [1, 1]), "b": ([0, 1], [0.5, 0.5])}
    bare, marked = (pixels(draw_precision_recall(curves, marks=marks)) for marks in (None, {"b": (0.5, 0.8)}))
    more = (marked == (255, 127, 14)).all(axis=2) & (bare != marked).any(axis=2)
    assert 20 < more.sum() < 200


def test_failures_are_bars_beside_the_speed_of_shards_and_left_out_where_there_are_none():
    red = (214, 39, 40)
    both, speed = pixels(draw_extraction([90, 120], {"TruncatedImage": 3})), pixels(draw_extraction([90, 120], {}))
    assert abs(both.shape[1] - 2 * speed.shape[1]) <= 2
    assert (both == red).all(axis=2).sum() > 1000 and not (speed == red).all(axis=2).any()
    assert lines(speed) == 1
    one, two = (pixels(draw_extraction([9], {"a": 3, "b": count})) for count in (1, 3))
    assert (one == red).all(axis=2).sum() < (two == red).all(axis=2).sum()

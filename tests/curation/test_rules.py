"""Limits of issues: they follow the images of the lake, within fixed bounds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from imrec_core.curation.rules import RULES, measure


def lognormal(median: float, spread: float, count: int = 500) -> np.ndarray:
    return median * np.exp(spread * np.random.default_rng(0).standard_normal(count))


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.bad != "true"])
def test_no_limit_leaves_the_bounds(name):
    rule = RULES[name]
    for median in (1e-4, 0.1, 1.0, 50.0):
        for spread in (0.0, 0.1, 1.0, 5.0):
            limit = rule.limit(lognormal(median, spread))
            assert min(rule.sure, rule.loose) <= limit <= max(rule.sure, rule.loose)


def test_lake_of_night_photos_is_not_dark_as_a_whole():
    night = lognormal(0.22, 0.15)
    rule = RULES["dark"]
    found = rule.severities(night, rule.limit(night)) > 0
    assert found.mean() < 0.02
    among = np.append(night, 0.05)
    assert rule.severities(among, rule.limit(among))[-1] > 0


def test_lake_of_bright_photos_has_no_dark_ones_although_some_are_darker_than_usual():
    bright = np.append(lognormal(0.9, 0.01), 0.6)
    rule = RULES["dark"]
    assert not rule.severities(bright, rule.limit(bright)).any()


def test_half_a_lake_of_black_images_is_found():
    values = np.r_[np.full(300, 0.01), lognormal(0.8, 0.2, 300)]
    rule = RULES["dark"]
    assert (rule.severities(values, rule.limit(values)) > 0).sum() >= 300


def test_severity_grows_with_the_distance_from_the_limit_and_unknown_values_have_none():
    rule = RULES["odd_shape"]
    severities = rule.severities(np.array([1.0, 3.0, 4.0, 9.0, np.nan]), 3.0)
    assert severities[:2].tolist() == [0, 0]
    assert 0 < severities[2] < severities[3] < 1
    assert severities[4] == 0
    assert RULES["plain"].severities(np.array([0.0]), 0.01).tolist() == [1.0]


def test_few_grey_images_are_odd_and_many_are_not():
    def grey(count: int) -> int:
        rows = pa.table(
            {"is_grey": [True] * count + [False] * (20 - count), "brightness": [0.5] * 20, "contrast": [0.2] * 20}
        )
        return int((measure(rows)["grey"] == 1).sum())

    assert grey(3) == 3
    assert grey(10) == 0


def test_darker_copy_is_as_sharp_as_its_original():
    rows = pa.table({"sharpness": [800.0, 50.0], "contrast": [0.2, 0.05], "brightness": [0.5, 0.125]})
    sharp, darker = measure(rows)["blurred"]
    assert darker == pytest.approx(sharp)


def test_generation_of_an_earlier_version_without_a_column_has_no_such_issue():
    values = measure(pa.table({"width": [10, 20], "height": [10, 20]}))
    assert np.isnan(values["damaged"]).all()
    assert np.isfinite(values["odd_size"]).all()
    assert RULES["damaged"].severities(values["damaged"], 0.5).tolist() == [0, 0]

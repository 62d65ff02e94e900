"""Numbers from users."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

from imrec_core.runtime.numbers import finite_number, shorten


@pytest.mark.parametrize(("value", "number"), [(1, 1.0), ("0.5", 0.5), (np.float32(2), 2.0), (Decimal("3"), 3.0)])
def test_numbers_and_their_text_become_floats(value, number):
    assert finite_number(value) == number and type(finite_number(value)) is float


@pytest.mark.parametrize("value", [math.nan, math.inf, "nan", "-inf", "1e999", 10**400, "", "much", None, [], 1j, b"x"])
def test_other_values_are_no_finite_number(value):
    assert finite_number(value) is None


def test_values_in_messages_are_short():
    assert shorten(0.5) == "0.5"
    assert len(shorten("x" * 10_000)) == 200
    assert shorten(10**5000) == "a very large number"

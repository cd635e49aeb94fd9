"""Prices of chips as a person types them."""

import pytest

from launcher.check import prices
from launcher.errors import RequestError
from launcher.hardware import slices


@pytest.mark.parametrize(
    ("text", "slice", "price"),
    [
        (None, "v5e-8", None),
        ("3.22", "v5e-8", 3.22),
        ("3.22", "cpu-2x1", 3.22),
        ("v5e=1.2,v6e=2.7", "v5e-8", 1.2),
        ("v5e=1.2, v6e=2.7", "v6e-8", 2.7),
        ("v5e=1.2,v6e=2.7", "v5p-8", None),
        ("v5litepod=1.2", "v5e-8", 1.2),
        ("trillium=2.7,H100=9", "v6e-8", 2.7),
        ("trillium=2.7,H100=9", "h100-8", 9.0),
    ],
)
def test_the_price_of_a_chip(text, slice, price):
    assert prices.read(text).of(slices.parse(slice)) == price


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("0", "price: must be a number above zero, or one per generation, got '0'"),
        ("-1", "price: must be a number above zero, or one per generation, got '-1'"),
        ("nan", "price: must be a number above zero, or one per generation, got 'nan'"),
        ("cheap", "price: must be a number above zero, or one per generation, got 'cheap'"),
        ("v5e=cheap", "price: must be a number above zero, or one per generation, got 'v5e=cheap'"),
        ("v5e=1,v9=2", "price: must name generations of the catalogue, got 'v9'"),
        ("v5e=1,v5litepod=2", "price: must name generations once each, got 'v5litepod'"),
        ("v5e=1,", "price: must name generations of the catalogue, got ''"),
    ],
)
def test_a_wrong_price(text, error):
    with pytest.raises(RequestError) as caught:
        prices.read(text)
    assert str(caught.value) == error
    assert caught.value.problems[0].hint

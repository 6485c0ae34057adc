"""Placement: where fine pixels lie between those of the sequence grid."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smdown.errors import GridError
from smdown.grid import Window
from smdown.networks.placement import Banded, Placement, interpolate, placement

RATIOS = st.sampled_from([(300, 9), (180, 9), (90, 9), (9, 9), (9, 3), (1200, 36), (300, 7)])
STARTS = st.integers(0, 10**6)


@given(RATIOS, STARTS, STARTS, st.integers(1, 40), st.integers(1, 40))
def test_place_is_that_of_the_pixel_centre_in_exact_arithmetic(ratios, y0, x0, height, width):
    ratio, sequence_ratio = ratios
    core = Window(y0, y0 + height, x0, x0 + width)
    first = core.cover(ratio, sequence_ratio).expand(1)
    place = placement(core, ratio, (first.y0, first.x0), sequence_ratio)
    for start, n, origin, index, weight in (
        (y0, height, first.y0, place.y_index, place.y_weight),
        (x0, width, first.x0, place.x_index, place.x_weight),
    ):
        for i in range(n):
            centre = Fraction(2 * (start + i) + 1, 2 * ratio) * sequence_ratio - Fraction(1, 2)
            below = centre.numerator // centre.denominator
            assert int(index[i]) == below - origin
            assert float(weight[i]) == pytest.approx(float(centre - below), abs=1e-7)
    assert int(place.y_index.min()) >= 0
    assert float(place.y_weight.min()) >= 0
    assert float(place.y_weight.max()) < 1
    assert int(place.y_index.max()) + 1 < first.height
    assert int(place.x_index.max()) + 1 < first.width


@given(RATIOS, st.integers(0, 10**5), st.integers(1, 30), st.integers(0, 20), st.integers(0, 20))
def test_a_pixel_is_placed_alike_in_every_window(ratios, start, size, before, margin):
    ratio, sequence_ratio = ratios
    core = Window(start, start + size, start, start + size)
    wide = Window(start - before, start + size + before, start - before, start + size + before)
    first = core.cover(ratio, sequence_ratio).expand(1)
    other = wide.cover(ratio, sequence_ratio).expand(1 + margin)
    one = placement(core, ratio, (first.y0, first.x0), sequence_ratio)
    two = placement(wide, ratio, (other.y0, other.x0), sequence_ratio)
    cut = slice(before, before + size)
    assert torch.equal(one.y_index + first.y0, two.y_index[cut] + other.y0)
    assert torch.equal(one.x_weight, two.x_weight[cut])


def test_a_linear_map_is_interpolated_exactly():
    core, first = Window(605, 640, 310, 333), Window(17, 22, 8, 13)
    place = placement(core, 300, (first.y0, first.x0), 9)
    y, x = torch.meshgrid(torch.arange(17.0, 22), torch.arange(8.0, 13), indexing="ij")
    found = interpolate((2 * y - 3 * x)[None, None], place)[0, 0]
    fy, fx = ((torch.arange(a, b) + 0.5) / 300 * 9 - 0.5 for a, b in ((605, 640), (310, 333)))
    torch.testing.assert_close(found, 2 * fy[:, None] - 3 * fx[None], atol=1e-4, rtol=0)


def test_a_sequence_without_margin_is_refused():
    with pytest.raises(GridError, match="margin of one pixel"):
        placement(Window(300, 310, 300, 310), 300, (9, 9), 9)


@given(
    st.sampled_from([(300, 9), (100, 9), (9, 9), (10, 3)]),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_as_matrices_it_is_the_same(ratios, y0, x0, height, width):
    fine, coarse = ratios
    place = placement(Window(y0, y0 + height, x0, x0 + width), fine, (-1, -1), coarse)
    reach = [int(index[-1]) + 2 for index in (place.y_index, place.x_index)]
    state = torch.randn(2, 3, *reach, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(interpolate(state, Banded.of(place)), interpolate(state, place), atol=1e-6, rtol=0)


def test_samples_that_lie_differently_are_interpolated_each_in_its_own_place():
    state = torch.randn(3, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    origins = ((600, 310), (587, 340), (642, 301))
    windows = [Window(y, y + 20, x, x + 12) for y, x in origins]
    places = [placement(w, 180, (w.y0 * 9 // 180 - 1, w.x0 * 9 // 180 - 1), 9) for w in windows]
    together = Placement(*(torch.stack([vars(p)[name] for p in places]) for name in vars(places[0])))
    found = interpolate(state, together)
    for n, place in enumerate(places):
        assert torch.equal(found[n], interpolate(state[n : n + 1], place)[0])

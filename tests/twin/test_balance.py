"""The water balance: nothing is lost, bounds hold, and each process acts the right way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy.integrate import solve_ivp

from smdown.twin.balance import Land, State, Watch
from smdown.twin.column import drained, evaporated, row_of, spread_rows, wetted
from smdown.twin.powers import exp2, log2
from smdown.twin.soil import ROOT_MM, SURFACE_MM, Hydraulics
from smdown.twin.vegetation import Vegetation
from smdown.twin.weather import Nodes, Sun

F = np.float32
SHAPE = (70, 90)
NO_WATCH = Watch(np.array([0, 90]), np.array([3]), np.array([5]), np.array([-1, -1, 0]))


@njit
def _map(values, powers, roots):
    for i in range(len(values)):
        powers[i], roots[i] = exp2(values[i]), log2(np.float32(1e-3) + abs(values[i]))


@njit
def _drained(water, pores, power, rate):
    return drained(water, pores, power, rate)


@njit
def _wetted(w1, w2, falls, comes, pores1, pores2):
    return wetted(w1, w2, falls, comes, pores1, pores2)


@njit
def _evaporated(w1, w2, ask, green, wilting, capacity):
    return evaporated(w1, w2, ask, green, wilting, capacity)


def _land(seed=0):
    rng = np.random.default_rng(seed)

    def field(low, high):
        return rng.uniform(low, high, SHAPE).astype(F)

    power = field(8, 24)
    soil = Hydraulics(
        field(0.35, 0.58), field(0.2, 0.34), field(0.05, 0.15), power, power * field(1, 100), power * field(0.01, 5),
        field(0.1, 0.7), field(0.02, 4), field(0.7, 1.4),
    )  # fmt: skip
    plants = Vegetation(field(0, 0.9), field(0, 0.5), field(0, 0.5))
    return Land(soil, plants, field(-0.2, 0.2), Nodes((0, 0), (9, 9), (960.0, 960.0)))


LAND = _land()


def _days(land, seed, wet, demand):
    rng = np.random.default_rng(seed)
    rain = (rng.gamma(0.5, 2.0, (3, *land.node_shape)) * wet).astype(F)
    return rain, [Sun(demand, 0.3, 10.0)] * 3, [(0.8, 0.5, 0.2)] * 3


def _state(land, seed):
    rng = np.random.default_rng(seed)
    soil = land.soil
    near, deep = rng.random(SHAPE).astype(F), rng.random(SHAPE).astype(F)
    dry = F(0.5) * soil.wilting
    surface = SURFACE_MM * (dry + near * (soil.porosity - dry))
    root = ROOT_MM * (soil.wilting + deep * (soil.porosity - soil.wilting))
    return State(surface.astype(F), root.astype(F), rng.random(land.node_shape) * 50)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0, 60), st.floats(0.2, 9))
def test_water_is_neither_made_nor_lost(seed, wet, demand):
    state = _state(LAND, seed)
    before, underway = state.storage(), state.interflow.sum()
    report = LAND.advance(state, *_days(LAND, seed, wet, demand), NO_WATCH)
    rain, evaporation, runoff, drainage, arrived = report.totals.sum(axis=0)
    change = rain - evaporation - runoff - drainage + state.interflow.sum()
    assert abs(state.storage() - before - change) / before < 1e-5
    assert arrived == pytest.approx(underway, rel=1e-4)
    assert 0 <= state.interflow.sum() <= drainage


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0, 60), st.floats(0.2, 9))
def test_water_content_stays_between_residual_and_porosity(seed, wet, demand):
    state = _state(LAND, seed)
    LAND.advance(state, *_days(LAND, seed, wet, demand), NO_WATCH)
    soil = LAND.soil
    near, deep = state.surface / F(SURFACE_MM), state.root / F(ROOT_MM)
    for content in (near, deep):
        assert (content <= soil.porosity * F(1.00001)).all()
        assert (content >= F(0.5) * soil.wilting * F(0.9999)).all()


def test_a_report_says_what_the_state_is():
    state = _state(LAND, 1)
    report = LAND.advance(state, *_days(LAND, 1, 10.0, 4.0), NO_WATCH)
    near = state.surface / SURFACE_MM
    both = (state.surface.astype(float) + state.root) / (SURFACE_MM + ROOT_MM)
    np.testing.assert_allclose(report.maps[0], [near, both], rtol=1e-6)
    np.testing.assert_allclose(report.sums[2, :, :, 0], [near.sum(axis=1), both.sum(axis=1)], rtol=1e-6)
    np.testing.assert_allclose(report.spots[2, :, 0], [near[3, 5], both[3, 5]], rtol=1e-6)
    assert (report.sums[0] != report.sums[2]).all()


def test_two_threads_or_one_the_same_bits():
    import numba

    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        state = _state(LAND, 2)
        report = LAND.advance(state, *_days(LAND, 2, 10.0, 4.0), NO_WATCH)
        results.append((state.surface, state.root, state.interflow, report.totals))
    for one, many in zip(*results, strict=True):
        np.testing.assert_array_equal(one, many)


def test_hollows_receive_what_slopes_lose():
    land = _land()
    pooled = land.soil.gathering.copy()
    hollow = np.arange(SHAPE[1]) % 8 == 3
    pooled[:, hollow], pooled[:, ~hollow] = 3.0, 0.05
    land = Land(
        land.soil._replace(gathering=pooled), land.vegetation, land.southness, Nodes((0, 0), (9, 9), (1.0, 1.0))
    )
    state = _state(land, 3)
    dry = State(state.surface.copy(), state.root.copy(), np.zeros_like(state.interflow))
    days = _days(land, 3, 0.0, 0.2)
    land.advance(state, *days, NO_WATCH)
    land.advance(dry, *days, NO_WATCH)
    gain = (state.surface + state.root) - (dry.surface + dry.root)
    assert gain[:, hollow].mean() > 10 * gain[:, ~hollow].mean() > 0


@pytest.mark.parametrize("power", [9.0, 14.0, 23.0])
@pytest.mark.parametrize("conductivity", [1.0, 50.0, 900.0])
def test_drainage_solves_its_differential_equation(power, conductivity):
    pores, start = 22.0, 21.0
    ode = solve_ivp(lambda _, w: -conductivity * (w / pores) ** (power + 1), (0, 1), [start], rtol=1e-9, method="LSODA")
    got = _drained(F(start), F(pores), F(power), F(power * conductivity / pores))
    assert got == pytest.approx(ode.y[0, -1], rel=2e-4)


def test_fast_powers():
    x = np.linspace(-30, 30, 20001).astype(F)
    powers, roots = np.empty_like(x), np.empty_like(x)
    _map(x, powers, roots)
    np.testing.assert_allclose(powers, np.exp2(x.astype(np.float64)), rtol=2e-6)
    np.testing.assert_allclose(roots, np.log2(1e-3 + np.abs(x.astype(np.float64))), atol=4e-6)


def test_heavy_rain_runs_off_and_light_rain_does_not():
    pores = F(22), F(420)
    assert _wetted(F(10), F(250), F(5), F(0), *pores)[2] == 0
    assert _wetted(F(10), F(250), F(80), F(0), *pores)[2] > 5
    w1, w2, ran = _wetted(F(21), F(419), F(30), F(20), *pores)
    assert (w1, w2) == pores
    assert w1 + w2 + ran == pytest.approx(21 + 419 + 30 + 20)


def test_evaporation_stops_at_its_limits():
    soil = F(0.1), F(0.3)
    up1, up2 = _evaporated(F(2.5), F(95), F(8), F(0.5), *soil)
    assert (up1, up2) == (0, 0)
    bare, _ = _evaporated(F(15), F(285), F(4), F(0), *soil)
    assert bare == pytest.approx(4)
    near, deep = _evaporated(F(15), F(285), F(4), F(1), *soil)
    assert near + deep == pytest.approx(4)
    assert deep == pytest.approx(4 * 0.8)


def test_spreading_is_the_transpose_of_interpolating(rng):
    nodes = Nodes((0, 0), (5, 5), (1.0, 1.0))
    ix, wx = nodes.lines(90)
    line, pixels = rng.random((2, int(ix[-1]) + 2)).astype(F), rng.random((1, 90)).astype(F)
    fine, coarse = np.empty(90, F), np.zeros((1, line.shape[1]))
    row_of(line, 0, F(0), ix, wx, fine)
    spread_rows(pixels, ix, wx, coarse)
    assert (fine * pixels[0]).sum() == pytest.approx((line[0] * coarse[0]).sum(), rel=1e-5)
    assert coarse.sum() == pytest.approx(pixels.sum(), rel=1e-6)

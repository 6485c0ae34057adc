"""The smooth constraint: the means hold, borders of cells do not show, and tiles do not matter."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from smdown.grid import Tile, Window
from smdown.inference import smooth
from smdown.inference.constraint import constrain
from smdown.inference.tile import TilePredictor
from tests.inference.fakes import CELLS, DAYS, FakeDrivers, FakeEnsemble, engine, job

DAY = np.datetime64(DAYS[0], "ns")
LO, HI = 0.02, 0.6
shifts = arrays(np.float64, (12, 11), elements=st.floats(-1, 1))


def block_means(field, ratio):
    height, width = field.shape[0] // ratio, field.shape[1] // ratio
    return field.astype(np.float64).reshape(height, ratio, width, ratio).mean(axis=(1, 3))


def gentle(shape, seed=0, step=0.15):
    rng = np.random.default_rng(seed)
    return np.cumsum(np.cumsum(rng.normal(0, step, shape), axis=0), axis=1) / np.sqrt(max(shape))


@given(shifts)
def test_the_field_has_the_shifts_as_its_means(values):
    inner = values[3:-3, 3:-3][1:-1, 1:-1]
    field = smooth.at_pixels(smooth.nodes_of(values), 60)
    assert np.abs(block_means(field, 60) - inner).max() < 0.1  # of shifts up to 1: the inverse is cut off


def test_a_linear_field_is_met_where_it_is():
    y, x = np.mgrid[:12, :11]
    values = 0.1 * y - 0.05 * x
    field = smooth.at_pixels(smooth.nodes_of(values), 20)
    assert np.abs(np.diff(field, axis=0) - 0.1 / 20).max() < 1e-6
    assert np.abs(np.diff(field, axis=1) + 0.05 / 20).max() < 1e-6


def test_a_missing_cell_takes_the_mean_of_those_around_it():
    values = np.ones((12, 11))
    values[5, 5] = values[0, 0] = np.nan
    np.testing.assert_allclose(smooth.nodes_of(values), 1.0)
    assert (smooth.nodes_of(np.full((12, 11), np.nan)) == 0).all()


@settings(max_examples=30)
@given(
    arrays(np.float32, (24, 36), elements=st.floats(0.0, 0.6875, width=32)),
    arrays(np.float64, (4, 5), elements=st.floats(-3, 3)),
)
def test_the_kernel_agrees_with_the_formula(mean, nodes):
    found = smooth.shifted(mean, nodes, 12, LO, HI)
    p = np.clip((mean.astype(np.float64) - LO) / (HI - LO), 1e-4, 1 - 1e-4)
    z = np.log(p / (1 - p)) + smooth.at_pixels(nodes, 12)
    np.testing.assert_allclose(found, LO + (HI - LO) / (1 + np.exp(-z)), atol=1e-6)


def test_missing_pixels_stay_missing():
    mean = np.full((12, 12), 0.3, np.float32)
    mean[3, 4] = np.nan
    found = smooth.shifted(mean, np.zeros((3, 3)), 12, LO, HI)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(mean))
    assert np.isnan(smooth.cell_shifts(mean * np.nan, np.full((1, 1), 0.3, np.float32), 12, LO, HI)).all()
    assert np.isnan(smooth.cell_shifts(mean, np.full((1, 1), 0.7, np.float32), 12, LO, HI)).all()
    np.testing.assert_allclose(smooth.cell_shifts(mean, np.full((1, 1), 0.3, np.float32), 12, LO, HI), 0, atol=1e-6)


def logit(field):
    p = np.clip((field.astype(np.float64) - LO) / (HI - LO), 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))


def test_borders_do_not_show_where_the_correction_is_gentle():
    ratio, cells = 60, 10
    size = (cells + 2 * smooth.RING) * ratio
    truth = LO + (HI - LO) / (1 + np.exp(-gentle((size, size), 1, 0.02) + 1))
    wide = (cells + 2 * smooth.RING,) * 2
    bias = np.kron(gentle(wide, 2, 0.4), np.ones((ratio, ratio)))
    p = (truth - LO) / (HI - LO)
    mean = (LO + (HI - LO) * p / (p + (1 - p) * np.exp(-bias * 0.5))).astype(np.float32)
    coarse = block_means(truth, ratio).astype(np.float32)
    nodes = smooth.nodes_of(smooth.cell_shifts(mean, coarse, ratio, LO, HI))
    core = slice(smooth.RING * ratio, -smooth.RING * ratio)
    own = slice(smooth.RING, -smooth.RING)
    hard, _ = constrain(mean[core, core], coarse[own, own], ratio, LO, HI)
    moved = smooth.shifted(mean[core, core], nodes, ratio, LO, HI)
    soft, unmet = constrain(moved, coarse[own, own], ratio, LO, HI, "smooth")
    assert not unmet.any()
    assert np.abs(block_means(soft, ratio) - coarse[own, own]).max() < 1e-6
    hard_step, soft_step = (np.abs(np.diff(logit(f) - logit(mean[core, core]), axis=0)) for f in (hard, soft))
    assert soft_step[ratio - 1 :: ratio].mean() < 0.1 * hard_step[ratio - 1 :: ratio].mean()


@pytest.fixture
def the_job(tmp_path):
    return job(tmp_path, constraint="smooth")


def by_tiles(the_job, the_engine, cells_per_tile):
    out = np.full((2, *the_job.grid.shape), np.nan, dtype=np.float32)
    for tile in the_job.grid.tiles(cells_per_tile):
        part = TilePredictor(the_job, tile, the_engine).day(DAY).mean
        out[(slice(None), *tile.core.relative_to(the_job.grid.window).slices)] = part
    return out


@pytest.mark.parametrize("cells_per_tile", [1, 2, 3])
def test_tiles_equal_the_whole(the_job, cells_per_tile):
    drivers = FakeDrivers(missing_coarse=frozenset({(401, 801)}))
    whole = by_tiles(the_job, engine(drivers), 5)
    found = by_tiles(the_job, engine(drivers), cells_per_tile)
    np.testing.assert_allclose(found, whole, atol=1e-6)
    assert np.isnan(found[:, 12:24, 12:24]).all()


def test_the_means_hold_and_the_correction_is_no_staircase(the_job):
    drivers = FakeDrivers()
    maps = {kind: by_tiles(dataclasses.replace(the_job, constraint=kind), engine(drivers), 2)
            for kind in ("smooth", "logit", "none")}  # fmt: skip
    for n, name in enumerate(("surface", "rootzone")):
        coarse = drivers.coarse("smap", name, CELLS, DAY)
        assert np.abs(block_means(maps["smooth"][n], 12) - coarse).max() < 1e-5
        lo, hi = the_job.layers[n].bounds

        def moved(kind, n=n, lo=lo, hi=hi):
            a, b = (
                (np.clip(maps[k][n].astype(np.float64), lo + 1e-3, hi - 1e-3) - lo) / (hi - lo) for k in (kind, "none")
            )
            return np.log(a / (1 - a)) - np.log(b / (1 - b))

        border = {kind: np.abs(np.diff(moved(kind), axis=0))[11::12].mean() for kind in ("smooth", "logit")}
        assert border["smooth"] < 0.5 * border["logit"]


def test_members_are_moved_by_their_own_shifts(tmp_path):
    the_job = job(tmp_path, constraint="smooth", members_url="kept")
    maps = TilePredictor(the_job, Tile(0, 0, CELLS, 12), engine()).day(DAY)
    coarse = FakeDrivers().coarse("smap", "surface", CELLS, DAY)
    for member in maps.members[:, 0]:
        assert np.abs(block_means(member, 12) - coarse).max() < 1e-5


def test_a_day_without_a_ring_is_still_mapped(the_job):
    alone = {(y, x) for y in range(390, 415) for x in range(790, 815)} - {(402, 801)}
    the_engine = engine(FakeDrivers(missing_coarse=frozenset(alone)), FakeEnsemble())
    maps = TilePredictor(the_job, Tile(0, 0, Window(402, 403, 801, 802), 12), the_engine).day(DAY)
    assert np.isfinite(maps.mean).all()

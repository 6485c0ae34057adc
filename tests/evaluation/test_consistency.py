"""Mass, bounds and seams are found where they are, and nowhere else."""

import math

import numpy as np
import pytest

from smdown.evaluation.consistency import Mass, Seams, mass_of, seams_of
from smdown.grid import Window

RATIO = 10


def cells(values):
    return np.repeat(np.repeat(np.asarray(values, np.float32), RATIO, axis=0), RATIO, axis=1)


def test_a_cell_that_drifts_from_its_coarse_value_is_found():
    coarse = np.array([[0.2, 0.3], [0.4, np.nan]], np.float32)
    field = cells(coarse)
    field[:RATIO, :RATIO] += 0.01
    mass = mass_of(field, coarse, np.zeros(field.shape, np.uint8), RATIO, (0.0, 0.6))
    assert (mass.cells, mass.flagged, mass.missing) == (3, 0, 1)
    assert mass.worst == pytest.approx(0.01, abs=1e-6)
    assert mass.outside == 0
    assert mass.valid == 3 * RATIO**2


def test_flagged_cells_are_counted_and_not_held_to_it():
    coarse = np.array([[0.2, 0.3]], np.float32)
    field = cells(coarse) + np.array([[0.1, 0.0]], np.float32).repeat(RATIO, axis=1)
    flags = np.zeros(field.shape, np.uint8)
    flags[:, :RATIO] = 4
    flags[3, RATIO + 3] = 8  # an imputed driver is no reason to miss the mean
    mass = mass_of(field, coarse, flags, RATIO, None)
    assert (mass.cells, mass.flagged) == (1, 1)
    assert mass.worst < 1e-6


def test_pixels_outside_the_bounds_are_counted():
    field = cells([[0.2]])
    field[0, :3] = -0.01, 0.61, 0.6
    assert mass_of(field, np.array([[0.2]], np.float32), None, RATIO, (0.0, 0.6)).outside == 2


def test_mass_keeps_the_worst_when_it_merges():
    assert (Mass(cells=1, worst=0.1) + Mass(cells=2, worst=0.3)).worst == 0.3
    assert math.isnan(Mass().metrics()["max_abs_difference"])


def whole_seams(field, shard, parts):
    total = Seams()
    height, width = field.shape
    wide = np.pad(field, ((0, 1), (0, 1)), constant_values=np.nan)
    for y0 in range(0, height, parts):
        for x0 in range(0, width, parts):
            core = Window(y0, min(y0 + parts, height), x0, min(x0 + parts, width))
            total = total + seams_of(wide[core.y0 : core.y1 + 1, core.x0 : core.x1 + 1], core, RATIO, shard, (0, 0))
    return total


def test_a_step_at_a_tile_edge_shows_in_the_tile_ratio_alone():
    rng = np.random.default_rng(0)
    field = rng.normal(0, 0.01, (40, 40)).astype(np.float32)
    field[:, 20:] += 0.5
    metrics = whole_seams(field, 20, 20).metrics()
    assert metrics["tile_edge_ratio"] > 5
    assert metrics["cell_border_ratio"] == pytest.approx(1, abs=0.3)


def test_seams_do_not_depend_on_the_tasks_tiles():
    field = np.random.default_rng(1).normal(0, 1, (40, 60)).astype(np.float32)
    field[5:9, 7:30] = np.nan
    one, other = whole_seams(field, 20, 20), whole_seams(field, 20, 30)
    assert (one.n_inside, one.n_cells, one.n_tiles) == (other.n_inside, other.n_cells, other.n_tiles)
    assert one.metrics() == pytest.approx(other.metrics())

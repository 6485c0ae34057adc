"""Roles: whole blocks of cells, stations by their cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.errors import ConfigError
from smdown.grid import Window
from smdown.training.choose import balanced
from smdown.training.splits import deal, hold_out, sample_cells, split

SEEDS = st.integers(0, 2**31)


def all_cells(height: int, width: int) -> np.ndarray:
    return np.array([(101 + y, 57 + x) for y in range(height) for x in range(width)])


def as_set(cells: np.ndarray) -> set[tuple[int, int]]:
    return {(int(y), int(x)) for y, x in cells}


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 40), st.integers(1, 4), st.floats(0.05, 0.6), SEEDS)
def test_no_cell_has_two_roles_and_stations_of_a_cell_share_theirs(height, width, n, block, validation, seed):
    rng = np.random.default_rng(seed)
    cells = all_cells(height, width)
    stations = cells[rng.integers(0, len(cells), n)]
    roles = split(cells, stations, block=block, validation=validation, held_out=0.5, rng=rng)
    held = as_set(stations[roles.held_out])
    validating = as_set(stations[roles.validation_station])
    seen = as_set(stations[~roles.held_out & ~roles.validation_station])
    assert not held & validating
    assert not held & seen
    assert not validating & seen
    assert validating <= as_set(cells[roles.validation_cell])
    assert not seen & as_set(cells[roles.validation_cell])
    assert 0 < roles.validation_cell.sum() < len(cells)


@given(st.integers(4, 9), st.integers(4, 9), SEEDS)
def test_validation_is_made_of_whole_blocks(height, width, seed):
    cells = all_cells(height, width)
    none = np.empty((0, 2), dtype=np.int64)
    roles = split(cells, none, block=2, validation=0.2, held_out=0.5, rng=np.random.default_rng(seed))
    held = {(int(y) // 2, int(x) // 2) for y, x in cells[roles.validation_cell]}
    kept = {(int(y) // 2, int(x) // 2) for y, x in cells[~roles.validation_cell]}
    assert not held & kept


@given(st.integers(1, 60), st.floats(0, 0.9), SEEDS)
def test_the_share_of_stations_never_seen_is_close_to_the_one_asked_for(n, fraction, seed):
    rng = np.random.default_rng(seed)
    cells = all_cells(20, 20)[rng.permutation(400)[:n]]
    assert abs(hold_out(cells, fraction, rng).sum() - fraction * n) <= 0.5 + 1e-9


def test_validation_takes_about_its_share_of_stations_too():
    rng = np.random.default_rng(3)
    cells = all_cells(8, 8)
    stations = cells[rng.integers(0, 64, 60)]
    roles = split(cells, stations, block=2, validation=0.2, held_out=0.5, rng=rng)
    assert 3 <= roles.validation_station.sum() <= 9


def test_one_cell_cannot_be_split():
    with pytest.raises(ConfigError, match="got 1 cells"):
        split(all_cells(1, 1), np.empty((0, 2)), block=2, validation=0.2, held_out=0.5, rng=np.random.default_rng(0))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 5), st.integers(2, 100), SEEDS)
def test_sampled_cells_are_of_the_region_once_each_and_bounded(height, width, block, limit, seed):
    window = Window(33, 33 + height, 71, 71 + width)
    cells = sample_cells(window, block, limit, np.random.default_rng(seed))
    found = as_set(cells)
    assert len(found) == len(cells) > 0
    assert all(window.y0 <= y < window.y1 and window.x0 <= x < window.x1 for y, x in found)
    assert len(cells) == window.size if window.size <= limit else len(cells) <= max(limit, block**2)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 150), SEEDS)
def test_samples_are_spread_evenly_over_items(days, items, limit, seed):
    rng = np.random.default_rng(seed)
    known = rng.random((days, items)) < 0.7
    day, item = balanced(known, limit, rng)
    assert len(day) == min(limit, known.sum())
    assert known[day, item].all()
    assert len(set(zip(day.tolist(), item.tolist(), strict=True))) == len(day)
    count = np.bincount(item, minlength=items)
    most = count.max(initial=0)
    assert (count[known.sum(axis=0) >= most] >= most - 1).all()


@given(st.integers(3, 9), st.integers(3, 9), st.integers(0, 40), st.integers(2, 4), st.integers(1, 2), SEEDS)
def test_folds_share_no_cell_and_each_cell_and_station_is_held_out_once(height, width, n, folds, block, seed):
    cells = all_cells(height, width)
    stations = cells[np.random.default_rng(seed).integers(0, len(cells), n)]
    roles = [
        split(cells, stations, block=block, validation=0.2, held_out=0.5, rng=np.random.default_rng(seed),
              folds=folds, fold=fold)
        for fold in range(folds)
    ]  # fmt: skip
    assert (np.sum([r.validation_cell for r in roles], axis=0) == 1).all()
    assert (np.sum([r.held_out for r in roles], axis=0) == 1).all()
    for r in roles:
        kept = as_set(stations[~r.held_out])
        assert not kept & as_set(stations[r.held_out])
        in_blocks = {(y // block, x // block) for y, x in as_set(cells[r.validation_cell])}
        assert not in_blocks & {(y // block, x // block) for y, x in as_set(cells[~r.validation_cell])}


def test_folds_are_of_one_size():
    fold = deal(all_cells(10, 10), 4, np.random.default_rng(0))
    assert np.bincount(fold).tolist() == [25] * 4


def test_more_folds_than_blocks_are_refused():
    with pytest.raises(ConfigError, match="got 4 blocks of cells for 5 folds"):
        split(all_cells(3, 3), np.empty((0, 2), int), block=2, validation=0.2, held_out=0.5,
              rng=np.random.default_rng(0), folds=5)  # fmt: skip

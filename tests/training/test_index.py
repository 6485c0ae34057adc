"""The index of patches: every one once a pass, units read whole, orders that need no memory of their past."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smdown.training.index import PatchIndex, patch_starts
from smdown.training.permute import Permutation

SEEDS = st.integers(0, 2**31)


@st.composite
def indices(draw):
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    cells = np.array([(31 + y, 57 + x) for y in range(height) for x in range(width)])
    keep = np.random.default_rng(draw(SEEDS)).random(len(cells)) < draw(st.floats(0.3, 1))
    keep[0] = True
    ratio = draw(st.sampled_from([9, 90, 180]))
    return PatchIndex(
        cells[keep], draw(st.integers(1, 9)), ratio, min(ratio, draw(st.sampled_from([64, 180]))),
        origin=(draw(st.integers(28, 31)), 57), days_per_unit=draw(st.integers(1, 5)),
        units_per_mix=draw(st.integers(1, 9)), shard_cells=draw(st.integers(1, 4)), seed=draw(SEEDS),
    )  # fmt: skip


@given(st.integers(1, 3000), SEEDS, st.integers(0, 9))
def test_a_permutation_visits_every_number_once(size, seed, turn):
    found = Permutation(size, seed, turn)(np.arange(size))
    assert np.array_equal(np.sort(found), np.arange(size))


def test_a_permutation_is_shuffled_and_another_for_another_key():
    one, two = (Permutation(10_000, 3, turn)(np.arange(10_000)) for turn in (0, 1))
    assert abs(np.corrcoef(one, np.arange(10_000))[0, 1]) < 0.05
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05
    assert abs((np.diff(one) > 0).mean() - 0.5) < 0.02


@settings(max_examples=60)
@given(indices(), st.integers(0, 3))
def test_a_pass_visits_every_patch_once(index, turn):
    found = index.at(np.arange(turn * len(index), (turn + 1) * len(index)))
    assert np.array_equal(np.sort(found), np.arange(len(index)))


@settings(max_examples=30)
@given(indices(), st.data())
def test_any_part_of_the_order_is_what_the_whole_has_there(index, data):
    start = data.draw(st.integers(0, 2 * len(index)))
    stop = start + data.draw(st.integers(1, len(index)))
    fresh = PatchIndex(
        index.cells, index.n_days, index.ratio, index.size, seed=index.seed, units_per_mix=index.units_per_mix
    )
    whole = fresh.at(np.arange(3 * len(fresh)))
    np.testing.assert_array_equal(fresh.at(np.arange(start, stop)), whole[start:stop])


@settings(max_examples=60)
@given(indices())
def test_a_unit_is_entered_once_a_pass_and_holds_its_patches(index):
    patches = index.locate(index.at(np.arange(len(index))))
    at = {int(u): np.flatnonzero(patches.unit == u) for u in np.unique(patches.unit)}
    assert set(at) == set(range(index.n_units))
    wanted = set()
    for n in range(0, len(patches), max(1, len(patches) // 40)):
        ahead = index.upcoming(n, 1)
        wanted |= set(ahead)
        assert int(patches.unit[n]) in ahead
        assert len(ahead) <= index.units_per_mix
    for number, members in at.items():
        unit = index.unit(number)
        assert {tuple(c) for c in patches.cells[members].tolist()} == {tuple(c) for c in unit.cells.tolist()}
        assert set(patches.day[members].tolist()) == set(unit.days.tolist())
        mix = {tuple(index.upcoming(int(n), 1)) for n in members}
        assert len(mix) == 1  # all patches of a unit lie in one stretch of the pass


@pytest.mark.parametrize(("ratio", "size"), [(9, 9), (90, 64), (180, 64), (300, 64), (1200, 64), (64, 64)])
def test_patches_cover_their_cell_and_stay_in_it(ratio, size):
    covered = np.zeros(ratio, dtype=bool)
    for start in patch_starts(ratio, size):
        assert 0 <= start <= ratio - size
        covered[start : start + size] = True
    assert covered.all()
    assert (len(patch_starts(ratio, size)) - 1) * size < ratio


def test_patches_of_a_number_lie_in_their_cell():
    cells = np.array([(3, 4), (3, 5), (9, 4)])
    patches = PatchIndex(cells, 5, 180, 64).locate(np.arange(3 * 5 * 9))
    inside = patches.corner - patches.cells * 180
    assert inside.min() == 0
    assert inside.max() == 180 - 64
    assert len(np.unique(np.column_stack([patches.corner, patches.day]), axis=0)) == 3 * 5 * 9


def test_a_continent_is_indexed_in_no_time():
    rows, cols = np.divmod(np.arange(627 * 284), 284)
    cells = np.stack([rows, cols], axis=1)
    start = time.perf_counter()
    indices = [PatchIndex(cells, 365, ratio, min(64, ratio), seed=1) for ratio in (9, 90, 180)]
    first = [index.locate(index.at(np.arange(64))) for index in indices]
    seconds = time.perf_counter() - start
    assert [len(index) for index in indices] == [64_994_820, 259_979_280, 584_953_380]
    assert all(len(np.unique(p.number)) == 64 for p in first)
    assert seconds < 5

"""Strata: rare kinds of cells are drawn more often, but not without bound."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smdown.grid import Window
from smdown.training import TrainingConfig
from smdown.training.strata import draw_blocks, quotas, strata
from smdown.training.survey import probe, relief, sampled_cells

SEEDS = st.integers(0, 2**31)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=300), st.integers(1, 400), st.floats(1, 20))
def test_quotas_fill_the_limit_and_keep_to_the_bound(kinds, limit, bound):
    stratum = np.array(kinds)
    names, counts = np.unique(stratum, return_counts=True)
    share = quotas(stratum, limit, bound)
    drawn = np.array([share[int(n)] for n in names])
    assert drawn.sum() == min(limit, len(kinds))
    assert (drawn <= counts).all()
    chance = drawn / counts
    least = ((drawn + 1) / counts)[drawn < counts]
    if len(least):  # whole numbers: up to one item more or less
        assert ((drawn - 1) / counts <= bound * least.min() + 1e-9).all()
    assert (chance <= 1).all()


def test_a_rare_kind_is_seen_like_the_others():
    wet = np.concatenate([np.linspace(0, 1, 950), np.linspace(8, 9, 50)])
    kinds = strata(wet, np.zeros(1000))
    share = quotas(kinds, 100, 100.0)
    assert sorted(share.values()) == [50, 50]
    assert min(quotas(kinds, 100, 4.0).values()) == round(100 * 4 * 50 / (4 * 50 + 950))
    assert min(quotas(kinds, 100, 1.0).values()) == 5


@given(st.integers(4, 12), st.integers(4, 12), st.integers(1, 3), st.integers(4, 60), SEEDS)
def test_whole_blocks_of_every_stratum_are_drawn(height, width, block, limit, seed):
    rng = np.random.default_rng(seed)
    cells = np.array([(30 + y, 60 + x) for y in range(height) for x in range(width)])
    kinds = (cells[:, 0] // (3 * block)) % 2
    found = draw_blocks(cells, block, kinds, limit, 4.0, rng)
    chosen = {tuple(c) for c in found.tolist()}
    assert len(chosen) == len(found) <= max(limit, block**2)
    blocks = {(y // block, x // block) for y, x in chosen}
    assert chosen == {(y, x) for y, x in cells.tolist() if (y // block, x // block) in blocks}


def test_cells_of_a_region_are_drawn_from_all_its_kinds(region):
    class Wide:
        """Wetter to the south, steep in a few columns."""

        def coarse(self, source, variable, cells, day):
            y, x = np.mgrid[cells.slices]
            return np.where(x == 800, np.nan, 0.1 + 0.01 * (y - 400)).astype(np.float32)

        def static(self, grid, window, names=None):
            assert list(names) == ["slope"]
            return np.where(np.mgrid[window.slices][1] // grid.ratio >= 858, 0.5, 0.01)[None].astype(np.float32)

    wide, context = Wide(), region.context("", cells=Window(400, 430, 800, 860))
    config = TrainingConfig(labels=[{"kind": "cell_mean", "source": "smap"}], max_cells=160, block_cells=2)
    cells = sampled_cells(config, context, wide, context.days, np.random.default_rng(0))
    assert len(cells) <= 160
    assert (cells[:, 1] > 800).all()
    wet = probe(wide, context, cells, context.days)[0, 0]
    steep = relief(wide, context, cells, 9)
    assert {0.01, 0.5} == set(steep.round(3).tolist())
    assert (steep > 0.1).mean() > 2 * (2 / 60)
    counts = np.histogram(wet, bins=3)[0]
    assert counts.min() > 0.15 * len(cells)

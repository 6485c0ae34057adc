"""Tasks that are made when their turn comes are those that a list would hold."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from smdown.grid import EASE2_M09, NestedGrid, Tile, Window
from smdown.plan import JoinedTasks, Plan, Receipt, TileTasks


@dataclass(frozen=True)
class Task:
    tile: Tile

    @property
    def key(self):
        return f"{self.tile.row}-{self.tile.col}"


def run(task):
    return Receipt(task.key)


@st.composite
def tilings(draw):
    height, width, side = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 5))
    grid = NestedGrid(EASE2_M09, Window(400, 400 + height, 800, 800 + width), 3)
    shape = -(-height // side), -(-width // side)
    return grid, side, draw(arrays.arrays(bool, shape))


@given(tilings())
def test_tasks_are_those_of_the_tiles_that_are_left(tiling):
    grid, side, written = tiling
    wanted = [Task(tile) for tile in grid.tiles(side) if not written[tile.row, tile.col]]
    found = TileTasks(Task, grid, side, written)
    assert len(found) == len(wanted)
    assert list(found) == wanted == [found[n] for n in range(len(found))]
    assert list(found[1:-1]) == wanted[1:-1]
    assert found == tuple(wanted)
    assert pickle.loads(pickle.dumps(found)) == found
    assert (found == [*wanted, None]) is False
    joined = JoinedTasks([found, (), found])
    assert list(joined) == wanted * 2 == [joined[n] for n in range(len(joined))]
    with pytest.raises(IndexError):
        found[len(found)]


def test_a_plan_of_the_globe_makes_no_task_before_its_turn():
    made = []

    def make(tile):
        made.append(tile)
        return Task(tile)

    globe = NestedGrid(EASE2_M09, EASE2_M09.window, 300)
    plan = Plan("x", TileTasks(make, globe, 4, np.zeros((406, 964), bool)), run, 0)
    assert plan.total == 406 * 964
    assert made == []
    assert [task.key for task in islice(plan.tasks, 3)] == ["0-0", "0-1", "0-2"]
    assert plan.tasks[-1].key == "405-963"
    assert len(made) == 4

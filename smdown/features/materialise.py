"""Static drivers as cubes: a plan of tiles, each written whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from smdown.cubes import CubeSpec, Variable, create_cube, join, open_cube
from smdown.features.loader import get_loader
from smdown.features.spec import FeatureSpec
from smdown.grid import Tile, nominal_ratio
from smdown.plan import JoinedTasks, Plan, Receipt, TileTasks

_FIXED_BYTES = 600 * 2**20


@dataclass(frozen=True)
class FeaturesTask:
    """One tile of one feature cube."""

    spec: FeatureSpec
    url: str
    tile: Tile

    @property
    def key(self) -> str:
        """Resolution and place."""
        return f"{self.tile.ratio}-{self.tile.row}-{self.tile.col}"


def cube_url(spec: FeatureSpec, ratio: int) -> str:
    """Return where the cube of a ratio lies."""
    return join(spec.features_url, f"{round(spec.base.lattice.cell / ratio)}m.zarr")


def features_plan(
    spec: FeatureSpec,
    resolutions: Sequence[int],
    cells_per_tile: int,
    fingerprint: str,
    *,
    made_from: Mapping[str, Any] | None = None,
    fresh: bool = False,
) -> Plan:
    """Create the feature cubes and return the tiles that are still to be filled.

    Parameters
    ----------
    spec : FeatureSpec
        Drivers and places.
    resolutions : sequence of int
        Nominal pixels, metres.
    cells_per_tile : int
        Coarse cells along one side of a tile.
    fingerprint : str
        Identity of drivers and sources.
    made_from : mapping, optional
        The same in words.
    fresh : bool
        Replace cubes of another fingerprint.
    """
    tasks: list[TileTasks] = []
    done = 0
    for ratio in (nominal_ratio(spec.base.lattice, r) for r in resolutions):
        wanted = _cube(spec, ratio, cells_per_tile, fingerprint, made_from or {})
        cube = create_cube(cube_url(spec, ratio), wanted, resume=True, fresh=fresh)
        written = cube.written()
        done += int(written.sum())
        tasks.append(TileTasks(partial(FeaturesTask, spec, cube.url), spec.base.at(ratio), cells_per_tile, written))
    return Plan("features", JoinedTasks(tasks), run_features, task_bytes(spec, cells_per_tile), done)


def _cube(
    spec: FeatureSpec, ratio: int, cells_per_tile: int, fingerprint: str, made_from: Mapping[str, Any]
) -> CubeSpec:
    grid = spec.base.at(ratio)
    units = spec.units
    variables = tuple(Variable(d.name, units=units[d.name], long_name=d.name) for d in spec.static)
    return CubeSpec(grid.raster, variables, (), cells_per_tile * ratio, ratio, fingerprint, {}, grid, made_from)


def run_features(task: FeaturesTask) -> Receipt:
    """Compute and write the static drivers of one tile."""
    cube = open_cube(task.url)
    assert cube.nested is not None
    loader = get_loader(task.spec)
    drivers = loader.compute_static(cube.nested, task.tile.core)
    local = task.tile.core.relative_to(cube.nested.window)
    for name, values in zip(task.spec.static_names, drivers, strict=True):
        cube.write(name, values, local)
    cube.commit(task.tile.row, task.tile.col)
    return Receipt(task.key, pixels=task.tile.core.size)


def task_bytes(spec: FeatureSpec, cells_per_tile: int) -> int:
    """Return the memory that one tile of the finest grid needs at most."""
    height, width = (min(cells_per_tile, side) * spec.base.ratio for side in spec.base.cells.shape)
    return _FIXED_BYTES + 4 * height * width * (len(spec.static) + 10)

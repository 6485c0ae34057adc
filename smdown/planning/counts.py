"""Tasks that there are, counted and not listed: a plan costs the same for a county and a continent."""

from __future__ import annotations

from dataclasses import dataclass

from smdown import cubes
from smdown.cubes.cube import RECEIPTS
from smdown.cubes.layout import CubeSpec
from smdown.errors import CubeError
from smdown.grid import Window
from smdown.runlog import FAILED, read_json


@dataclass(frozen=True, slots=True)
class Found:
    """What an earlier run left of a cube.

    Parameters
    ----------
    done : int
        Tiles that have their receipt for every day.
    spec : CubeSpec, optional
        The cube; None where there is none that can be read.
    """

    done: int = 0
    spec: CubeSpec | None = None


def tile_count(cells: Window, cells_per_tile: int) -> int:
    """Return how many tiles cover the cells; those at the lower and right edge may be smaller."""
    return -(-cells.height // cells_per_tile) * -(-cells.width // cells_per_tile)


def find_cube(url: str | None, identity: str | None = None) -> Found:
    """Return what is there of a cube; nothing where it is missing, damaged, half created, or has another identity."""
    if url is None or not cubes.exists(url):
        return Found()
    try:
        cube = cubes.open_cube(url)
    except CubeError:  # the run says why
        return Found()
    if identity is not None and cube.spec.fingerprint != identity:
        return Found()
    return Found(_receipts(url, len(cube.batches)), cube.spec)


def _receipts(url: str, batches: int) -> int:
    """Return how many tiles have all their receipts, by the names of these objects: thousands are listed in no time."""
    found: dict[str, int] = {}
    for key in cubes.store.sizes(cubes.join(url, RECEIPTS, "c")):
        tile = "/".join(key.split("/")[:2])
        found[tile] = found.get(tile, 0) + 1
    return sum(count >= batches for count in found.values())


def failed_tasks(workdir: str, stage: str) -> int:
    """Return how many tasks of a stage failed in the last run; they are among those that will be run."""
    failed = read_json(cubes.join(workdir, FAILED)).get(stage, {})
    return len(failed) if isinstance(failed, dict) else 0

"""Tasks that there are, counted and not listed: a plan costs the same for a county and a continent."""

from __future__ import annotations

from dataclasses import dataclass

from smdown import cubes
from smdown.cubes.cube import RECEIPTS, Cube
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
    share : float
        Part of its tiles and days that is written.
    """

    done: int = 0
    spec: CubeSpec | None = None
    share: float = 0.0


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
    return _found(cube)


def find_map(url: str | None, identity: str | None, day: str, days: tuple[str, ...]) -> Found:
    """Return what is there of a map of these days; of one that a run will lengthen by the later ones, no tile is done.

    Parameters
    ----------
    url, identity
        See `find_cube`.
    day : str
        Identity of whatever determines a day of the map; empty where nobody can say.
    days : tuple of str
        ISO days that are wanted.
    """
    found = find_cube(url, identity)
    there = find_cube(url) if found.spec is None and day else Found()
    if there.spec is None or there.spec.day_identity != day or there.spec.times != days[: len(there.spec.times)]:
        return found
    return Found(0, there.spec, there.share * len(there.spec.times) / len(days))


def _found(cube: Cube) -> Found:
    """Count receipts by the names of these objects: thousands are listed in no time."""
    found: dict[str, int] = {}
    written, sizes = 0, cube.batches
    for key in cubes.store.sizes(cubes.join(cube.url, RECEIPTS, "c")):
        tile, batch = key.split("/")[:2], key.split("/")[2:]
        found["/".join(tile)] = found.get("/".join(tile), 0) + 1
        written += sizes[int(batch[0]) if batch else 0]  # layout 1 has no batches
    rows, cols = cube.spec.tiles
    share = written / (rows * cols * max(1, sum(sizes)))
    return Found(sum(count >= len(sizes) for count in found.values()), cube.spec, share)


def failed_tasks(workdir: str, stage: str) -> int:
    """Return how many tasks of a stage failed in the last run; they are among those that will be run."""
    failed = read_json(cubes.join(workdir, FAILED)).get(stage, {})
    return len(failed) if isinstance(failed, dict) else 0

"""Memory that one tile needs, from shapes alone."""

from __future__ import annotations

from dataclasses import dataclass

from smdown.inference.blocks import BLOCK_PX
from smdown.inference.job import PredictJob

PROCESS_BYTES = 900 * 2**20
"""A worker before its first tile: the interpreter and the libraries, compiled kernels, the networks' own workspace."""

_SPARE = 1.15  # arrays that live for a moment only, and what the allocator keeps between calls


@dataclass(frozen=True, slots=True)
class Needs:
    """Counts that, with the job, determine the memory of a tile.

    Parameters
    ----------
    static, dynamic : int
        Drivers of either kind.
    members : int
        Networks.
    radius : int
        Halo in pixels.
    sequence_bytes : int
        One day's sequence of a tile.
    pixel_bytes : int
        What the networks hold for each pixel of a block while they compute.
    """

    static: int
    dynamic: int
    members: int
    radius: int
    sequence_bytes: int = 0
    pixel_bytes: int = 1024


def task_bytes(job: PredictJob, needs: Needs) -> int:
    """Return the memory that a process needs to predict one tile of the job.

    Parameters
    ----------
    job : PredictJob
        Tile and layers.
    needs : Needs
        Drivers and networks.
    """
    ratio, layers = job.grid.ratio, len(job.layers)
    cells = job.grid.cells
    side_y = min(job.cells_per_tile, cells.height) * ratio
    side_x = min(job.cells_per_tile, cells.width) * ratio
    block = max(1, BLOCK_PX // ratio) * ratio
    core = side_y * side_x
    read = (side_y + 2 * needs.radius) * (side_x + 2 * needs.radius)
    part = min(core, block**2)
    part_read = min(read, (block + 2 * needs.radius) ** 2)
    drivers = needs.static + needs.dynamic
    loading = 4 * read * (drivers + 8)  # what is being resampled is held beside its result
    kept = needs.members if job.members_url else 0
    maps = core * (4 * layers * (2 + kept) + 1)
    computing = part_read * (4 * drivers + needs.pixel_bytes) + part * layers * 4 * (2 * needs.members + 8)
    writing = core * 24  # one map as float64, packed, cut into chunks and compressed
    return int(PROCESS_BYTES + _SPARE * (loading + maps + needs.sequence_bytes + max(computing, writing)))

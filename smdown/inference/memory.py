"""Memory that one tile needs, from shapes alone."""

from __future__ import annotations

from dataclasses import dataclass

from smdown.inference.blocks import BLOCK_PX
from smdown.inference.job import PredictJob

PROCESS_BYTES = 900 * 2**20
"""A worker before its first tile: the interpreter and the libraries, and kernels being compiled."""

NETWORK_BYTES = 128 * 2**20
"""Weights, and what the networks hold for the small windows that they compute at once."""

_SCRATCH = 6  # arrays of a driver's window that resampling holds beside its result
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
    """

    static: int
    dynamic: int
    members: int
    radius: int
    sequence_bytes: int = 0


def task_bytes(job: PredictJob, needs: Needs) -> int:
    """Return the memory that a process needs to predict one tile of the job, its libraries counted in.

    Parameters
    ----------
    job : PredictJob
        Tile and layers.
    needs : Needs
        Drivers and networks.
    """
    ratio, layers, halo = job.grid.ratio, len(job.layers), 2 * needs.radius
    height, width = (min(job.cells_per_tile, side) * ratio for side in job.grid.cells.shape)
    core, read = height * width, (height + halo) * (width + halo)
    side = max(1, BLOCK_PX // ratio) * ratio
    block, block_read = min(core, side**2), min(read, (side + halo) ** 2)
    loading = 4 * read * (needs.static + max(needs.static, 2 * needs.dynamic) + _SCRATCH)  # stacking copies once
    kept = 2 * needs.members if job.members_url else 0  # with their errors
    maps = core * (4 * layers * (2 + kept) + 1 + 4)  # the last is the dissimilarity index
    computing = 4 * block_read * (needs.static + needs.dynamic) + 4 * block * layers * (3 * needs.members + 8)
    writing = core * 24  # one map as float64, packed, cut into chunks and compressed
    arrays = loading + maps + 2 * needs.sequence_bytes + max(computing, writing)
    return int(PROCESS_BYTES + NETWORK_BYTES + _SPARE * arrays)

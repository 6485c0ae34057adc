"""Chunked Zarr cubes: created whole, filled by whole-shard writes, sealed by receipts."""

from smdown.cubes.append import append_times
from smdown.cubes.create import create_cube
from smdown.cubes.cube import Cube
from smdown.cubes.layout import CubeSpec, Variable
from smdown.cubes.opening import open_cube
from smdown.cubes.store import delete, exists, get, join, put
from smdown.cubes.verify import verify

__all__ = [
    "Cube", "CubeSpec", "Variable", "append_times", "create_cube", "delete", "exists", "get", "join", "open_cube",
    "put", "verify",
]  # fmt: skip

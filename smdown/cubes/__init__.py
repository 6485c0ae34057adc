"""Chunked Zarr cubes: created whole, filled by whole-shard writes, sealed by receipts."""

from smdown.cubes.create import create_cube
from smdown.cubes.cube import Cube, open_cube
from smdown.cubes.layout import CubeSpec, Variable
from smdown.cubes.store import delete, exists, join

__all__ = ["Cube", "CubeSpec", "Variable", "create_cube", "delete", "exists", "join", "open_cube"]

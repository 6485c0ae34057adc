"""Describe whatever lies at a path: a cube, a table of stations or a model bundle."""

from __future__ import annotations

from rich.table import Table

from smdown import cubes
from smdown.errors import CubeError


def describe(path: str) -> list[Table]:
    """Return tables that describe a cube, a table of stations or a bundle.

    Parameters
    ----------
    path : str
        Local path or fsspec URL.

    Raises
    ------
    CubeError, BundleError
        If there is nothing, or nothing of ours.
    """
    if not cubes.exists(path):
        raise CubeError(f"got {path}, where there is nothing; name a cube, a table of stations or a bundle's folder")
    if cubes.exists(cubes.join(path, "bundle.json")):
        from smdown.describe.bundle import bundle_tables
        from smdown.training import Bundle

        return bundle_tables(path, Bundle.load(path))
    from smdown.describe.cube import cube_tables
    from smdown.describe.stations import station_tables
    from smdown.sources.table import open_stations, sealed_fingerprint

    if (seal := sealed_fingerprint(path)) is not None:
        return station_tables(path, open_stations(path), seal)
    return cube_tables(cubes.open_cube(path))

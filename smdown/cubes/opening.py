"""Open a cube: check its identity, then read back what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import zarr

from smdown.cubes import manifest, store
from smdown.cubes.cube import Cube
from smdown.cubes.reading import spec_from
from smdown.errors import CubeError


def open_cube(url: str, *, complete: bool = False) -> Cube:
    """Open a cube.

    Parameters
    ----------
    url : str
        Local path or fsspec URL.
    complete : bool
        Refuse a cube with tiles that are not written yet.

    Returns
    -------
    Cube
        Open for reading and writing.

    Raises
    ------
    CubeError
        If there is no cube, it is not one of ours, or it is not complete where that is asked for.
    """
    if not store.exists(url):
        raise CubeError(f"got {url}, where there is no cube; run the stage that makes it first")
    try:
        group = zarr.open_group(store.zarr_store(url, read_only=False), mode="r+", zarr_format=3)
        own: Any = group.attrs.get("smdown")
        if own is not None:
            manifest.check_root(url)
        cube = None if own is None else _cube_from(url, group, own)
    except Exception as error:
        if store.is_empty(url):  # a writer died before it had written anything
            raise CubeError(f"got {url}, where there is no cube; run the stage that makes it first") from error
        problem = " ".join(str(error).split())
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise CubeError(f"got {url}, which cannot be reached ({problem}); check its rights or the line") from error
        raise CubeError(f"got {url}, which cannot be read as a cube ({problem}); remove it, make it again") from error
    if cube is None:
        raise CubeError(f"got {url}, which is not a finished cube of ours; run the stage that makes it, or remove it")
    if complete and not cube.complete:
        raise CubeError(f"got {url}, which is not finished; run the stage that makes it again")
    return cube


def _cube_from(url: str, group: zarr.Group, own: Mapping[str, Any]) -> Cube:
    spec = spec_from(group, own)
    return Cube(url, group, spec, tuple(own.get("batches", [len(spec.times)])), own["schema"])

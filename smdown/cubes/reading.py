"""Read back what a cube is: its specification from the group's attributes and the metadata of its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr

from smdown.cubes import layout
from smdown.cubes.layout import CubeSpec, Variable
from smdown.errors import CubeError
from smdown.grid import RasterGrid


def spec_from(group: zarr.Group, own: Mapping[str, Any]) -> CubeSpec:
    """Return what the cube was created as, its present days included.

    Raises
    ------
    CubeError
        If it has the layout of a later version.
    """
    if own["schema"] > layout.SCHEMA:
        raise CubeError(f"it has layout {own['schema']} of a later version of smdown, this one knows {layout.SCHEMA}")
    arrays = dict(group.arrays())
    time = np.asarray(arrays["time"][...]) if "time" in arrays else np.zeros(0, dtype=np.int64)
    times = tuple(str(d) for d in time.astype("datetime64[D]"))
    return CubeSpec(
        RasterGrid(*own["raster"]),
        tuple(_variable_from(name, arrays[name], dict(arrays[name].attrs)) for name in own["variables"]),
        times,
        own["shard"],
        own["chunk"],
        own["fingerprint"],
        own["attrs"],
        layout.nested_from_json(own["nested"]) if "nested" in own else None,
        own.get("made_from", {}),
        own.get("day_identity", ""),
    )


def _variable_from(name: str, array: zarr.Array[Any], attrs: dict[str, Any]) -> Variable:
    known = ("grid_mapping", "units", "long_name", "standard_name", "scale_factor", "add_offset",
             "smdown_valid_range", "smdown_resampling", "_FillValue", "coordinates")  # fmt: skip
    limits = attrs.get("smdown_valid_range")
    return Variable(
        name,
        layout.TIME_Y_X if array.ndim == 3 else layout.Y_X,
        str(array.dtype),
        attrs.get("scale_factor"),
        attrs.get("units", ""),
        attrs.get("long_name", ""),
        attrs.get("standard_name", ""),
        (limits[0], limits[1]) if limits else None,
        attrs.get("smdown_resampling", ""),
        {k: v for k, v in attrs.items() if k not in known},
    )

"""Create a cube whole: group, arrays and coordinates first, its own identity last."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import zarr
from xarray.backends.zarr import FillValueCoder
from zarr.codecs import BloscCodec, Crc32cCodec

from smdown.cubes import layout, manifest, store
from smdown.cubes.append import append_times
from smdown.cubes.cube import RECEIPTS, WRITE_ALL, Cube
from smdown.cubes.layout import CubeSpec, Variable
from smdown.cubes.opening import open_cube
from smdown.cubes.origin import WAYS_OUT, difference
from smdown.errors import CubeError

_TIME_ATTRS: dict[str, Any] = {
    "standard_name": "time",
    "axis": "T",
    "units": "days since 1970-01-01",
    "calendar": "proleptic_gregorian",
}
_CREATING = "smdown_creating"
"""Attribute of a cube whose creation is not finished."""
_TIME_CHUNK = 512
"""Days in one object of the time axis, so that a cube which grows day by day is still opened with few readings."""
COMPRESSORS = (BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec())


def create_cube(
    url: str, spec: CubeSpec, *, resume: bool = False, overwrite: bool = False, fresh: bool = False
) -> Cube:
    """Create an empty cube, or return the one that an interrupted run left.

    Parameters
    ----------
    url : str
        Local path or fsspec URL.
    spec : CubeSpec
        What to create.
    resume : bool
        Take up an existing cube if its fingerprint is the same; lengthen it if it only lacks later days.
    overwrite : bool
        Replace whatever is there.
    fresh : bool
        Replace an existing cube that cannot be resumed because it was made from something else.

    Returns
    -------
    Cube
        Open for writing. One whose creation was cut short is made anew; anything else that lies there stays.

    Raises
    ------
    CubeError
        If something is there and neither option allows it, or it was made from something else.
    """
    if overwrite:
        _remove(url)
    if store.exists(url) and not _is_half_created(url):
        found = open_cube(url)
        if resume and spec.lengthens(found.spec):
            store.sweep_partials(url)
            days = spec.times[len(found.spec.times) :]
            found = append_times(url, days, fingerprint=spec.fingerprint, made_from=spec.made_from)
        try:
            _check_resumable(found, spec, resume=resume)
        except CubeError:
            if not fresh:
                raise
            _remove(url)
        else:
            store.sweep_partials(url)
            return found
    _create_arrays(url, spec)
    return open_cube(url)


def _remove(url: str) -> None:
    """Remove what is there so that, cut short anywhere, it counts as half created: the group's document goes last."""
    if store.exists(store.join(url, manifest.ROOT)):
        group = {"zarr_format": 3, "node_type": "group", "attributes": {_CREATING: True}}
        store.put(store.join(url, manifest.ROOT), json.dumps(group).encode())
        for name in store.names(url):
            if name != manifest.ROOT:
                store.delete(store.join(url, name))
    store.delete(url)


def _is_half_created(url: str) -> bool:
    """Whether a run was killed while it created this cube: nothing but metadata is lost with it."""
    if store.is_empty(url):
        return True
    try:
        group = zarr.open_group(store.zarr_store(url, read_only=True), mode="r", zarr_format=3)
    except Exception:  # noqa: BLE001 - whatever it is, it is not ours to remove
        return False
    return bool(group.attrs.get(_CREATING, False))


def _check_resumable(found: Cube, spec: CubeSpec, *, resume: bool) -> None:
    if not resume:
        raise CubeError(f"got {found.url}, which exists already; resume it, or remove it to start afresh")
    if found.spec.fingerprint != spec.fingerprint:
        what = _difference(found.spec, spec)
        raise CubeError(
            f"got {found.url}, which was made with another configuration, input or bundle{f': {what}' if what else ''} "
            f"(fingerprint {found.spec.fingerprint}, now {spec.fingerprint}); {WAYS_OUT}"
        )
    for what, old, new in (
        ("grid", found.raster, spec.raster),
        ("times", found.spec.times, spec.times),
        ("shards and chunks", (found.spec.shard, found.spec.chunk), (spec.shard, spec.chunk)),
        ("variables", list(found.variables), [v.name for v in spec.variables]),
    ):
        if old != new:
            raise CubeError(f"got {found.url} with other {what} ({old}, now {new}); {WAYS_OUT}")


def _difference(old: CubeSpec, new: CubeSpec) -> str:
    if old.made_from and new.made_from:
        return difference(old.made_from, new.made_from)
    return difference(*({k: v for k, v in spec.attrs.items() if k != "history"} for spec in (old, new)))


def _create_arrays(url: str, spec: CubeSpec) -> None:
    group = zarr.open_group(store.zarr_store(url), mode="w", zarr_format=3, attributes={_CREATING: True})
    for variable in spec.variables:
        _create_variable(group, spec, variable)
    _create_coordinates(group, spec)
    group.create_array(
        RECEIPTS, shape=(*spec.tiles, 1), chunks=(1, 1, 1), dtype="uint8", fill_value=0, compressors=None,
        dimension_names=("tile_y", "tile_x", "tile_batch"),
        attributes={"long_name": "1 where the tile is wholly written"},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(store.zarr_store(url))
    _identify(url, spec, list(group.array_keys()))


def _identify(url: str, spec: CubeSpec, arrays: list[str]) -> None:
    """Write the manifest and, last and at once, the cube's identity: until then it counts as half created."""
    keys = [manifest.ROOT, *(f"{name}/{manifest.ROOT}" for name in sorted(arrays))]
    documents = {key: store.get(store.join(url, key)) or b"" for key in keys}
    root = json.loads(documents[manifest.ROOT]) | {"attributes": _group_attrs(spec)}
    documents[manifest.ROOT] = json.dumps(root, indent=2).encode()
    manifest.write(url, [manifest.state(documents)])
    store.put(store.join(url, manifest.ROOT), documents[manifest.ROOT])


def _create_variable(group: zarr.Group, spec: CubeSpec, variable: Variable) -> None:
    lead = (1,) if variable.timed else ()
    fill = variable.fill
    attrs = variable.cf_attrs()
    if variable.is_float:
        attrs["_FillValue"] = FillValueCoder.encode(np.dtype(variable.dtype).type(fill), np.dtype(variable.dtype))
    group.create_array(
        variable.name,
        shape=spec.shape(variable),
        chunks=(*lead, spec.chunk, spec.chunk),
        shards=(*lead, spec.shard, spec.shard),
        dtype=variable.dtype,
        fill_value=fill,
        compressors=COMPRESSORS,
        dimension_names=variable.dims,
        attributes=attrs,
    )


def _create_coordinates(group: zarr.Group, spec: CubeSpec) -> None:
    raster = spec.raster
    axes = layout.axis_attrs(raster)
    for name, values in layout.centres(spec).items():
        array = group.create_array(
            name, shape=values.shape, chunks=values.shape, dtype="float64", dimension_names=(name,),
            fill_value=np.nan, attributes=axes[name], compressors=COMPRESSORS,
        )  # fmt: skip
        array[...] = values
    mapping = group.create_array(
        "spatial_ref", shape=(), dtype="int64", attributes=layout.grid_mapping(raster), compressors=COMPRESSORS,
    )  # fmt: skip
    mapping.with_config(WRITE_ALL)[...] = np.int64(0)
    if spec.times:
        days = np.array(spec.times, dtype="datetime64[D]").astype(np.int64)
        time = group.create_array(
            "time", shape=days.shape, chunks=(max(days.size, _TIME_CHUNK),), dtype="int64", dimension_names=("time",),
            attributes=_TIME_ATTRS, compressors=COMPRESSORS,
        )  # fmt: skip
        time.with_config(WRITE_ALL)[...] = days


def _group_attrs(spec: CubeSpec) -> dict[str, Any]:
    raster = spec.raster
    own: dict[str, Any] = {
        "schema": layout.SCHEMA,
        "fingerprint": spec.fingerprint,
        "shard": spec.shard,
        "chunk": spec.chunk,
        "variables": [v.name for v in spec.variables],
        "batches": [len(spec.times)],
        "raster": [raster.crs, raster.x0, raster.y0, raster.dx, raster.dy, raster.height, raster.width],
        "attrs": dict(spec.attrs),
    }
    if spec.nested is not None:
        own["nested"] = layout.nested_to_json(spec.nested)
    if spec.made_from:
        own["made_from"] = dict(spec.made_from)
    if spec.day_identity:
        own["day_identity"] = spec.day_identity
    return {"Conventions": "CF-1.11", **{k: v for k, v in spec.attrs.items() if isinstance(v, str)}, "smdown": own}

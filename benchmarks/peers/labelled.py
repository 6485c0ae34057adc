"""Peers that take and give labelled arrays (xarray)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.jobs import F32, Job

CHUNK = 1024
"""Side of Dask's chunks of the source; chunks of the target are the job's tiles."""


def rioxarray(job: Job, field: F32) -> Callable[[], F32]:
    """Return `rio.reproject`."""
    import rioxarray  # noqa: F401 - registers the accessor
    import xarray as xr

    array = xr.DataArray(field, dims=("y", "x"))
    array = array.rio.write_crs(job.raster.crs).rio.write_transform(job.source_affine).rio.write_nodata(np.nan)
    from rasterio.warp import Resampling

    def run() -> F32:
        out: F32 = array.rio.reproject(
            job.grid.crs, shape=job.window.shape, transform=job.target_affine, resampling=Resampling.cubic,
            nodata=np.nan, num_threads=1,
        ).values  # fmt: skip
        return out

    return run


def odc(job: Job, field: F32) -> Callable[[], F32]:
    """Return `xr_reproject` on a NumPy array."""
    from odc.geo.xr import xr_reproject

    source, target = _odc_array(job, field), _geobox(job.window.shape, job.target_affine, job.grid.crs)

    def run() -> F32:
        out: F32 = xr_reproject(source, target, resampling="cubic", dst_nodata=np.nan).values
        return out

    return run


def odc_dask(job: Job, field: F32) -> Callable[[], F32]:
    """Return `xr_reproject` on a Dask array of several chunks, on two threads."""
    import dask
    from odc.geo.xr import xr_reproject

    chunk = min(CHUNK, max(8, max(field.shape) // 3))
    source = _odc_array(job, field).chunk(chunk)
    target = _geobox(job.window.shape, job.target_affine, job.grid.crs)

    def run() -> F32:
        with dask.config.set(scheduler="threads", num_workers=2):
            made = xr_reproject(source, target, resampling="cubic", dst_nodata=np.nan, chunks=(job.tile, job.tile))
            out: F32 = made.values
        return out

    return run


def _geobox(shape: tuple[int, int], transform: Any, crs: str) -> Any:
    from odc.geo.geobox import GeoBox

    return GeoBox(shape, transform, crs)


def _odc_array(job: Job, field: F32) -> Any:
    from odc.geo.xr import wrap_xr

    return wrap_xr(field, _geobox(field.shape, job.source_affine, job.raster.crs), nodata=np.nan)


def regrid(job: Job, field: F32) -> Callable[[], F32]:
    """Return xarray-regrid's cubic, a spline through the whole array: it is not antialiased and refuses NaN."""
    import xarray as xr
    import xarray_regrid  # noqa: F401 - registers the accessor

    rows, cols = np.arange(field.shape[0]) + 0.5, np.arange(field.shape[1]) + 0.5
    source = xr.Dataset({"field": (("y", "x"), field)}, coords={"y": rows, "x": cols})
    w = job.window
    middle = 0.5 * (w.x0 + w.x1), 0.5 * (w.y0 + w.y1)
    y, x = np.arange(w.y0, w.y1) + 0.5, np.arange(w.x0, w.x1) + 0.5
    target_y, _ = job.locate(y, np.full(y.shape, middle[0]))
    _, target_x = job.locate(np.full(x.shape, middle[1]), x)
    target = xr.Dataset(coords={"y": target_y, "x": target_x})

    def run() -> F32:
        out: F32 = source.regrid.cubic(target)["field"].values
        return out

    return run

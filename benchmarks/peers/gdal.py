"""GDAL through rasterio: as everyone calls it, and exactly.

What is exact was found by comparing with `closed_form`, white noise in a UTM raster, rasterio 1.4 with GDAL 3.10:

- ``rasterio.warp.reproject`` always approximates positions to an eighth of a source pixel; its ``tolerance=0``
  becomes a warp option that GDAL does not know. Differences reach 7 % of the range, and windows differ from the whole.
- ``WarpedVRT(tolerance=0)`` with a transform leaves out the transformer altogether and fails; ``tolerance=1e-9`` is
  exact, and slower, since it tries to approximate first.
- A warped VRT that names the transformer with no approximation around it is exact: within 6e-8 of the closed form at
  the positions of GDAL's own PROJ, and within the last bit of ``gdalwarp -et 0``. Any window of it equals the whole
  bit for bit, given ``XSCALE`` and ``YSCALE``; without them each block guesses the kernel's width from its own shape.
- PROJ builds differ: positions in a UTM zone by 1 mm between 9.5.1 (pyproj 3.7.2) and 9.7.1 (rasterio 1.4.4).
"""

from __future__ import annotations

from collections.abc import Callable
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window as RasterioWindow

from benchmarks.peers.jobs import F32, Job
from smdown.grid import Window

SAMPLED_ROWS = 48
"""Rows at which GDAL is given the width of the row's own kernel, where widths change from row to row."""
_VRT = """<VRTDataset rasterXSize="{width}" rasterYSize="{height}" subClass="VRTWarpedDataset">
<SRS>{target_crs}</SRS><GeoTransform>{target}</GeoTransform>
<VRTRasterBand dataType="Float32" band="1" subClass="VRTWarpedRasterBand"><NoDataValue>nan</NoDataValue></VRTRasterBand>
<BlockXSize>{block_x}</BlockXSize><BlockYSize>{block_y}</BlockYSize>
<GDALWarpOptions>
<WarpMemoryLimit>268435456</WarpMemoryLimit><ResampleAlg>Cubic</ResampleAlg><WorkingDataType>Float32</WorkingDataType>
<Option name="INIT_DEST">NO_DATA</Option><Option name="NUM_THREADS">{threads}</Option>
<Option name="XSCALE">{scale_x!r}</Option><Option name="YSCALE">{scale_y!r}</Option>
<SourceDataset relativeToVRT="0">{source_name}</SourceDataset>
<Transformer><GenImgProjTransformer>
<SrcGeoTransform>{source}</SrcGeoTransform><SrcInvGeoTransform>{source_inverse}</SrcInvGeoTransform>
<DstGeoTransform>{target}</DstGeoTransform><DstInvGeoTransform>{target_inverse}</DstInvGeoTransform>
{reprojection}
</GenImgProjTransformer></Transformer>
<BandList><BandMapping src="1" dst="1">
<SrcNoDataReal>nan</SrcNoDataReal><DstNoDataReal>nan</DstNoDataReal>
</BandMapping></BandList>
</GDALWarpOptions></VRTDataset>"""
_REPROJECTION = """<ReprojectTransformer><ReprojectionTransformer>
<SourceSRS>{0}</SourceSRS><TargetSRS>{1}</TargetSRS>
</ReprojectionTransformer></ReprojectTransformer>"""


def usual(threads: int) -> Callable[[Job, F32], Callable[[], F32]]:
    """Return `rasterio.warp.reproject` with everything else left as it is."""

    def prepare(job: Job, field: F32) -> Callable[[], F32]:
        def run() -> F32:
            out = np.empty(job.window.shape, np.float32)
            reproject(
                field, out, src_transform=job.source_affine, src_crs=job.raster.crs, src_nodata=np.nan,
                dst_transform=job.target_affine, dst_crs=job.grid.crs, dst_nodata=np.nan,
                resampling=Resampling.cubic, num_threads=threads,
            )  # fmt: skip
            return out

        return run

    return prepare


def exact(threads: int) -> Callable[[Job, F32], Callable[[], F32]]:
    """Return GDAL with nothing approximated, and one kernel's width for all of the target."""

    def prepare(job: Job, field: F32) -> Callable[[], F32]:
        middle = 0.5 * (job.grid.window.y0 + job.grid.window.y1)

        def run() -> F32:
            with rasterio.Env(GDAL_MEM_ENABLE_OPEN="YES"), rasterio.open(_vrt(job, field, middle, threads)) as warped:
                out: F32 = warped.read(1)
            return out

        return run

    return prepare


def oracle(job: Job, field: F32) -> tuple[npt.NDArray[np.int64], F32]:
    """Return rows of the exact result, and which they are: all of them, or some where kernels' widths vary."""
    first, last = (job.scales(y) for y in (job.window.y0, job.window.y1 - 1.0))
    if first == last:
        return np.arange(job.window.height), exact(1)(job, field)()
    rows = np.unique(np.linspace(0, job.window.height - 1, SAMPLED_ROWS).astype(np.int64))
    out = np.empty((len(rows), job.window.width), np.float32)
    with rasterio.Env(GDAL_MEM_ENABLE_OPEN="YES"):
        for n, row in enumerate(rows):
            with rasterio.open(_vrt(job, field, job.window.y0 + float(row), 1, block_y=1)) as warped:
                out[n] = warped.read(1, window=RasterioWindow(0, row, job.window.width, 1))[0]
    return rows, out


def closed_form(job: Job, field: F32, window: Window) -> npt.NDArray[np.float64]:
    """Return Keys' cubic, 4 x 4 taps in float64, at positions from GDAL's own PROJ: exact where nothing coarsens."""
    lattice, pixel = job.grid.lattice, job.grid.pixel
    x, y = np.meshgrid(
        lattice.x0 + (np.arange(window.x0, window.x1) + 0.5) * pixel,
        lattice.y0 - (np.arange(window.y0, window.y1) + 0.5) * pixel,
    )
    xs, ys = rasterio.warp.transform(job.grid.crs, job.raster.crs, x.ravel(), y.ravel())
    rows = (np.reshape(ys, x.shape) - job.raster.y0) / job.raster.dy - job.have.y0 - 0.5
    cols = (np.reshape(xs, x.shape) - job.raster.x0) / job.raster.dx - job.have.x0 - 0.5
    i, j = np.floor(rows).astype(int), np.floor(cols).astype(int)
    total = np.zeros(x.shape)
    for a in range(-1, 3):
        for b in range(-1, 3):
            total += _keys(rows - i - a) * _keys(cols - j - b) * field[i + a, j + b]
    return total


def _keys(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    t = np.abs(t)
    return np.where(t < 1, (1.5 * t - 2.5) * t * t + 1.0, ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0)


def _vrt(job: Job, field: F32, row: float, threads: int, block_y: int = 512) -> str:
    """Return the description of a warped dataset over an array in memory; the array must outlive it."""
    assert field.flags.c_contiguous
    assert field.dtype == np.float32
    scale_y, scale_x = job.scales(row)
    height, width = field.shape
    crs = job.raster.crs, job.grid.crs
    return _VRT.format(
        width=job.window.width, height=job.window.height, block_x=min(512, job.window.width),
        block_y=min(block_y, job.window.height), threads=threads,
        scale_x=1.0 / max(1.0, scale_x), scale_y=1.0 / max(1.0, scale_y), target_crs=escape(crs[1]),
        reprojection=_REPROJECTION.format(*crs) if crs[0] != crs[1] else "",
        source_name=f"MEM:::DATAPOINTER={field.ctypes.data},PIXELS={width},LINES={height},DATATYPE=Float32",
        source=_numbers(job.source_affine), source_inverse=_numbers(~job.source_affine),
        target=_numbers(job.target_affine), target_inverse=_numbers(~job.target_affine),
    )  # fmt: skip


def _numbers(transform: Affine) -> str:
    return ", ".join(repr(float(v)) for v in transform.to_gdal())

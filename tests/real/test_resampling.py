"""Real rasters on the nested grids: what is measured stays in place, in range, and in the mean."""

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject

from smdown.features import Resampler
from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window

RATIOS = {1000: 9, 100: 90, 50: 180, 30: 300}
RASTERS = {
    "elevation": ("yanco/rasters_100m/DEM_100m_resampled.tif", None),
    "silt": ("yanco/rasters_100m/SLT_100m_resampled.tif", None),
    "water capacity": ("yanco/rasters_100m/AWC_100m_resampled.tif", None),
    "red": ("landsat_dem_30m/para/LT52240631988227CUB02_B3.TIF", 255),
    "near infrared": ("landsat_dem_30m/para/LT52240631988227CUB02_B4.TIF", 255),
    "terrain in UTM": ("landsat_dem_30m/para/SRTM_30m.tif", None),
}


def load(path, nodata):
    with rasterio.open(path) as file:
        values, t = file.read(1).astype(np.float32), file.transform
        fill = file.nodata if nodata is None else nodata
        if fill is not None:
            values[values == np.float32(fill)] = np.nan
        return values, RasterGrid(file.crs.to_string(), t.c, t.f, t.a, t.e, *values.shape)


def cells_inside(raster):
    """Return the region of whole coarse cells that lies well inside a raster, or the one cell around its middle."""
    change = Transformer.from_crs(raster.crs, EASE2_M09.crs, always_xy=True)
    west, south, east, north = change.transform_bounds(
        raster.x0, raster.y0 + raster.height * raster.dy, raster.x0 + raster.width * raster.dx, raster.y0
    )
    y, x = (EASE2_M09.y0 - 0.5 * (south + north), 0.5 * (west + east) - EASE2_M09.x0)
    row, col = int(y // EASE2_M09.cell), int(x // EASE2_M09.cell)
    half = int((min(north - south, east - west) / 2) // EASE2_M09.cell) - 1
    return NestedGrid(EASE2_M09, Window(row - half, row + half + 1, col - half, col + half + 1) if half > 0
                      else Window(row, row + 1, col, col + 1), 300)  # fmt: skip


def on_grid(values, raster, region, ratio, method, *, clamp=True):
    job = Resampler(raster, region).job(ratio, region.at(ratio).window, method, clamp=clamp)
    field = np.full(job.need.shape, np.nan, np.float32)
    inside = job.need.intersect(raster.window)
    field[inside.relative_to(job.need).slices] = values[inside.slices]
    return job(field)


@pytest.mark.parametrize("name", RASTERS)
def test_rasters_keep_range_and_mean_at_every_scale(real_data, name):
    path, nodata = RASTERS[name]
    values, raster = load(real_data / path, nodata)
    region = cells_inside(raster)
    means = {}
    for resolution, ratio in RATIOS.items():
        coarser = max(Resampler(raster, region).scales(ratio)) >= 2
        out = on_grid(values, raster, region, ratio, "average" if coarser else "cubic")
        known = np.isfinite(out)
        assert known.mean() > 0.5  # a scene of nine kilometres covers no cell whole
        assert np.nanmin(values) <= np.nanmin(out)
        assert np.nanmax(out) <= np.nanmax(values)
        pixels = np.where(known, out, np.nan)
        means[resolution] = float(np.nanmean(pixels))
    spread = float(np.nanstd(values))
    for resolution in (100, 50, 30):
        assert means[resolution] == pytest.approx(means[1000], abs=0.05 * spread)


@pytest.mark.parametrize("name", ["elevation", "terrain in UTM"])
def test_elevation_agrees_with_gdal(real_data, name):
    """Within what GDAL's own approximation of places leaves (an eighth of a pixel at most)."""
    path, nodata = RASTERS[name]
    values, raster = load(real_data / path, nodata)
    region = cells_inside(raster)
    out = on_grid(values, raster, region, 300, "cubic", clamp=False)
    want = np.full(out.shape, np.nan, np.float32)
    target = region.raster
    reproject(
        values, want, src_transform=Affine.from_gdal(*raster.geotransform), src_crs=raster.crs, src_nodata=np.nan,
        dst_transform=Affine.from_gdal(*target.geotransform), dst_crs=target.crs, dst_nodata=np.nan,
        resampling=Resampling.cubic, num_threads=1, XSCALE=1, YSCALE=1,
    )  # fmt: skip
    step = np.nanmax(np.abs(np.diff(values, axis=0)))
    assert np.nanmax(np.abs(out - want)) < 0.25 * step
    assert np.nanmean(np.abs(out - want)) < 0.005 * step

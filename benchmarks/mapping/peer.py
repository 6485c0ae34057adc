"""The same map as a user would write it who knows xarray, odc-geo, Dask and PyTorch well, but not this package.

Every driver is brought to 30 m by odc-geo, as Dask arrays; blocks with their overlap go through the same networks with
the same weights; the recurrence runs for every pixel on its own series. Only the cubes' layout is ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np
import odc.geo.xr  # noqa: F401  # the accessor
import torch
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import assign_crs

from smdown.cubes import join
from smdown.inference import PredictJob
from smdown.networks import Placement
from smdown.networks.base import crop
from smdown.training import Bundle, Predictor

CHUNK = 300
"""Pixels along a block: series of 30 days for each pixel of a larger one would take gigabytes."""
METHOD = "cubic"


class Peer:
    """The ensemble's mean of one day on the grid of a job."""

    def __init__(self, job: PredictJob) -> None:
        self.job = job
        self.predictor = Predictor(Bundle.load(job.bundle_url), 1, "cpu")
        raster = job.grid.raster
        transform = Affine(raster.dx, 0, raster.x0, 0, raster.dy, raster.y0)
        self.geobox = GeoBox((raster.height, raster.width), transform, raster.crs)

    def source(self, name: str, variable: str) -> xr.DataArray:
        """Open a source around the region, in Dask chunks, missing values as NaN."""
        found = xr.open_zarr(join(self.job.spec.sources_url, f"{name}.zarr"), chunks={})[variable]
        crs = xr.open_zarr(join(self.job.spec.sources_url, f"{name}.zarr"), chunks={}).spatial_ref.attrs["crs_wkt"]
        return assign_crs(found.astype(np.float32), crs)

    def fine(self, field: xr.DataArray) -> xr.DataArray:
        """Bring a field, or a series of them, to the map's grid."""
        return field.odc.reproject(self.geobox, resampling=METHOD, dst_nodata=np.nan, chunks=(CHUNK, CHUNK))

    def drivers(self, day: str) -> xr.DataArray:
        """Return all drivers of a day, ``(feature, y, x)``, in the order of training."""
        bands = {b: self.latest(self.source("optical", b), day) for b in ("nir", "red", "swir1")}
        rain = self.rain(day, 30)
        elevation = self.fine(self.source("dem", "elevation"))
        found: dict[str, Any] = {"elevation": elevation, "slope": self.slope(elevation)}
        found |= {name: self.fine(self.source("soil", name)) for name in ("sand", "clay", "organic")}
        found["ndvi"] = (bands["nir"] - bands["red"]) / (bands["nir"] + bands["red"])
        found["ndwi_gao"] = (bands["nir"] - bands["swir1"]) / (bands["nir"] + bands["swir1"])
        found |= {f"precipitation_{n}d": rain[-n:].sum("time") for n in (1, 7, 30)}
        names = self.job.spec.names
        return xr.concat(
            [found[name].drop_vars("time", errors="ignore") for name in names], "feature", coords="minimal"
        )

    def latest(self, field: xr.DataArray, day: str) -> xr.DataArray:
        """Return the last composite that a day has, on the map's grid."""
        return self.fine(field.sel(time=day, method="ffill"))

    def rain(self, day: str, days: int) -> xr.DataArray:
        """Return the daily series that ends with a day, on the map's grid."""
        until = np.datetime64(day)
        return self.fine(self.source("precipitation", "precipitation").sel(time=slice(until - (days - 1), until)))

    def slope(self, elevation: xr.DataArray) -> xr.DataArray:
        """Return the slope, metres a metre, with pixels as wide and high as they are on the ground here."""
        latitude = self.geobox.geographic_extent.centroid.coords[0][1]
        stretch = np.cos(np.radians(latitude)) / np.cos(np.radians(30))  # EPSG:6933 is true at 30 degrees
        width, height = abs(self.geobox.resolution.x) * stretch, abs(self.geobox.resolution.y) / stretch

        def steepness(z: NDArray[Any]) -> NDArray[Any]:
            north, east = np.gradient(z, height, width)
            return np.hypot(north, east).astype(np.float32)

        found = elevation.data.map_overlap(steepness, depth=1, boundary="nearest", meta=np.empty((0, 0), np.float32))
        return elevation.copy(data=found)

    def mean(self, day: str) -> xr.DataArray:
        """Return the ensemble's mean, ``(layer, y, x)``, lazily."""
        drivers, series = self.drivers(day), self.rain(day, self.predictor.card.sequence.days)  # type: ignore[union-attr]
        radius = self.predictor.radius
        stack = da.concatenate([drivers.data, series.data]).rechunk((-1, CHUNK, CHUNK))
        count = drivers.sizes["feature"]
        layers = [layer.name for layer in self.predictor.card.layers]

        def block(values: NDArray[Any]) -> NDArray[Any]:
            return self.predict(values[:count], values[count:])

        found = stack.map_overlap(
            block, depth={0: 0, 1: radius, 2: radius}, boundary="nearest", trim=False,
            chunks=((len(layers),), *stack.chunks[1:]), meta=np.empty((0, 0, 0), np.float32),
        )  # fmt: skip
        template = drivers.isel(feature=0, drop=True)
        return xr.DataArray(found, dims=("layer", "y", "x"), coords={"layer": layers, **template.coords})

    @torch.inference_mode()
    def predict(self, drivers: NDArray[Any], series: NDArray[Any]) -> NDArray[Any]:
        """Run all networks over a block that has its overlap, and join them by their weights."""
        predictor, card, radius = self.predictor, self.predictor.card, self.predictor.radius
        fine = predictor.fine.forward(torch.from_numpy(drivers)[None], 1)
        own = predictor.sequence.forward(torch.from_numpy(series)[None, :, None], 2)
        own = crop(own, radius)
        height, width = own.shape[-2:]
        own = torch.nn.functional.pad(own[0, :, 0], (0, 1, 0, 1), mode="replicate")[None, :, None]
        place = Placement(torch.arange(height), torch.zeros(height), torch.arange(width), torch.zeros(width))
        mean = np.zeros((len(card.layers), height, width), np.float32)
        for name, network in predictor.networks.items():
            share = np.array([card.weights[layer.name][name] for layer in card.layers], np.float32)
            found, _ = network.decode(crop(fine, radius - network.radius), network.encode(own), place)
            centre, spread = (torch.from_numpy(v).view(-1, 1, 1) for v in (predictor.centre, predictor.spread))
            values = found[0] * spread + centre
            mean += share[:, None, None] * values.numpy()
        return mean

    def write(self, day: str, out: str) -> None:
        """Write the mean of one day to Zarr."""
        with dask.config.set(scheduler="synchronous"):
            self.mean(day).to_dataset("layer").to_zarr(out, mode="w")


def peer_rate(job: PredictJob, day: str, out: str) -> Callable[[], float]:
    """Return what maps one day with the peer and says how many Mpx/s that was."""

    def run() -> float:
        start = time.perf_counter()
        Peer(job).write(day, out)
        return job.grid.raster.height * job.grid.raster.width / 1e6 / (time.perf_counter() - start)

    return run

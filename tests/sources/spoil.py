"""What makes whole files wrong: each function returns what spoils the file at a path, or does it."""

from __future__ import annotations

import re

import h5py
import numpy as np
import rasterio
import rasterio.warp

from smdown.grid import EASE2_M36, NestedGrid, Window

AM = "Soil_Moisture_Retrieval_Data_AM"
PM = "Soil_Moisture_Retrieval_Data_PM"


def hdf5(use):
    """Return what changes an HDF5 file."""

    def spoil(path):
        with h5py.File(path, "a") as file:
            use(file)

    return spoil


def tif(**changes):
    """Return what writes the same raster with another profile, or other values."""

    def spoil(path):
        with rasterio.open(path) as file:
            profile, values = file.profile | changes.get("profile", {}), file.read(1)
        values = changes.get("values", lambda v: v)(values)
        with rasterio.open(path, "w", **profile) as file:
            file.write(values.astype(profile["dtype"]), 1)
            file.units = (changes.get("units"),)

    return spoil


def multiplied(factor, path):
    """Return what multiplies a dataset."""

    def use(file):
        values = file[path][...]
        file[path][...] = np.where(values == -9999, values, values * factor)

    return hdf5(use)


def units(path, text):
    """Return what states units of a dataset."""
    return hdf5(lambda file: file[path].attrs.__setitem__("units", np.bytes_(text)))


def flipped(path):
    """Rows of a SMAP L4 file from south to north, coordinates and values alike."""
    with h5py.File(path, "a") as file:
        file["y"][...] = file["y"][...][::-1]
        for node in file["Geophysical_Data"].values():
            node[...] = node[...][::-1]


def turned(path):
    """Axes of a SMAP L4 file the other way round."""
    with h5py.File(path, "a") as file:
        for name in list(file["Geophysical_Data"]):
            node = file["Geophysical_Data"].pop(name)
            file["Geophysical_Data"][name] = node[...].T


def coarse(path):
    """A SMAP L3 file of the other lattice, with indices of its own."""
    with h5py.File(path, "a") as file:
        for end, group in (("", file[AM]), ("_pm", file[PM])):
            group[f"EASE_row_index{end}"][...] = group[f"EASE_row_index{end}"][...] + 1600


def fills_for_places(path):
    """Latitudes and longitudes of a SMAP L3 file that are fills everywhere; the indices are as ever."""
    with h5py.File(path, "a") as file:
        for end, group in (("", file[AM]), ("_pm", file[PM])):
            for name in ("latitude", "longitude"):
                group[f"{name}{end}"][...] = -9999


def fills_for_cells(path):
    """A list of cells of which one lies at -9999; its value must go nowhere."""
    with h5py.File(path, "a") as file:
        file["latitude"][0] = file["longitude"][0] = -9999


def other_lattice(path):
    """A list of cells of the coarser lattice."""
    day = path.stem[-10:]
    grid = NestedGrid(EASE2_M36, Window(75, 76, 225, 227), 1).raster
    lon, lat = rasterio.warp.transform("EPSG:6933", "EPSG:4326", grid.x, np.repeat(grid.y, 2))
    with h5py.File(path.parent / f"list_{day}.nc", "w") as file:
        for name, values in (("latitude", lat), ("longitude", lon), ("soil_moisture", [0.2, 0.3])):
            file[name] = np.float32(values)


def lines(change):
    """Return what changes the lines of a text."""

    def spoil(path):
        rows = path.read_text().splitlines()
        path.write_text("\n".join(change(rows)) + "\n")

    return spoil


def replaced(old, new, count=1):
    """Return what replaces the first match of a pattern in a text."""

    def spoil(path):
        content = path.read_text()
        assert re.search(old, content)
        path.write_text(re.sub(old, new, content, count=count))

    return spoil


def shorter(name):
    """Return what leaves out the last value of a column."""

    def use(file):
        values = file.pop(name)[:-1]
        file[name] = values

    return hdf5(use)


def moved(name):
    """Return what gives a dataset another name."""
    return hdf5(lambda file: file.move(name, "other"))


def replaced_bytes(old, new):
    """Return what replaces bytes by as many others."""
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new))


def behind(spoil):
    """Return what spoils the raster behind a VRT."""
    return lambda path: spoil(path.parents[1] / "behind" / path.with_suffix(".tif").name)

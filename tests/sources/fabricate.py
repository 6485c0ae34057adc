"""Small input files as users have them, made on the spot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import rasterio
from rasterio.transform import Affine

from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.sources import ingest_plan, run_ingest

CELLS = Window(300, 303, 900, 904)


def ingest(config, context, name="source"):
    """Run one source through plan and task, and return its receipt and the place of its cube."""
    tasks = ingest_plan({name: config}, context).tasks
    receipts = [run_ingest(task) for task in tasks]
    notes = tuple(note for receipt in receipts for note in receipt.notes)
    return replace(receipts[-1], pixels=sum(r.pixels for r in receipts), notes=notes), tasks[-1].url


def write_smap(path: Path, surface, root=None, *, cells=CELLS, shift=0.0, names=("sm_surface", "sm_rootzone")):
    """Write a SMAP L4 file of some cells; `shift` moves its coordinates by cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = NestedGrid(EASE2_M09, cells, 1)
    with h5py.File(path, "w", track_order=False) as file:
        file["x"] = grid.raster.x + shift * EASE2_M09.cell
        file["y"] = grid.raster.y
        for name, values in zip(names, (surface, surface if root is None else root), strict=True):
            node = file.create_dataset(f"Geophysical_Data/{name}", data=np.asarray(values, dtype="f4"))
            for key in ("_FillValue", "missing_value", "fmissing_value"):
                node.attrs[key] = np.float32(-9999.0)
            node.attrs["valid_min"], node.attrs["valid_max"] = np.float32(0.0), np.float32(0.9)
            node.attrs["units"] = b"m3 m-3"
    return path


def smap_name(day: str, hour: int, version: int = 1) -> str:
    return f"SMAP_L4_SM_gph_{day.replace('-', '')}T{hour:02d}3000_Vv8010_{version:03d}.h5"


def write_tif(path: Path, values, west, north, dx, dy, crs="EPSG:4326", *, transform=None, **profile):
    """Write a GeoTIFF of one band from its upper left corner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(values)
    options = {
        "driver": "GTiff",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": values.dtype,
        "crs": crs,
        "transform": transform or Affine(dx, 0, west, 0, -dy, north),
    }
    with rasterio.open(path, "w", **(options | profile)) as file:
        file.write(values, 1)
    return path


STM = "{network}_{network}_{station}_{code}_{top:.6f}_{bottom:.6f}_Probe-X_20200401_20200404.stm"


def write_stm(
    folder: Path, station, top, bottom, rows, *, lat, lon, network="NET", code="sm", newline="\n", flat=False
):
    """Write an ISMN file of the header+values format; rows are (stamp, value, flag)."""
    place = folder if flat else folder / network / station
    place.mkdir(parents=True, exist_ok=True)
    name = STM.format(network=network, station=station, code=code, top=top, bottom=bottom)
    head = f"{network} {network} {station} {lat:.5f} {lon:.5f} 300.0 {top:.4f} {bottom:.4f} Probe-X"
    lines = [head, *(f"{stamp} {value:.4f} {flag} M" for stamp, value, flag in rows)]
    (place / name).write_bytes((newline.join(lines) + newline).encode())
    return place / name


def write_l3(
    path: Path,
    am,
    pm,
    *,
    cells=CELLS,
    quality=(0, 0),
    indices=True,
    name="soil_moisture",
    attrs=True,
    lattice=EASE2_M09,
):
    """Write a SMAP L3 file of some cells; a flag of None hides a cell, latitudes are fills where nothing is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, cols = np.mgrid[cells.y0 : cells.y1, cells.x0 : cells.x1]
    with h5py.File(path, "w") as file:
        for which, values, flag in (("AM", am, quality[0]), ("PM", pm, quality[1])):
            if values is None:
                continue
            group, end = file.create_group(f"Soil_Moisture_Retrieval_Data_{which}"), "_pm" if which == "PM" else ""
            field = np.asarray(values, dtype="f4")
            hole = np.isnan(field)
            node = group.create_dataset(f"{name}{end}", data=np.where(hole, -9999, field).astype("f4"))
            if attrs:
                node.attrs["_FillValue"] = np.float32(-9999)
                node.attrs["valid_min"], node.attrs["valid_max"] = np.float32(0.02), np.float32(0.5)
                node.attrs["units"] = b"cm**3/cm**3"
            group[f"retrieval_qual_flag{end}"] = np.broadcast_to(np.asarray(flag, "u2"), field.shape)
            for key in ("latitude", "longitude"):
                group[f"{key}{end}"] = np.where(hole, -9999, 30).astype("f4")
            if indices:
                group[f"EASE_row_index{end}"] = np.where(hole, 65534, rows).astype("u2")
                group[f"EASE_column_index{end}"] = np.where(hole, 65534, cols).astype("u2")
    return path

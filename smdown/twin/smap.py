"""The coarse product: 3-hourly HDF5 files laid out as SMAP L4 (SPL4SMGP), with errors of the product's size."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smdown.twin.fields import stream
from smdown.twin.frame import RATIO, Frame

Array64 = npt.NDArray[np.float64]

LAYERS = ("sm_surface", "sm_rootzone")
SLOTS = 8
"""Files a day; each holds the mean of three hours."""
ERROR_SD, ERROR_MEMORY, BIAS_SD = (0.020, 0.015), (0.85, 0.95), (0.010, 0.010)
"""Per layer: size of the random error (m3 m-3), its correlation from day to day, size of a cell's lasting bias."""
FILL = -9999.0
_SWING = (0.003, 0.0)  # half the daily range (m3 m-3)
_EPOCH = np.datetime64("2000-01-01T11:58:55.816", "ms")
_LONG_NAMES = ("Top layer soil moisture (0-5 cm)", "Root zone soil moisture (0-100 cm)")


def write_smap(out: Path, frame: Frame, means: Array64, start: np.datetime64, seed: int, noise: float) -> None:
    """Write all files of a period.

    Parameters
    ----------
    out : Path
        Folder.
    frame : Frame
        Region.
    means : ndarray
        True daily means of the cells (m3 m-3), ``(day, layer, y, x)``.
    start : datetime64
        First day.
    seed : int
        Seed of the twin.
    noise : float
        Factor on the product's error; 0 gives the truth.
    """
    out.mkdir(parents=True, exist_ok=True)
    daily = means + noise * product_error(means.shape, seed)
    template, places, clock = _template(frame)
    for day in range(len(daily)):
        for slot, values in enumerate(three_hourly(daily, day)):
            middle = start.astype("datetime64[m]") + np.timedelta64(24 * 60 * day + 180 * slot + 90, "m")
            for place, layer in zip(places, values, strict=True):
                template[place : place + layer.nbytes] = layer.tobytes()
            seconds = np.array([(middle - _EPOCH) / np.timedelta64(1, "ms") / 1000.0])
            template[clock : clock + 8] = seconds.tobytes()
            stamp = str(middle).replace("-", "").replace(":", "")
            (out / f"SMAP_L4_SM_gph_{stamp}00_Vv8010_001.h5").write_bytes(template)


def product_error(shape: tuple[int, ...], seed: int) -> Array64:
    """Return the product's error (m3 m-3): lasting per cell, and one that fades over days and covers a few cells."""
    rng = stream(seed, "smap")
    days, layers, rows, cols = shape
    error = np.empty(shape)
    for layer in range(layers):
        memory = ERROR_MEMORY[layer]
        own = rng.standard_normal((days + 1, rows, cols))
        broad = ndimage.gaussian_filter(rng.standard_normal((days + 1, rows + 12, cols + 12)), (0, 1.2, 1.2))
        new = 0.8 * own + 0.6 * broad[:, 6:-6, 6:-6] * (1.2 * 2 * np.sqrt(np.pi))
        bias = BIAS_SD[layer] * rng.standard_normal((rows, cols))
        state = new[0]
        for day in range(days):
            state = memory * state + np.sqrt(1 - memory**2) * new[day + 1]
            error[day, layer] = ERROR_SD[layer] * state + bias
    return error


def three_hourly(daily: Array64, day: int) -> npt.NDArray[np.float32]:
    """Return a day's 3-hourly means ``(slot, layer, y, x)``; their mean is the daily one.

    Within the day values lean towards the neighbouring days, and the surface dries a little in the afternoon.
    """
    before, after = daily[max(day - 1, 0)], daily[min(day + 1, len(daily) - 1)]
    away = (np.arange(SLOTS) + 0.5) / SLOTS - 0.5
    swing = np.array(_SWING)[:, None, None] * np.cos(2 * np.pi * (away + 0.25))[:, None, None, None]
    values = daily[day] + (after - before) / 2 * away[:, None, None, None] + swing
    return np.clip(values, 0.0, 0.9).astype(np.float32)


def _template(frame: Frame) -> tuple[bytearray, list[int], int]:
    """Return the bytes of a file, where the layers' values lie in them, and where the time lies."""
    buffer = io.BytesIO()
    w = frame.cells
    with h5py.File(buffer, "w", libver="latest") as file:
        file.attrs["Conventions"] = "CF"
        file.attrs["Title"] = "Synthetic region in the layout of SMAP L4 Global 3-hourly 9 km EASE-Grid soil moisture"
        _write_axes(file, frame)
        rows, columns = np.meshgrid(np.arange(w.y0, w.y1), np.arange(w.x0, w.x1), indexing="ij")
        for name, values in (("cell_row", rows), ("cell_column", columns)):
            file.create_dataset(name, data=values.astype(np.uint32), track_times=False)
        time = file.create_dataset("time", data=np.zeros(1), track_times=False)
        time.attrs["units"] = "seconds since 2000-01-01 11:58:55.816"
        time.attrs["standard_name"] = "time"
        group = file.create_group("Geophysical_Data", track_times=False)
        layers = [_write_layer(group, *names, shape=w.shape) for names in zip(LAYERS, _LONG_NAMES, strict=True)]
        places = [layer.id.get_offset() for layer in layers]
        clock = time.id.get_offset()
    return bytearray(buffer.getvalue()), places, clock


def _write_axes(file: h5py.File, frame: Frame) -> None:
    cells = frame.grid.at(1)
    rows, columns = (frame.margin + RATIO * (np.arange(float(n)) + 0.5) - 0.5 for n in cells.shape)
    lat, lon = frame.geographic(rows, columns)
    w = cells.window
    for name, values in (("x", cells.x_centres(w.x0, w.x1)), ("y", cells.y_centres(w.y0, w.y1))):
        axis = file.create_dataset(name, data=values, track_times=False)
        axis.attrs["standard_name"] = f"projection_{name}_coordinate"
        axis.attrs["units"] = "m"
    for name, values, units in (
        ("cell_lat", lat[:, None], "degrees_north"),
        ("cell_lon", lon[None, :], "degrees_east"),
    ):
        data = np.broadcast_to(values, cells.shape).astype(np.float32)
        field = file.create_dataset(name, data=data, track_times=False)
        field.attrs["units"] = units
        field.attrs["_FillValue"] = np.float32(FILL)
    mapping = file.create_dataset("EASE2_global_projection", data=np.bytes_(b" "), track_times=False)
    for key, number in (
        ("standard_parallel", 30.0),
        ("longitude_of_central_meridian", 0.0),
        ("false_easting", 0.0),
        ("false_northing", 0.0),
    ):
        mapping.attrs[key] = number
    mapping.attrs["grid_mapping_name"] = "lambert_cylindrical_equal_area"


def _write_layer(group: h5py.Group, name: str, long_name: str, shape: tuple[int, int]) -> h5py.Dataset:
    layer = group.create_dataset(name, data=np.full(shape, FILL, dtype=np.float32), track_times=False)
    for key in ("_FillValue", "missing_value", "fmissing_value"):
        layer.attrs[key] = np.float32(FILL)
    layer.attrs["valid_min"] = np.float32(0.0)
    layer.attrs["valid_max"] = np.float32(0.9)
    for key, text in (
        ("DIMENSION_LABELS", "y, x"),
        ("coordinates", "cell_lat cell_lon"),
        ("grid_mapping", "EASE2_global_projection"),
        ("long_name", long_name),
        ("units", "m3 m-3"),
    ):
        layer.attrs[key] = text
    return layer

"""Stations as one small Zarr: ``(station, time)`` daily values of each layer, written whole, its seal last."""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
import zarr
from pyproj import Transformer

from smdown.cubes import delete, exists, manifest
from smdown.cubes.store import zarr_store
from smdown.errors import CubeError, InputError
from smdown.sources.aside import SetAside
from smdown.sources.context import IngestContext
from smdown.sources.values import Float32

SEAL = "smdown_stations"


@dataclass(kw_only=True)
class PreparedStations(ABC):
    """Stations that have passed their checks; nothing has been written yet.

    Parameters
    ----------
    inputs : str
        What is read, in words.
    notes : list of str
        Things that the user should hear of; readers may add to it while they read.
    aside : SetAside
        Files that cannot be used.
    files : int
        Files that were used.
    """

    inputs: str
    notes: list[str] = field(default_factory=list)
    aside: SetAside = field(default_factory=SetAside)
    files: int = 0

    @abstractmethod
    def table(self) -> xr.Dataset:
        """Return the daily values of every station inside the extent."""


@dataclass(frozen=True)
class Station:
    """Place and daily values of one station.

    Parameters
    ----------
    network, name : str
        Its identity is ``network/name``.
    latitude, longitude : float
        Degrees.
    layers : mapping
        ``(time,)`` daily values of each layer.
    climate : str
        Koeppen-Geiger class, empty where it is not known.
    """

    network: str
    name: str
    latitude: float
    longitude: float
    layers: Mapping[str, Float32]
    climate: str = ""

    @property
    def id(self) -> str:
        """Its name in the table."""
        return f"{self.network}/{self.name}" if self.network else self.name


def days_of(context: IngestContext) -> Any:
    """Return every day of the period."""
    start, end = np.datetime64(context.start, "D"), np.datetime64(context.end, "D")
    return np.arange(start, end + 1).astype("datetime64[ns]")


def inside_extent(context: IngestContext, longitude: float, latitude: float) -> bool:
    """Whether a place lies in one of the project's cells."""
    lattice, cells = context.nested.lattice, context.nested.cells
    x, y = _from_degrees(lattice.crs).transform(longitude, latitude)
    row, col = (lattice.y0 - y) / lattice.cell, (x - lattice.x0) / lattice.cell
    return bool(cells.y0 <= row < cells.y1 and cells.x0 <= col < cells.x1)


@lru_cache
def _from_degrees(crs: str) -> Transformer:
    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)


def none_inside(context: IngestContext, what: str, count: int) -> InputError:
    """Return the error for an archive without a station in the extent."""
    west, south, east, north = context.lonlat
    return InputError(
        f"empty extent: got {what} with {count} stations, none in the project's extent (lon {west:.3f} to {east:.3f}, "
        f"lat {south:.3f} to {north:.3f}); move the extent, or name another archive"
    )


def build_table(stations: list[Station], context: IngestContext, layers: Mapping[str, str]) -> xr.Dataset:
    """Return the dataset of stations, sorted by name, those without any value left out.

    Parameters
    ----------
    stations : list of Station
        All of the extent.
    context : IngestContext
        For the period.
    layers : mapping
        Units by layer.
    """
    kept = [s for s in sorted(stations, key=lambda s: s.id) if any(np.isfinite(v).any() for v in s.layers.values())]
    time = days_of(context)
    variables = {
        name: (("station", "time"), np.stack([s.layers[name] for s in kept]).astype(np.float32), {"units": units})
        for name, units in layers.items()
        if kept
    }
    degrees = {"latitude": "degrees_north", "longitude": "degrees_east"}
    places = {
        key: (("station",), np.array([getattr(s, key) for s in kept], dtype=np.float64), {"units": unit})
        for key, unit in degrees.items()
    }
    names = {"network": (("station",), _text([s.network for s in kept])), "station": _text([s.id for s in kept])}
    if any(s.climate for s in kept):
        names["climate"] = (("station",), _text([s.climate for s in kept]))
    return xr.Dataset(variables, coords={"time": time, **names, **places})


def _text(values: list[str]) -> Any:
    return np.array(values, dtype=np.dtypes.StringDType())


def write_table(url: str, table: xr.Dataset, fingerprint: str, attrs: Mapping[str, Any]) -> None:
    """Write the stations, replacing what is there; the seal comes last."""
    delete(url)
    with _quiet():
        encoding = {name: {"chunks": table[name].shape} for name in table.data_vars}
        table.assign_attrs(Conventions="CF-1.11", **attrs).to_zarr(
            zarr_store(url), mode="w", zarr_format=3, consolidated=True, encoding=encoding
        )
        zarr.open_group(zarr_store(url), mode="r+").create_group(SEAL, attributes={"fingerprint": fingerprint})
    manifest.seal(url)


def sealed_fingerprint(url: str) -> str | None:
    """Return the fingerprint of a finished table, None where there is none."""
    if not exists(url):
        return None
    try:
        return str(dict(zarr.open_group(zarr_store(url), mode="r", path=SEAL).attrs)["fingerprint"])
    except (OSError, KeyError, ValueError, zarr.errors.BaseZarrError, json.JSONDecodeError):
        return None


def open_stations(url: str) -> xr.Dataset:
    """Open the stations that a source left.

    Parameters
    ----------
    url : str
        ``<workdir>/sources/<name>.zarr``.

    Returns
    -------
    xarray.Dataset
        Layers ``(station, time)``, NaN for missing; coordinates ``station`` (``network/name``), ``network``,
        ``latitude``, ``longitude``, ``time`` (days, UTC), and ``climate`` where the archive states it.

    Raises
    ------
    CubeError
        If there is none, or it is not finished.
    """
    if sealed_fingerprint(url) is None:
        raise CubeError(f"got {url}, where there are no finished stations; run smdown ingest first")
    with _quiet():
        table = xr.open_zarr(zarr_store(url, read_only=True), chunks=None, consolidated=True)
    names = [name for name in ("station", "network", "climate") if name in table.coords]
    plain = {name: ("station", np.array(table[name].values.tolist(), dtype=str)) for name in names}
    return table.assign_coords(plain)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back warnings that Zarr's text type and consolidated metadata are younger than its specification."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(not part|Zarr V3 specification|Zarr format 3).*")
        yield

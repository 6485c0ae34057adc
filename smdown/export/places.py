"""Points and polygons that users name: on the command line, in a CSV table, in a GeoJSON file."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyproj import Transformer

from smdown.cubes import get
from smdown.errors import InputError

_LONGITUDE, _LATITUDE = ("longitude", "lon", "x"), ("latitude", "lat", "y")
_NAME = ("name", "station", "point", "id")
_STEP = 0.05
"""Degrees: straight lines of GeoJSON are followed in such steps, since they bend on other maps."""
Ring = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """A place.

    Parameters
    ----------
    name : str
        How it is called in the table.
    longitude, latitude : float
        Degrees.
    """

    name: str
    longitude: float
    latitude: float


@dataclass(frozen=True, slots=True)
class Polygon:
    """An area.

    Parameters
    ----------
    name : str
        How it is called in the table.
    parts : tuple of tuple of ndarray
        Polygons, each an outer ring and its holes: ``(n, 2)`` longitude and latitude.
    """

    name: str
    parts: tuple[tuple[Ring, ...], ...]

    def on_map(self, crs: str) -> dict[str, Any]:
        """Return the GeoJSON geometry in the coordinates of a map."""
        to_map = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        parts = [[_follow(ring, to_map) for ring in part] for part in self.parts]
        return {"type": "MultiPolygon", "coordinates": parts}


def _follow(ring: Ring, to_map: Transformer) -> list[list[float]]:
    pieces = []
    for a, b in pairwise(ring):
        count = max(1, math.ceil(float(np.abs(b - a).max()) / _STEP))
        pieces.append(a + np.arange(count)[:, None] / count * (b - a))
    lon, lat = np.concatenate([*pieces, ring[-1:]]).T
    return np.stack(to_map.transform(lon, lat), axis=1).tolist()


def read_points(texts: Sequence[str]) -> list[Point]:
    """Return the points that each text names: ``LON,LAT``, or a CSV table with such columns and perhaps a name.

    Raises
    ------
    InputError
        If a text is neither, or a point lies nowhere on Earth.
    """
    points: list[Point] = []
    for text in texts:
        pair = _pair(text)
        points += [_point(f"{pair[0]:g},{pair[1]:g}", *pair, text)] if pair else _table(text)
    return points


def _pair(text: str) -> tuple[float, float] | None:
    try:
        lon, lat = (float(part) for part in text.split(","))
    except ValueError:
        return None
    return lon, lat


def _point(name: str, lon: float, lat: float, where: str) -> Point:
    if not (-180 <= lon <= 360 and -90 <= lat <= 90):
        raise InputError(f"got {where} with longitude {lon:g}, latitude {lat:g}; give degrees, as in -97.5,35.2")
    return Point(name, lon - 360 if lon > 180 else lon, lat)


def _table(url: str) -> list[Point]:
    content = _content(url, "a point LON,LAT or a table (CSV) of points")
    try:
        frame = pd.read_csv(io.BytesIO(content))
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"got {url}, which is no table ({error}); write CSV with longitude and latitude") from error
    known = {str(column).strip().lower(): column for column in frame.columns}
    lon, lat, name = (next((known[n] for n in names if n in known), None) for names in (_LONGITUDE, _LATITUDE, _NAME))
    if lon is None or lat is None:
        raise InputError(f"got {url} with the columns {', '.join(known)}; it needs longitude and latitude")
    if frame.empty:
        raise InputError(f"got {url} without any point")
    x, y = (pd.to_numeric(frame[column], errors="coerce") for column in (lon, lat))
    names = frame[name].astype(str) if name is not None else pd.Series(range(1, len(frame) + 1)).astype(str)
    rows = zip(names, x, y, strict=True)
    return [_point(n, float(a), float(b), f"{url}, row {row},") for row, (n, a, b) in enumerate(rows, 1)]


def read_polygons(urls: Sequence[str]) -> list[Polygon]:
    """Return the polygons of GeoJSON files (RFC 7946: longitude and latitude).

    A feature is called by its ``id`` or its property ``name``, or else by its number.

    Raises
    ------
    InputError
        If a file cannot be read, or holds anything but polygons in degrees.
    """
    return [polygon for url in urls for polygon in _geojson(url)]


def _geojson(url: str) -> Iterator[Polygon]:
    try:
        document = json.loads(_content(url, "a GeoJSON file"))
    except ValueError as error:
        raise InputError(f"got {url}, which is no GeoJSON ({error})") from error
    features = _features(document)
    if not features:
        raise InputError(f"got {url}, which holds no GeoJSON feature; it needs polygons")
    for number, feature in enumerate(features, 1):
        about = feature.get("properties")
        known = feature.get("id"), about.get("name") if isinstance(about, dict) else None
        name = next((str(n) for n in known if n is not None), str(number))
        yield Polygon(name, _parts(feature.get("geometry"), f"{url}, feature {name},"))


def _features(document: Any) -> list[dict[str, Any]]:
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "FeatureCollection":
        found = document.get("features")
        return [f for f in found if isinstance(f, dict)] if isinstance(found, list) else []
    if kind == "Feature":
        return [document]
    return [{"geometry": document}] if kind in ("Polygon", "MultiPolygon") else []


def _parts(geometry: Any, where: str) -> tuple[tuple[Ring, ...], ...]:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise InputError(f"got {where} of type {kind}; give Polygon or MultiPolygon")
    try:
        parts = [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]
        rings = tuple(tuple(_ring(ring) for ring in part) for part in parts if part)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"got {where} whose coordinates are no closed rings of longitude and latitude; write them in degrees "
            "(EPSG:4326), as GeoJSON has them"
        ) from error
    if not rings:
        raise InputError(f"got {where} without coordinates")
    return rings


def _ring(points: Any) -> Ring:
    ring = np.array([[float(p[0]), float(p[1])] for p in points])
    if len(ring) < 4 or not np.array_equal(ring[0], ring[-1]):
        raise ValueError("not closed")
    if not (np.abs(ring) <= (180.0, 90.0)).all():
        raise ValueError("not in degrees")
    return ring


def _content(url: str, wanted: str) -> bytes:
    try:
        content = get(str(Path(url).expanduser()) if "://" not in url else url)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"got {url}, which cannot be read ({error}); it should be {wanted}") from error
    if content is None:
        raise InputError(f"got {url}, where nothing is; it should be {wanted}")
    return content

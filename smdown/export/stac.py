"""A STAC collection of exported maps, an item a day, self-contained: every link and every file is named relatively.

Needs the extra ``stac`` (pystac).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
from pyproj import CRS, Transformer
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension, Sampling, Statistics

from smdown.cubes import Cube, put
from smdown.export.style import THUMBNAIL, flag_names
from smdown.export.tally import Stats
from smdown.export.target import bounds, transform
from smdown.grid import RasterGrid

_EDGE_POINTS = 21
_STRAIGHT = 1e-9
_NOT_SAID = ("title", "history")


def write_catalogue(home: Path, maps: Sequence[Path], cube: Cube, target: RasterGrid, name: str) -> Path:
    """Write ``collection.json`` and an item beside the maps of each day.

    Parameters
    ----------
    home : Path
        Folder of the maps.
    maps : sequence of Path
        Finished maps, each in the folder of its day.
    cube : Cube
        The mosaic that they were made from.
    target : RasterGrid
        Their grid.
    name : str
        Identity of the collection; items have it before their day.

    Returns
    -------
    Path
        The collection.
    """
    days: dict[str, list[Path]] = {}
    for path in maps:
        days.setdefault(path.parent.name, []).append(path)
    items = [_item(day, paths, cube, target, name) for day, paths in sorted(days.items())]
    collection = _collection(items, cube, name)
    collection.add_items(items)
    place = home.resolve()
    collection.set_self_href(str(place / "collection.json"))
    for day, item in zip(sorted(days), items, strict=True):
        item.set_self_href(str(place / day / f"{item.id}.json"))
    collection.save(pystac.CatalogType.SELF_CONTAINED, stac_io=_AtOnce())
    return home / "collection.json"


class _AtOnce(pystac.StacIO):
    """Files that appear when they are whole."""

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        del args, kwargs
        return Path(str(source)).read_text(encoding="utf-8")

    def write_text(self, dest: Any, txt: str, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        put(str(dest), txt.encode())


def _collection(items: Sequence[pystac.Item], cube: Cube, name: str) -> pystac.Collection:
    times = [item.common_metadata for item in items]
    first = min(t.start_datetime for t in times if t.start_datetime)
    last = max(t.end_datetime for t in times if t.end_datetime)
    extent = pystac.Extent(pystac.SpatialExtent([items[0].bbox or []]), pystac.TemporalExtent([[first, last]]))
    title, code = str(cube.attrs.get("title", name)), items[0].properties.get("proj:code")
    collection = pystac.Collection(
        name, f"{title}: daily maps as cloud-optimised GeoTIFFs", extent, title=title, license="other",
        keywords=["soil moisture", "downscaling"], extra_fields=_provenance(cube),
        summaries=pystac.Summaries({"proj:code": [code]} if code else {}),
    )  # fmt: skip
    assets = {key: asset for item in items for key, asset in item.assets.items()}
    collection.item_assets = {
        key: pystac.ItemAssetDefinition.create(asset.title, asset.description, asset.media_type, asset.roles)
        for key, asset in assets.items()
    }
    return collection


def _item(day: str, maps: Sequence[Path], cube: Cube, target: RasterGrid, name: str) -> pystac.Item:
    ring = footprint(cube.raster)
    lon, lat = np.array(ring).T
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    item = pystac.Item(
        f"{name}_{day}",
        {"type": "Polygon", "coordinates": [ring]},
        [float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())],
        start,
        _provenance(cube),
        start_datetime=start,
        end_datetime=start + timedelta(days=1, seconds=-1),
    )
    _project(item, target)
    for path in maps:
        _add_map(item, path, cube)
    picture = maps[0].parent / THUMBNAIL
    if picture.exists():
        item.add_asset(
            "thumbnail",
            pystac.Asset(f"./{THUMBNAIL}", "Thumbnail", media_type=pystac.MediaType.PNG, roles=["thumbnail"]),
        )
    return item


def _project(item: pystac.Item, target: RasterGrid) -> None:
    """Say which grid all maps of an item have."""
    crs = CRS.from_user_input(target.crs)
    authority = crs.to_authority(min_confidence=100)
    projection = ProjectionExtension.ext(item, add_if_missing=True)
    projection.apply(
        code=":".join(authority) if authority else None,
        wkt2=None if authority else crs.to_wkt(),
        bbox=list(bounds(target)),
        shape=list(target.shape),
        transform=list(transform(target))[:6],
    )


def _add_map(item: pystac.Item, path: Path, cube: Cube) -> None:
    with rasterio.open(path) as file:
        variable = cube.variables[file.tags()["variable"]]
        stats = Stats.from_tags(file.tags(1))
        nodata, dtype = file.nodata, file.dtypes[0]
        metres = abs(file.transform.a) * (file.crs.linear_units_factor[1] if file.crs.is_projected else 111_320.0)
    names = flag_names(variable)
    masks = zip(
        variable.attrs.get("flag_masks", ()), str(variable.attrs.get("flag_meanings", "")).split(), strict=False
    )
    listed = ", ".join(f"{mask} {word.replace('_', ' ')}" for mask, word in masks)
    asset = pystac.Asset(
        f"./{path.name}",
        variable.long_name or variable.name,
        f"Sum of: {listed}" if names else None,
        pystac.MediaType.COG,
        ["data", "quality"] if names else ["data"],
    )
    item.add_asset(variable.name, asset)
    band = RasterBand.create(
        nodata="nan" if nodata is not None and math.isnan(nodata) else nodata,  # type: ignore[arg-type]
        sampling=Sampling.AREA,
        data_type=DataType(dtype),
        spatial_resolution=round(metres, 6),
        scale=variable.scale,
        offset=None if variable.scale is None else 0.0,
        unit=variable.units or None,
        statistics=_statistics(stats),
    )
    RasterExtension.ext(asset, add_if_missing=True).apply([band])


def _statistics(stats: Stats) -> Statistics | None:
    """Return statistics of the pixels as they stand in the file, as GDAL keeps them too."""
    if math.isnan(stats.mean):
        return None
    low, high, mean, std = (float(f"{value:.6g}") for value in (stats.low, stats.high, stats.mean, stats.std))
    return Statistics.create(minimum=low, maximum=high, mean=mean, stddev=std, valid_percent=stats.valid_percent)


def _provenance(cube: Cube) -> dict[str, Any]:
    """Return what the mosaic says of its making."""
    return {f"smdown:{k}": v for k, v in cube.attrs.items() if isinstance(v, str) and k not in _NOT_SAID}


def footprint(raster: RasterGrid) -> list[list[float]]:
    """Return the outline of a raster, ``[longitude, latitude]``, closed and counterclockwise.

    Edges that are bent in degrees get more points; on EASE-Grid they are parallels and meridians, and four do.
    """
    west, south, east, north = bounds(raster)
    corners = np.array([(west, south), (east, south), (east, north), (west, north)])
    share = np.linspace(0, 1, _EDGE_POINTS)[:-1, None]
    edges = [a + share * (b - a) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    to_degrees = Transformer.from_crs(raster.crs, "EPSG:4326", always_xy=True)
    points = np.round(np.stack(to_degrees.transform(*np.concatenate(edges).T), axis=1), 7)
    arriving, leaving = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turn = arriving[:, 0] * leaving[:, 1] - arriving[:, 1] * leaving[:, 0]
    kept = points[np.abs(turn) > _STRAIGHT].tolist()
    return [*kept, kept[0]]

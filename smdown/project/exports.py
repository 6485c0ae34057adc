"""What a project gives away: files of its map, and tables of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smdown import export as exporting
from smdown.errors import ConfigError

if TYPE_CHECKING:
    from smdown.config import ProjectConfig
    from smdown.training import Layer

Names = str | Sequence[str] | None
"""One, several or all."""
_OTHER_FILES = {
    *(".nc", ".nc4", ".h5", ".hdf5", ".png", ".jpg", ".jpeg", ".jp2", ".img", ".vrt"),
    *(".json", ".geojson", ".gpkg", ".shp", ".zip", ".txt", ".xlsx", ".html"),
}


class Exports:
    """The part of a project that exports its map."""

    if TYPE_CHECKING:
        config: ProjectConfig

        @property
        def mosaic_url(self) -> str:
            """The map."""

        @property
        def layers(self) -> tuple[Layer, ...]:
            """What is downscaled."""

    def export(
        self,
        out: str | Path,
        *,
        layer: Names = None,
        day: Names = None,
        crs: str | None = None,
        resolution: float | None = None,
        stac: bool = True,
        tell: exporting.Tell = exporting.silent,
    ) -> str:
        """Write maps as cloud-optimised GeoTIFFs.

        Parameters
        ----------
        out : path-like
            A file that ends in ``.tif`` receives one map, by default the first layer on the last day; a folder those
            of all layers and days that are asked for, or of all, with a STAC catalogue.
        layer, day : str or sequence of str, optional
            Which variables of the map (standard deviations and flags are some too), and ISO days.
        crs : str, optional
            Another coordinate reference system, such as ``EPSG:5070``.
        resolution : float, optional
            Side of a pixel, in units of that system.
        stac : bool
            Write a catalogue into the folder; needs the extra ``stac``.
        tell : callable
            Hears what is being done, how much is finished, and of how much.

        Returns
        -------
        str
            The file, the collection, or the folder.

        Raises
        ------
        CubeError
            If the map has no such layer or day, or that day is not finished.
        ConfigError
            If the grid is impossible, or the folder holds other maps.
        """
        grid: dict[str, Any] = {"crs": crs, "resolution": resolution}
        layers, days = _names(layer), _names(day)
        if Path(out).suffix.lower() not in (".tif", ".tiff"):
            _refuse_other_files(out)
            more: dict[str, Any] = {"stac": stac, "name": self.config.name, "tell": tell}
            return str(exporting.export_maps(self.mosaic_url, out, layers=layers, days=days, **grid, **more))
        if len(layers) > 1 or len(days) > 1:
            count = max(len(layers), 1) * max(len(days), 1)
            raise ConfigError(f"got {out} for {count} maps; name a folder for several")
        chosen = (*layers, self.layers[0].name)[0], (*days, self.config.mapped_days[-1])[0]
        tell(Path(out).name, 0, 1)
        written = str(exporting.export_cog(self.mosaic_url, *chosen, out, **grid))
        tell("", 1, 1)
        return written

    def export_pyramid(
        self,
        url: str,
        *,
        layer: Names = None,
        day: Names = None,
        levels: int | None = None,
        tell: exporting.Tell = exporting.silent,
    ) -> str:
        """Write the map at its own and ever halved resolutions, as one Zarr group; see `smdown.export.export_pyramid`.

        Raises
        ------
        CubeError
            If the map has no such layer or day, that day is not finished, or something else lies at `url`.
        """
        names: dict[str, Any] = {"layers": _names(layer), "days": _names(day)}
        return exporting.export_pyramid(self.mosaic_url, url, **names, levels=levels, tell=tell)

    def series(
        self,
        points: Sequence[str | tuple[float, float]] = (),
        polygons: Sequence[str] = (),
        *,
        layer: Names = None,
        day: Names = None,
    ) -> exporting.Series:
        """Return time series of points or polygons; see `smdown.export.point_series` and `polygon_series`.

        Parameters
        ----------
        points : sequence of str or tuple
            Longitude and latitude, as numbers or as ``LON,LAT``, and CSV tables with such columns.
        polygons : sequence of str
            GeoJSON files.
        layer, day : str or sequence of str, optional
            Layers and ISO days; all by default.

        Raises
        ------
        InputError
            If a file cannot be used, or all places lie outside the map.
        ConfigError
            Unless there are points or polygons, and not both.
        """
        if bool(points) == bool(polygons):
            what = "points and polygons, which make two tables" if points else "no place"
            raise ConfigError(f"got {what}; give points or polygons")
        names = _names(layer), _names(day)
        if polygons:
            return exporting.polygon_series(self.mosaic_url, exporting.read_polygons(polygons), *names)
        texts = [p if isinstance(p, str) else f"{float(p[0])!r},{float(p[1])!r}" for p in points]
        return exporting.point_series(self.mosaic_url, exporting.read_points(texts), *names)


def _names(value: Names) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _refuse_other_files(out: str | Path) -> None:
    """Raise ConfigError where a folder of maps would be called as a file of another kind."""
    kind = Path(out).suffix.lower()
    if kind in _OTHER_FILES and not Path(out).is_dir():
        raise ConfigError(f"got {out}; give a file that ends in .tif, or a folder, which is not called {kind}")

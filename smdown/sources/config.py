"""What a project file says of its sources: one model for each kind of input."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from smdown.sources.products import PRODUCTS, Layout, ProductName

Range = tuple[float, float]


SMAP_L4_VARIABLES = {
    "gph": {"sm_surface": "Geophysical_Data/sm_surface", "sm_rootzone": "Geophysical_Data/sm_rootzone"},
    "aup": {
        f"{layer}{ours}": f"Analysis_Data/{layer}_analysis{theirs}"
        for ours, theirs in (("", ""), ("_std", "_ensstd"))
        for layer in ("sm_surface", "sm_rootzone")
    },
}
"""Datasets of SMAP L4 files, by product and by name in the cube."""
RESERVED = ("x", "y", "time", "station", "network", "latitude", "longitude", "spatial_ref", "receipts")
"""Names that cubes and tables of stations use themselves."""


class BaseSource(BaseModel):
    """What every kind of source has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str | tuple[str, ...] = Field(
        description="File, folder or glob pattern, or a list of them; local, or any fsspec URL (s3://, https://, ...)."
    )
    valid_range: Range | dict[str, Range] | None = Field(
        None, description="Physical limits, for all variables or by name; values outside are missing."
    )
    units: str | dict[str, str] | None = Field(None, description="Units, for all variables or by name.")

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths, as a tuple."""
        return (self.path,) if isinstance(self.path, str) else self.path

    def resolved(self, root: str | Path) -> Self:
        """Return the same source with its relative paths below `root`."""
        paths = tuple(_below(str(root), path) for path in self.paths)
        return self.model_copy(update={"path": paths[0] if isinstance(self.path, str) else paths})

    def range_of(self, name: str) -> Range | None:
        """Return the configured limits of a variable."""
        return self.valid_range.get(name) if isinstance(self.valid_range, dict) else self.valid_range

    def units_of(self, name: str) -> str | None:
        """Return the configured units of a variable."""
        return self.units.get(name) if isinstance(self.units, dict) else self.units

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        ranges = self.valid_range.values() if isinstance(self.valid_range, dict) else (self.valid_range,)
        if wrong := [r for r in ranges if r is not None and r[0] >= r[1]]:
            raise ValueError(f"valid_range {list(wrong[0])} is empty; write the lower limit first")
        for name in self._known:
            if name in RESERVED or not re.fullmatch(r"[A-Za-z_][\w.-]*", name):
                raise ValueError(f"{name!r} cannot name a variable of a cube; write another, of letters, digits and _")
        for key in ("valid_range", "units", "static"):
            self._check_names(key)
        return self

    @property
    def _known(self) -> dict[str, Any]:
        """Variables by name."""
        return next((getattr(self, k) for k in ("chosen", "variables", "bands", "layers") if hasattr(self, k)), {})

    def _check_names(self, key: str) -> None:
        """Raise ValueError where a setting by name names no variable of the source."""
        value, known = getattr(self, key, None), self._known
        if isinstance(value, dict | tuple) and all(isinstance(v, str) for v in value):
            for name in value:
                if name not in known:
                    raise ValueError(f"{key} names {name!r}, which is none of {', '.join(known)}")


class StacQuery(BaseModel):
    """What of a STAC catalogue or API is wanted; extent and period are the project's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collections: tuple[str, ...] = Field((), description="Collections; all where none is named.")
    query: dict[str, Any] = Field({}, description="Conditions of an API's query extension, by property.")


class StacFiles(StacQuery):
    """What of a STAC catalogue or API is wanted, where an item is one file of several variables."""

    asset: str | None = Field(None, description="Key of the asset; by default the only one with a fitting ending.")


class FileSource(BaseSource):
    """A source of files that may come from STAC, with their variables inside."""

    stac: StacFiles | None = Field(None, description="Take path as STAC, whose items' assets are the files.")


class SmapL4Config(FileSource):
    """SMAP L4 files (SPL4SMGP or SPL4SMAU), 3-hourly HDF5 on EASE-Grid 2.0 M09, to daily means."""

    kind: Literal["smap_l4"] = "smap_l4"
    product: Literal["gph", "aup"] = Field(
        "gph", description="SPL4SMGP (gph), or SPL4SMAU (aup), whose ensemble spread comes with it as <layer>_std."
    )
    variables: dict[str, str] | None = Field(
        None, min_length=1, description="Dataset inside the files, by name in the cube; both layers by default."
    )
    minimum_files: int = Field(1, ge=1, description="Files (of eight) that a day needs at least.")

    @property
    def chosen(self) -> dict[str, str]:
        """The datasets by name, the product's own where none are named."""
        return self.variables or SMAP_L4_VARIABLES[self.product]


class SmapL3Config(FileSource):
    """SMAP L3 retrievals (SPL3SMP_E on M09, SPL3SMP on M36), one HDF5 file a day, morning and evening passes."""

    kind: Literal["smap_l3"] = "smap_l3"
    lattice: Literal["ease2_m09", "ease2_m36"] = Field("ease2_m09", description="Grid of the product.")
    variables: dict[str, str] = Field(
        {"sm_surface": "soil_moisture"},
        min_length=1,
        description="Dataset inside the groups, without the evening's _pm, by name in the cube.",
    )
    passes: tuple[Literal["am", "pm"], ...] = Field(
        ("am", "pm"), min_length=1, description="Overpasses that count; a cell seen by both takes their mean."
    )
    quality_bits: tuple[int, ...] = Field(
        (0,), description="Bits of retrieval_qual_flag that must be 0 (0: recommended quality); none to ignore it."
    )


class CellListConfig(BaseSource):
    """Lists of cells with latitude and longitude, one NetCDF or HDF5 file a day, loose or zipped."""

    kind: Literal["cell_list"] = "cell_list"
    lattice: Literal["ease2_m09", "ease2_m36"] = Field("ease2_m09", description="Grid on whose centres the cells lie.")
    latitude: str = Field("latitude", description="Variable that holds the latitude.")
    longitude: str = Field("longitude", description="Variable that holds the longitude.")
    variables: dict[str, str] = Field(min_length=1, description="Variable in the files, by name in the cube.")
    date_pattern: str | None = Field(
        None, description="Regular expression whose first group is the date in a file's name."
    )
    date_format: str = Field("%Y%m%d", description="Format of that group.")

    @field_validator("date_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        return check_pattern(pattern)


class RasterConfig(BaseSource):
    """Anything that GDAL reads, without time: one file, or tiles of one grid."""

    kind: Literal["raster"] = "raster"
    crs: str | None = Field(None, description="Coordinate reference system, where the files state none or a wrong one.")
    path: str | tuple[str, ...] = Field(
        ".", description="File, folder or glob pattern, or a list of them; where variables are file names, the folder."
    )
    variables: dict[str, int | str] = Field(
        min_length=1,
        description="Band of the files in path, or a file name or pattern below path, by name in the cube.",
    )
    stac: StacQuery | None = Field(None, description="Take path as STAC; variables then name assets.")
    nodata: float | None = Field(None, description="Value that stands for missing, where the files do not declare it.")

    @model_validator(mode="after")
    def _assets(self) -> Self:
        if self.stac is not None and (bands := [n for n, v in self.variables.items() if isinstance(v, int)]):
            raise ValueError(f"the variable {bands[0]!r} needs the key of a STAC asset, not the number of a band")
        return self


class DatedRasterConfig(BaseSource):
    """Anything that GDAL reads, a file a day (or tiles of it), brought to the project's cells or pixels nested in them.

    This is how any gridded variable becomes a coarse product, or a fine reference to judge the map by.
    """

    kind: Literal["dated_raster"] = "dated_raster"
    path: str | tuple[str, ...] = Field(".", description="Folder of the files, or a list of folders.")
    variables: dict[str, str] = Field(
        min_length=1, description="File name or pattern below path, by name in the cube; the first band is read."
    )
    resolution: int | None = Field(
        None, gt=0, description="Pixel of the cube, nested in the project's cells; the cells themselves by default."
    )
    crs: str | None = Field(None, description="Coordinate reference system, where the files state none or a wrong one.")
    nodata: float | None = Field(None, description="Value that stands for missing, where the files do not declare it.")
    date_pattern: str | None = Field(
        None, description="Regular expression whose first group is the date in a file's name."
    )
    date_format: str = Field("%Y%m%d", description="Format of that group.")

    @field_validator("date_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        return check_pattern(pattern)


class NetcdfConfig(FileSource):
    """CF NetCDF on a longitude-latitude or projected grid, with or without time."""

    kind: Literal["netcdf"] = "netcdf"
    crs: str | None = Field(None, description="Coordinate reference system, where the files state none or a wrong one.")
    variables: dict[str, str] = Field(min_length=1, description="Variable in the files, by name in the cube.")
    group: str | None = Field(None, description="Group inside the files that holds them.")
    select: dict[str, int] = Field({}, description="Step to read of dimensions that are neither time nor place.")
    daily: Literal["mean", "sum", "none"] = Field(
        "none", description="How several values of a day become one; none allows one value a day."
    )
    shift_hours: float = Field(0.0, description="Hours added to the time stamps before days are told apart.")
    minimum_steps: int = Field(1, ge=1, description="Time steps that a day needs at least.")
    static: tuple[str, ...] = Field((), description="Variables (names in the cube) whose only time step is of no day.")
    nodata: float | None = Field(None, description="Value that stands for missing, where the files do not declare it.")


class ReflectanceConfig(BaseSource):
    """Optical scenes: one raster a band, with a mask of clouds, to clear-sky composites.

    A product sets everything but path and stac; keys that are given override it.
    """

    kind: Literal["reflectance"] = "reflectance"
    product: ProductName | None = Field(
        None, description="Provider's product: sets names of bands and mask, scale, offset, nodata and what is hidden."
    )
    crs: str | None = Field(None, description="Coordinate reference system, where the files state none or a wrong one.")
    stac: StacQuery | None = Field(None, description="Take path as STAC; bands and mask then name assets.")
    bands: dict[str, str] = Field(
        {},
        description="Pattern of the band's files, by name in the cube; * is the scene's name. Needed without product.",
    )
    mask: str | None = Field(None, description="Pattern of the quality mask's files.")
    mask_bits: tuple[int, ...] = Field((1, 2, 3), description="Bits of the mask that hide a pixel (Fmask: 1, 2, 3).")
    mask_classes: tuple[int, ...] = Field((), description="Values of the mask that hide a pixel, of a mask of classes.")
    scale: float = Field(1e-4, gt=0, description="Reflectance of one count.")
    offset: float | None = Field(
        0.0, description="Reflectance of count zero; null: of each Sentinel-2 scene by its processing baseline."
    )
    nodata: float | None = Field(None, description="Count that stands for missing, where the files do not declare it.")
    resolution: float | None = Field(
        None, gt=0, description="Pixel of the cube, in units of its grid; that of the coarsest band by default."
    )
    composite_days: int = Field(30, ge=1, description="Days of one composite, counted from the start of the project.")
    date_pattern: str | None = Field(
        None, description="Regular expression whose first group is the date in a file's name."
    )
    date_format: str = Field("%Y%j", description="Format of that group.")

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """The ways that files, or assets, of a scene may be named."""
        product = PRODUCTS[self.product] if self.product else None
        known = () if product is None else product.files if self.stac is None else product.assets
        named = tuple(replace(way, bands=self.bands or way.bands, mask=self.mask or way.mask) for way in known)
        return named or (Layout(self.bands, self.mask),)

    @property
    def chosen(self) -> dict[str, str]:
        """The bands by name in the cube."""
        return dict(self.layouts[0].bands)

    @field_validator("date_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        return check_pattern(pattern)

    @model_validator(mode="before")
    @classmethod
    def _of_product(cls, data: Any) -> Any:
        product = PRODUCTS.get(str(data.get("product"))) if isinstance(data, dict) else None
        return dict(product.settings) | data if product else data

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.chosen:
            raise ValueError(f"name bands, or a product ({', '.join(PRODUCTS)})")
        for pattern in (*self.bands.values(), *([self.mask] if self.mask else [])):
            if self.stac is None and pattern.count("*") != 1:
                raise ValueError(f"the pattern {pattern!r} needs exactly one *, which stands for the scene's name")
        return self


class StationLayer(BaseModel):
    """One layer of the ground, from the sensors of a station that lie in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    depth: Range = Field(description="Upper and lower depth, m; sensors inside count.")
    minimum_sensors: int = Field(1, ge=1, description="Different depths that must report on a day.")
    surface_within: float = Field(0.1, gt=0, description="Depth, m, within which the topmost of them must lie.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 <= self.depth[0] < self.depth[1]:
            raise ValueError(f"depth {list(self.depth)} is not a range below the ground; write [upper, lower] in m")
        return self


class IsmnConfig(BaseSource):
    """ISMN archive (header+values or CEOP separate files): a folder, loose files or a zip, to daily layer means."""

    kind: Literal["ismn"] = "ismn"
    variable: str = Field("soil_moisture", description="Variable, as the ismn package names it.")
    layers: dict[str, StationLayer] = Field(
        {
            "sm_surface": StationLayer(depth=(0.0, 0.06)),
            "sm_rootzone": StationLayer(depth=(0.0, 1.0), minimum_sensors=3),
        },
        min_length=1,
        description="Layers of the ground, by name in the result.",
    )
    flags: tuple[str, ...] = Field(("G",), description="Quality flags that are kept; a value must carry one of them.")
    minimum_values: int = Field(1, ge=1, description="Good values of a sensor that a day (UTC) needs at least.")
    overpass: float | None = Field(
        None, ge=0, lt=24, description="Local solar hour around which a day's values are taken; all of the day if none."
    )
    window_hours: float = Field(12.0, gt=0, le=24, description="Length of the window around the overpass, in total.")
    valid_range: Range | None = Field((0.0, 1.0), description="Physical limits of a single value; others are dropped.")


class StationsCsvConfig(BaseSource):
    """Long tables of stations (CSV, Parquet), loose or zipped: station, latitude, longitude, date, a column a layer."""

    kind: Literal["stations_csv"] = "stations_csv"
    variables: dict[str, str] = Field(min_length=1, description="Column, by name of the layer in the result.")
    station: str = Field("station", description="Column that names the station.")
    station_pattern: str | None = Field(
        None, description="Instead: regular expression whose first group is the station in a file's name."
    )
    latitude: str = Field("latitude", description="Column with the latitude.")
    longitude: str = Field("longitude", description="Column with the longitude.")
    date: str = Field("date", description="Column with the date.")
    network: str = Field("", description="Name of the network.")

    @field_validator("station_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        return check_pattern(pattern)


def _below(root: str, path: str) -> str:
    if "://" in path:
        return path
    return f"{root.rstrip('/')}/{path}" if "://" in root else str(Path(root) / Path(path).expanduser())


def check_pattern(pattern: str | None) -> str | None:
    """Return the regular expression if it compiles and has a group."""
    if pattern is not None:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression ({error})") from error
        if groups < 1:
            raise ValueError(f"{pattern!r} has no group; put what is wanted in parentheses")
    return pattern


GridConfig = (
    SmapL3Config | SmapL4Config | CellListConfig | RasterConfig | DatedRasterConfig | NetcdfConfig | ReflectanceConfig
)
StationConfig = IsmnConfig | StationsCsvConfig
SourceConfig = GridConfig | StationConfig
"""Any source; `kind` tells them apart."""

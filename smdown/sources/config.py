"""What a project file says of its sources: one model for each kind of input."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Range = tuple[float, float]


class BaseSource(BaseModel):
    """What every kind of source has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str | tuple[str, ...] = Field(description="File, folder or glob pattern, or a list of them.")
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
        for key in ("valid_range", "units", "static"):
            self._check_names(key)
        return self

    def _check_names(self, key: str) -> None:
        """Raise ValueError where a setting by name names no variable of the source."""
        value = getattr(self, key, None)
        known: dict[str, Any] = next(
            (getattr(self, k) for k in ("variables", "bands", "layers") if hasattr(self, k)), {}
        )
        if isinstance(value, dict | tuple) and all(isinstance(v, str) for v in value):
            for name in value:
                if name not in known:
                    raise ValueError(f"{key} names {name!r}, which is none of {', '.join(known)}")


class SmapL4Config(BaseSource):
    """SMAP L4 files (SPL4SMGP), 3-hourly HDF5 on EASE-Grid 2.0 M09, to daily means."""

    kind: Literal["smap_l4"] = "smap_l4"
    variables: dict[str, str] = Field(
        {"sm_surface": "Geophysical_Data/sm_surface", "sm_rootzone": "Geophysical_Data/sm_rootzone"},
        min_length=1,
        description="Dataset inside the files, by name in the cube.",
    )
    minimum_files: int = Field(1, ge=1, description="Files (of eight) that a day needs at least.")


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
    nodata: float | None = Field(None, description="Value that stands for missing, where the files do not declare it.")


class NetcdfConfig(BaseSource):
    """CF NetCDF on a longitude-latitude or projected grid, with or without time."""

    kind: Literal["netcdf"] = "netcdf"
    crs: str | None = Field(None, description="Coordinate reference system, where the files state none or a wrong one.")
    variables: dict[str, str] = Field(min_length=1, description="Variable in the files, by name in the cube.")
    group: str | None = Field(None, description="Group inside the files that holds them.")
    daily: Literal["mean", "sum", "none"] = Field(
        "none", description="How several values of a day become one; none allows one value a day."
    )
    shift_hours: float = Field(0.0, description="Hours added to the time stamps before days are told apart.")
    minimum_steps: int = Field(1, ge=1, description="Time steps that a day needs at least.")
    static: tuple[str, ...] = Field((), description="Variables (names in the cube) whose only time step is of no day.")
    nodata: float | None = Field(None, description="Value that stands for missing, where the files do not declare it.")


class ReflectanceConfig(BaseSource):
    """Optical scenes: one GeoTIFF a band, with a bit mask of clouds, to clear-sky composites."""

    kind: Literal["reflectance"] = "reflectance"
    crs: str | None = Field(None, description="Coordinate reference system, where the files state none or a wrong one.")
    bands: dict[str, str] = Field(
        min_length=1, description="Pattern of the band's files, by name in the cube; * is the scene's name."
    )
    mask: str | None = Field(None, description="Pattern of the quality mask's files.")
    mask_bits: tuple[int, ...] = Field((1, 2, 3), description="Bits of the mask that hide a pixel (Fmask: 1, 2, 3).")
    scale: float = Field(1e-4, gt=0, description="Reflectance of one count.")
    offset: float = Field(0.0, description="Reflectance of count zero.")
    composite_days: int = Field(30, ge=1, description="Days of one composite, counted from the start of the project.")
    date_pattern: str | None = Field(
        None, description="Regular expression whose first group is the date in a file's name."
    )
    date_format: str = Field("%Y%j", description="Format of that group.")

    @field_validator("date_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        return check_pattern(pattern)

    @field_validator("bands")
    @classmethod
    def _one_star(cls, bands: dict[str, str]) -> dict[str, str]:
        for pattern in bands.values():
            if pattern.count("*") != 1:
                raise ValueError(f"the pattern {pattern!r} needs exactly one *, which stands for the scene's name")
        return bands


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
    valid_range: Range | None = Field((0.0, 1.0), description="Physical limits of a single value; others are dropped.")


class StationsCsvConfig(BaseSource):
    """Long tables of stations (CSV), loose or zipped: station, latitude, longitude, date and one column a layer."""

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


GridConfig = SmapL4Config | CellListConfig | RasterConfig | NetcdfConfig | ReflectanceConfig
StationConfig = IsmnConfig | StationsCsvConfig
SourceConfig = GridConfig | StationConfig
"""Any source; `kind` tells them apart."""

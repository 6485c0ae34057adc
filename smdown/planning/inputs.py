"""The sources as a plan sees them: finished cubes, files that can be read, or guesses where nothing is there yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from smdown.cubes.layout import CubeSpec, Variable
from smdown.errors import InputError
from smdown.grid import LATTICES, NestedGrid, RasterGrid, nominal_ratio
from smdown.planning.counts import find_cube
from smdown.planning.volumes import stored_bytes
from smdown.sources.context import LATTICE_PAD_CELLS, IngestContext
from smdown.sources.ingest import LIBRARY_BYTES, Survey, survey
from smdown.sources.prepared import PreparedGrid

if TYPE_CHECKING:
    from smdown.project import Project

GUESSED_NETCDF_M = 10_000.0
"""Pixel of gridded weather, as that of IMERG and ERA5-Land, where no file says it."""
_TIMED, _STILL = ("time", "y", "x"), ("y", "x")


@dataclass(frozen=True)
class Source:
    """One source.

    Parameters
    ----------
    new, done : int
        Parts that are still to be read, and those that are.
    spec : CubeSpec, optional
        Its cube; None for tables of stations.
    task_bytes : int
        Memory that reading a part may need.
    input_bytes : int, optional
        Size of its files.
    missing : str
        Why its files cannot be read, where the cube is a guess.
    """

    new: int
    done: int
    spec: CubeSpec | None = None
    task_bytes: int = 0
    input_bytes: int | None = None
    missing: str = ""

    @property
    def share(self) -> float:
        """Share of it that is still to be read."""
        return self.new / max(1, self.new + self.done)

    @property
    def values(self) -> int:
        """Values that are still to be written."""
        if self.spec is None:
            return 0
        return int(self.share * sum(_size(self.spec, v) for v in self.spec.variables))

    @property
    def write_bytes(self) -> int:
        """Bytes that are still to be written."""
        return 0 if self.spec is None else int(self.share * stored_bytes(self.spec))


def _size(spec: CubeSpec, variable: Variable) -> int:
    return spec.raster.window.size * (len(spec.times) if variable.timed else 1)


def find_sources(project: Project, *, read: bool = True, guess: bool = True) -> dict[str, Source]:
    """Return every source of a project.

    Parameters
    ----------
    project : Project
        Whose.
    read : bool
        Whether files are opened; else cubes that are there are taken for finished.
    guess : bool
        Whether what has no file that can be read is guessed from its configuration.

    Raises
    ------
    InputError
        If a file cannot be read and nothing is to be guessed.
    """
    return {name: _source(project, name, config, read, guess) for name, config in project.source_configs.items()}


def _source(project: Project, name: str, config: Any, read: bool, guess: bool) -> Source:
    there = None if read else find_cube(project.url("sources", f"{name}.zarr")).spec
    if there is not None:
        return Source(0, 1, there)
    try:
        found = survey(name, config, project.ingest_context) if read else None
    except InputError as error:
        if not guess:
            raise
        return _guess(config, project.ingest_context, str(error))
    return _of_survey(found) if found else _guess(config, project.ingest_context, "")


def _of_survey(found: Survey) -> Source:
    if found.prepared is None:
        return Source(0, found.done, find_cube(found.url).spec, input_bytes=0)
    new = found.parts - found.done
    if not isinstance(found.prepared, PreparedGrid):
        return Source(new, found.done, None, LIBRARY_BYTES, found.input_bytes)
    spec = found.prepared.spec("", {})
    return Source(new, found.done, spec, LIBRARY_BYTES + found.prepared.block_bytes, found.input_bytes)


def _guess(config: Any, context: IngestContext, why: str) -> Source:
    """Return what a source will be like by its configuration alone."""
    spec = _guessed_cube(config, context)
    return Source(1, 0, spec, 0, None, why)


def _guessed_cube(config: Any, context: IngestContext) -> CubeSpec | None:
    days = _days(context.first, context.end)
    names = tuple(getattr(config, "chosen", None) or getattr(config, "variables", None) or ("value",))
    if config.kind in ("ismn", "stations_csv"):
        return None
    if config.kind in ("smap_l3", "smap_l4", "cell_list"):
        lattice = LATTICES[getattr(config, "lattice", "ease2_m09")]
        cells = context.lattice_cells(lattice).expand(LATTICE_PAD_CELLS).intersect(lattice.window)
        assert cells is not None
        return _cube(NestedGrid(lattice, cells, 1).raster, names, "float32", days)
    if config.kind == "dated_raster":
        ratio = 1 if config.resolution is None else nominal_ratio(context.nested.lattice, config.resolution)
        return _cube(context.nested.at(ratio).raster, names, "float32", days)
    if config.kind == "netcdf":
        return _cube(_raster(context, GUESSED_NETCDF_M), names, "float32", days)
    if config.kind == "reflectance":
        return _cube(_raster(context, context.nested.pixel), names, "int16", days[:: config.composite_days])
    return _cube(_raster(context, context.nested.pixel), names, "float32", ())


def _cube(raster: RasterGrid, names: tuple[str, ...], dtype: str, times: tuple[str, ...]) -> CubeSpec:
    dims = _TIMED if times else _STILL
    return CubeSpec(raster, tuple(Variable(name, dims, dtype) for name in names), times)


def _raster(context: IngestContext, pixel: float) -> RasterGrid:
    """Return pixels of about a size that cover the extent."""
    whole = context.nested.at(1).raster
    height, width = (max(1, round(side * abs(whole.dx) / pixel)) for side in whole.shape)
    return RasterGrid(whole.crs, whole.x0, whole.y0, pixel, -pixel, height, width)


def _days(first: str, last: str) -> tuple[str, ...]:
    span = np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1)
    return tuple(str(day) for day in span)


def ingested(found: dict[str, Source]) -> dict[str, CubeSpec]:
    """Return the cubes of the sources, there or to come."""
    return {name: source.spec for name, source in found.items() if source.spec is not None}

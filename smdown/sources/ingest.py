"""Checking sources, planning their ingest, and the one task that turns a source into its cube."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import rasterio
from pydantic import Field, TypeAdapter

from smdown import cubes
from smdown.errors import CubeError, InputError
from smdown.identity import fingerprint
from smdown.plan import Plan, Receipt
from smdown.sources import cell_list, ismn_archive, netcdf, raster, reflectance, smap_l4, stations_csv, table
from smdown.sources.config import (
    BaseSource,
    CellListConfig,
    IsmnConfig,
    NetcdfConfig,
    RasterConfig,
    ReflectanceConfig,
    SmapL4Config,
    SourceConfig,
    StationsCsvConfig,
)
from smdown.sources.context import IngestContext
from smdown.sources.files import digest
from smdown.sources.prepared import PreparedGrid, Tally
from smdown.sources.table import PreparedStations

LIBRARY_BYTES = 768 * 2**20
"""What a process holds once GDAL, HDF5 and the scientific libraries are loaded, GDAL's block cache counted in."""
_GDAL = {"GDAL_CACHEMAX": 128}  # MiB; its default is a share of the machine, whatever the worker may use
PROVIDERS: Mapping[type[BaseSource], Any] = {
    SmapL4Config: smap_l4,
    CellListConfig: cell_list,
    RasterConfig: raster,
    NetcdfConfig: netcdf,
    ReflectanceConfig: reflectance,
    IsmnConfig: ismn_archive,
    StationsCsvConfig: stations_csv,
}
"""Module of each kind: ``input_files(config)`` and ``prepare(config, context)``."""
_ADAPTER: TypeAdapter[SourceConfig] = TypeAdapter(Annotated[SourceConfig, Field(discriminator="kind")])


@dataclass(frozen=True)
class IngestTask:
    """One source to read.

    Parameters
    ----------
    name : str
        Its name in the project.
    config : str
        Its configuration, as JSON.
    url : str
        Where its cube goes.
    context : IngestContext
        Region and period.
    fingerprint : str
        Identity of configuration, files, region and period.
    """

    name: str
    config: str
    url: str
    context: IngestContext
    fingerprint: str

    @property
    def key(self) -> str:
        """Name of the task."""
        return self.name


def prepare(config: BaseSource, context: IngestContext) -> PreparedGrid | PreparedStations:
    """Check one source and describe what it leaves; nothing is written.

    Raises
    ------
    InputError
        In one line, if it cannot be used.
    """
    prepared: PreparedGrid | PreparedStations = PROVIDERS[type(config)].prepare(config, context)
    return prepared


def file_identity(configs: Mapping[str, SourceConfig]) -> dict[str, list[tuple[str, int, str]]]:
    """Return name, size and a digest of samples of every input file, by source.

    Times of change do not count, so copied inputs stay the same inputs.

    Raises
    ------
    InputError
        If a path names nothing.
    """
    return {name: _identity(name, config) for name, config in configs.items()}


def _identity(name: str, config: BaseSource) -> list[tuple[str, int, str]]:
    try:
        paths: tuple[Path, ...] = PROVIDERS[type(config)].input_files(config)
    except InputError as error:
        raise _named(name, error) from error
    return [(path.name, path.stat().st_size, digest(path)) for path in paths]


def check(configs: Mapping[str, SourceConfig], context: IngestContext) -> None:
    """Validate every source without writing anything.

    Parameters
    ----------
    configs : mapping
        Sources by name, their paths resolved.
    context : IngestContext
        Region and period.

    Raises
    ------
    InputError
        In one line that names the source: missing or unreadable file, no coordinate reference system, missing
        variable, a footprint outside the extent, or no day in the period.
    """
    for name, config in configs.items():
        _prepared(name, config, context)


def _prepared(name: str, config: BaseSource, context: IngestContext) -> PreparedGrid | PreparedStations:
    try:
        with rasterio.Env(**_GDAL):
            return prepare(config, context)
    except InputError as error:
        raise _named(name, error) from error


def _named(name: str, error: InputError) -> InputError:
    """Return the error with the source's name in front, in one line."""
    return InputError(f"source {name}: {' '.join(str(error).split())}")


def ingest_plan(configs: Mapping[str, SourceConfig], context: IngestContext) -> Plan:
    """Plan one task for each source that is not finished with the same fingerprint.

    Parameters
    ----------
    configs : mapping
        Sources by name, their paths resolved.
    context : IngestContext
        Region, period and place of the results.

    Raises
    ------
    InputError
        If any source cannot be used; nothing has been written then.
    """
    tasks, most, done = [], 0, 0
    for name, config in configs.items():
        task = _task(name, config, context)
        if _finished(task):
            done += 1
            continue
        prepared = _prepared(name, config, context)
        most = max(most, prepared.block_bytes if isinstance(prepared, PreparedGrid) else 0)
        tasks.append(task)
    return Plan("ingest", tuple(tasks), run_ingest, LIBRARY_BYTES + most, done)


def _task(name: str, config: BaseSource, context: IngestContext) -> IngestTask:
    content = config.model_dump(mode="json", exclude={"path"})
    nested = context.nested.at(1)
    region = (nested, context.margin, context.first, context.start, context.end)
    identity = fingerprint(content, _identity(name, config), region)
    return IngestTask(name, config.model_dump_json(), cubes.join(context.out, f"{name}.zarr"), context, identity)


def _finished(task: IngestTask) -> bool:
    if table.sealed_fingerprint(task.url) is not None:
        return table.sealed_fingerprint(task.url) == task.fingerprint
    try:
        cube = cubes.open_cube(task.url)
    except CubeError:
        return False
    return cube.spec.fingerprint == task.fingerprint and cube.complete


def run_ingest(task: IngestTask) -> Receipt:
    """Read one source into its cube; whatever was written is removed if that fails.

    Parameters
    ----------
    task : IngestTask
        Which source.

    Returns
    -------
    Receipt
        With notes on files, days and the share of valid pixels.

    Raises
    ------
    InputError
        In one line, if the source cannot be read to its end.
    """
    start = time.perf_counter()
    config = _ADAPTER.validate_json(task.config)
    prepared = _prepared(task.name, config, task.context)
    attrs = {"title": f"{task.name} as ingested", "kind": config.kind}
    try:
        with rasterio.Env(**_GDAL):
            write = _write_grid if isinstance(prepared, PreparedGrid) else _write_stations
            pixels, notes = write(task, prepared, attrs)  # type: ignore[arg-type]
    except BaseException as error:
        cubes.delete(task.url)
        if isinstance(error, InputError):
            raise _named(task.name, error) from error
        raise
    lines = tuple(f"{task.name}: {note}" for note in (prepared.inputs, *notes, *prepared.notes))
    return Receipt(task.key, pixels, time.perf_counter() - start, notes=lines)


def _write_grid(task: IngestTask, prepared: PreparedGrid, attrs: dict[str, Any]) -> tuple[int, list[str]]:
    cube = cubes.create_cube(task.url, prepared.spec(task.fingerprint, attrs), overwrite=True)
    tallies = {variable.name: Tally() for variable in prepared.variables}
    for block in prepared.blocks():
        cube.write(block.variable, block.values, block.window, block.time)
        tallies[block.variable].add(block)
    cube.finish()
    notes = [tallies[v.name].describe(v, prepared.times) for v in prepared.variables]
    if prepared.times:
        notes.insert(0, f"{len(prepared.times)} days, {prepared.times[0]} to {prepared.times[-1]}")
    return sum(t.total for t in tallies.values()), notes


def _write_stations(task: IngestTask, prepared: PreparedStations, attrs: dict[str, Any]) -> tuple[int, list[str]]:
    stations = prepared.table()
    if not stations.sizes.get("station"):
        raise InputError(f"got {prepared.inputs}, without one good value in the period; change period, flags or layers")
    table.write_table(task.url, stations, task.fingerprint, attrs | {"inputs": prepared.inputs})
    count = stations.sizes["station"]
    notes = [f"{count} stations, {stations.sizes['time']} days"]
    notes += [f"{n}: {float(v.notnull().mean()):.1%} of station days" for n, v in stations.data_vars.items()]
    return sum(int(v.size) for v in stations.data_vars.values()), notes

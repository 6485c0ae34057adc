"""Checking sources, planning their ingest, and running one task of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from smdown import cubes
from smdown.errors import CubeError, InputError
from smdown.identity import fingerprint
from smdown.plan import Plan, Receipt
from smdown.sources import (
    cell_list,
    dated_raster,
    fill,
    ismn_archive,
    netcdf,
    raster,
    reflectance,
    smap_l3,
    smap_l4,
    stations_csv,
    table,
)
from smdown.sources.aside import one_line
from smdown.sources.config import (
    BaseSource,
    CellListConfig,
    DatedRasterConfig,
    IsmnConfig,
    NetcdfConfig,
    RasterConfig,
    ReflectanceConfig,
    SmapL3Config,
    SmapL4Config,
    SourceConfig,
    StationsCsvConfig,
)
from smdown.sources.context import IngestContext
from smdown.sources.copies import COPIES
from smdown.sources.fill import Origin
from smdown.sources.places import Place, gdal_options
from smdown.sources.prepared import Part, PreparedGrid
from smdown.sources.quality import quality_url, read_quality
from smdown.sources.table import PreparedStations

LIBRARY_BYTES = 768 * 2**20
"""What a process holds once GDAL, HDF5 and the scientific libraries are loaded, GDAL's block cache counted in."""
_GDAL = {"GDAL_CACHEMAX": 128}  # MiB; its default is a share of the machine, whatever the worker may use
PROVIDERS: Mapping[type[BaseSource], Any] = {
    SmapL3Config: smap_l3,
    SmapL4Config: smap_l4,
    CellListConfig: cell_list,
    RasterConfig: raster,
    DatedRasterConfig: dated_raster,
    NetcdfConfig: netcdf,
    ReflectanceConfig: reflectance,
    IsmnConfig: ismn_archive,
    StationsCsvConfig: stations_csv,
}
"""Module of each kind: ``input_files(config)`` and ``prepare(config, context)``."""
_ADAPTER: TypeAdapter[SourceConfig] = TypeAdapter(Annotated[SourceConfig, Field(discriminator="kind")])

Prepared = PreparedGrid | PreparedStations


@dataclass(frozen=True)
class Survey:
    """How far the ingest of a source has come.

    Parameters
    ----------
    url : str
        Where its cube is, or will be.
    parts, done : int
        Tasks of the whole, and those that earlier runs finished.
    input_bytes : int
        Size of its files.
    prepared : PreparedGrid or PreparedStations, optional
        The checked source; None where nothing is left to do.
    """

    url: str
    parts: int
    done: int
    input_bytes: int
    prepared: Prepared | None = None


@dataclass(frozen=True)
class IngestTask:
    """One source to read, or some days and shards of one.

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
    part : Part, optional
        What of the cube; None for a table of stations.
    parts : int
        Parts of the source.
    prepared : PreparedGrid or PreparedStations
        The checked source, with the inputs of the part alone.
    """

    name: str
    config: str
    url: str
    context: IngestContext
    fingerprint: str
    part: Part | None = None
    parts: int = 1
    prepared: Prepared | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """Name of the task."""
        return self.name if self.part is None or self.parts == 1 else f"{self.name}/{self.part.key}"

    @property
    def origin(self) -> Origin:
        """What its results are signed with."""
        kind = _ADAPTER.validate_json(self.config).kind
        return Origin(self.name, kind, self.url, self.fingerprint, self.context.start, self.context.end, self.parts)


def prepare(config: BaseSource, context: IngestContext) -> Prepared:
    """Check one source and describe what it leaves; nothing is written.

    Raises
    ------
    InputError
        In one line, if it cannot be used.
    """
    prepared: Prepared = PROVIDERS[type(config)].prepare(config, context)
    return prepared


def file_identity(
    configs: Mapping[str, SourceConfig], context: IngestContext | None = None
) -> dict[str, list[tuple[str, int, str]]]:
    """Return name, size and a digest of samples of every input file, by source.

    Times of change do not count, so copied inputs stay the same inputs. Of remote files their store's word counts.

    Parameters
    ----------
    configs : mapping
        Sources by name, their paths resolved.
    context : IngestContext, optional
        Region and period of STAC searches; without it their address stands for what they find.

    Raises
    ------
    InputError
        If a path names nothing.
    """
    return {name: _identity(name, config, context) for name, config in configs.items()}


def _identity(name: str, config: BaseSource, context: IngestContext | None) -> list[tuple[str, int, str]]:
    searched = (context,) if getattr(config, "stac", None) is not None else ()
    try:
        files = PROVIDERS[type(config)].input_files(config, *searched)
        return [(f if isinstance(f, Place) else Place(str(f))).identity() for f in files]
    except InputError as error:
        raise _named(name, error) from error


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


def survey(name: str, config: SourceConfig, context: IngestContext) -> Survey:
    """Say how far the ingest of a source has come, and check what is left of it; nothing is written.

    Raises
    ------
    InputError
        In one line that names the source, as :func:`check`.
    """
    files = _identity(name, config, context)
    task, size = _task(name, config, context, files), sum(size for _, size, _ in files)
    if _finished(task):
        return Survey(task.url, 1, 1, size)
    prepared = _prepared(name, config, context)
    parts = prepared.parts() if isinstance(prepared, PreparedGrid) else ()
    origin = _of(task, None, max(1, len(parts)), prepared).origin
    return Survey(task.url, origin.parts, len(fill.read_records(origin)), size, prepared)


def _prepared(name: str, config: BaseSource, context: IngestContext) -> Prepared:
    try:
        COPIES.recheck()
        with gdal_options(**_GDAL):
            return prepare(config, context)
    except InputError as error:
        raise _named(name, error) from error


def _named(name: str, error: InputError) -> InputError:
    """Return the error with the source's name in front, in one line."""
    return InputError(f"source {name}: {one_line(error)}")


def ingest_plan(configs: Mapping[str, SourceConfig], context: IngestContext) -> Plan:
    """Plan the tasks of each source that is not finished with the same fingerprint, and create its empty cube.

    A source of many days or pixels is cut into parts: each task fills whole objects of its cube alone.

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
    todo, done, most = [], 0, 0
    for name, config in configs.items():
        task = _task(name, config, context)
        if _finished(task):
            done += 1
            continue
        prepared = _prepared(name, config, context)
        most = max(most, prepared.block_bytes if isinstance(prepared, PreparedGrid) else 0)
        todo.append((task, prepared))
    tasks: list[IngestTask] = []
    for task, prepared in todo:
        left, finished = _split(task, prepared)
        tasks += left
        done += finished
    return Plan("ingest", tuple(tasks), run_ingest, LIBRARY_BYTES + most, done)


def _split(task: IngestTask, prepared: Prepared) -> tuple[list[IngestTask], int]:
    """Return the tasks that a source still needs, its cube created, and how many an earlier run has finished."""
    if isinstance(prepared, PreparedStations):
        return [_of(task, None, 1, prepared)], 0
    parts = prepared.parts()
    tasks = [_of(task, part, len(parts), prepared.narrowed(part)) for part in parts]
    origin = tasks[0].origin
    done = fill.start(origin, prepared)
    return [t for t in tasks if t.part is not None and t.part.key not in done], len(done)


def _of(task: IngestTask, part: Part | None, parts: int, prepared: Prepared) -> IngestTask:
    return IngestTask(task.name, task.config, task.url, task.context, task.fingerprint, part, parts, prepared)


def _task(
    name: str, config: BaseSource, context: IngestContext, files: list[tuple[str, int, str]] | None = None
) -> IngestTask:
    content = config.model_dump(mode="json", exclude={"path"})
    nested = context.nested.at(1)
    region = (nested, context.margin, context.first, context.start, context.end)
    identity = fingerprint(content, files or _identity(name, config, context), region)
    return IngestTask(name, config.model_dump_json(), cubes.join(context.out, f"{name}.zarr"), context, identity)


def _finished(task: IngestTask) -> bool:
    try:
        if task.context.strict and read_quality(task.url).set_aside:
            return False
        if table.sealed_fingerprint(task.url) is not None:
            return table.sealed_fingerprint(task.url) == task.fingerprint
        cube = cubes.open_cube(task.url)
    except CubeError:
        return False
    return cube.spec.fingerprint == task.fingerprint and cube.complete


def run_ingest(task: IngestTask) -> Receipt:
    """Read one source, or one part of it, into its cube.

    Parameters
    ----------
    task : IngestTask
        Which source and part.

    Returns
    -------
    Receipt
        With notes on files set aside; the last part of a source adds days and the share of valid pixels.

    Raises
    ------
    InputError
        In one line, if the source cannot be read to its end. A source of one task leaves nothing then; of others
        the finished parts stay for the next run.
    """
    start = time.perf_counter()
    prepared = task.prepared
    assert prepared is not None
    COPIES.recheck()
    try:
        with gdal_options(**_GDAL):
            if isinstance(prepared, PreparedGrid):
                assert task.part is not None
                pixels, notes = fill.fill_part(task.origin, task.part, prepared)
            else:
                pixels, notes = fill.write_stations(task.origin, prepared)
    except InputError as error:
        if task.parts == 1:
            cubes.delete(task.url)
            cubes.delete(quality_url(task.url))
        raise _named(task.name, error) from error
    finally:
        if task.parts == 1:
            COPIES.clear()
    return Receipt(task.key, pixels, time.perf_counter() - start, notes=tuple(f"{task.name}: {n}" for n in notes))

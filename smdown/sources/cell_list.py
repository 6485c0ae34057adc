"""Lists of cells with latitude and longitude (SMAP retrievals as users cut them), put on their lattice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pyproj import Transformer

from smdown.cubes import Variable
from smdown.errors import InputError
from smdown.grid import LATTICES, Lattice, NestedGrid, Window
from smdown.sources import hdf5
from smdown.sources.aside import SetAside
from smdown.sources.config import CellListConfig
from smdown.sources.context import LATTICE_PAD_CELLS, IngestContext
from smdown.sources.files import date_of
from smdown.sources.items import Item, list_items
from smdown.sources.places import Place, find_places
from smdown.sources.prepared import Block, PreparedDays
from smdown.sources.values import FillWatch, Float32, Mean, check_range, clean

SUFFIXES = (".nc", ".nc4", ".h5", ".hdf5")
TOLERANCE_CELLS = 1e-3
"""Largest distance of a cell's centre from the lattice. Coordinates in float32 cost up to 0.0001 cell of M09."""

_DEGREES = (-360.0, 360.0)

Index = npt.NDArray[np.int64]


Cells = tuple[Index, Index, dict[str, Float32]]


@dataclass(kw_only=True)
class PreparedCellList(PreparedDays):
    """Checked lists of cells; cells that come twice a day are averaged."""

    times_a_part: ClassVar[int] = 366

    config: CellListConfig
    cells: Window
    repeated: int = 0
    empty: int = 0

    def read_item(self, item: Item) -> Cells:
        """Return the project's cells of a file: row and column in the cube, and values."""
        rows, cols, values = read_cells(item, self.config, LATTICES[self.config.lattice])
        self.empty += not rows.size
        cells = self.cells
        inside = (rows >= cells.y0) & (rows < cells.y1) & (cols >= cells.x0) & (cols < cells.x1)
        return rows[inside] - cells.y0, cols[inside] - cells.x0, {n: v[inside] for n, v in values.items()}

    def add_item(self, values: Cells, means: list[Mean]) -> None:
        """Add one file to the day."""
        rows, cols, columns = values
        for variable, mean in zip(self.variables, means, strict=True):
            mean.add_at((rows, cols), columns[variable.name])
        self.repeated += int(rows.size - np.unique(rows * self.cells.width + cols).size)

    def blocks(self) -> Iterator[Block]:
        """Yield one day after another."""
        self.repeated = self.empty = 0
        yield from super().blocks()
        if self.repeated:
            self.notes.append(f"{self.repeated} repeated cells averaged")
        if self.empty:
            self.notes.append(f"{self.empty} files without cells (gaps in the record)")


def read_cells(item: Item, config: CellListConfig, lattice: Lattice) -> tuple[Index, Index, dict[str, Float32]]:
    """Return row, column and values of every cell in a file; a file without any is an empty day.

    Raises
    ------
    InputError
        If the file is unreadable, lacks a variable, or its cells lie off the lattice.
    """
    with hdf5.open_hdf5(item) as file:
        if is_empty(file):
            none = np.zeros(0, dtype=np.int64)
            return none, none, {name: np.zeros(0, dtype=np.float32) for name in config.variables}
        places = config.latitude, config.longitude
        lat, lon = (_column(hdf5.dataset(file, name, item), item, _DEGREES, "") for name in places)
        columns = {
            name: _column(hdf5.dataset(file, path, item), item, config.range_of(name), f"got {item}, whose {name}")
            for name, path in config.variables.items()
        }
    if len({lat.size, lon.size, *(c.size for c in columns.values())}) > 1:
        raise InputError(f"got {item}, whose columns have different lengths; it is damaged or no list of cells")
    placed = (np.abs(lat) <= 90) & (np.abs(lon) <= 360)  # the others are fills: no cell, and no grid, comes of them
    rows, cols = on_lattice(lat[placed], lon[placed], lattice, item)
    return rows, cols, {name: column[placed].astype(np.float32) for name, column in columns.items()}


def is_empty(file: Any) -> bool:
    """Whether a file holds no cell at all (a day or window without data)."""
    names = hdf5.dataset_names(file)
    return bool(names) and not any(file[name].size for name in names)


def _column(node: Any, item: Item, valid_range: tuple[float, float] | None, what: str) -> npt.NDArray[Any]:
    """Return a column as floats; without limits, a number that looks like a fill which nobody declared is an error."""
    limits = valid_range or hdf5.limits(node)
    values = clean(np.asarray(hdf5.whole(node, item)).reshape(-1), fills=hdf5.fills(node))
    if limits is not None and what:
        check_range(values, limits, what.removeprefix("got "))
    values = values if limits is None else clean(values, valid_range=limits)
    if limits is None:
        watch = FillWatch()
        watch.look(values)
        if verdict := watch.verdict("set valid_range"):
            raise InputError(f"{what} {verdict}")
    return values


def on_lattice(lat: npt.NDArray[Any], lon: npt.NDArray[Any], lattice: Lattice, item: Item) -> tuple[Index, Index]:
    """Return the lattice's row and column of centres given in degrees.

    Raises
    ------
    InputError
        If one is off by more than 0.001 cell.
    """
    transformer = Transformer.from_crs("EPSG:4326", lattice.crs, always_xy=True)
    x, y = transformer.transform(lon.astype(np.float64), lat.astype(np.float64))
    position = (
        np.stack([(lattice.y0 - np.asarray(y)) / lattice.cell, (np.asarray(x) - lattice.x0) / lattice.cell]) - 0.5
    )
    index = np.rint(position).astype(np.int64)
    residual = float(np.abs(position - index).max()) if index.size else 0.0
    if not residual <= TOLERANCE_CELLS:
        raise InputError(
            f"got {item} with cells up to {residual:.3g} cell off the lattice {lattice.name}; set lattice to the grid "
            f"of the product ({', '.join(LATTICES)})"
        )
    return index[0], index[1]


def prepare(config: CellListConfig, context: IngestContext) -> PreparedCellList:
    """Check the files and describe their cube.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    lattice, aside = LATTICES[config.lattice], SetAside(context.strict)
    days = _days(config, context, aside)
    wanted = context.lattice_cells(lattice)
    cells = wanted.expand(LATTICE_PAD_CELLS).intersect(lattice.window)
    assert cells is not None
    _check_meeting(config, days, wanted, aside)
    nested = NestedGrid(lattice, cells, 1)
    variables = tuple(
        Variable(name, ("time", "y", "x"), units=config.units_of(name) or "", valid_range=config.range_of(name))
        for name in config.variables
    )
    count = sum(map(len, days.values()))
    several = [day for day, items in days.items() if len(items) > 1]
    notes = [f"{len(several)} days have several files, averaged ({several[0]} the first)"] if several else []
    return PreparedCellList(
        raster=nested.raster,
        variables=variables,
        times=tuple(days),
        inputs=f"{count} lists of cells, {next(iter(days))} to {max(days)}",
        notes=notes,
        nested=nested,
        aside=aside,
        config=config,
        days=tuple(map(tuple, days.values())),
        cells=cells,
    )


def input_files(config: CellListConfig) -> tuple[Place, ...]:
    """Return the files and archives that the source names."""
    return find_places(config.paths, (*SUFFIXES, ".zip"))


def _days(config: CellListConfig, context: IngestContext, aside: SetAside) -> dict[str, list[Item]]:
    items = list_items(input_files(config), SUFFIXES, aside)
    dated: list[tuple[str, str, Item]] = []
    for item in items:
        day = aside.attempt(item, lambda item=item: date_of(item, config.date_pattern, config.date_format))  # type: ignore[misc]
        dated += [] if day is None else [(day, str(item), item)]
    if not dated:
        raise aside.nothing_left(config.paths[0], len(items))
    days: dict[str, list[Item]] = {}
    for day, _, item in sorted(dated):
        if context.start <= day <= context.end:
            days.setdefault(day, []).append(item)
    if not days:
        raise InputError(
            f"got {len(items)} files from {min(dated)[0]} to {max(dated)[0]}, none in the period {context.start} to "
            f"{context.end}; change the period, or name other files"
        )
    return days


def _check_meeting(config: CellListConfig, days: dict[str, list[Item]], wanted: Window, aside: SetAside) -> None:
    """Read lists until one has cells in the project's extent; all of them where none may be set aside."""
    lattice = LATTICES[config.lattice]
    nowhere = Window(0, 1, 0, 1)
    met, read, count, seen = False, 0, 0, nowhere
    for item in (item for items in days.values() for item in items):
        if met and not aside.strict:
            return
        count += 1
        cells = aside.attempt(item, lambda item=item: read_cells(item, config, lattice))  # type: ignore[misc]
        read += cells is not None
        if cells is not None and cells[0].size:
            rows, cols, _ = cells
            seen = Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
            met |= seen.intersect(wanted) is not None
    if not read or (aside.reasons and seen == nowhere):
        raise aside.nothing_left(config.paths[0], count)
    if not met:
        raise InputError(
            f"empty extent: got cells in rows {seen.y0}:{seen.y1}, columns {seen.x0}:{seen.x1} of {lattice.name}, none "
            f"in the project's rows {wanted.y0}:{wanted.y1}, columns {wanted.x0}:{wanted.x1}; move the extent"
        )

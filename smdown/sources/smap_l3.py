"""SMAP L3 retrievals (SPL3SMP_E, SPL3SMP): morning and evening passes on EASE-Grid 2.0, by row and column index.

Latitude and longitude hold fills wherever nothing was retrieved, so they never place a cell: the indices
``EASE_row_index`` and ``EASE_column_index`` do, or the array itself where it is the whole grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.cubes import Variable
from smdown.errors import InputError
from smdown.grid import LATTICES, NestedGrid, Window
from smdown.sources import hdf5
from smdown.sources.aside import SetAside, first_usable
from smdown.sources.config import Range, SmapL3Config
from smdown.sources.context import LATTICE_PAD_CELLS, IngestContext
from smdown.sources.files import date_of
from smdown.sources.inputs import source_files
from smdown.sources.items import Item, list_items
from smdown.sources.places import Place
from smdown.sources.prepared import PreparedDays
from smdown.sources.values import Float32, Mean, check_range, clean

SUFFIXES = (".h5", ".hdf5", ".nc", ".nc4")
DEFAULT_RANGE = (0.02, 0.6)
GROUP = "Soil_Moisture_Retrieval_Data"
FLAG, ROW, COLUMN = "retrieval_qual_flag", "EASE_row_index", "EASE_column_index"
FILL16 = 65534.0
"""What flags and indices hold where there is nothing, stated or not; its lowest bit is 0, as if all were well."""


@dataclass(frozen=True)
class Pass:
    """The datasets of one overpass in an open file."""

    file: Any
    item: Item
    group: str
    suffix: str

    def node(self, name: str) -> Any:
        """Return a dataset by its name without suffix."""
        return hdf5.dataset(self.file, f"{self.group}/{name}{self.suffix}", self.item)

    def has(self, name: str) -> bool:
        """Whether there is such a dataset."""
        return f"{self.group}/{name}{self.suffix}" in self.file


@dataclass(kw_only=True)
class PreparedSmapL3(PreparedDays):
    """Checked SMAP L3 files."""

    config: SmapL3Config
    cells: Window

    def read_item(self, item: Item) -> list[list[Float32]]:
        """Return the project's cells of every variable of every pass of a file."""
        with hdf5.open_hdf5(item) as file:
            return [read_pass(one, self.config, self.cells) for one in passes_of(file, item, self.config)]

    def add_item(self, values: list[list[Float32]], means: list[Mean]) -> None:
        """Add one file to the day."""
        for one in values:
            for mean, part in zip(means, one, strict=True):
                mean.add(part)


def passes_of(file: Any, item: Item, config: SmapL3Config) -> list[Pass]:
    """Return the passes that a file holds of those that are wanted; older files have one group, of the morning."""
    found = []
    for name in config.passes:
        groups = [f"{GROUP}_{name.upper()}", *([GROUP] if name == "am" else [])]
        group = next((g for g in groups if g in file), None)
        if group is not None:
            found.append(Pass(file, item, group, "_pm" if name == "pm" else ""))
    if not found:
        wanted = " or ".join(f"{GROUP}_{name.upper()}" for name in config.passes)
        raise InputError(f"got {item}, which has no group {wanted}; it has {', '.join(file) or 'nothing'}")
    return found


def read_pass(one: Pass, config: SmapL3Config, cells: Window) -> list[Float32]:
    """Return the cells of a window of the lattice, of every variable of a pass; NaN where nothing good is.

    Raises
    ------
    InputError
        If a variable is missing, or its cells cannot be placed.
    """
    nodes = [one.node(path) for path in config.variables.values()]
    flags = [one.node(FLAG)] if config.quality_bits else []
    if len(shapes := {node.shape for node in (*nodes, *flags)}) > 1:
        raise InputError(f"got {one.item}, whose {one.group} has arrays of different shapes; it is damaged")
    shape = shapes.pop()
    hdf5.check_size(nodes[0], one.item)
    region = cells.slices if shape == LATTICES[config.lattice].window.shape else (slice(None),) * len(shape)
    rows, cols, good = place_cells(one, config, shape, region)
    good &= (rows >= cells.y0) & (rows < cells.y1) & (cols >= cells.x0) & (cols < cells.x1)
    for flag in flags:
        good &= good_quality(flag[region], config.quality_bits)
    target = rows[good] - cells.y0, cols[good] - cells.x0
    out = []
    for name, node in zip(config.variables, nodes, strict=True):
        values = np.full(cells.shape, np.nan, dtype=np.float32)
        limits = _limits(config, name, node)
        physical = clean(node[region], fills=(*hdf5.fills(node), -9999.0))[good]
        check_range(physical, limits, f"{one.item}, whose {name}")
        values[target] = clean(physical, valid_range=limits)
        out.append(values)
    return out


def good_quality(flag: npt.NDArray[Any], bits: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return where a flag is there and none of the bits is set."""
    wanted = np.asarray(sum(1 << bit for bit in set(bits)), dtype=np.int64)
    whole = flag.astype(np.int64)
    return np.asarray((whole != int(FILL16)) & (whole != int(FILL16) + 1) & ((whole & wanted) == 0))


def place_cells(
    one: Pass, config: SmapL3Config, shape: tuple[int, ...], region: tuple[slice, ...]
) -> tuple[Any, Any, Any]:
    """Return row, column and whether they are known, of every element of a region of a pass's arrays.

    Raises
    ------
    InputError
        If there are no indices and the array is not the whole grid, or the indices do not lie on the grid.
    """
    lattice = LATTICES[config.lattice]
    whole = shape == lattice.window.shape
    own = np.ogrid[region] if whole else None
    if not (one.has(ROW) and one.has(COLUMN)):
        if own is None:
            raise InputError(
                f"got {one.item} with arrays of {shape} and no {ROW}; {lattice.name} has {lattice.window.shape}, and "
                "latitude and longitude hold fills: set lattice, or keep the indices when you cut files"
            )
        rows, cols = np.broadcast_arrays(*own)
        return rows, cols, np.ones(rows.shape, dtype=bool)
    if any(one.node(name).shape != shape for name in (ROW, COLUMN)):
        raise InputError(f"got {one.item}, whose {one.group} has arrays of different shapes; it is damaged")
    rows, cols = (one.node(name)[region].astype(np.int32) for name in (ROW, COLUMN))
    valid = (rows >= 0) & (rows < lattice.rows) & (cols >= 0) & (cols < lattice.cols)
    beyond = ~valid & (rows >= 0) & (rows < FILL16) & (cols >= 0) & (cols < FILL16)
    moved = own is not None and bool(((rows != own[0]) | (cols != own[1]))[valid].any())
    if beyond.any() or moved:
        raise InputError(f"got {one.item}, whose indices do not lie on {lattice.name}; set lattice to the product's")
    return rows, cols, valid


def _limits(config: SmapL3Config, name: str, node: Any) -> Range:
    return config.range_of(name) or hdf5.limits(node) or DEFAULT_RANGE


def prepare(config: SmapL3Config, context: IngestContext) -> PreparedSmapL3:
    """Check the files and describe their cube.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    lattice, aside, notes = LATTICES[config.lattice], SetAside(context.strict), list[str]()
    days = by_day(config, context, aside, notes)
    cells = context.lattice_cells(lattice).expand(LATTICE_PAD_CELLS).intersect(lattice.window)
    assert cells is not None
    items = list(days.values())
    first, variables = first_usable(items, aside, lambda item: _look_at(item, config, cells), f"{len(items)} files")
    nested = NestedGrid(lattice, cells, 1)
    return PreparedSmapL3(
        raster=nested.raster,
        variables=variables,
        times=tuple(days),
        inputs=f"{len(items)} SMAP L3 files, {first.name} and on",
        notes=notes,
        nested=nested,
        aside=aside,
        days=tuple((item,) for item in items),
        config=config,
        cells=cells,
    )


def _look_at(item: Item, config: SmapL3Config, cells: Window) -> tuple[Variable, ...]:
    """Return the variables of a file that can be read."""

    def found(file: Any) -> tuple[Variable, ...]:
        first = passes_of(file, item, config)[0]
        read_pass(first, config, cells)
        return tuple(_variable(config, name, first.node(path)) for name, path in config.variables.items())

    return hdf5.look(item, found)


def by_day(config: SmapL3Config, context: IngestContext, aside: SetAside, notes: list[str]) -> dict[str, Item]:
    """Return the file of each day of the period, the latest where there are several.

    Raises
    ------
    InputError
        If no name holds a date, or no file lies in the period.
    """
    items = list_items(input_files(config, context, aside), SUFFIXES, aside)
    days: dict[str, Item] = {}
    older = 0
    for item in items:
        day = aside.attempt(item, lambda item=item: date_of(item, None, ""))  # type: ignore[misc]
        older += day is not None and day in days
        if day is not None:
            days[day] = item  # sorted: the latest production stays
    if not days:
        raise aside.nothing_left(config.paths[0], len(items))
    within = {day: days[day] for day in sorted(days) if context.start <= day <= context.end}
    if not within:
        raise InputError(
            f"got {len(items)} files from {min(days)} to {max(days)}, none in the period {context.start} to "
            f"{context.end}; change the period, or name other files"
        )
    if older:
        notes.append(f"{older} older versions of files left out")
    return within


def input_files(
    config: SmapL3Config, context: IngestContext | None = None, aside: SetAside | None = None
) -> tuple[Place, ...]:
    """Return the files and archives that the source names; of a STAC search without an extent, its address alone."""
    return source_files(config, (*SUFFIXES, ".zip"), context, aside)


def _variable(config: SmapL3Config, name: str, node: Any) -> Variable:
    units = config.units_of(name) or hdf5.text(node, "units")
    return Variable(
        name,
        ("time", "y", "x"),
        units="m3 m-3" if units in ("cm**3/cm**3", "cm3/cm3") else units,
        long_name=hdf5.text(node, "long_name"),
        valid_range=_limits(config, name, node),
    )

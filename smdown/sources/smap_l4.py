"""SMAP L4 soil moisture on EASE-Grid 2.0 M09, to daily means.

SPL4SMGP (gph) holds 3-hourly averages, SPL4SMAU (aup) 3-hourly analyses with the ensemble's spread. The spread of a
daily mean is taken as the mean of the day's spreads: errors of one day hang together, so they do not average out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.cubes import Variable
from smdown.errors import InputError
from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.sources import hdf5
from smdown.sources.aside import SetAside, first_usable
from smdown.sources.config import Range, SmapL4Config
from smdown.sources.context import LATTICE_PAD_CELLS, IngestContext
from smdown.sources.files import Named
from smdown.sources.inputs import source_files
from smdown.sources.items import Item, list_items
from smdown.sources.places import Place
from smdown.sources.prepared import PreparedDays
from smdown.sources.values import Float32, Mean, check_range, check_units, clean

SUFFIXES = (".h5", ".hdf5")
FILES_A_DAY = 8
_STAMP = re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})T(\d{6})")
_OLD_GROUP = "HDFEOS/GRIDS/Geophysical_Data/Data Fields/"
_PRODUCT = re.compile(r"_(gph|aup|lmc)_")
_TOLERANCE_CELLS = 1e-3
_OUTAGES = (("2019-06-19", "2019-07-23"), ("2022-08-06", "2022-09-20"))
DEFAULT_RANGE = (0.0, 0.9)


@dataclass(kw_only=True)
class PreparedSmapL4(PreparedDays):
    """Checked SMAP L4 files."""

    paths: tuple[str, ...]
    cells: Window
    ranges: tuple[Range, ...]
    units: tuple[str, ...]

    def read_item(self, item: Item) -> list[Float32]:
        """Return the project's cells of every variable of a file."""
        with hdf5.open_hdf5(item) as file:
            have = file_cells(file, find_dataset(file, self.paths[0], item), item)
            common = have.intersect(self.cells)
            if common is None:
                raise InputError(f"got {item}, whose cells lie outside the project's extent; name other files")
            inside, outside = common.relative_to(have).slices, common.relative_to(self.cells).slices
            out = []
            for path, limits, units in zip(self.paths, self.ranges, self.units, strict=True):
                node = find_dataset(file, path, item)
                check_units(hdf5.text(node, "units"), units, f"{item}, whose {path}")
                values = np.full(self.raster.shape, np.nan, dtype=np.float32)
                physical = clean(node[inside], fills=hdf5.fills(node))
                check_range(physical, limits, f"{item}, whose {path}")
                values[outside] = clean(physical, valid_range=limits)
                out.append(values)
        return out

    def add_item(self, values: list[Float32], means: list[Mean]) -> None:
        """Add one file to the day."""
        for mean, part in zip(means, values, strict=True):
            mean.add(part)


@dataclass(frozen=True)
class _Found:
    """What the first file that can be used says of all."""

    have: Window
    variables: tuple[Variable, ...]
    ranges: tuple[Range, ...]
    units: tuple[str, ...]


def prepare(config: SmapL4Config, context: IngestContext) -> PreparedSmapL4:
    """Check the files and describe their cube.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    aside, notes = SetAside(context.strict), list[str]()
    days = by_day(_of_product(config, context, notes, aside), context, config.minimum_files, notes, aside)
    wanted = context.lattice_cells(EASE2_M09)
    cells = _clip(wanted.expand(LATTICE_PAD_CELLS))
    items = [item for items in days.values() for item in items]
    first, found = first_usable(items, aside, lambda item: _look_at(item, config, wanted), f"{len(items)} files")
    if modelled := sum(any(a <= day <= b for a, b in _OUTAGES) for day in days):
        notes.append(f"{modelled} days lie in an outage of the satellite: their values are the model's alone")
    nested = NestedGrid(EASE2_M09, cells, 1)
    return PreparedSmapL4(
        raster=nested.raster,
        variables=found.variables,
        times=tuple(days),
        inputs=f"{len(items)} SMAP L4 files, {first.name} and on",
        notes=notes,
        nested=nested,
        aside=aside,
        days=tuple(map(tuple, days.values())),
        paths=tuple(config.chosen.values()),
        cells=cells,
        ranges=found.ranges,
        units=found.units,
    )


def _look_at(item: Item, config: SmapL4Config, wanted: Window) -> _Found:
    """Return what a file says of grid and variables."""
    return hdf5.look(item, lambda file: _found(file, item, config, wanted))


def _found(file: Any, item: Item, config: SmapL4Config, wanted: Window) -> _Found:
    nodes = {name: find_dataset(file, path, item) for name, path in config.chosen.items()}
    have = file_cells(file, next(iter(nodes.values())), item)
    if have.intersect(wanted) is None:
        raise InputError(
            f"empty extent: got {item} covering M09 rows {have.y0}:{have.y1}, columns {have.x0}:{have.x1}, which "
            f"does not meet the project's rows {wanted.y0}:{wanted.y1}, columns {wanted.x0}:{wanted.x1}; move it"
        )
    ranges = tuple(config.range_of(n) or hdf5.limits(d) or DEFAULT_RANGE for n, d in nodes.items())
    units = tuple(hdf5.text(node, "units") for node in nodes.values())
    return _Found(have, tuple(_variable(config, n, d) for n, d in nodes.items()), ranges, units)


def _of_product(config: SmapL4Config, context: IngestContext, notes: list[str], aside: SetAside) -> tuple[Item, ...]:
    """Return the files but for those whose names tell of another product."""
    items = list_items(input_files(config, context, aside), SUFFIXES, aside)
    kept = tuple(i for i in items if (m := _PRODUCT.search(i.name)) is None or m[1] == config.product)
    if not kept:
        raise InputError(f"got {items[0]}, which is no {config.product} file; set product, or name other files")
    if left := len(items) - len(kept):
        notes.append(f"{left} files of another product than {config.product} left out")
    return kept


def input_files(
    config: SmapL4Config, context: IngestContext | None = None, aside: SetAside | None = None
) -> tuple[Place, ...]:
    """Return the files and archives that the source names; of a STAC search without an extent, its address alone."""
    return source_files(config, (*SUFFIXES, ".zip"), context, aside)


def _clip(window: Window) -> Window:
    inside = window.intersect(EASE2_M09.window)
    assert inside is not None
    return inside


def by_day(
    items: tuple[Item, ...], context: IngestContext, minimum: int, notes: list[str], aside: SetAside
) -> dict[str, list[Item]]:
    """Return the files of each day of the period, one a time stamp, and note what is left out.

    Raises
    ------
    InputError
        If no name holds a time stamp, or no file lies in the period.
    """
    stamps: dict[tuple[str, str], Item] = {}
    older = 0
    for item in items:
        stamp = aside.attempt(item, lambda item=item: stamp_of(item))  # type: ignore[misc]
        if stamp is not None:
            older += stamp in stamps
            stamps[stamp] = item  # sorted: the latest production stays
    if not stamps:
        raise aside.nothing_left(f"{len(items)} files", len(items))
    if older:
        notes.append(f"{older} older versions of files left out")
    days: dict[str, list[Item]] = {}
    for (day, _), item in sorted(stamps.items()):
        if context.start <= day <= context.end:
            days.setdefault(day, []).append(item)
    kept = {day: files for day, files in days.items() if len(files) >= minimum}
    if not kept:
        last = sorted(stamps)
        raise InputError(
            f"got {len(items)} files from {last[0][0]} to {last[-1][0]}, none in the period {context.start} to "
            f"{context.end}; change the period, or name other files"
        )
    if partial := sum(len(files) < FILES_A_DAY for files in days.values()):
        notes.append(f"{partial} days have fewer than {FILES_A_DAY} files")
    return kept


def stamp_of(item: Named) -> tuple[str, str]:
    """Return the ISO day and the time in a file's name."""
    match = _STAMP.search(item.name)
    if match is None:
        raise InputError(f"got {item}, whose name holds no time stamp YYYYMMDDThhmmss; keep NSIDC's file names")
    try:
        return date(*map(int, match.groups()[:3])).isoformat(), match[4]
    except ValueError as error:
        raise InputError(f"got {item}, whose name holds no day of any calendar; keep NSIDC's file names") from error


def find_dataset(file: Any, path: str, item: Item) -> Any:
    """Return a dataset by its path, or by its name in the older HDF-EOS layout."""
    if path not in file and (old := file.get(_OLD_GROUP + path.rsplit("/", 1)[-1])) is not None:
        return old
    return hdf5.dataset(file, path, item)


def file_cells(file: Any, node: Any, item: Item) -> Window:
    """Return the cells of EASE-Grid 2.0 M09 that a file holds, from its projected coordinates.

    Raises
    ------
    InputError
        If the coordinates are off the lattice by more than 0.001 cell, or absent and the array is not the whole grid.
    """
    if "x" in file and "y" in file:
        cols = lattice_indices((hdf5.whole(file["x"], item) - EASE2_M09.x0) / EASE2_M09.cell, f"x of {item}")
        rows = lattice_indices((EASE2_M09.y0 - hdf5.whole(file["y"], item)) / EASE2_M09.cell, f"y of {item}")
        window = Window(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1)
    else:
        window = EASE2_M09.window
    if node.shape != window.shape:
        raise InputError(
            f"got {item} with an array of {node.shape} for coordinates of {window.shape}; it is no SMAP L4 file on M09"
        )
    return window


def lattice_indices(position: npt.NDArray[Any], what: str) -> npt.NDArray[np.int64]:
    """Return the consecutive cell indices of centres given in cells from the lattice's corner.

    Raises
    ------
    InputError
        If a centre is off by more than 0.001 cell, or the indices are not consecutive.
    """
    index = np.rint(position - 0.5).astype(np.int64)
    residual = float(np.abs(position - 0.5 - index).max()) if index.size else 0.0
    if not residual <= _TOLERANCE_CELLS:
        raise InputError(f"got {what}, off EASE-Grid 2.0 M09 by {residual:.3g} cell; only that grid is read as smap_l4")
    if index.size == 0 or not bool((np.diff(index) == 1).all()):
        raise InputError(f"got {what}, which does not run from cell to cell in order; the file is damaged")
    return index


def _variable(config: SmapL4Config, name: str, node: Any) -> Variable:
    units = config.units_of(name) or hdf5.text(node, "units")
    return Variable(
        name,
        ("time", "y", "x"),
        units="m3 m-3" if units.startswith("m3") else units,
        long_name=hdf5.text(node, "long_name"),
        valid_range=config.range_of(name) or hdf5.limits(node) or DEFAULT_RANGE,
    )

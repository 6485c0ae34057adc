"""SMAP L4 surface and root-zone soil moisture (SPL4SMGP): 3-hourly averages on EASE-Grid 2.0 M09, to daily means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.cubes import Variable
from smdown.errors import InputError
from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.sources import hdf5
from smdown.sources.config import Range, SmapL4Config
from smdown.sources.context import LATTICE_PAD_CELLS, IngestContext
from smdown.sources.files import Item, find_files, list_items
from smdown.sources.prepared import Block, PreparedGrid
from smdown.sources.values import Mean, clean

SUFFIXES = (".h5", ".hdf5")
FILES_A_DAY = 8
_STAMP = re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})T(\d{6})")
_OLD_GROUP = "HDFEOS/GRIDS/Geophysical_Data/Data Fields/"
_TOLERANCE_CELLS = 1e-3
DEFAULT_RANGE = (0.0, 0.9)


@dataclass(kw_only=True)
class PreparedSmapL4(PreparedGrid):
    """Checked SMAP L4 files."""

    days: tuple[list[Item], ...]
    paths: tuple[str, ...]
    cells: Window
    ranges: tuple[Range, ...]

    def blocks(self) -> Iterator[Block]:
        """Yield one day after another."""
        for time, items in enumerate(self.days):
            means = [Mean(self.raster.shape) for _ in self.variables]
            for item in items:
                self._add(item, means)
            for variable, mean in zip(self.variables, means, strict=True):
                values = mean.mean()
                for window in self.windows():
                    yield Block(variable.name, window, time, values[window.slices])

    def _add(self, item: Item, means: list[Mean]) -> None:
        with hdf5.open_hdf5(item) as file:
            have = file_cells(file, self._node(file, 0, item), item)
            common = have.intersect(self.cells)
            if common is None:
                raise InputError(f"got {item}, which lies elsewhere than the first file; read them as two sources")
            inside, outside = common.relative_to(have).slices, common.relative_to(self.cells).slices
            for n, mean in enumerate(means):
                node = self._node(file, n, item)
                values = np.full(self.raster.shape, np.nan, dtype=np.float32)
                values[outside] = clean(node[inside], fills=hdf5.fills(node), valid_range=self.ranges[n])
                mean.add(values)

    def _node(self, file: Any, n: int, item: Item) -> Any:
        return find_dataset(file, self.paths[n], item)


def prepare(config: SmapL4Config, context: IngestContext) -> PreparedSmapL4:
    """Check the files and describe their cube.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    items = list_items(input_files(config), SUFFIXES)
    notes: list[str] = []
    days = by_day(items, context, config.minimum_files, notes)
    wanted = context.lattice_cells(EASE2_M09)
    cells = _clip(wanted.expand(LATTICE_PAD_CELLS))
    first = next(iter(days.values()))[0]
    with hdf5.open_hdf5(first) as file:
        nodes = [find_dataset(file, path, first) for path in config.variables.values()]
        have = file_cells(file, nodes[0], first)
        ranges = tuple(config.range_of(n) or hdf5.limits(d) or DEFAULT_RANGE for n, d in _named(config, nodes))
        variables = tuple(_variable(config, n, d) for n, d in _named(config, nodes))
    if have.intersect(wanted) is None:
        raise InputError(
            f"empty extent: got {first} covering M09 rows {have.y0}:{have.y1}, columns {have.x0}:{have.x1}, which does "
            f"not meet the project's rows {wanted.y0}:{wanted.y1}, columns {wanted.x0}:{wanted.x1}; move the extent"
        )
    _check_all_open(days)
    nested = NestedGrid(EASE2_M09, cells, 1)
    used = sum(map(len, days.values()))
    return PreparedSmapL4(
        raster=nested.raster,
        variables=variables,
        times=tuple(days),
        inputs=f"{used} SMAP L4 files, {first.name} and on",
        notes=notes,
        nested=nested,
        days=tuple(days.values()),
        paths=tuple(config.variables.values()),
        cells=cells,
        ranges=ranges,
    )


def input_files(config: SmapL4Config) -> tuple[Path, ...]:
    """Return the files and archives that the source names."""
    return find_files(config.paths, (*SUFFIXES, ".zip"))


def _named(config: SmapL4Config, nodes: list[Any]) -> list[tuple[str, Any]]:
    return list(zip(config.variables, nodes, strict=True))


def _clip(window: Window) -> Window:
    inside = window.intersect(EASE2_M09.window)
    assert inside is not None
    return inside


def by_day(items: tuple[Item, ...], context: IngestContext, minimum: int, notes: list[str]) -> dict[str, list[Item]]:
    """Return the files of each day of the period, one a time stamp, and note what is set aside.

    Raises
    ------
    InputError
        If a name holds no time stamp, or no file lies in the period.
    """
    stamps: dict[tuple[str, str], Item] = {}
    for item in items:
        match = _STAMP.search(item.name)
        if match is None:
            raise InputError(f"got {item}, whose name holds no time stamp YYYYMMDDThhmmss; keep NSIDC's file names")
        stamps[f"{match[1]}-{match[2]}-{match[3]}", match[4]] = item  # sorted: the latest production stays
    if len(stamps) < len(items):
        notes.append(f"{len(items) - len(stamps)} older versions of files set aside")
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


def _check_all_open(days: dict[str, list[Item]]) -> None:
    for items in days.values():
        for item in items:
            if item.member is None:
                with hdf5.open_hdf5(item):
                    pass


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
        cols = lattice_indices((file["x"][...] - EASE2_M09.x0) / EASE2_M09.cell, f"x of {item}")
        rows = lattice_indices((EASE2_M09.y0 - file["y"][...]) / EASE2_M09.cell, f"y of {item}")
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

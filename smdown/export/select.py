"""What of a mosaic is exported: its variables, days and shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from smdown.cubes import Cube, Variable
from smdown.errors import CubeError
from smdown.grid import Window

Tell = Callable[[str, int, int], None]
"""Hears what is being done, how much is finished, and of how much."""


def silent(text: str, done: int, total: int) -> None:
    """Hear, and say nothing."""
    del text, done, total


def find(cube: Cube, variable: str, day: str) -> tuple[Variable, int]:
    """Return a variable and the position of a day.

    Raises
    ------
    CubeError
        If there is no such variable or day.
    """
    if variable not in cube.variables:
        raise CubeError(f"got the variable {variable!r}; {cube.url} has {', '.join(cube.variables)}")
    try:
        places = np.flatnonzero(cube.times == np.datetime64(day, "ns"))
    except ValueError as error:
        raise CubeError(f"got the day {day!r}, which is no date; write it as 2020-01-31") from error
    if not len(places):
        known = [str(t)[:10] for t in cube.times]
        listed = ", ".join(known) if len(known) < 6 else f"{len(known)} days from {known[0]} to {known[-1]}"
        raise CubeError(f"got the day {day}, which {cube.url} does not hold; it has {listed}")
    return cube.variables[variable], int(places[0])


def choose(cube: Cube, layers: Sequence[str], days: Sequence[str]) -> tuple[list[Variable], list[int]]:
    """Return the variables and the positions of the days that are wanted, in the cube's order; all where none is named.

    Raises
    ------
    CubeError
        If there is no such variable or day, or a day is not wholly written.
    """
    wanted = {find(cube, layer, str(cube.times[0])[:10])[0].name for layer in layers} or set(cube.variables)
    variables = [v for v in cube.variables.values() if v.name in wanted and v.timed]
    places = sorted({find(cube, next(iter(cube.variables)), day)[1] for day in days}) or list(range(len(cube.times)))
    rows, cols = cube.spec.tiles
    for batch in sorted({cube.batch_of(v, place) for v in variables for place in places}):
        if (done := len(cube.done(batch))) < rows * cols:
            raise CubeError(
                f"got {cube.url} with {done} of {rows * cols} tiles; finish it first: run the stage that makes it again"
            )
    return variables, places


def day_of(cube: Cube, place: int) -> str:
    """Return a day of a cube, ISO."""
    return str(cube.times[place])[:10]


def layers_of(cube: Cube, names: Sequence[str] = ()) -> dict[str, tuple[str | None, str | None]]:
    """Return the layers of a mosaic, each with the names of its standard deviation and its flags, where it has them.

    A layer is a continuous variable that no other names among its ``ancillary_variables``.

    Raises
    ------
    CubeError
        If one of `names` is no layer.
    """
    beside = {v.name: str(v.attrs.get("ancillary_variables", "")).split() for v in cube.variables.values()}
    second = {name for names_ in beside.values() for name in names_}
    layers = [v for v in cube.variables.values() if v.is_float and v.timed and v.name not in second]
    if unknown := [name for name in names if name not in {v.name for v in layers}]:
        raise CubeError(f"got the layer {unknown[0]!r}; {cube.url} has {', '.join(v.name for v in layers)}")
    found = {}
    for layer in layers:
        if not names or layer.name in names:
            known = [cube.variables[name] for name in beside[layer.name] if name in cube.variables]
            std = next((v.name for v in known if v.is_float), None)
            found[layer.name] = std, next((v.name for v in known if not v.is_float), None)
    return found


def shards(cube: Cube) -> Iterator[Window]:
    """Yield the windows of a cube's shards, in its own indices."""
    yield from windows(cube.raster.shape, cube.spec.shard)


def windows(shape: tuple[int, int], side: int) -> Iterator[Window]:
    """Yield the squares, row by row, that tile a raster; those at its lower and right edge may be smaller."""
    height, width = shape
    for y0 in range(0, height, side):
        for x0 in range(0, width, side):
            yield Window(y0, min(y0 + side, height), x0, min(x0 + side, width))

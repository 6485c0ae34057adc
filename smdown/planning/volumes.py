"""Bytes that stages read and write: arrays counted in closed form, times what compression leaves of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from smdown.cubes.layout import CubeSpec, Variable
from smdown.features import FeatureSpec
from smdown.features.config import AntecedentDriver, Latest

STORED = {"uint8": 0.03, "int16": 0.65, "float32": 0.82}
"""Bytes on disk of a byte in memory, by type: as measured on the demonstration's cubes (LZ4, byte shuffle)."""


def raw_bytes(spec: CubeSpec, names: Iterable[str] | None = None) -> int:
    """Return the bytes of a cube's arrays before compression, of all variables or some."""
    chosen = None if names is None else set(names)
    return sum(_raw(spec, v) for v in spec.variables if chosen is None or v.name in chosen)


def _raw(spec: CubeSpec, variable: Variable) -> int:
    return math.prod(spec.shape(variable)) * np.dtype(variable.dtype).itemsize


def stored_bytes(spec: CubeSpec, ratio: float | None = None) -> int:
    """Return what a cube will take on disk, by a compression that was measured, or by the usual one of its types."""
    if ratio is not None:
        return int(ratio * raw_bytes(spec))
    return int(sum(STORED.get(v.dtype, 1.0) * _raw(spec, v) for v in spec.variables))


def driver_bytes(
    spec: FeatureSpec, sources: Mapping[str, CubeSpec], days: tuple[str, ...], *, stored_static: CubeSpec | None
) -> int:
    """Return what mapping these days reads: every step of a source that a driver needs once, over the whole region.

    Parameters
    ----------
    spec : FeatureSpec
        The drivers.
    sources : mapping
        Cubes of the sources by name; those that are not there count nothing.
    days : tuple of str
        ISO days that are mapped.
    stored_static : CubeSpec, optional
        Cube of the static drivers, where they are kept; else their sources are read.
    """
    steps = _steps(spec, days)
    if stored_static is None:
        steps |= {(d.source, d.variable): {0} for d in spec.static}  # type: ignore[union-attr]
    total = 0 if stored_static is None else stored_bytes(stored_static)
    for (source, name), needed in steps.items():
        cube = sources.get(source)
        variable = next((v for v in cube.variables if v.name == name), None) if cube else None
        if cube is not None and variable is not None:
            plane = cube.raster.window.size * np.dtype(variable.dtype).itemsize
            times = min(len(needed), len(cube.times)) if variable.timed else 1
            total += int(plane * max(1, times) * STORED.get(variable.dtype, 1.0))
    return total


def _steps(spec: FeatureSpec, days: tuple[str, ...]) -> dict[tuple[str, str], set[int]]:
    """Return the days that each variable of a source is read for; of composites, an upper bound."""
    numbers = np.array(days, dtype="datetime64[D]").astype(np.int64).tolist()
    steps: dict[tuple[str, str], set[int]] = {}
    for driver in spec.dynamic:
        back = driver.days if isinstance(driver, AntecedentDriver) else 1
        names = _variables(driver) if isinstance(driver, Latest) else (driver.variable,)
        for name in names:
            steps.setdefault((driver.source, name), set()).update(n - b for n in numbers for b in range(back))
    for member in spec.sequence.drivers if spec.sequence else ():
        back = spec.sequence.days if spec.sequence else 1
        steps.setdefault((member.source, member.variable), set()).update(n - b for n in numbers for b in range(back))
    return steps


def _variables(driver: Latest) -> tuple[str, ...]:
    return (driver.a, driver.b) if driver.kind == "normalized_difference" else driver.variables


def halo_overhead(cells_per_tile: int, radius: int, ratio: int) -> float:
    """Return chunks that a tile with its halo reads, by those that it owns: a chunk (one cell) is read whole."""
    around = -(-radius // ratio)
    return (1 + 2 * around / cells_per_tile) ** 2

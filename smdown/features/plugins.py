"""Drivers that other installed packages bring: functions under the entry point group ``smdown.drivers``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.errors import ConfigError

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
GROUP = "smdown.drivers"
DriverFunction = Callable[[Mapping[str, F32], F64, F64], npt.ArrayLike]
"""``f(fields, dx, dy)``: resampled variables by name, ``(y, x)`` with the halo that the project file states, and the
size of the pixels of every row on the ground, m, ``(y,)``; returns a field of the same shape, NaN where missing."""


@lru_cache(maxsize=64)
def driver_function(name: str) -> DriverFunction:
    """Return an installed function.

    Raises
    ------
    ConfigError
        If no installed package offers it, or it cannot be loaded.
    """
    known = entry_points(group=GROUP)
    if name not in known.names:
        listed = ", ".join(sorted(known.names)) or "none"
        raise ConfigError(
            f"got the driver function {name!r}; installed packages offer {listed}; "
            f'offer it in a package of yours: [project.entry-points."{GROUP}"] {name} = "module:function"'
        )
    try:
        function: Any = known[name].load()
    except Exception as error:
        raise ConfigError(f"got the driver function {name!r}, which cannot be loaded ({error})") from error
    if not callable(function):
        raise ConfigError(f"got the driver function {name!r}, which is no function but a {type(function).__name__}")
    return function


def apply(name: str, fields: Mapping[str, F32], halo_px: int, dx: F64, dy: F64) -> F32:
    """Call a function on fields with a halo; return what it says of the pixels inside, NaN where it is not finite.

    Raises
    ------
    ConfigError
        If it returns another shape.
    """
    shape = next(iter(fields.values())).shape
    with np.errstate(all="ignore"):
        value = np.asarray(driver_function(name)(fields, dx, dy), dtype=np.float32)
    if value.shape != shape:
        raise ConfigError(
            f"got a field of {value.shape} from the driver function {name!r} for one of {shape}; "
            "return one value a pixel"
        )
    inner = value[halo_px : shape[0] - halo_px, halo_px : shape[1] - halo_px]
    return np.where(np.isfinite(inner), inner, np.float32(np.nan))

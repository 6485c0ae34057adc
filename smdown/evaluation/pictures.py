"""Maps as small indexed PNGs, with the colour bars that belong to them; reading never holds more than a strip."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image

from smdown.cubes import Cube

MAX_SIDE = 480
"""Longest side of an overview, in pixels."""
CLOSE_SIDE = 640
"""Longest side of a close-up, in pixels."""
_MISSING = 255
_COLOURS = 254

Field = npt.NDArray[np.float32]


def decimation(shape: tuple[int, int], side: int, ratio: int) -> int:
    """Return the factor by which to shrink a map: a divisor of `ratio`, so that cells stay whole, if one will do."""
    wanted = max(1, math.ceil(max(shape) / side))
    fitting = [f for f in range(wanted, ratio + 1) if ratio % f == 0]
    return fitting[0] if fitting and fitting[0] <= 3 * wanted else wanted


def overview(cube: Cube, name: str, time: int | None, factor: int) -> Field:
    """Read a whole variable as block means, strip by strip.

    Parameters
    ----------
    cube : Cube
        What to read.
    name : str
        Variable.
    time : int, optional
        Position on the time axis.
    factor : int
        Pixels along one side of a block; blocks at the lower and right edge may be partly outside.

    Returns
    -------
    ndarray
        float32 means over the valid pixels of every block, NaN where there are none.
    """
    window = cube.raster.window
    strip = max(1, cube.spec.shard // factor) * factor
    parts = []
    for y0 in range(0, window.height, strip):
        height = -(-min(strip, window.height - y0) // factor) * factor
        width = -(-window.width // factor) * factor
        parts.append(block_means(cube.read(name, type(window)(y0, y0 + height, 0, width), time), factor))
    return np.concatenate(parts)


def block_means(field: Field, factor: int) -> Field:
    """Return means over the valid pixels of blocks; the shape must divide by the factor."""
    if factor == 1:
        return field
    rows, cols = field.shape[0] // factor, field.shape[1] // factor
    blocks = field.reshape(rows, factor, cols, factor)
    known = np.isfinite(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0).sum(axis=(1, 3), dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


@dataclass(frozen=True)
class Scale:
    """A colour scale: the same for every picture that is to be compared.

    Parameters
    ----------
    low, high : float
        Values at both ends.
    colours : str
        Name of a Matplotlib colour map that the colour-blind can read.
    """

    low: float
    high: float
    colours: str = "YlGnBu"

    @property
    def _table(self) -> npt.NDArray[np.uint8]:
        steps = mpl.colormaps[self.colours](np.linspace(0.0, 1.0, _COLOURS))
        return np.asarray(np.rint(steps[:, :3] * 255), dtype=np.uint8)

    def png(self, field: Field) -> str:
        """Return a map as a PNG data URI; missing pixels are transparent."""
        span = self.high - self.low or 1.0
        with np.errstate(invalid="ignore"):
            index = np.clip((field - self.low) / span * (_COLOURS - 1), 0, _COLOURS - 1)
        pixels = np.where(np.isfinite(field), np.nan_to_num(np.rint(index)), _MISSING).astype(np.uint8)
        image = Image.fromarray(pixels, mode="P")
        palette = np.zeros((256, 3), dtype=np.uint8)
        palette[:_COLOURS] = self._table
        image.putpalette(palette.tobytes())
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", transparency=_MISSING, optimize=True)
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    @property
    def gradient(self) -> str:
        """The colours as a CSS gradient from left to right."""
        stops = [self._table[i] for i in np.linspace(0, _COLOURS - 1, 12).astype(int)]
        return "linear-gradient(to right, " + ", ".join(f"rgb({r} {g} {b})" for r, g, b in stops) + ")"

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Round values along the scale: position in percent, and text."""
        span = self.high - self.low or 1.0
        step = nice(span / 4)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        values = [k * step for k in range(first, first + 12) if k * step <= self.high + 1e-9 * span]
        return [((v - self.low) / span * 100, f"{v:.{digits}f}") for v in values]


def nice(value: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above a positive value, for steps and bars."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(m for m in (1.0, 2.0, 5.0) if m * power <= value * (1 + 1e-9)) * power


def scale_of(fields: list[Field], colours: str = "YlGnBu", *, centred: bool = False, least: float = 1e-3) -> Scale:
    """Return a scale for several fields: their 1st to 99th percentile, or symmetric about zero.

    It spans no less than `least` of its largest value, so that what hardly varies looks as it is.
    """
    values = np.concatenate([f[np.isfinite(f)].ravel() for f in fields] or [np.zeros(0, np.float32)])
    if values.size == 0:
        return Scale(0.0, 1.0, colours)
    if centred:
        reach = float(np.percentile(np.abs(values), 98)) or 1.0
        return Scale(-reach, reach, colours)
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    span = least * (max(abs(low), abs(high)) or 1.0)
    if high - low < span:
        low, high = (low + high - span) / 2, (low + high + span) / 2
    return Scale(low, high, colours)

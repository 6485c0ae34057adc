"""The jobs: which raster becomes which pixels of EASE-Grid 2.0, and the field on it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.fft
from pyproj import Transformer
from rasterio.transform import Affine

from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window

F32 = npt.NDArray[np.float32]
CORNER = 345, 878
"""First cell of the region: Oklahoma, in the middle of UTM zone 14."""
KERNEL = 2
"""Source pixels that the cubic kernel reaches, before it is widened."""
COARSE_MARGIN = 100
"""Pixels around the cells that are coarsened: kernels reach 67 of them, and 100 are whole pixels of all targets."""
MISSING = 0.05
"""Share of pixels that are missing, one by one."""


@dataclass(frozen=True)
class Job:
    """One resampling: a field on (part of) a raster, and the pixels wanted.

    Parameters
    ----------
    name : str
        What becomes what.
    raster : RasterGrid
        The whole source.
    have : Window
        The part of it that the field covers.
    grid : NestedGrid
        Target grid of the whole region.
    window : Window
        Target pixels wanted, in global indices.
    tile : int
        Side of the tiles that the target is made in where it is made in tiles.
    nested : Window or None
        Global indices of the source's pixels, and `source_ratio` their ratio, if it is nested in the same lattice.
    source_ratio : int
        Ratio of a nested source.
    with_margin : bool
        Whether methods that know whole pixels only are to use what the field holds around the ground wanted.
    """

    name: str
    raster: RasterGrid
    have: Window
    grid: NestedGrid
    window: Window
    tile: int
    nested: Window | None = None
    source_ratio: int = 0
    with_margin: bool = False

    @property
    def coarsens(self) -> bool:
        """Whether the source is the larger side."""
        return self.source_ratio > self.grid.ratio

    @property
    def separable(self) -> bool:
        """Whether the two grids' axes map one by one."""
        return self.nested is not None or self.raster.crs == "EPSG:4326"

    @property
    def megapixels(self) -> float:
        """Pixels of the larger side, source or target, on the ground that is wanted."""
        side = self.source_ratio / self.grid.ratio if self.coarsens else 1.0
        return self.window.size * side**2 / 1e6

    @property
    def moved_gb(self) -> float:
        """Bytes of source read and of target written, each once."""
        return 4 * (self.reads(self.window).size + self.window.size) / 1e9

    @property
    def source_affine(self) -> Affine:
        """Affine transform of the field."""
        return affine(self.raster, self.have)

    @property
    def target_affine(self) -> Affine:
        """Affine transform of the pixels wanted."""
        return affine(self.grid.raster, self.window.relative_to(self.grid.window))

    def scales(self, y: float) -> tuple[float, float]:
        """Return the source pixels that a target pixel spans along y and x, at a (fractional) target row."""
        if self.nested is not None:
            return (self.source_ratio / self.grid.ratio,) * 2
        if not self.separable:
            return 1.0, 1.0  # within five per cent of it: a plain cubic
        rows, cols = self.locate(np.array([y, y + 1.0]), np.array([0.0, 1.0]) + self.window.x0)
        return float(np.ptp(rows)), float(np.ptp(cols))

    def locate(self, y: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> tuple[npt.NDArray, npt.NDArray]:
        """Return fractional rows and columns, in the field, of fractional target pixels (global indices)."""
        lattice = self.grid.lattice
        places = lattice.x0 + x * self.grid.pixel, lattice.y0 - y * self.grid.pixel
        if self.raster.crs != self.grid.crs:
            places = Transformer.from_crs(self.grid.crs, self.raster.crs, always_xy=True).transform(*places)
        cols, rows = (places[0] - self.raster.x0) / self.raster.dx, (places[1] - self.raster.y0) / self.raster.dy
        return rows - self.have.y0, cols - self.have.x0

    def reads(self, window: Window) -> Window:
        """Return the source pixels that a tiled user reads for some target pixels: those below, and the kernel's.

        From a nested source so many more that whole pixels of both grids meet at the borders, where there are so many.
        """
        y, x = np.meshgrid(np.linspace(window.y0, window.y1, 33), np.linspace(window.x0, window.x1, 33), indexing="ij")
        rows, cols = self.locate(y, x)
        scale_y, scale_x = (max(1.0, s) for s in self.scales(window.y0))
        below = Window(
            math.floor(rows.min()) + self.have.y0, math.ceil(rows.max()) + self.have.y0,
            math.floor(cols.min()) + self.have.x0, math.ceil(cols.max()) + self.have.x0,
        )  # fmt: skip
        wanted = below.expand(math.ceil(KERNEL * scale_y) + 1, math.ceil(KERNEL * scale_x) + 1)
        assert self.have.contains(wanted), f"{self.name}: kernels reach beyond the source"
        whole = self.source_ratio // math.gcd(self.source_ratio, self.grid.ratio) if self.nested else 0
        return wanted.expand(whole).intersect(self.have) or wanted

    def tiles(self) -> Iterator[Window]:
        """Yield the tiles of the pixels wanted."""
        w = self.window
        for y in range(w.y0, w.y1, self.tile):
            for x in range(w.x0, w.x1, self.tile):
                yield Window(y, min(y + self.tile, w.y1), x, min(x + self.tile, w.x1))

    def part(self, window: Window) -> Job:
        """Return the same job for one tile, with no more of the source than it needs."""
        return replace(self, have=self.reads(window), window=window, with_margin=True)


def affine(raster: RasterGrid, part: Window) -> Affine:
    """Return the affine transform of a part of a raster."""
    return Affine(
        raster.dx, 0.0, raster.x0 + part.x0 * raster.dx, 0.0, raster.dy, raster.y0 + part.y0 * raster.dy
    )  # fmt: skip


def all_jobs(*, quick: bool) -> list[Job]:
    """Return the jobs; small ones if quick."""
    coarse, fine = (4, 2) if quick else (13, 7)
    return [
        nested("30 m to 1000 m", 300, 9, coarse, COARSE_MARGIN),
        nested("30 m to 100 m", 300, 90, coarse, COARSE_MARGIN),
        nested("30 m to 50 m", 300, 180, coarse, COARSE_MARGIN),
        nested("1000 m to 30 m", 9, 300, fine, 4),
        nested("9 km to 30 m", 1, 300, fine, 4),
        projected("longitude-latitude 1 arc-second to 30 m", "EPSG:4326", 1 / 3600, fine),
        projected("UTM 30 m to 30 m", "EPSG:32614", 30.0, fine),
    ]


def region(cells: int, ratio: int, margin: int = 0) -> NestedGrid:
    """Return the cells that a job is about, with some around them."""
    y, x = CORNER
    return NestedGrid(EASE2_M09, Window(y, y + cells, x, x + cells).expand(margin), ratio)


def nested(name: str, source: int, target: int, cells: int, margin: int) -> Job:
    """Return a job from one nested grid to another: whole cells, and a margin of source pixels around them."""
    wide = region(cells, source, -(-margin // source))
    pixels = region(cells, source).window.expand(margin)
    x0, y0 = wide.raster.x0, wide.raster.y0
    inner = pixels.relative_to(wide.window)
    size = wide.pixel
    raster = RasterGrid(wide.crs, x0 + inner.x0 * size, y0 - inner.y0 * size, size, -size, *pixels.shape)
    grid = region(cells, target)
    return Job(name, raster, raster.window, grid, grid.window, tile_of(grid.shape[0]), pixels, source)


def projected(name: str, crs: str, step: float, cells: int) -> Job:
    """Return a job from a raster in another coordinate system, whose first pixel lies anywhere."""
    grid, margin = region(cells, 300), 8
    x = grid.lattice.x0 + np.linspace(grid.window.x0, grid.window.x1, 33) * grid.pixel
    y = grid.lattice.y0 - np.linspace(grid.window.y0, grid.window.y1, 33) * grid.pixel
    sx, sy = Transformer.from_crs(grid.crs, crs, always_xy=True).transform(*np.meshgrid(x, y))
    x0, y0 = float(sx.min()) - (margin - 0.37) * step, float(sy.max()) + (margin - 0.21) * step
    width, height = (math.ceil(float(np.ptp(s)) / step) + 2 * margin for s in (sx, sy))
    raster = RasterGrid(crs, x0, y0, step, -step, height, width)
    return Job(name, raster, raster.window, grid, grid.window, tile_of(grid.shape[0]))


def tile_of(side: int) -> int:
    """Return the side of tiles: about 512 pixels, or a quarter of a small target; whole pixels of 30 and 100 m meet."""
    return 510 if side > 1020 else max(3, side // 12 * 3)


def make_field(shape: tuple[int, int], *, missing: bool, seed: int = 3) -> F32:
    """Return something like soil moisture, in m3/m3: correlated over hundreds of pixels, with a little noise.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    missing : bool
        Take out `MISSING` of the pixels.
    seed : int
        Of the random numbers.
    """
    random = np.random.default_rng(seed)
    y, x = scipy.fft.fftfreq(shape[0])[:, None], scipy.fft.rfftfreq(shape[1])[None, :]
    power = (1e-5 + y**2 + x**2).astype(np.float32)  # spectrum of amplitudes falls by the square
    waves = scipy.fft.rfft2(random.standard_normal(shape, np.float32)) / power
    smooth = scipy.fft.irfft2(waves, s=shape)
    field = 0.03 + 0.54 * (smooth - smooth.min()) / np.ptp(smooth)
    field += 0.004 * random.uniform(-1, 1, shape)
    if missing:
        field[random.random(shape) < MISSING] = np.nan
    return np.ascontiguousarray(field, np.float32)

"""Windows of all that an evaluation reads, in global indices of one grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.cubes import Cube, open_cube
from smdown.errors import GridError
from smdown.evaluation.job import EvaluateJob, LayerInput, ProductInput
from smdown.evaluation.stations import Stations, load_stations
from smdown.features.config import Resampling
from smdown.features.reader import SourceReader
from smdown.grid import NestedGrid, Window


class Reader:
    """The open inputs of a job.

    Parameters
    ----------
    job : EvaluateJob
        What to open. Nothing of it is kept open beyond this object.
    """

    def __init__(self, job: EvaluateJob) -> None:
        self.job = job
        self.mosaic = open_cube(job.mosaic_url)
        self.members = open_cube(job.members_url) if job.members_url else None
        self.baselines = open_cube(job.baselines_url) if job.baselines_url else None
        self.truth = open_cube(job.truth_url) if job.truth_url else None
        self.coarse_cubes = {url: open_cube(url) for url in {layer.coarse_url for layer in job.layers}}
        self.products = {p.url: SourceReader(open_cube(p.url), job.grid) for p in (*job.references, *job.products)}
        self.stations: Stations | None = None
        if job.stations_url:
            self.stations = load_stations(job.stations_url, [layer.name for layer in job.layers])

    def field(self, cube: Cube | None, name: str, window: Window, day: str) -> npt.NDArray[Any] | None:
        """Read a window of pixels; None where there is no such cube, variable or day."""
        return None if cube is None else read_window(cube, name, self.job.grid, window, day)

    def coarse(self, layer: LayerInput, cells: Window, day: str) -> npt.NDArray[np.float32]:
        """Read cells of the coarse product, NaN where it has none or lacks the day."""
        cube, grid = self.coarse_cubes[layer.coarse_url], self.job.grid.at(1)
        found = read_window(cube, layer.coarse_variable, grid, cells, day)
        return np.full(cells.shape, np.nan, dtype=np.float32) if found is None else found

    def product(self, product: ProductInput, layer: str, window: Window, day: str) -> npt.NDArray[np.float32] | None:
        """Read a product on a window of its grid of comparison: averaged, or the pixel at the place of each of ours.

        Parameters
        ----------
        product : ProductInput
            Which.
        layer : str
            Layer of the map.
        window : Window
            Pixels, in global indices, at the product's ratio; at the map's own where it has none.
        day : str
            ISO day.

        Returns
        -------
        ndarray or None
            None where the product lacks the layer or the day.
        """
        source, name = self.products[product.url], product.variable(layer)
        found = np.flatnonzero(source.cube.times == np.datetime64(day, "ns"))
        if name is None or found.size == 0:
            return None
        grid = self.job.grid.at(product.ratio) if product.ratio else self.job.grid
        kernel: Resampling = "auto" if product.ratio else "nearest"
        return source.read((name,), grid, window, (int(found[0]),), kernel)[0, 0]

    def models_of(self, layer: LayerInput) -> list[tuple[Cube, str]]:
        """Return the networks, then the baselines, that have a map of their own of this layer, and its cube."""
        cubes = [cube for cube in (self.members, self.baselines) if cube is not None]
        return [(cube, name) for cube in cubes for name in member_names(cube, layer.name, self.job.layers)]

    def networks_of(self, layer: LayerInput) -> list[str]:
        """Return the networks that have a map of their own of this layer."""
        return [] if self.members is None else member_names(self.members, layer.name, self.job.layers)


def read_window(cube: Cube, name: str, grid: NestedGrid, window: Window, day: str) -> npt.NDArray[Any] | None:
    """Read a window, given in global indices of a grid, of a cube whose pixels are that grid's.

    Returns
    -------
    ndarray or None
        ``(y, x)``, NaN outside the cube; None where the cube lacks the variable or the day.
    """
    found = np.flatnonzero(cube.times == np.datetime64(day, "ns"))
    if name not in cube.variables or found.size == 0:
        return None
    y, x = first_pixel(cube, grid)
    return cube.read(name, window.shift(-y, -x), int(found[0]))


def first_pixel(cube: Cube, grid: NestedGrid) -> tuple[int, int]:
    """Return the global index (row, column), at the grid's ratio, of a cube's first pixel.

    Raises
    ------
    GridError
        If the cube's pixels are not pixels of the grid.
    """
    raster, lattice = cube.raster, grid.lattice
    y, x = (lattice.y0 - raster.y0) / grid.pixel, (raster.x0 - lattice.x0) / grid.pixel
    step = max(abs(raster.dx / grid.pixel - 1), abs(raster.dy / grid.pixel + 1))
    if step > 1e-6 or max(abs(y - round(y)), abs(x - round(x))) > 1e-3:
        raise GridError(
            f"got {cube.url} with pixels of {raster.dx:.6g} x {raster.dy:.6g} from ({raster.x0:.3f}, {raster.y0:.3f}), "
            f"which are not those of {lattice.name} at ratio {grid.ratio} ({grid.pixel:.6g}); "
            "evaluate against a cube on the mosaic's own nested grid"
        )
    return round(y), round(x)


def member_names(cube: Cube, layer: str, layers: tuple[LayerInput, ...]) -> list[str]:
    """Return the members of a layer among a cube's ``<layer>_<member>``, in the cube's order."""
    longer = tuple(f"{other.name}_" for other in layers if other.name.startswith(f"{layer}_"))
    names = [n for n in cube.variables if n.startswith(f"{layer}_") and not (longer and n.startswith(longer))]
    return [n.removeprefix(f"{layer}_") for n in names if not n.endswith("_std")]

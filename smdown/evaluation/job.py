"""What an evaluation is made from: plain frozen values, sent to every worker."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from typing import Any

from smdown.cubes import exists, join, open_cube
from smdown.evaluation.footprint import Footprint
from smdown.grid import Lattice, NestedGrid, Window

VERSION = 3
"""Version of the partial results; changing what they hold changes it."""


@dataclass(frozen=True, slots=True)
class LayerInput:
    """One layer of the mosaic, and the coarse field that it was made from.

    Parameters
    ----------
    name : str
        Variable of the mosaic and of the truth.
    coarse_url, coarse_variable : str
        Cube of the coarse product, on cells of the lattice, and its variable.
    long_name, units : str
        For people.
    """

    name: str
    coarse_url: str
    coarse_variable: str
    long_name: str = ""
    units: str = ""

    @property
    def title(self) -> str:
        """What people call it."""
        return self.long_name or self.name


@dataclass(frozen=True, slots=True)
class ProductInput:
    """Another product that the map is set beside.

    Parameters
    ----------
    name : str
        What it is called.
    url : str
        Its cube, on its own grid.
    variables : tuple of (str, str)
        Layer of the map, and the product's variable of the same quantity.
    ratio : int, optional
        Pixels along one side of a cell of the grid on which both are compared; 0 where it is sampled at stations.
    """

    name: str
    url: str
    variables: tuple[tuple[str, str], ...]
    ratio: int = 0

    def variable(self, layer: str) -> str | None:
        """Return its variable of a layer, or None."""
        return dict(self.variables).get(layer)


@dataclass(frozen=True, slots=True)
class EvaluateJob:
    """Everything that an evaluation reads, and where it leaves its results.

    Parameters
    ----------
    mosaic_url : str
        Cube with ``<layer>``, ``<layer>_std`` and ``flags``.
    grid : NestedGrid
        Grid of the mosaic.
    layers : tuple of LayerInput
        Layers to evaluate.
    days : tuple of str
        ISO days of the mosaic to evaluate.
    cells_per_tile : int
        Cells along one side of a task's tile.
    out_url : str
        The ``evaluation`` directory.
    members_url : str, optional
        Cube with ``<layer>_<member>``: each network's own map.
    truth_url : str, optional
        Cube on the same nested grid, with the same layer names, that is taken as true.
    stations_url : str, optional
        Stations as the ``ismn`` and ``stations_csv`` sources leave them.
    held_out : tuple of str, optional
        Stations that training never saw; None if it saw none at all, so that all of them are independent.
    baselines_url : str, optional
        Cube with ``<layer>_<baseline>``: maps of simpler models from the same drivers.
    references : tuple of ProductInput, optional
        Gridded products that the map is compared with on a nested grid coarser than its own.
    products : tuple of ProductInput, optional
        Products whose errors are independent of the map and of the stations, for triple collocation.
    anomaly_days : int, optional
        Days of the moving average that triple collocation subtracts; each series' mean by default.
    footprint : Footprint, optional
        What stations see of the map; the pixel that holds each, by default.
    """

    mosaic_url: str
    grid: NestedGrid
    layers: tuple[LayerInput, ...]
    days: tuple[str, ...]
    cells_per_tile: int
    out_url: str
    members_url: str | None = None
    truth_url: str | None = None
    stations_url: str | None = None
    held_out: tuple[str, ...] | None = None
    baselines_url: str | None = None
    references: tuple[ProductInput, ...] = ()
    products: tuple[ProductInput, ...] = ()
    anomaly_days: int | None = None
    footprint: Footprint | None = None

    @property
    def identity(self) -> str:
        """Fingerprint of this very job and the state of its cubes, wherever the run's folder lies."""
        return fingerprint(self)

    @property
    def partials_url(self) -> str:
        """Where the tiles of this very job leave their results: another mosaic or job has another place."""
        return join(self.out_url, "partials", self.identity)

    def as_json(self) -> dict[str, Any]:
        """Return the job as plain JSON."""
        return asdict(self)


def job_from_json(data: dict[str, Any]) -> EvaluateJob:
    """Return the job that :meth:`EvaluateJob.as_json` wrote."""
    grid = data["grid"]
    nested = NestedGrid(Lattice(**grid["lattice"]), Window(**grid["cells"]), grid["ratio"])
    held_out, seen = data["held_out"], data.get("footprint")
    networks = () if seen is None else tuple((name, radius) for name, radius in seen["networks"])
    return EvaluateJob(
        **data
        | {
            "grid": nested,
            "layers": tuple(LayerInput(**layer) for layer in data["layers"]),
            "days": tuple(data["days"]),
            "held_out": None if held_out is None else tuple(held_out),
            "references": tuple(_product(product) for product in data.get("references", ())),
            "products": tuple(_product(product) for product in data.get("products", ())),
            "footprint": None if seen is None else Footprint(**seen | {"networks": networks}),
        }
    )


def _product(data: dict[str, Any]) -> ProductInput:
    return ProductInput(**data | {"variables": tuple((layer, name) for layer, name in data["variables"])})


def fingerprint(job: EvaluateJob) -> str:
    """Return a short name for all that determines the partial results: the job and the state of what it reads."""
    from smdown.sources.table import sealed_fingerprint

    products = (product.url for product in (*job.references, *job.products))
    coarse = (layer.coarse_url for layer in job.layers)
    urls = (job.mosaic_url, job.members_url, job.truth_url, job.baselines_url, *products, *coarse)
    seen = None if job.stations_url is None else sealed_fingerprint(job.stations_url)
    home = job.out_url.rpartition("/")[0] + "/"
    about = {key: _within(value, home) for key, value in job.as_json().items()}
    state = [VERSION, about, *(cube_state(url) for url in urls), seen]
    return f"{zlib.crc32(json.dumps(state, sort_keys=True).encode()):08x}"


def _within(value: Any, home: str) -> Any:
    """Return plain JSON with the places below a run's folder counted from there: however that is called, or moved."""
    if isinstance(value, dict):
        return {key: _within(inner, home) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_within(inner, home) for inner in value]
    return value.removeprefix(home) if isinstance(value, str) else value


def cube_state(url: str | None) -> Any:
    """Return a cube's own fingerprint and which of its tiles are written."""
    if url is None or not exists(url):
        return None
    cube = open_cube(url)
    return [cube.spec.fingerprint, list(cube.spec.times), sorted(cube.done())]

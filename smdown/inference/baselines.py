"""Maps of the baselines: the same tiles, drivers and agreement with the coarse product as the networks' map."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from smdown.cubes import create_cube, open_cube
from smdown.errors import BundleError
from smdown.features import get_loader
from smdown.grid import Window
from smdown.inference import mosaic
from smdown.inference.blocks import BLOCK_PX
from smdown.inference.engine import Engine, Field
from smdown.inference.job import PredictJob, PredictTask
from smdown.inference.memory import Needs, task_bytes
from smdown.inference.predict import predict_tasks
from smdown.inference.tile import TilePredictor, write_members
from smdown.plan import Plan, Receipt

if TYPE_CHECKING:
    from smdown.training import Baselines, Prediction

_COPIES = 5
"""Arrays of all drivers of a block that a prediction holds at once, as rows."""


class TabularEnsemble:
    """Baselines in the place of networks: every pixel by itself, no sequence."""

    radius = 0

    def __init__(self, baselines: Baselines, layers: tuple[str, ...]) -> None:
        self._baselines, self._layers = baselines, layers

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the baselines."""
        return self._baselines.kinds

    def predict(self, fine: Field, sequence: Field, core: Window, ratio: int, origin: tuple[int, int]) -> Prediction:
        """Predict the pixels of `core`."""
        from smdown.training import Prediction

        del sequence, ratio, origin
        rows = self._baselines.standardised(fine)
        shape = (len(self.members), len(self._layers), *core.shape)
        mean, variance = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
        for m, kind in enumerate(self.members):
            for n, layer in enumerate(self._layers):
                mean[m, n] = self._baselines.predict(kind, layer, rows).reshape(core.shape)
                variance[m, n] = self._baselines.std[kind][layer] ** 2
        return Prediction(mean, variance, self.members, self._layers)

    def combine(self, prediction: Prediction) -> tuple[Field, Field]:
        """Return the first baseline: they are not joined."""
        return prediction.mean[0], np.sqrt(prediction.variance[0])

    def alone(self, prediction: Prediction) -> tuple[Field, Field]:
        """Return mean and standard deviation of every baseline; the latter is the same everywhere."""
        return prediction.mean, np.sqrt(prediction.variance)


def open_baselines(job: PredictJob) -> Engine:
    """Open the loader and the baselines of a job.

    Raises
    ------
    BundleError
        If there are none, or they were fitted to other drivers or layers.
    """
    from smdown.training import Baselines

    baselines, names = Baselines.load(job.bundle_url), tuple(job.spec.names)
    layers = tuple(layer.name for layer in job.layers)
    if baselines.drivers != names or not set(layers) <= set(baselines.target_std):
        raise BundleError(
            f"got baselines of {', '.join(baselines.target_std)} from {', '.join(baselines.drivers)}, wanted "
            f"{', '.join(layers)} from {', '.join(names)}; train again"
        )
    return Engine(
        drivers=get_loader(job.spec),
        ensemble=TabularEnsemble(baselines, layers),
        names=names,
        static_names=tuple(job.spec.static_names),
        dynamic_names=tuple(job.spec.dynamic_names),
        required=tuple(driver.required for driver in job.spec.drivers),
    )


@lru_cache(maxsize=2)
def _engine(job: PredictJob, fingerprint: str) -> Engine:
    del fingerprint
    return open_baselines(job)


def baselines_plan(job: PredictJob, url: str, fingerprint: str, *, day_identity: str = "", fresh: bool = False) -> Plan:
    """Create the cube of the baselines' maps, or take up what is there; list the tiles that are still to do.

    Parameters
    ----------
    job : PredictJob
        Of the map.
    url : str
        Cube that receives ``<layer>_<baseline>``, and its error, on the map's grid and days.
    fingerprint : str
        Identity of the map and of the baselines.
    day_identity : str
        Identity of whatever determines a day of them, whichever days there are.
    fresh : bool
        Replace a cube of another fingerprint.

    Raises
    ------
    BundleError
        If there are no baselines, or they do not fit.
    CubeError
        If the cube of another fingerprint is there.
    """
    job = replace(job, members_url=url)
    engine = _engine(job, fingerprint)
    spec = mosaic.members_spec(job, engine.ensemble.members, fingerprint, {})
    spec = replace(spec, day_identity=day_identity)
    cube = create_cube(url, spec, resume=True, fresh=fresh)
    written = cube.written()
    tasks = predict_tasks(job, fingerprint, written)
    return Plan("baselines", tasks, run_baselines, baselines_bytes(job, engine), int(written.sum()))


def baselines_bytes(job: PredictJob, engine: Engine) -> int:
    """Return the memory that a process needs to map the baselines of one tile, its libraries counted in."""
    return bytes_for(job, len(engine.static_names), len(engine.dynamic_names), len(engine.ensemble.members))


def bytes_for(job: PredictJob, static: int, dynamic: int, models: int) -> int:
    """Return the same by the counts of drivers and baselines alone."""
    side = max(1, BLOCK_PX // job.grid.ratio) * job.grid.ratio
    rows = 4 * _COPIES * (static + dynamic) * min(side, job.cells_per_tile * job.grid.ratio) ** 2
    return rows + task_bytes(job, Needs(static, dynamic, models, 0))


def run_baselines(task: PredictTask) -> Receipt:
    """Predict and write the baselines of one tile, all of its days; its receipt in the cube comes last."""
    job, tile, engine = task.job, task.tile, _engine(task.job, task.fingerprint)
    cube: Any = open_cube(str(job.members_url))
    predictor = TilePredictor(job, tile, engine)
    pixels = 0
    for index in mosaic.unfinished_days([cube], tile):
        maps = predictor.day(np.datetime64(job.days[index], "ns"))
        write_members(maps, job, index, cube, engine.ensemble.members)
        pixels += int(np.isfinite(maps.members[0]).any(axis=0).sum())
    mosaic.commit([cube], tile)
    return Receipt(task.key, pixels=pixels)

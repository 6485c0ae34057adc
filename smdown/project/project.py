"""One region, period and set of sources, and everything that is made of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smdown import cubes, evaluation, features, inference, planning, sources, training
from smdown.config import ProjectConfig, load_config
from smdown.errors import ConfigError, IncompleteError
from smdown.features.config import Resampling
from smdown.identity import fingerprint
from smdown.plan import Plan, Receipt
from smdown.project import jobs, origins, results
from smdown.project.exports import Exports
from smdown.project.owning import Ownership, owning
from smdown.project.watching import raise_if_failed, say_notes
from smdown.redact import redact
from smdown.runlog import RunLog, watched
from smdown.runtime import Outcome, Profile, Progress, StoppedError, execute, open_progress
from smdown.runtime.attempt import peak_bytes
from smdown.runtime.performance import performance_report
from smdown.training.devices import Devices
from smdown.training.extras import check_baselines
from smdown.training.world import world

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client

_METHODS = {"features": "materialise"}
STAGES = ("ingest", "features", "train", "predict", "evaluate")


def open_project(path: str | Path, *, workdir: str | None = None, overrides: Iterable[str] = ()) -> Project:
    """Open a project file.

    Parameters
    ----------
    path : path-like
        YAML project file; see ``configs/``.
    workdir : str, optional
        Where results go: a folder or fsspec URL; by default a folder of the project's name, here.
    overrides : iterable of str
        ``a.b=c`` replaces one value.

    Returns
    -------
    Project

    Raises
    ------
    ConfigError
        In one line, if anything in the file cannot be used.
    """
    config = load_config(path, overrides)
    return Project(config, workdir or config.name, source=str(path))


def _without_secrets(url: str) -> str:
    """Return a place as it is; every record of a run names it."""
    if redact(url, {}) != url:
        raise ConfigError(
            f"got the workdir {redact(url, {})} with a user, password or token in it; leave these to the environment "
            "or to fsspec's configuration, and name the place alone"
        )
    return url


class Project(Exports):
    """One region, period and set of sources, and everything that is made of them.

    Parameters
    ----------
    config : ProjectConfig
        The project file.
    workdir : str
        Folder or fsspec URL, without credentials, that receives every result.
    source : str
        Where the configuration was read, for the record.
    """

    def __init__(self, config: ProjectConfig, workdir: str, *, source: str = "") -> None:
        self.config = config
        self.workdir = _without_secrets(str(workdir).rstrip("/"))
        self.source = source
        self.ownership = Ownership(self.workdir)
        self.fresh = False
        """Whether what another configuration made is replaced instead of refused; may be set."""
        self.performance_report = False
        """Whether what Dask did in each stage is kept in ``performance/``; may be set."""
        self.devices = Devices()
        """What training runs on; may be set to something else."""

    def __repr__(self) -> str:
        height, width = self.config.grid.shape
        return (
            f"<Project {self.config.name}: {height} x {width} px, {len(self.config.mapped_days)} days, {self.workdir}>"
        )

    # -- places ----------------------------------------------------------------------------------------------------

    def url(self, *parts: str) -> str:
        """Return a place in the project directory."""
        return cubes.join(self.workdir, *parts)

    @property
    def mosaic_url(self) -> str:
        """The map."""
        return self.url("mosaic.zarr")

    @property
    def members_url(self) -> str | None:
        """Every network's own map, if they are kept."""
        return self.url("members.zarr") if self.config.prediction.members else None

    @property
    def baselines_url(self) -> str | None:
        """Maps of the baselines, if they are wanted."""
        return self.url("baselines.zarr") if self.config.evaluation.baselines else None

    @property
    def bundle_url(self) -> str:
        """The trained ensemble."""
        return self.url("models", self.config.name)

    @property
    def stations_url(self) -> str | None:
        """Stations of the evaluation, if there are any."""
        name = self.config.evaluation.stations
        return None if name is None else self.url("sources", f"{name}.zarr")

    # -- what stages share -----------------------------------------------------------------------------------------

    @cached_property
    def source_configs(self) -> dict[str, Any]:
        """The sources, with their paths resolved against ``inputs``."""
        return {name: source.resolved(self.config.inputs) for name, source in self.config.sources.items()}

    @cached_property
    def ingest_context(self) -> sources.IngestContext:
        """What every reader is told."""
        return jobs.ingest_context(self)

    @cached_property
    def spec(self) -> features.FeatureSpec:
        """The drivers, bound to this project's grids and cubes."""
        return features.build_spec(
            self.config.features, self.config.grid, sources_url=self.url("sources"), features_url=self.url("features")
        )

    @cached_property
    def layers(self) -> tuple[training.Layer, ...]:
        """What is downscaled."""
        return jobs.layers(self)

    @cached_property
    def train_context(self) -> training.TrainContext:
        """What training is told."""
        return jobs.train_context(self)

    @property
    def predict_job(self) -> inference.PredictJob:
        """What a prediction task is told."""
        return jobs.predict_job(self)

    @cached_property
    def evaluate_job(self) -> evaluation.EvaluateJob:
        """What an evaluation is told."""
        return jobs.evaluate_job(self)

    # -- what results are signed with --------------------------------------------------------------------------------

    @cached_property
    def input_files(self) -> dict[str, list[tuple[str, int, str]]]:
        """Name, size and a digest of every input file, by source."""
        return sources.file_identity(self.source_configs, self.ingest_context)

    @cached_property
    def identity(self) -> str:
        """Fingerprint of the sources and the region: what every later stage is made from."""
        return fingerprint(
            {name: source.model_dump(mode="json", exclude={"path"}) for name, source in self.source_configs.items()},
            self.input_files,
            self.config.extent.model_dump(mode="json"),
            self.config.period.model_dump(mode="json"),
            self.config.lattice_identity,
        )

    @cached_property
    def features_identity(self) -> str:
        """Fingerprint of the drivers."""
        return fingerprint(self.identity, self.config.features.model_dump(mode="json"))

    @cached_property
    def bundle_identity(self) -> str:
        """Fingerprint of the trained ensemble."""
        layers = {name: layer.model_dump(mode="json") for name, layer in self.config.layers.items()}
        return fingerprint(self.features_identity, self.config.training.identity(), layers)

    @property
    def bundle_digest(self) -> str:
        """Digest of the trained ensemble as it lies there."""
        return origins.bundle_digest(self)

    @property
    def mosaic_identity(self) -> str:
        """Fingerprint of the map."""
        layers = {name: layer.model_dump(mode="json") for name, layer in self.config.layers.items()}
        prediction = self.config.prediction.model_dump(mode="json")
        return fingerprint(self.features_identity, self.bundle_digest, layers, prediction, self.config.mapped_days)

    @property
    def day_identity(self) -> str:
        """Fingerprint of whatever determines a day of the map, whichever days are mapped."""
        layers = {name: layer.model_dump(mode="json") for name, layer in self.config.layers.items()}
        prediction = self.config.prediction.model_dump(mode="json", exclude={"days", "every"})
        return fingerprint(self.features_identity, self.bundle_digest, layers, prediction)

    # -- what a run would do ---------------------------------------------------------------------------------------

    def plan(self, profile: Profile | None = None, *, calibrate: bool | None = None) -> planning.RunPlan:
        """Say what a run of all stages will do and need, before anything starts.

        Parameters
        ----------
        profile : Profile, optional
            Where it would run; this machine's cores by default.
        calibrate : bool, optional
            Whether some tiles are computed for their time; by default where that is possible and nothing was measured.
        """
        return planning.make_plan(self, profile or Profile(), calibrate=calibrate)

    def plans(self, profiles: Sequence[Profile], *, calibrate: bool | None = None) -> tuple[planning.RunPlan, ...]:
        """Say the same of several places; what is calibrated is measured at the first."""
        return planning.make_plans(self, profiles, calibrate=calibrate)

    @property
    def trained(self) -> bool:
        """Whether the bundle is of the present configuration and input."""
        return origins.bundle_stands(self)

    def finished(self, stages: Sequence[str] = STAGES) -> bool:
        """Whether no stage has tasks left, so that a run needs no cluster."""
        return origins.finished(self, stages)

    def check_unchanged(self, stages: Sequence[str] = STAGES) -> None:
        """Raise CubeError or BundleError where stages would meet results of another configuration or input."""
        origins.refuse_changed(self, stages)

    # -- stages ----------------------------------------------------------------------------------------------------

    @owning
    def run(
        self,
        stages: Sequence[str] = STAGES,
        *,
        client: Client | None = None,
        progress: Progress | None = None,
        command: str = "",
    ) -> None:
        """Run stages in order; each takes up where an earlier run stopped.

        Parameters
        ----------
        stages : sequence of str
            Some of ``ingest``, ``features``, ``train``, ``predict``, ``evaluate``.
        client : distributed.Client, optional
            Where tasks run; None runs them here, one after another.
        progress : Progress, optional
            Who hears of it; nobody by default.
        command : str
            How the user called it, for the record.

        Raises
        ------
        SmdownError
            In one line; what was finished before stays.
        """
        group = world()
        if group.size > 1 and tuple(stages) != ("train",):
            raise ConfigError(
                f"got the stages {', '.join(stages)} in {group.size} processes of {group.launcher}, each of which "
                "would do all of it; start the stage train so, and the others in one process"
            )
        progress = progress or open_progress(quiet=True)
        if self.config.evaluation.baselines and {"train", "evaluate"} & set(stages):
            check_baselines()
        if not self.fresh and group.rank == 0:
            origins.refuse_changed(self, stages)
        if group.rank == 0:
            planning.preflight(self, stages, client)
        log = RunLog(self.workdir, self.config.name, command, stages, self.ownership.lease) if group.rank == 0 else None
        with watched(progress, log):
            self._run_stages(stages, client, progress, log)

    def _run_stages(self, stages: Sequence[str], client: Client | None, progress: Progress, log: RunLog | None) -> None:
        worked = False
        for name in stages:
            if log is not None:
                log.begin(name)
            outcome = self._run_stage(name, client, progress, log)
            say_notes(name, outcome.notes, progress)
            if log is not None:
                log.add(name, outcome)
            raise_if_failed(name, outcome)
            worked |= outcome.skipped < outcome.total
        if "evaluate" in stages:
            evaluated, config = origins.Evaluated(self), self.config.model_dump(mode="json")
            if worked or not evaluated.stands("report", config):
                self.write_report()
                evaluated.mark("report", config)

    def _run_stage(self, name: str, client: Client | None, progress: Progress, log: RunLog | None) -> Outcome:
        """Run one stage; what it had done is on record even where it is broken off."""
        try:
            outcome: Outcome = getattr(self, _METHODS.get(name, name))(client, progress)
        except StoppedError as error:
            with suppress(OSError):  # the disk may be what it stopped at
                if log is not None:
                    log.add(name, error.outcome, error)
            raise
        except (KeyboardInterrupt, SystemExit) as error:  # Lightning makes the one of the other
            raise IncompleteError(f"stopped in stage {name}; run the same command again to go on") from error
        return outcome

    @owning
    def ingest(self, client: Client | None = None, progress: Progress | None = None) -> Outcome:
        """Read every source into a cube on its own grid."""
        return self._execute(sources.ingest_plan(self.source_configs, self.ingest_context), client, progress)

    @owning
    def materialise(self, client: Client | None = None, progress: Progress | None = None) -> Outcome:
        """Resample the static drivers to every resolution and keep them as cubes."""
        plan = features.features_plan(
            self.spec,
            self.config.features.materialised,
            self.config.prediction.cells_per_tile,
            self.features_identity,
            made_from=origins.of_drivers(self),
            fresh=self.fresh,
        )
        return self._execute(plan, client, progress)

    @owning
    def train(self, client: Client | None = None, progress: Progress | None = None) -> Outcome:
        """Train the networks and their ensemble, unless this very bundle is there already."""
        del client
        progress = progress or open_progress(quiet=True)
        start = time.perf_counter()
        if origins.bundle_stands(self):
            return Outcome("train", 1, 1, 0)
        with progress.stage("train", 1) as bar:
            training.train(
                self.config.training,
                self.train_context,
                progress=lambda text, done, total: bar.update(done, total, text),
                devices=self.devices,
                baselines=self.config.evaluation.baselines,
            )
        if world().rank == 0:
            origins.write_origin(self, baselines=self.config.evaluation.baselines)
        seconds = time.perf_counter() - start
        receipt = Receipt("train", seconds=seconds, peak_bytes=peak_bytes())
        return Outcome("train", 1, 0, 0, [receipt], seconds=seconds)

    @owning
    def predict(self, client: Client | None = None, progress: Progress | None = None) -> Outcome:
        """Map the ensemble over the tiles."""
        if (tiles := origins.tiles_of(self, self.mosaic_url, self.members_url, pictures=True)) > 0:
            return self._execute(Plan("predict", (), inference.run_predict, 0, tiles), client, progress)
        made_from = origins.of_mosaic(self) | {"bundle": self.bundle_digest}
        plan = inference.predict_plan(
            self.predict_job,
            self.mosaic_identity,
            made_from=made_from,
            day_identity=self.day_identity,
            fresh=self.fresh,
        )
        outcome = self._execute(plan, client, progress)
        if not outcome.failed:
            self.write_quicklooks()
        return outcome

    @owning
    def evaluate(self, client: Client | None = None, progress: Progress | None = None) -> Outcome:
        """Compare the map with truth and stations, and rank the drivers."""
        progress = progress or open_progress(quiet=True)
        if self.baselines_url is not None:
            mapped = self._map_baselines(self.baselines_url, client, progress)
            if mapped.failed:
                return mapped
        outcome = self._execute(evaluation.evaluate_plan(self.evaluate_job), client, progress)
        if outcome.failed:
            return outcome
        evaluated, job = origins.Evaluated(self), self.evaluate_job
        if not evaluated.stands("metrics", job.identity):
            evaluation.summarise(job)
            evaluated.mark("metrics", job.identity)
        parts = job.identity, self.bundle_digest, *results.sensitivity_parts(self)
        if self.config.evaluation.sensitivity and not evaluated.stands("sensitivity", *parts):
            with progress.stage("sensitivity", 1) as bar:
                results.write_sensitivity(self, bar)
            evaluated.mark("sensitivity", *parts)
        return outcome

    def _map_baselines(self, url: str, client: Client | None, progress: Progress) -> Outcome:
        """Map the baselines over the tiles; fit them first if the bundle was trained without."""
        if (tiles := origins.tiles_of(self, url)) > 0:
            return self._execute(Plan("baselines", (), inference.run_predict, 0, tiles), client, progress)
        if not origins.read_origin(self).get("baselines"):
            from smdown.training.baselines import train_baselines

            with progress.stage("baselines", 1) as bar:
                train_baselines(
                    self.config.training,
                    self.train_context,
                    progress=lambda text, done, total: bar.update(done, total, text),
                )
            origins.write_origin(self, baselines=True)
        plan = inference.baselines_plan(
            self.predict_job, url, self.mosaic_identity, day_identity=self.day_identity, fresh=self.fresh
        )
        return self._execute(plan, client, progress)

    def _execute(self, plan: Plan, client: Client | None, progress: Progress | None) -> Outcome:
        progress = progress or open_progress(quiet=True)
        place = self.url("performance", f"{plan.stage}.html") if self.performance_report and plan.tasks else None
        with performance_report(client, place, progress):
            outcome = execute(plan, client, progress)
        if outcome.workers_lost:
            for name in ("sources", "features", "mosaic.zarr", "members.zarr", "baselines.zarr"):
                cubes.store.sweep_partials(self.url(name))
        return outcome

    # -- results ---------------------------------------------------------------------------------------------------

    @property
    def bundle(self) -> training.Bundle:
        """The trained ensemble."""
        return training.Bundle.load(self.bundle_url)

    @property
    def mosaic(self) -> xr.Dataset:
        """The map, lazily."""
        return results.mosaic(self)

    def features(self, resolution: int = 30, days: Sequence[str] | None = None) -> xr.Dataset:
        """Return the drivers on one of the nested grids, lazily.

        Parameters
        ----------
        resolution : int
            Nominal pixel size, in metres.
        days : sequence of str, optional
            ISO days; those of the map by default.

        Returns
        -------
        xarray.Dataset
            ``(y, x)`` and ``(time, y, x)`` float32; nothing is computed yet.
        """
        return results.drivers(self, resolution, days)

    def resample(
        self, name: str, resolution: int = 30, *, variables: Sequence[str] | None = None, method: Resampling = "auto"
    ) -> xr.Dataset:
        """Return an ingested source on one of the nested grids, lazily.

        Parameters
        ----------
        name : str
            Name of the source in the project file.
        resolution : int
            Nominal pixel, metres.
        variables : sequence of str, optional
            Which of its variables; all by default.
        method : {"auto", "cubic", "average", "bilinear", "nearest", "mode"}
            Kernel of the resampling.
        """
        return results.resampled(self, name, resolution, variables, method)

    @property
    def quicklook_urls(self) -> list[str]:
        """One picture a layer, of the last mapped day."""
        return results.quicklook_urls(self)

    def write_quicklooks(self) -> None:
        """Draw the last mapped day of every layer."""
        results.write_quicklooks(self)

    @owning
    def write_report(self, day: str | None = None) -> str:
        """Write ``report.html``, with maps of a day if one is named, and return its place."""
        return results.write_report(self, day)

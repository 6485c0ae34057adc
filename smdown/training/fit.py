"""Training from labels to bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from smdown import __version__, cubes
from smdown.errors import ConfigError
from smdown.identity import fingerprint
from smdown.networks import Network, build_network
from smdown.networks.config import LSTMConfig, NetworkConfig
from smdown.training import ranks
from smdown.training.applicability import fit_applicability
from smdown.training.assess import assess
from smdown.training.baselines import fit_baselines
from smdown.training.bundle import Bundle, write_json
from smdown.training.checkpoint import Checkpoints, samples_identity
from smdown.training.collect import Collected, collect
from smdown.training.config import TrainingConfig
from smdown.training.context import DriverLoader, Progress, TrainContext
from smdown.training.data import Samples
from smdown.training.devices import Devices, Place
from smdown.training.extras import check_baselines
from smdown.training.linear import fit_start
from smdown.training.make_card import make_card
from smdown.training.module import Fitting
from smdown.training.opening import open_loader, stations_of
from smdown.training.rows import rows_of
from smdown.training.spread import map_spread
from smdown.training.trainer import fit_network, network_with


def train(
    config: TrainingConfig,
    context: TrainContext,
    progress: Progress | None = None,
    *,
    loader: DriverLoader | None = None,
    stations: xr.Dataset | None = None,
    devices: Devices | None = None,
    baselines: bool = False,
) -> Bundle:
    """Train every network, weigh them, and write the bundle.

    A training that was broken off goes on where it was, to the same weights: networks that were finished are not
    trained again, the one under way goes on after its last whole epoch. Under ``torchrun`` or ``srun`` every process
    calls this alike; the first one writes, all return the same bundle.

    Parameters
    ----------
    config : TrainingConfig
        How.
    context : TrainContext
        On what; the bundle, ``history.json`` (series of every epoch and network) and ``logs/`` go to its `out`.
    progress : callable, optional
        Told the name of the step, how much of it is done, and its total.
    loader, stations : optional
        Drivers and stations; by default opened from the context.
    devices : Devices, optional
        What it runs on; by default one GPU, or one process without.
    baselines : bool
        Whether linear regression and gradient boosting are fitted to the same samples, for comparison.

    Returns
    -------
    Bundle
        As written.

    Raises
    ------
    ConfigError, InputError
        In one line, if labels or drivers cannot be trained on, or there is less than `devices` says.
    """
    tell = progress or (lambda _name, _done, _total: None)
    configs = network_configs(config)
    _check(configs, context)
    if baselines:
        check_baselines()
    place = (devices or Devices()).resolve(config.precision)
    loader = loader or open_loader(context)
    stations = stations_of(config, context, stations)
    seed = config.seed if context.seed is None else context.seed
    with torch.device("meta"):
        radius = max(_build(c, context).radius for c in configs.values())
    data = collect(config, context, loader, stations, radius, lambda done, total: tell("samples", done, total))
    cells, days = np.concatenate([data.labels.cells, data.labels.stations.cells]), data.labels.days
    spread = map_spread(loader, context, cells, days, data.fine, seed) if config.linear_start else None
    job = FitJob(config, context, configs, data, seed, spread)
    if place.must_launch:
        ranks.run_ranks(place.devices, _fit_as_rank, (job, devices), tell)
    with ranks.joined(place.group, place.accelerator):
        networks, history = fit_networks(job, place, tell)
        assessment = assess(config, networks, data, context.layers)
        near = fit_applicability(networks, data.training, data.validation, seed)
        bundle = Bundle(make_card(config, context, configs, data, assessment, seed, near), networks)
        if place.first:
            if baselines:
                fit_baselines(config, context, data).save(str(context.out))
            bundle.save(context.out)
            write_json(context.out, "history.json", {"networks": history})
        ranks.wait()
        if place.first and not config.keep_checkpoints:
            job.checkpoints.clear()
    return bundle


@dataclass(frozen=True)
class FitJob:
    """Everything that fitting needs, in whichever process.

    Parameters
    ----------
    config, context
        As given to `train`.
    configs : dict
        Every network by name.
    data : Collected
        Samples.
    seed : int
        Of all networks.
    spread : ndarray, optional
        How much drivers vary on the map; needed where networks start from a line.
    """

    config: TrainingConfig
    context: TrainContext
    configs: dict[str, NetworkConfig]
    data: Collected
    seed: int
    spread: npt.NDArray[np.float64] | None = None

    @cached_property
    def start(self) -> tuple[Tensor, Tensor]:
        """Coefficients ``(layer, driver)`` and intercepts ``(layer,)`` that networks start from."""
        assert self.spread is not None
        train = rows_of(self.data.training, self.seed)
        lines = [fit_start(train, n, self.spread) for n in range(len(self.context.layers))]
        coefficient = torch.from_numpy(np.stack([line.coefficient for line in lines]))
        return coefficient, torch.tensor([line.intercept for line in lines])

    @property
    def checkpoints(self) -> Checkpoints:
        """Where they lie."""
        return Checkpoints(cubes.join(str(self.context.out), "checkpoints"))

    def identity(self, samples: str, name: str) -> str:
        """Return the fingerprint of all that determines the weights of a network; `samples` is the samples' own."""
        own = self.configs[name].model_dump(mode="json")
        config = self.config.identity("networks", "members", "ensemble", "shrinkage", "seed")
        return fingerprint(samples, config, own, name, self.seed, __version__)


def fit_networks(job: FitJob, place: Place, tell: Progress) -> tuple[dict[str, Network], dict[str, Any]]:
    """Return every network, and its history, fitted now or before."""
    networks: dict[str, Network] = {}
    history: dict[str, Any] = {}
    samples = job.data.identity or samples_identity([*job.data.training, *job.data.validation])
    for name in job.configs:
        identity = job.identity(samples, name)
        state, history[name] = job.checkpoints.finished(name, identity) or _fit(name, identity, job, place, tell)
        with torch.device("meta"):
            network = _build(job.configs[name], job.context)
        networks[name] = network_with(network, state)
    return networks, history


def _fit(name: str, identity: str, job: FitJob, place: Place, tell: Progress) -> tuple[dict[str, Any], dict[str, Any]]:
    seed = seed_of(job.seed, name)
    with _seeded(seed):
        network = _build(job.configs[name], job.context)
        if job.config.linear_start:
            network.start_from(*job.start)
        module = Fitting(network, job.config, len(job.context.layers), seed, identity)
        samples = Samples(job.data, network.radius, job.config, seed)
        found = fit_network(name, module, samples, place, str(job.context.out), job.checkpoints, tell)
    if place.first:
        job.checkpoints.finish(name, identity, *found)
    return found


def _fit_as_rank(job: FitJob, devices: Devices, tell: Progress) -> None:
    """Fit as one of several processes; what is fitted lies in the checkpoints afterwards."""
    place = devices.resolve(job.config.precision)
    with ranks.joined(place.group, place.accelerator):
        fit_networks(job, place, tell)
        ranks.wait()


def network_configs(config: TrainingConfig) -> dict[str, NetworkConfig]:
    """Return every network to train by name; further members of a kind are numbered from 2."""
    return {
        name if member == 1 else f"{name}_{member}": network
        for name, network in config.networks.chosen.items()
        for member in range(1, config.members + 1)
    }


def seed_of(seed: int, name: str) -> int:
    """Return a network's own seed: no matter which others are trained, or in which order."""
    return int(fingerprint(seed, name)[:7], 16)


def _check(configs: dict[str, NetworkConfig], context: TrainContext) -> None:
    if any(isinstance(c, LSTMConfig) for c in configs.values()) and context.spec.sequence is None:
        raise ConfigError("got an lstm but no features.sequence; describe the sequence or drop training.networks.lstm")
    if not context.days:
        raise ConfigError("got no day to train on; widen the period")


def _build(config: NetworkConfig, context: TrainContext) -> Network:
    spec = context.spec
    return build_network(config, len(spec.names), len(spec.sequence_names), len(context.layers))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch for a while; the caller's random state comes back afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield

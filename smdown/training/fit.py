"""Training from labels to bundle."""

from __future__ import annotations

import logging
import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import pytorch_lightning as pl
import torch
import xarray as xr
from pytorch_lightning.callbacks import Callback, EarlyStopping
from torch import Tensor

from smdown.errors import ConfigError
from smdown.networks import Network, build_network
from smdown.networks.config import LSTMConfig, NetworkConfig
from smdown.training.assess import Assessment, assess
from smdown.training.bundle import Bundle, write_json
from smdown.training.card import BundleCard, FeatureCard, LayerCard, SequenceCard, SplitCard
from smdown.training.collect import Collected, collect
from smdown.training.config import TrainingConfig
from smdown.training.context import DriverLoader, Layer, Progress, TrainContext
from smdown.training.data import Samples
from smdown.training.module import Fitting
from smdown.training.samples import sequence_ratio


def train(
    config: TrainingConfig,
    context: TrainContext,
    progress: Progress | None = None,
    *,
    loader: DriverLoader | None = None,
    stations: xr.Dataset | None = None,
) -> Bundle:
    """Train every network, weigh them, and write the bundle.

    Parameters
    ----------
    config : TrainingConfig
        How.
    context : TrainContext
        On what; the bundle and ``history.json`` (losses per epoch and network) go to its `out`.
    progress : callable, optional
        Told the name of the step, how much of it is done, and its total.
    loader, stations : optional
        Drivers and stations; by default opened from the context.

    Returns
    -------
    Bundle
        As written.

    Raises
    ------
    ConfigError, InputError
        In one line, if labels or drivers cannot be trained on.
    """
    tell = progress or (lambda _name, _done, _total: None)
    configs = network_configs(config)
    _check(configs, context)
    loader = loader or _open_loader(context)
    stations = _stations(config, context, stations)
    seed = config.seed if context.seed is None else context.seed
    with torch.device("meta"):
        radius = max(_build(c, context).radius for c in configs.values())
    data = collect(config, context, loader, stations, radius, lambda done, total: tell("samples", done, total))
    networks: dict[str, Network] = {}
    history: dict[str, Any] = {}
    for n, (name, network_config) in enumerate(configs.items()):
        with _seeded(seed + n):
            networks[name], history[name] = _fit(name, network_config, config, context, data, seed + n, tell)
    assessment = assess(config, networks, data, [layer.name for layer in context.layers])
    bundle = Bundle(_card(config, context, configs, data, assessment, seed), networks)
    bundle.save(context.out)
    write_json(context.out, "history.json", {"networks": history})
    return bundle


def network_configs(config: TrainingConfig) -> dict[str, NetworkConfig]:
    """Return every network to train by name; further members of a kind are numbered from 2."""
    return {
        name if member == 1 else f"{name}_{member}": network
        for name, network in config.networks.chosen.items()
        for member in range(1, config.members + 1)
    }


def _check(configs: dict[str, NetworkConfig], context: TrainContext) -> None:
    if any(isinstance(c, LSTMConfig) for c in configs.values()) and context.spec.sequence is None:
        raise ConfigError("got an lstm but no features.sequence; describe the sequence or drop training.networks.lstm")
    if not context.days:
        raise ConfigError("got no day to train on; widen the period")


def _open_loader(context: TrainContext) -> DriverLoader:
    from smdown.features import get_loader

    loader: DriverLoader = get_loader(context.spec)
    return loader


def _stations(config: TrainingConfig, context: TrainContext, given: xr.Dataset | None) -> xr.Dataset | None:
    """Return the stations that a label asks for, if any does."""
    if config.label("stations") is None:
        return None
    if given is not None:
        return given
    if context.stations_url is None:
        raise ConfigError("got a label of stations but no station source; add one to sources or drop the label")
    from smdown.sources import open_stations

    return open_stations(context.stations_url)


def _build(config: NetworkConfig, context: TrainContext) -> Network:
    spec = context.spec
    return build_network(config, len(spec.names), len(spec.sequence_names), len(context.layers))


class _KeepBest(Callback):
    """Holds the weights of the epoch with the lowest validation score, in memory."""

    def __init__(self) -> None:
        self.score = float("inf")
        self.epoch = 0
        self.state: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the epoch's score."""
        score = float(trainer.callback_metrics["validation"])
        if score < self.score:
            assert isinstance(pl_module, Fitting)
            self.score, self.epoch = score, trainer.current_epoch
            self.state = {key: value.detach().cpu().clone() for key, value in pl_module.network.state_dict().items()}


class _Tell(Callback):
    """Reports epochs."""

    def __init__(self, name: str, epochs: int, tell: Progress) -> None:
        self.name, self.epochs, self.tell = name, epochs, tell

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report one more epoch."""
        del pl_module
        self.tell(self.name, trainer.current_epoch + 1, self.epochs)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the end, be it early."""
        del trainer, pl_module
        self.tell(self.name, self.epochs, self.epochs)


def _fit(
    name: str,
    network_config: NetworkConfig,
    config: TrainingConfig,
    context: TrainContext,
    data: Collected,
    seed: int,
    tell: Progress,
) -> tuple[Network, dict[str, Any]]:
    started = time.perf_counter()
    network = _build(network_config, context)
    module = Fitting(network, config, len(context.layers))
    samples = Samples(data.training, data.validation, network.radius, config, seed)
    best = _KeepBest()
    with _quiet():
        trainer = pl.Trainer(
            max_epochs=config.epochs,
            accelerator="auto",
            devices=1,
            gradient_clip_val=1.0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[best, EarlyStopping("validation", patience=config.patience), _Tell(name, config.epochs, tell)],
        )
        trainer.fit(module, datamodule=samples)
    network = deepcopy(network).cpu()
    network.load_state_dict(best.state)
    seconds = round(time.perf_counter() - started, 3)
    return network.eval(), {**module.history, "best_epoch": best.epoch, "seconds": seconds}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch for a while; the caller's random state comes back afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the user's screen what Lightning says of devices, and what PyTorch says to Lightning's authors."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
            yield
    finally:
        logger.setLevel(level)


def _card(
    config: TrainingConfig,
    context: TrainContext,
    configs: dict[str, NetworkConfig],
    data: Collected,
    assessment: Assessment,
    seed: int,
) -> BundleCard:
    spec, target = context.spec, data.target
    return BundleCard(
        lattice=context.lattice.name,
        resolutions=config.resolutions,
        layers=tuple(
            _layer(layer, float(target.mean[n]), float(target.std[n])) for n, layer in enumerate(context.layers)
        ),
        drivers=_features(spec.names, spec.units, data.fine.mean, data.fine.std),
        sequence=None
        if spec.sequence is None
        else SequenceCard(
            drivers=_features(spec.sequence_names, spec.units, data.sequence.mean, data.sequence.std),
            days=spec.sequence.days,
            resolution=spec.sequence.resolution,
            ratio=sequence_ratio(context),
        ),
        networks=configs,
        weights=assessment.weights,
        variance_scale=assessment.variance_scale,
        metrics=assessment.metrics,
        splits=_splits(data),
        provenance={
            "seed": seed,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "labels": [label.model_dump(mode="json") for label in config.labels],
            "versions": {name: version(name) for name in ("torch", "pytorch-lightning", "numpy")},
        },
    )


def _layer(layer: Layer, mean: float, std: float) -> LayerCard:
    return LayerCard(name=layer.name, units=layer.units, valid_range=layer.valid_range, mean=mean, std=std)


def _features(names: tuple[str, ...], units: dict[str, str], mean: Tensor, std: Tensor) -> tuple[FeatureCard, ...]:
    return tuple(
        FeatureCard(name=name, units=units.get(name, ""), mean=float(mean[n]), std=float(std[n]))
        for n, name in enumerate(names)
    )


def _splits(data: Collected) -> SplitCard:
    roles, labels = data.roles, data.labels
    names = labels.stations.names
    seen = [not held and not val for held, val in zip(roles.held_out, roles.validation_station, strict=True)]
    return SplitCard(
        training_cells=tuple((int(y), int(x)) for y, x in labels.cells[~roles.validation_cell]),
        validation_cells=tuple((int(y), int(x)) for y, x in labels.cells[roles.validation_cell]),
        training_stations=tuple(name for name, yes in zip(names, seen, strict=True) if yes),
        validation_stations=tuple(name for name, yes in zip(names, roles.validation_station, strict=True) if yes),
        held_out_stations=tuple(name for name, yes in zip(names, roles.held_out, strict=True) if yes),
        days=labels.days,
    )

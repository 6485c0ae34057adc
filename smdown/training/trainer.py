"""Lightning fits one network: what is watched, kept and taken up again."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint, EarlyStopping
from torch import Tensor

from smdown import cubes
from smdown.errors import InputError
from smdown.networks import Network
from smdown.training.checkpoint import Checkpoints, SafeIO
from smdown.training.config import TrainingConfig
from smdown.training.context import Progress
from smdown.training.data import Samples
from smdown.training.devices import Place
from smdown.training.logs import Board, write_table
from smdown.training.module import Fitting


class KeepBest(Callback):
    """Holds the weights of the epoch with the lowest validation score, in memory and in checkpoints."""

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

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        return {"score": self.score, "epoch": self.epoch, "state": self.state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self.score, self.epoch, self.state = (state_dict[key] for key in ("score", "epoch", "state"))


class EachEpoch(Checkpoint):
    """At the end of every epoch, when all others are done with it: logs, a checkpoint, and word of it.

    Parameters
    ----------
    name : str
        The network.
    config : TrainingConfig
        How many epochs, which logs.
    url : str
        The bundle's folder.
    checkpoint : str
        Where the checkpoint goes.
    stop : EarlyStopping
        What ends a training early.
    tell : callable
        Hears of it.
    """

    def __init__(
        self, name: str, config: TrainingConfig, url: str, checkpoint: str, stop: EarlyStopping, tell: Progress
    ) -> None:
        self.name, self.epochs, self.checkpoint, self.stop, self.tell = name, config.epochs, checkpoint, stop, tell
        self.logs = cubes.join(url, "logs", name)
        self.board = Board(self.logs) if config.tensorboard else None
        self.resumed_at: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note where it goes on; a training that had stopped early before the break is not driven further."""
        del pl_module
        self.resumed_at = trainer.current_epoch or None
        trainer.should_stop = self.stop.wait_count >= self.stop.patience

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See the class."""
        assert isinstance(pl_module, Fitting)
        trainer.save_checkpoint(self.checkpoint)
        if trainer.is_global_zero:
            write_table(self.logs, pl_module.history)
            if self.board:
                self.board.write(pl_module.history)
        last = {key: values[-1] for key, values in pl_module.history.items()}
        text = (
            f"{self.name}: loss {last['train']:.4f}, validation {last['validation']:.4f}, "
            f"rate {last['learning_rate']:.1e}, {last['seconds']:.2g} s/epoch"
        )
        self.tell(text, trainer.current_epoch + 1, self.epochs)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the end, be it early."""
        del pl_module
        if self.board and trainer.is_global_zero:
            self.board.close()
        self.tell(f"{self.name}: done", self.epochs, self.epochs)


def fit_network(
    name: str,
    module: Fitting,
    samples: Samples,
    place: Place,
    out: str,
    checkpoints: Checkpoints,
    tell: Progress,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Fit a network, from the checkpoint that this very training left if there is one.

    Parameters
    ----------
    name : str
        The network.
    module : Fitting
        What is fitted, with its configuration, seed and identity.
    samples : Samples
        To what.
    place : Place
        On what.
    out : str
        The bundle's folder.
    checkpoints : Checkpoints
        Where a broken training goes on.
    tell : callable
        Hears of every epoch.

    Returns
    -------
    state : dict of str to Tensor
        The weights of the best epoch, on the CPU.
    history : dict
        Series of every epoch, ``best_epoch`` (from 0), ``resumed_at`` (from 0; None if it was never).

    Raises
    ------
    InputError
        If no epoch had a finite validation score.
    """
    config, best = module.config, KeepBest()
    resume = checkpoints.underway(name) if checkpoints.can_resume(name, module.identity) else None
    stop = EarlyStopping("validation", patience=config.patience, check_on_train_epoch_end=False)
    each = EachEpoch(name, config, out, checkpoints.underway(name), stop, tell)
    with _quiet(), _fast_products(place):
        trainer = pl.Trainer(
            max_epochs=config.epochs,
            accelerator="cuda" if place.accelerator == "gpu" else "cpu",
            devices=place.devices,
            num_nodes=place.num_nodes,
            strategy="ddp" if place.group.size > 1 else place.strategy,
            precision=place.precision,
            gradient_clip_val=config.gradient_clip,
            logger=False,
            plugins=[SafeIO(), place.group.environment()],
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[best, stop, each],
        )
        trainer.fit(module, datamodule=samples, ckpt_path=resume)
    if not best.state:
        raise InputError(f"got no finite validation score for {name}; lower training.learning_rate, or look at labels")
    return best.state, {**module.history, "best_epoch": best.epoch, "resumed_at": each.resumed_at}


def network_with(network: Network, state: dict[str, Tensor]) -> Network:
    """Return the network, which may have no memory of its own yet, with some weights, ready to predict."""
    network.load_state_dict(state, assign=True)
    return network.eval()


@contextmanager
def _fast_products(place: Place) -> Iterator[None]:
    """Let GPUs multiply 32-bit matrices by TF32 for a while."""
    before = torch.get_float32_matmul_precision()
    if place.accelerator == "gpu":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the user's screen what Lightning says of devices, and what PyTorch says to Lightning's authors."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
            warnings.filterwarnings("ignore", message="The `srun` command is available")
            warnings.filterwarnings("ignore", message=".*recommended to use `self.log.*sync_dist")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

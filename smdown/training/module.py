"""One network under training."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from smdown.identity import fingerprint
from smdown.networks import Network
from smdown.training import ranks
from smdown.training.config import TrainingConfig
from smdown.training.data import Group
from smdown.training.groups import SampleSet
from smdown.training.heldout import flat, known_target, validation_score
from smdown.training.loss import beta_nll, cell_moments

COLUMNS = ("train", "validation", "learning_rate", "seconds", "samples_per_second", "waiting")
"""What is kept of every epoch: losses, the rate of its last step, its time, its share of waiting for samples."""


class Fitting(LightningModule):
    """A network, its loss over all labels, and its optimiser.

    The mean over a cell is known better than a pixel: every label but the stations has its own, learnt, offset of the
    log-variance, so that the network's variance stays that of a pixel.

    Chance (dropout, noise of the inputs) is drawn anew in every epoch from the seed, the epoch and the rank, so that a
    training that goes on after a break draws what it would have drawn.

    Parameters
    ----------
    network : Network
        What is fitted.
    config : TrainingConfig
        How.
    n_layers : int
        Number of layers.
    seed : int
        Of all chance.
    identity : str
        Stands in its checkpoints.
    """

    def __init__(
        self, network: Network, config: TrainingConfig, n_layers: int, seed: int = 0, identity: str = ""
    ) -> None:
        super().__init__()
        self.network = network
        self.config, self.seed, self.identity = config, seed, identity
        stations = config.label("stations") is not None
        self.offset = nn.ParameterDict(
            {
                label.kind: nn.Parameter(torch.zeros(n_layers), requires_grad=stations and label.kind != "stations")
                for label in config.labels
            }
        )
        self.history: dict[str, list[float]] = {column: [] for column in COLUMNS}
        self._said: list[npt.NDArray[np.float64]] = []
        self._losses: list[Tensor] = []
        self._samples = 0
        self._waited = self._rate = 0.0
        self._epoch_began = self._step_ended = 0.0

    # -- the loss --------------------------------------------------------------------------------------------------

    def predict_group(self, group: Group, fine: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of a group: ``(n, layer)`` for cell means, ``(n, layer, y, x)`` else."""
        mean, log_variance = self.network(group.fine if fine is None else fine, group.sequence, group.place)
        mean, log_variance = mean.float(), log_variance.float()
        if group.label == "cell_mean":
            return cell_moments(mean, log_variance, group.mask)
        return mean, log_variance

    def training_step(self, batch: list[Group], batch_idx: int) -> Tensor:
        """Return the step's loss: labels by their weights, resolutions by their samples.

        Every rank has its share of the same groups, some of which may be empty. What it sums is divided by the known
        targets of all ranks, and multiplied by the number of ranks, since their gradients are averaged: so the step is
        that of one process with all samples, however unevenly they are shared.
        """
        del batch_idx
        targets = [known_target(group) for group in batch]
        counts = ranks.total(torch.stack([torch.isfinite(target).sum() for target in targets]))
        losses = [
            group.weight * self._loss(group, target, count)
            for group, target, count in zip(batch, targets, counts, strict=True)
            if len(target)
        ]
        loss = torch.stack([*losses, self._nothing()]).sum() / sum(label.weight for label in self.config.labels)
        loss = loss * ranks.size()
        self._losses.append(loss.detach())
        self._samples += sum(len(target) for target in targets)
        return loss

    def _loss(self, group: Group, target: Tensor, count: Tensor) -> Tensor:
        fine = group.fine
        if self.config.input_noise:
            fine = fine + self.config.input_noise * torch.randn_like(fine)
        mean, log_variance = self.predict_group(group, fine)
        if self.config.loss == "nll" and self.current_epoch < self.config.warm_up:
            return beta_nll(mean, torch.zeros_like(mean), target, 0.0, count)
        shape = (1, -1) + (1,) * (mean.dim() - 2)
        log_variance = log_variance + self.offset[group.label].view(shape)
        return beta_nll(mean, log_variance, target, self.config.beta if self.config.loss == "beta_nll" else 0.0, count)

    def _nothing(self) -> Tensor:
        """Return 0, in which every parameter has a part: ranks wait for the gradients of all of them."""
        return torch.stack([(p * 0.0).sum() for p in self.parameters() if p.requires_grad]).sum()

    # -- an epoch --------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """Draw chance anew, and look at the clock."""
        torch.manual_seed(int(fingerprint(self.seed, self.current_epoch, self.global_rank)[:15], 16))
        self._losses.clear()
        self._samples, self._waited = 0, 0.0
        self._epoch_began = self._step_ended = time.perf_counter()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Note how long the step waited for its samples, and the rate that it goes by."""
        del batch, batch_idx
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        self._rate = float(optimizer.param_groups[0]["lr"])
        self._waited += time.perf_counter() - self._step_ended

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note when the step ended."""
        del outputs, batch, batch_idx
        self._step_ended = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        """Keep what the epoch came to: all of `COLUMNS` but the validation, which is there already."""
        seconds = max(time.perf_counter() - self._epoch_began, 1e-9)
        loss = torch.stack(self._losses).double().mean().cpu()
        own = torch.tensor([float(loss), self._samples, self._waited], dtype=torch.float64)
        summed = ranks.total(own.to(self.device)).tolist()
        values = {
            "train": summed[0] / ranks.size(),
            "learning_rate": self._rate,
            "seconds": round(seconds, 4),
            "samples_per_second": round(summed[1] / seconds, 2),
            "waiting": round(summed[2] / ranks.size() / seconds, 4),
        }
        for name, value in values.items():
            self.history[name].append(value)

    # -- validation ------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Forget what was said before."""
        self._said.clear()

    def validation_step(self, batch: list[Group], batch_idx: int) -> None:
        """Keep what is said of held-out cells and stations."""
        del batch_idx
        for group in batch:
            mean, _ = self.predict_group(group)
            self._said.append(flat(mean.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log the mean squared error that would remain in a map that agrees with the coarse product.

        What a network misses of a whole cell or day never reaches such a map; a network that stops by it learns days
        by heart and forgets patterns.
        """
        samples: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        weights: dict[str, float] = {label.kind: label.weight for label in self.config.labels}
        score = validation_score(
            self._of_sets(samples.validation), samples.validation, weights, self.config.block_cells
        )
        self._said.clear()
        self.log("validation", score, batch_size=1)
        self.history["validation"].append(score)

    def _of_sets(self, sets: list[SampleSet]) -> list[npt.NDArray[np.float64]]:
        """Return what was said set by set: batches came in order."""
        rows = np.concatenate(self._said)
        ends = np.cumsum([len(s) * (1 if s.label == "cell_mean" else s.pixels) for s in sets])
        return np.split(rows, ends[:-1])

    # -- Lightning's hooks -----------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """Return AdamW under a one-cycle schedule."""
        groups = [
            {"params": [p for p in self.network.parameters() if p.dim() > 1], "weight_decay": self.config.weight_decay},
            {"params": [p for p in self.network.parameters() if p.dim() <= 1], "weight_decay": 0.0},
            {"params": [p for p in self.offset.parameters() if p.requires_grad], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=self.config.learning_rate)
        steps = max(2, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.config.learning_rate, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history, and whose it is."""
        checkpoint["identity"], checkpoint["history"] = self.identity, self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the history."""
        self.history = checkpoint["history"]

"""One network under training."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from smdown.networks import Network
from smdown.training.config import TrainingConfig
from smdown.training.data import Group
from smdown.training.loss import beta_nll, cell_moments


class Fitting(LightningModule):
    """A network, its loss over all labels, and its optimiser.

    The mean over a cell is known better than a pixel: every label but the stations has its own, learnt, offset of the
    log-variance, so that the network's variance stays that of a pixel.

    Parameters
    ----------
    network : Network
        What is fitted.
    config : TrainingConfig
        How.
    n_layers : int
        Number of layers.
    """

    def __init__(self, network: Network, config: TrainingConfig, n_layers: int) -> None:
        super().__init__()
        self.network = network
        self.config = config
        stations = config.label("stations") is not None
        self.offset = nn.ParameterDict(
            {
                label.kind: nn.Parameter(torch.zeros(n_layers), requires_grad=stations and label.kind != "stations")
                for label in config.labels
            }
        )
        self.history: dict[str, list[float]] = {"train": [], "validation": []}
        self._errors: dict[tuple[str, int], list[Tensor]] = {}
        self._losses: list[Tensor] = []

    def predict_group(self, group: Group, fine: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of a group: ``(n, layer)`` for cell means, ``(n, layer, y, x)`` else."""
        mean, log_variance = self.network(group.fine if fine is None else fine, group.sequence, group.place)
        if group.label == "cell_mean":
            return cell_moments(mean, log_variance, group.mask)
        return mean, log_variance

    def training_step(self, batch: list[Group], batch_idx: int) -> Tensor:
        """Return the step's loss: labels by their weights, resolutions by their samples."""
        del batch_idx
        losses = [group.weight * self._loss(group) for group in batch]
        loss = torch.stack(losses).sum() / sum(label.weight for label in self.config.labels)
        self._losses.append(loss.detach())
        return loss

    def _loss(self, group: Group) -> Tensor:
        fine = group.fine
        if self.config.input_noise:
            fine = fine + self.config.input_noise * torch.randn_like(fine)
        mean, log_variance = self.predict_group(group, fine)
        shape = (1, -1) + (1,) * (mean.dim() - 2)
        log_variance = log_variance + self.offset[group.label].view(shape)
        return beta_nll(mean, log_variance, _masked_target(group), self.config.beta)

    def on_train_epoch_end(self) -> None:
        """Keep the epoch's mean loss."""
        self.history["train"].append(float(torch.stack(self._losses).mean()))
        self._losses.clear()

    def validation_step(self, batch: list[Group], batch_idx: int) -> None:
        """Keep the squared errors of held-out cells and stations."""
        del batch_idx
        for group in batch:
            mean, _ = self.predict_group(group)
            error = (mean - _masked_target(group)) ** 2
            kept = self._errors.setdefault((group.label, group.resolution), [])
            kept.append(error[torch.isfinite(error)])

    def on_validation_epoch_end(self) -> None:
        """Log the mean squared error: labels by their weights, resolutions alike."""
        by_label: dict[str, list[Tensor]] = {}
        for (label, _), errors in self._errors.items():
            found = torch.cat(errors)
            if len(found):
                by_label.setdefault(label, []).append(found.mean())
        self._errors.clear()
        weights: dict[str, float] = {label.kind: label.weight for label in self.config.labels}
        total = sum(weights[label] for label in by_label)
        score = sum(weights[label] * float(torch.stack(means).mean()) for label, means in by_label.items()) / total
        self.log("validation", score, batch_size=1)
        self.history["validation"].append(score)

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


def _masked_target(group: Group) -> Tensor:
    """Return the target with NaN where a pixel's required drivers are missing."""
    if group.label == "cell_mean":
        return group.target
    return group.target.masked_fill(~group.mask.unsqueeze(1), float("nan"))

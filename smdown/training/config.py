"""What a project file may say about training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from smdown.errors import ConfigError
from smdown.networks import CNNConfig, DNNConfig, LSTMConfig
from smdown.networks.config import NetworkConfig

Precision = Literal["32", "bf16-mixed", "16-mixed"]
_OF_NO_CONSEQUENCE = {"tensorboard", "keep_checkpoints"}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelConfig(_Model):
    """One kind of label."""

    kind: Literal["cell_mean", "cubic", "gridded", "stations"] = Field(
        description="cell_mean: the mean of the prediction over a cell is the coarse value; "
        "cubic: the coarse product interpolated to the pixel; gridded: a finer product, resampled to the pixel; "
        "stations: the pixel that holds the station."
    )
    source: str = Field(description="Source of the label; it must not feed a driver.")
    weight: float = Field(1.0, gt=0, description="Share of this kind in the loss, relative to the others.")
    variables: dict[str, str] = Field(
        default_factory=dict,
        description="gridded: the source's variable for each layer; layers that are not named have no such label.",
    )
    resolutions: tuple[int, ...] | None = Field(
        None, min_length=1, description="Where it is used; at all resolutions of the training by default."
    )

    @model_validator(mode="after")
    def _variables_where_needed(self) -> Self:
        if (self.kind == "gridded") != bool(self.variables):
            raise ValueError(
                f"got variables {self.variables or None} for a label of kind {self.kind}; "
                "a gridded label names the source's variable for each layer, the others name none"
            )
        return self


class NetworksConfig(_Model):
    """Which networks are trained; those not named here are left out."""

    dnn: DNNConfig | None = Field(None, description="Per-pixel network.")
    cnn: CNNConfig | None = Field(None, description="Convolutional network.")
    lstm: LSTMConfig | None = Field(None, description="Recurrent network over the daily sequence.")

    @model_validator(mode="after")
    def _any(self) -> Self:
        if not self.chosen:
            raise ValueError("no network is named; name at least one of dnn, cnn, lstm (as in dnn: {})")
        return self

    @property
    def chosen(self) -> dict[str, NetworkConfig]:
        """The networks that are named, in a fixed order."""
        found: dict[str, NetworkConfig | None] = {"dnn": self.dnn, "cnn": self.cnn, "lstm": self.lstm}
        return {name: config for name, config in found.items() if config is not None}


class TrainingConfig(_Model):
    """Labels, networks, and how they are fitted."""

    resolutions: tuple[int, ...] = Field(
        (1000, 100, 50), min_length=1, description="Nominal pixel sizes to train at, in units of the coordinate system."
    )
    labels: tuple[LabelConfig, ...] = Field(min_length=1, description="What the networks are fitted to.")
    networks: NetworksConfig = Field(
        NetworksConfig(dnn=DNNConfig(), cnn=CNNConfig(), lstm=LSTMConfig()), description="Networks of the ensemble."
    )
    members: int = Field(1, ge=1, le=5, description="Networks of each kind, from different seeds.")
    ensemble: Literal["stacking", "mean", "inverse_error"] = Field(
        "stacking", description="How networks are weighted, from their errors on held-out blocks."
    )
    shrinkage: float = Field(
        1.0,
        ge=0,
        description="Pull of stacking weights to equal ones, relative to the networks' mean squared error.",
    )
    epochs: int = Field(40, ge=1, description="Passes over the samples, at most.")
    patience: int = Field(20, ge=1, description="Epochs without improvement on held-out blocks before a network stops.")
    linear_start: bool = Field(
        True, description="Networks begin as the ridge regression of the labels on the drivers, and add to it."
    )
    learning_rate: float = Field(1e-3, gt=0, description="Highest step of the one-cycle schedule.")
    weight_decay: float = Field(0.02, ge=0, description="Pull of weights towards zero (decoupled).")
    input_noise: float = Field(
        0.1, ge=0, description="Standard deviation of noise added to standardised drivers while training."
    )
    gradient_clip: float = Field(1.0, gt=0, description="Longest gradient of a step; longer ones are shortened to it.")
    loss: Literal["beta_nll", "nll"] = Field(
        "beta_nll",
        description="beta_nll: Gaussian likelihood weighted by the variance to the power beta; nll: the plain one, "
        "after warm_up epochs in which the variance stays fixed.",
    )
    warm_up: int = Field(5, ge=0, description="nll: first epochs, in which the mean alone is fitted, by squared error.")
    beta: float = Field(
        0.5, ge=0, le=1, description="beta_nll: 0: Gaussian likelihood; 1: as a squared error for the mean."
    )
    precision: Precision = Field(
        "32", description="Numbers that networks compute in; bf16-mixed and 16-mixed (GPU) keep weights in 32 bits."
    )
    tensorboard: bool = Field(
        False, description="Write logs for TensorBoard beside the table of epochs; needs the extra smdown[logs]."
    )
    keep_checkpoints: bool = Field(False, description="Keep the last epoch's state of every network in the bundle.")
    batch_pixels: int = Field(4096, ge=1, description="Pixels of coarse cells in a step.")
    pixels_per_epoch: int = Field(60_000, ge=1, description="Pixels of cells that an epoch sees per resolution.")
    sequence_step: int = Field(
        3, ge=1, description="Sequence pixels averaged along each side where whole cells are trained on, for speed."
    )
    validation_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of cells (and of the stations in them) held out for stopping and stacking."
    )
    hold_out_stations: float = Field(
        0.5, ge=0, lt=1, description="Share of stations that training never sees; they are left for the evaluation."
    )
    block_cells: int = Field(2, ge=1, description="Side of the square blocks of cells that are held out together.")
    folds: int = Field(
        1, ge=1, description="From 2 on: blocks, and stations by their cells, are dealt to folds; one is held out."
    )
    fold: int = Field(0, ge=0, description="The fold that validates, and whose stations training never sees.")
    hold_out_days: float = Field(
        0.0, ge=0, lt=1, description="Share of the period, at its end, that validates; training ends before it."
    )
    embargo_days: int | None = Field(
        None,
        ge=0,
        description="Days left out between training and the days held out; by default what the drivers look back to.",
    )
    max_cells: int = Field(
        256, ge=2, description="Coarse cells sampled from the extent, at most: wet, dry, steep and flat ones alike."
    )
    rare_cells: float = Field(
        4.0, ge=1, description="How much likelier than others cells of a rare kind are sampled, at most; 1: all alike."
    )
    max_days: int = Field(60, ge=1, description="Days sampled from the period, at most.")
    samples_per_resolution: dict[int, int] = Field(
        default_factory=dict,
        description="Cell-days kept in memory for a resolution; by default what some twenty epochs see, 2500 at most.",
    )
    station_samples: int = Field(1000, ge=1, description="Station-days kept for each resolution, at most.")
    feeding: Literal["auto", "memory", "stream"] = Field(
        "auto",
        description="memory: samples are read before training; stream: all sampled cells and days are read while it "
        "runs; auto: stream where the samples would outgrow the memory.",
    )
    memory: float = Field(2.0, gt=0, description="Memory for samples, GiB.")
    seed: int = Field(0, ge=0, description="Same seed, same weights (on a CPU).")

    @model_validator(mode="after")
    def _no_label_twice(self) -> Self:
        kinds = [(label.kind, label.source) for label in self.labels]
        if len(set(kinds)) < len(kinds):
            raise ValueError("a label stands twice in labels; drop one")
        return self

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold >= self.folds:
            raise ValueError(f"got fold {self.fold} of {self.folds}; they count from 0")
        return self

    @model_validator(mode="after")
    def _resolutions_exist(self) -> Self:
        for label in self.labels:
            if unknown := set(label.resolutions or ()) - set(self.resolutions):
                raise ValueError(f"got a label at {sorted(unknown)}, where no training is; add it to resolutions")
        return self

    def identity(self, *without: str) -> dict[str, Any]:
        """Return what determines the result, as plain values; `without` some keys."""
        return self.model_dump(mode="json", exclude={*_OF_NO_CONSEQUENCE, *without})

    def label(self, *kinds: str) -> LabelConfig | None:
        """Return the first label of any of the given kinds."""
        return next((label for label in self.labels if label.kind in kinds), None)

    def samples_at(self, resolution: int, ratio: int) -> int:
        """Return how many cell-days are kept for a resolution of so many pixels along a cell."""
        default = min(2500, max(16, 24 * self.pixels_per_epoch // ratio**2))
        return self.samples_per_resolution.get(resolution, default)


def check_no_leak(label_sources: Iterable[str], driver_sources: Iterable[str]) -> None:
    """Refuse a label that is an input at the same time.

    Raises
    ------
    ConfigError
        Naming the sources that are both.
    """
    both = sorted(set(label_sources) & set(driver_sources))
    if both:
        raise ConfigError(
            f"got {', '.join(both)} as a label and as a driver; a network would learn to copy it; "
            "drop it from features.drivers or from training.labels"
        )

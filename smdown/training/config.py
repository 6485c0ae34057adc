"""What a project file may say about training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from smdown.errors import ConfigError
from smdown.networks import CNNConfig, DNNConfig, LSTMConfig
from smdown.networks.config import NetworkConfig


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelConfig(_Model):
    """One kind of label."""

    kind: Literal["cell_mean", "cubic", "stations"] = Field(
        description="cell_mean: the mean of the prediction over a cell is the coarse value; "
        "cubic: the coarse product interpolated to the pixel; stations: the pixel that holds the station."
    )
    source: str = Field(description="Source of the label; it must not feed a driver.")
    weight: float = Field(1.0, gt=0, description="Share of this kind in the loss, relative to the others.")


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
    learning_rate: float = Field(4e-3, gt=0, description="Highest step of the one-cycle schedule.")
    weight_decay: float = Field(0.02, ge=0, description="Pull of weights towards zero (decoupled).")
    input_noise: float = Field(
        0.1, ge=0, description="Standard deviation of noise added to standardised drivers while training."
    )
    beta: float = Field(0.5, ge=0, le=1, description="0: Gaussian likelihood; 1: as a squared error for the mean.")
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
    max_cells: int = Field(256, ge=2, description="Coarse cells sampled from the extent, at most.")
    max_days: int = Field(60, ge=1, description="Days sampled from the period, at most.")
    samples_per_resolution: dict[int, int] = Field(
        default_factory=dict,
        description="Cell-days kept in memory for a resolution; by default what some twenty epochs see, 2500 at most.",
    )
    station_samples: int = Field(1000, ge=1, description="Station-days kept for each resolution, at most.")
    seed: int = Field(0, ge=0, description="Same seed, same weights (on a CPU).")

    @model_validator(mode="after")
    def _no_label_twice(self) -> Self:
        kinds = [(label.kind, label.source) for label in self.labels]
        if len(set(kinds)) < len(kinds):
            raise ValueError("a label stands twice in labels; drop one")
        return self

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

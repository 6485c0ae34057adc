"""Hyperparameters of the three networks: what a project file may say, and what a bundle's card keeps."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _NetworkConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    dropout: float = Field(0.1, ge=0, lt=1, description="Share of hidden units left out at each training step.")


class DNNConfig(_NetworkConfig):
    """A multilayer perceptron that sees one pixel at a time."""

    kind: Literal["dnn"] = "dnn"
    hidden: tuple[int, ...] = Field(
        (64, 64), min_length=1, max_length=8, description="Units of each hidden layer, first to last."
    )


class CNNConfig(_NetworkConfig):
    """Convolutions of 3 x 3 pixels; its receptive radius is their number."""

    kind: Literal["cnn"] = "cnn"
    channels: int = Field(16, ge=1, le=512, description="Channels of every convolution.")
    depth: int = Field(4, ge=1, le=16, description="Number of convolutions, thus also the radius in pixels.")


class LSTMConfig(_NetworkConfig):
    """A recurrence over the daily sequence on its own coarse grid, joined with the fine drivers per pixel."""

    kind: Literal["lstm"] = "lstm"
    hidden: int = Field(16, ge=1, le=512, description="Units of the recurrent state.")
    width: int = Field(32, ge=1, le=512, description="Units of the two per-pixel layers behind it.")


NetworkConfig = DNNConfig | CNNConfig | LSTMConfig
"""Any of the three; ``kind`` tells which."""

"""How long a million pixels take one thread: as an earlier run measured it, as a calibration did, or as a reference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from smdown.features import FeatureSpec
from smdown.networks.config import CNNConfig, DNNConfig, LSTMConfig, NetworkConfig

MEASURED, CALIBRATED, REFERENCE = "measured", "calibrated", "reference"
WARM_UP_S = 6.0
"""Loading libraries and compiled kernels, once a worker process."""

# Seconds of one core (AVX-512, 2026) for a million pixels, as measured on the demonstration.
_INGEST = 0.2  # a value of a source
_STATIC = 0.05  # a static driver that is computed
_STORED = 0.004  # a static driver that is read
_DYNAMIC = 0.012  # a driver of a day
_NETWORK = 0.032  # a thousand multiplications of a network
_CONSTRAINT = 0.06  # standardising, joining, constraining one layer
_WRITE = 0.01  # one array, packed and compressed
_TRAIN = 6.0  # a pixel of a sample, forth and back
_BASELINES = 0.7  # both baselines, one layer
_EVALUATE = 0.35  # one layer


@dataclass(frozen=True)
class Rate:
    """Time of one thread for a million pixels.

    Parameters
    ----------
    basis : str
        ``measured`` in an earlier run of the project, ``calibrated`` on some of its tiles, or a ``reference``.
    parts : mapping
        Seconds a million pixels; ``read``, ``compute`` and ``write`` where they are known apart.
    warm_up : float
        Seconds of a process before its first task.
    peak_bytes : int
        Most memory that a process held; 0 where unknown.
    stored : float, optional
        Bytes on disk of a byte before compression.
    """

    basis: str
    parts: Mapping[str, float] = field(default_factory=dict)
    warm_up: float = 0.0
    peak_bytes: int = 0
    stored: float | None = None

    def seconds(self, pixels: float, tasks: int, slots: int) -> float:
        """Return the wall time of equal tasks, so many at a time."""
        if not tasks:
            return 0.0
        return self.warm_up + math.ceil(tasks / slots) * sum(self.parts.values()) * pixels / 1e6 / tasks


def measured(entry: Mapping[str, Any]) -> Rate | None:
    """Return the rate of a stage by its entry of ``run.json``, its workers' start counted in; None without one."""
    pixels, seconds = entry.get("pixels", 0), entry.get("task_seconds", 0)
    if not pixels or not seconds:
        return None
    return Rate(MEASURED, {"all": seconds / pixels * 1e6}, peak_bytes=entry.get("bytes_peak", 0))


def trained(entry: Mapping[str, Any], pixels: int) -> Rate | None:
    """Return the rate of an earlier training, of samples of so many pixels; None without one."""
    seconds = entry.get("seconds", 0) if entry.get("tiles_skipped") == 0 else 0
    return Rate(MEASURED, {"all": seconds / pixels * 1e6}) if seconds and pixels else None


def reference(
    stage: str, spec: FeatureSpec, networks: Mapping[str, NetworkConfig], layers: int, arrays: int, *, kept: bool
) -> Rate:
    """Return the rate of a stage on one core of a common server, as measured on the demonstration.

    Parameters
    ----------
    stage : str
        Name of the stage.
    spec : FeatureSpec
        The drivers.
    networks : mapping
        The networks of the ensemble, each as often as it has members.
    layers : int
        Layers that are mapped.
    arrays : int
        Arrays of a mosaic that are written for each day.
    kept : bool
        Whether static drivers of the map's grid are read; else they are computed.
    """
    if stage == "predict":
        work = sum(multiplications(n, len(spec.drivers), 2 * layers) for n in networks.values())
        parts = {
            "read": (_STORED if kept else _STATIC) * len(spec.static) + _DYNAMIC * len(spec.dynamic),
            "compute": _CONSTRAINT * layers + _NETWORK * work / 1e3,
            "write": _WRITE * arrays,
        }
        return Rate(REFERENCE, parts, WARM_UP_S)
    every = {
        "ingest": _INGEST,
        "features": _STATIC * len(spec.static),
        "train": _TRAIN,
        "baselines": _BASELINES * layers,
        "evaluate": _EVALUATE,
    }
    return Rate(REFERENCE, {"all": every[stage]}, WARM_UP_S)


def multiplications(network: NetworkConfig, drivers: int, outputs: int) -> int:
    """Return the multiplications of a network for one pixel; a recurrence, once a square kilometre, is left out."""
    if isinstance(network, DNNConfig):
        sizes = (drivers, *network.hidden, outputs)
        return sum(a * b for a, b in pairwise(sizes))
    if isinstance(network, CNNConfig):
        c = network.channels
        return c * (drivers + 9 * c * network.depth + outputs)
    assert isinstance(network, LSTMConfig)
    return network.width * (drivers + network.width + outputs)

"""What a training runs on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from smdown.errors import ConfigError
from smdown.training.config import Precision
from smdown.training.world import World, world


@dataclass(frozen=True)
class Devices:
    """What the user wants a training to run on; under ``torchrun`` or ``srun`` their processes decide the numbers.

    Parameters
    ----------
    accelerator : {"auto", "cpu", "gpu"}
        ``auto`` takes GPUs where there are any.
    devices : int or "auto"
        GPUs, or processes of a CPU, on each machine; ``auto`` is every GPU, or one process.
    num_nodes : int
        Machines; more than one only under ``torchrun`` or ``srun``.
    strategy : {"auto", "ddp"}
        How they share the work: ``ddp`` averages gradients over equal shares of every batch; ``auto`` is ``ddp`` where
        there are several.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int | Literal["auto"] = 1
    num_nodes: int = 1
    strategy: Literal["auto", "ddp"] = "auto"

    def resolve(self, precision: Precision) -> Place:
        """Return what there really is.

        Raises
        ------
        ConfigError
            If there is less than was asked for, or it cannot compute in that precision.
        """
        import torch

        accelerator = self.accelerator
        if accelerator == "auto":
            accelerator = "gpu" if torch.cuda.is_available() else "cpu"
        found = torch.cuda.device_count() if accelerator == "gpu" else None
        if found == 0:
            raise ConfigError("got training.accelerator gpu, but PyTorch finds none; use cpu, or its CUDA build")
        if precision == "16-mixed" and accelerator == "cpu":
            raise ConfigError("got training.precision 16-mixed, which needs a GPU; use bf16-mixed or 32 on a CPU")
        group = world()
        if group.launcher == "none":
            devices = (found or 1) if self.devices == "auto" else self.devices
            if self.num_nodes > 1:
                raise ConfigError(
                    f"got training.num_nodes {self.num_nodes}, but this is one process; start it on every machine by "
                    "torchrun or srun, as cluster/slurm/train.sbatch does"
                )
        else:
            devices = group.local_size
        if found is not None and devices > found:
            raise ConfigError(f"got {devices} devices for training, but there are {found} GPUs; ask for no more")
        return Place(accelerator, devices, group, self.strategy, precision)


@dataclass(frozen=True)
class Place:
    """What a training runs on.

    Parameters
    ----------
    accelerator : {"cpu", "gpu"}
        Kind of device.
    devices : int
        Processes on this machine, each with one device.
    group : World
        The processes that were started together.
    strategy : {"auto", "ddp"}
        How they share the work.
    precision : {"32", "bf16-mixed", "16-mixed"}
        What it computes in.
    """

    accelerator: Literal["cpu", "gpu"]
    devices: int = 1
    group: World = field(default_factory=World)
    strategy: Literal["auto", "ddp"] = "auto"
    precision: Precision = "32"

    @property
    def must_launch(self) -> bool:
        """Whether several processes are wanted and not yet started."""
        return self.devices > 1 and self.group.launcher == "none"

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.group.rank == 0

    @property
    def num_nodes(self) -> int:
        """Machines."""
        return self.group.size // self.group.local_size

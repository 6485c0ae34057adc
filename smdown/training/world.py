"""Which processes were started to train together, as their environment says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from smdown.errors import ConfigError

if TYPE_CHECKING:
    from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment


@dataclass(frozen=True)
class World:
    """The processes that train together.

    Parameters
    ----------
    rank, size : int
        Number of this one, and how many there are.
    local_rank, local_size : int
        The same on this machine.
    launcher : {"none", "torchrun", "slurm"}
        Whose environment says so.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    launcher: Literal["none", "torchrun", "slurm"] = "none"

    def environment(self) -> ClusterEnvironment:
        """Return what Lightning is to take it for, whatever else it finds in the environment."""
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

        return LightningEnvironment() if self.launcher == "none" else TorchElasticEnvironment()

    def variables(self) -> dict[str, str]:
        """Return the environment that ``torchrun`` would make, which the rest of the libraries read."""
        found = {
            "RANK": self.rank, "LOCAL_RANK": self.local_rank, "WORLD_SIZE": self.size,
            "LOCAL_WORLD_SIZE": self.local_size, "GROUP_RANK": self.rank // self.local_size,
        }  # fmt: skip
        return {name: str(value) for name, value in found.items()}


def world() -> World:
    """Return the group that this process was started in, as its environment says.

    Raises
    ------
    ConfigError
        If the environment of ``srun`` has not the same number of tasks on every node.
    """
    env = os.environ
    if {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= env.keys():
        size = int(env["WORLD_SIZE"])
        local = int(env.get("LOCAL_WORLD_SIZE", size))
        return World(int(env["RANK"]), size, int(env["LOCAL_RANK"]), local, "torchrun")
    size = int(env.get("SLURM_STEP_NUM_TASKS", "1"))
    if size == 1 or "SLURM_PROCID" not in env:
        return World()
    nodes = int(env.get("SLURM_STEP_NUM_NODES", env.get("SLURM_NNODES", "1")))
    if size % nodes:
        raise ConfigError(f"got {size} tasks on {nodes} nodes; give srun the same number on each (--ntasks-per-node)")
    return World(int(env["SLURM_PROCID"]), size, int(env["SLURM_LOCALID"]), size // nodes, "slurm")

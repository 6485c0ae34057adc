"""One place that a run can go to: a small YAML file of a closed set of kinds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator

from smdown.errors import ConfigError
from smdown.schema import describe, expand_variables

_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "kb": 10**3, "mb": 10**6, "gb": 10**9}

ALLOCATOR = {
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TOP_PAD_": str(64 * 2**20),
    "MALLOC_ARENA_MAX": "1",
}
"""Makes a worker keep freed memory: convolutions run at half speed where every call faults its pages in anew.

The arenas that glibc gives to further threads, in which tasks run, keep none of it; so there is one for all."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_bytes(value: str | int) -> int:
    """Return a size such as ``4GiB`` as a number of bytes."""
    if isinstance(value, int):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", str(value).strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError("a size is a number and one of B, KiB, MiB, GiB, TiB, as in 4GiB")
    return int(float(match[1]) * _UNITS[match[2]])


class SerialCluster(_Model):
    """No cluster: every task runs in this process, one after another."""

    kind: Literal["serial"] = "serial"


class LocalCluster(_Model):
    """Worker processes on this machine."""

    kind: Literal["local"] = "local"
    workers: PositiveInt | Literal["auto"] = Field("auto", description="Worker processes; auto is one a core.")
    threads: int = Field(1, ge=1, description="Tasks at a time in one worker.")
    memory: PositiveInt | Literal["auto"] = Field("auto", description="Of one worker; auto shares the machine's.")
    dashboard: int | None = Field(None, description="Port of the dashboard on loopback; none by default.")
    scratch: str | None = Field(None, description="Folder for the workers' scratch files.")

    @field_validator("memory", mode="before")
    @classmethod
    def _memory(cls, value: Any) -> Any:
        return value if value == "auto" else parse_bytes(value)


class ExistingCluster(_Model):
    """A scheduler that runs already."""

    kind: Literal["existing"] = "existing"
    address: str = Field(description="Address of the scheduler, such as tcp://127.0.0.1:8786.")


Cluster = Annotated[SerialCluster | LocalCluster | ExistingCluster, Field(discriminator="kind")]


class TrainingPlace(_Model):
    """What training runs on; under ``torchrun`` or ``srun`` their processes decide the numbers."""

    accelerator: Literal["auto", "cpu", "gpu"] = Field("auto", description="auto takes GPUs where there are any.")
    devices: PositiveInt | Literal["auto"] = Field(
        1, description="GPUs, or processes of a CPU, on each machine; auto is every GPU, or one process."
    )
    num_nodes: PositiveInt = Field(1, description="Machines; more than one only under torchrun or srun.")
    strategy: Literal["auto", "ddp"] = Field("auto", description="How devices share the work; auto is ddp for several.")


class Profile(_Model):
    """A cluster, and what its workers need."""

    version: Literal[1] = 1
    cluster: Cluster = LocalCluster()
    retries: int = Field(2, ge=0, description="How often a failed task is tried again.")
    environment: dict[str, str] = Field(default_factory=lambda: dict(ALLOCATOR), description="Workers' environment.")
    training: TrainingPlace = Field(TrainingPlace(), description="What training runs on.")


def load_profile(path: str | Path | None) -> Profile:
    """Read a profile, or return the default one: a LocalCluster of one process a core.

    Parameters
    ----------
    path : path-like, optional
        YAML file, or ``serial`` for no cluster at all. ``${NAME}`` in a text stands for an environment variable.

    Returns
    -------
    Profile
        Checked, with every default filled in.

    Raises
    ------
    ConfigError
        If the file is missing or says something that a profile does not have.
    """
    if path is None:
        return Profile()
    if str(path) == "serial":
        return Profile(cluster=SerialCluster())
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"got the profile {path}, which cannot be read ({reason}); name a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"got the profile {path}, which is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"got the profile {path}, which holds no keys; see cluster/profiles/ for examples")
    try:
        return Profile.model_validate(expand_variables(data, f"the profile {path}"))
    except ValidationError as error:
        raise ConfigError(f"profile {path}: {describe(error, Profile)}") from error

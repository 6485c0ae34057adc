"""One place that a run can go to: a small YAML file of a closed set of kinds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, PositiveInt, StringConstraints, ValidationError, model_validator

from smdown.errors import ConfigError
from smdown.runtime.clusters import Cluster, ExistingCluster, LocalCluster, Model, SerialCluster
from smdown.schema import describe, expand_variables

ALLOCATOR = {
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TOP_PAD_": str(64 * 2**20),
    "MALLOC_ARENA_MAX": "1",
}
"""Makes a worker keep freed memory: convolutions run at half speed where every call faults its pages in anew.

The arenas that glibc gives to further threads, in which tasks run, keep none of it; so there is one for all."""


_WITHOUT_TLS = {
    "serial": "nothing is sent",
    "local": "nothing leaves this machine",
    "kubernetes": "its scheduler is reached through Kubernetes; for TLS between pods run the client in a pod",
}
TLS_DIR = "SMDOWN_TLS_DIR"
"""Environment variable that names the folder of certificates where a profile does not."""


class TrainingPlace(Model):
    """What training runs on; under ``torchrun`` or ``srun`` their processes decide the numbers."""

    accelerator: Literal["auto", "cpu", "gpu"] = Field("auto", description="auto takes GPUs where there are any.")
    devices: PositiveInt | Literal["auto"] = Field(
        1, description="GPUs, or processes of a CPU, on each machine; auto is every GPU, or one process."
    )
    num_nodes: PositiveInt = Field(1, description="Machines; more than one only under torchrun or srun.")
    strategy: Literal["auto", "ddp"] = Field("auto", description="How devices share the work; auto is ddp for several.")


EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
EnvironmentValue = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class Profile(Model):
    """A cluster, and what its workers need."""

    version: Literal[1] = 1
    cluster: Cluster = LocalCluster()
    retries: int = Field(2, ge=0, description="How often a failed task is tried again.")
    environment: dict[EnvironmentName, EnvironmentValue] = Field(
        default_factory=lambda: dict(ALLOCATOR), description="Workers' environment."
    )
    tls: str | None = Field(
        None, description="Folder of certificates (smdown cluster certs); by default what SMDOWN_TLS_DIR names."
    )
    training: TrainingPlace = Field(TrainingPlace(), description="What training runs on.")

    @model_validator(mode="after")
    def _tls_where_it_is_spoken(self) -> Profile:
        if self.tls is not None and self.cluster.kind in _WITHOUT_TLS:
            raise ValueError(f"tls is of no use with kind {self.cluster.kind}: {_WITHOUT_TLS[self.cluster.kind]}")
        return self


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
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # the last two of dates and of endless nesting
        raise ConfigError(f"got the profile {path}, which is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"got the profile {path}, which holds no keys; see cluster/profiles/ for examples")
    try:
        return _with_certificates(Profile.model_validate(expand_variables(data, f"the profile {path}")))
    except ValidationError as error:
        raise ConfigError(f"profile {path}: {describe(error, Profile)}") from error
    except RecursionError as error:
        raise ConfigError(f"got the profile {path}, which holds itself (*name within &name); write it out") from error


def _with_certificates(profile: Profile) -> Profile:
    """Return the profile with the folder of certificates that the environment names, if it needs one and has none."""
    cluster, folder = profile.cluster, os.environ.get(TLS_DIR)
    plain = isinstance(cluster, ExistingCluster) and not cluster.address.startswith("tls://")
    if profile.tls is not None or not folder or plain or cluster.kind in _WITHOUT_TLS:
        return profile
    return profile.model_copy(update={"tls": folder})

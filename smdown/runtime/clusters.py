"""The kinds of places that a run can go to, a closed set, and what each wants to know."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, field_validator, model_validator

_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "kb": 10**3, "mb": 10**6, "gb": 10**9}


class Model(BaseModel):
    """Frozen, and without room for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_bytes(value: str | int) -> int:
    """Return a size such as ``4GiB`` as a number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([a-z]*)", str(value).strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError("a size is a number and one of B, KiB, MiB, GiB, TiB, as in 4GiB")
    return int(float(match[1]) * _UNITS[match[2]])


def parse_walltime(value: Any) -> int:
    """Return a time such as ``04:00:00`` or ``2-00:00:00`` in seconds."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", str(value).strip())
    if match is None:
        raise ValueError('a time is hours, minutes and seconds in quotes, as in "04:00:00"')
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


Bytes = Annotated[PositiveInt, BeforeValidator(parse_bytes)]
Dashboard = Annotated[
    int | None, Field(ge=0, le=65535, description="Port of the dashboard on loopback; none by default.")
]


class Adaptive(Model):
    """As many workers as there is work for, between two numbers."""

    minimum: int = Field(0, ge=0, description="Workers that are kept even without work.")
    maximum: PositiveInt = Field(description="Workers that are never exceeded.")

    @model_validator(mode="after")
    def _ordered(self) -> Adaptive:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self


class SerialCluster(Model):
    """No cluster: every task runs in this process, one after another."""

    kind: Literal["serial"] = "serial"


class LocalCluster(Model):
    """Worker processes on this machine."""

    kind: Literal["local"] = "local"
    workers: PositiveInt | Literal["auto"] = Field(
        "auto", description="Worker processes; auto is one a core, or one a GPU where GPUs are asked for."
    )
    threads: int = Field(1, ge=1, description="Tasks at a time in one worker.")
    memory: PositiveInt | Literal["auto"] = Field("auto", description="Of one worker; auto shares the machine's.")
    gpus: PositiveInt | Literal["auto"] | None = Field(
        None, description="GPUs that workers are spread over, each seeing one; auto is all of them."
    )
    dashboard: Dashboard = None
    scratch: str | None = Field(None, description="Folder for the workers' scratch files.")

    @field_validator("memory", mode="before")
    @classmethod
    def _memory(cls, value: Any) -> Any:
        return value if value == "auto" else parse_bytes(value)


class _Elsewhere(Model):
    """What all places have in common whose workers run on other machines and are started from here."""

    workers: PositiveInt | Adaptive = Field(description="Worker processes; or a minimum and a maximum of them.")
    threads: int = Field(1, ge=1, description="Tasks at a time in one worker.")
    memory: Bytes = Field(description="Of one worker.")
    dashboard: Dashboard = None

    @property
    def most_workers(self) -> int:
        """Workers that there will be at most."""
        return self.workers.maximum if isinstance(self.workers, Adaptive) else self.workers

    @property
    def fewest_workers(self) -> int:
        """Workers that there will be at least."""
        return self.workers.minimum if isinstance(self.workers, Adaptive) else self.workers


class _Batch(_Elsewhere):
    """Workers as jobs of a batch system; the scheduler runs where the command does."""

    per_job: PositiveInt = Field(1, description="Workers in one job.")
    walltime: Annotated[int, BeforeValidator(parse_walltime)] = Field(
        description="Time limit of a job; workers leave in good order before it ends, and new jobs take their place."
    )
    queue: str | None = Field(None, description="Queue, or partition.")
    account: str | None = Field(None, description="Account that pays.")
    interface: str | None = Field(None, description="Network interface that nodes reach each other by, such as ib0.")
    scratch: str | None = Field(None, description="Folder of a node for the workers' scratch files.")
    logs: str | None = Field(None, description="Folder for the logs of jobs; it must exist.")
    python: str | None = Field(None, description="Python of the nodes; by default the one that runs the command.")
    directives: tuple[str, ...] = Field((), description="Further lines for the head of the job, as in --gres=gpu:1.")
    prologue: tuple[str, ...] = Field((), description="Commands before the workers, as in module load cuda.")

    @model_validator(mode="after")
    def _long_enough(self) -> _Batch:
        if self.walltime < 600:
            raise ValueError(f"a walltime of {self.walltime} s is too short: workers leave some minutes before it ends")
        return self


class SlurmCluster(_Batch):
    """Jobs of SLURM."""

    kind: Literal["slurm"] = "slurm"


class PbsCluster(_Batch):
    """Jobs of PBS Pro or OpenPBS."""

    kind: Literal["pbs"] = "pbs"
    resources: str | None = Field(
        None, description="What a job asks for, as in select=1:ncpus=8:mem=48GB; by default made from the rest."
    )


class SshCluster(_Elsewhere):
    """Machines that are reached by SSH."""

    kind: Literal["ssh"] = "ssh"
    hosts: tuple[str, ...] = Field(min_length=1, description="Machines that get workers; the first has the scheduler.")
    workers: PositiveInt = Field(description="Worker processes on each host.")
    user: str | None = Field(None, description="User there; by default as SSH's own configuration says.")
    port: PositiveInt | None = Field(None, description="Port of SSH.")
    key: str | None = Field(None, description="File of the private key; by default SSH's own, or its agent.")
    known_hosts: str | None = Field(None, description="File of the hosts' keys; by default SSH's own.")
    python: str | None = Field(None, description="Python there; by default the path of the one that runs the command.")
    scratch: str | None = Field(None, description="Folder there for the workers' scratch files.")

    @property
    def most_workers(self) -> int:
        """Workers on all hosts."""
        return self.workers * len(self.hosts)


class KubernetesCluster(_Elsewhere):
    """Pods of a Kubernetes cluster that has the Dask operator."""

    kind: Literal["kubernetes"] = "kubernetes"
    namespace: str | None = Field(None, description="Namespace; by default that of the current context.")
    name: str = Field("smdown", description="Name of the cluster there.")
    image: str = Field(description="Image with smdown in the same version as here.")
    secret: str | None = Field(None, description="Secret whose entries become environment variables of the pods.")
    gpus: int = Field(0, ge=0, description="GPUs of each worker.")


class ExistingCluster(Model):
    """A scheduler that runs already."""

    kind: Literal["existing"] = "existing"
    address: str = Field(description="Address of the scheduler, such as tls://10.0.0.5:8786.")


Cluster = Annotated[
    SerialCluster | LocalCluster | SlurmCluster | PbsCluster | SshCluster | KubernetesCluster | ExistingCluster,
    Field(discriminator="kind"),
]

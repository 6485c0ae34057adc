"""What a killed training leaves for the next: the network under way, and those that are finished.

Files are written at once or not at all, to any fsspec URL, and read as tensors and plain values only.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from pytorch_lightning.plugins import CheckpointIO
from torch import Tensor

from smdown import cubes
from smdown.errors import BundleError


class SafeIO(CheckpointIO):
    """Reads and writes Lightning's checkpoints; what they hold never runs."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint at once: a reader sees the last one or this, never a part."""
        del storage_options
        save(str(path), checkpoint)

    def load_checkpoint(
        self, path: Any, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return a checkpoint, in the memory of the CPU."""
        del map_location, weights_only
        found = load(str(path))
        if found is None:
            raise BundleError(f"got the checkpoint {path}, which is missing or cannot be read; remove it")
        return found

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        cubes.delete(str(path))


def save(url: str, content: dict[str, Any]) -> None:
    """Write tensors and plain values."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    cubes.put(url, buffer.getvalue())


def load(url: str) -> dict[str, Any] | None:
    """Return tensors and plain values, None where there are none or something else."""
    data = cubes.get(url)
    if data is None or not _is_whole(data):
        return None
    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, EOFError, AttributeError):
        return None
    return found if isinstance(found, dict) else None


def _is_whole(data: bytes) -> bool:
    """Whether this is an archive whose checksums hold: a bare pickle, a torn or a flipped file is not."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError):
        return False


@dataclass(frozen=True)
class Checkpoints:
    """The folder of a training's checkpoints.

    What was made from another configuration or other samples is not there for us.

    Parameters
    ----------
    url : str
        Folder or fsspec URL.
    """

    url: str

    def underway(self, name: str) -> str:
        """Return where a network's last epoch is kept."""
        return cubes.join(self.url, f"{name}.ckpt")

    def can_resume(self, name: str, identity: str) -> bool:
        """Whether an epoch of this very training is there."""
        return (load(self.underway(name)) or {}).get("identity") == identity

    def finish(self, name: str, identity: str, state: dict[str, Tensor], history: dict[str, Any]) -> None:
        """Keep a finished network."""
        save(self._finished(name), {"identity": identity, "state": state, "history": history})

    def finished(self, name: str, identity: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return weights and history of a network that this very training has finished."""
        found = load(self._finished(name))
        if found is None or found.get("identity") != identity:
            return None
        return found["state"], found["history"]

    def clear(self) -> None:
        """Remove them all."""
        cubes.delete(self.url)

    def _finished(self, name: str) -> str:
        return cubes.join(self.url, f"{name}.done")


def samples_identity(sets: Iterable[Any]) -> str:
    """Return 16 hexadecimal digits of everything that sample sets (dataclasses of tensors) hold."""
    digest = hashlib.blake2b(digest_size=8)
    for samples in sets:
        for item in fields(samples):
            value = getattr(samples, item.name)
            digest.update(item.name.encode())
            if isinstance(value, Tensor):
                digest.update(str((value.dtype, tuple(value.shape))).encode())
                digest.update(np.ascontiguousarray(value.cpu().numpy()).data)
            else:
                digest.update(repr(value).encode())
    return digest.hexdigest()

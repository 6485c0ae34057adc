"""Weights of a bundle as plain arrays: what identifies it, read without PyTorch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError

from smdown.errors import BundleError
from smdown.training.card import CARD, BundleCard, read_object

_Tensors = TypeVar("_Tensors")


def digest_of(card: BundleCard, tensors: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> str:
    """Return 16 hexadecimal digits that change with anything but the time of training.

    Parameters
    ----------
    card : BundleCard
        Of the bundle.
    tensors : mapping
        Weights by network, in the card's order, and name.
    """
    digest = hashlib.sha256()
    plain = card.model_dump(mode="json")
    plain["provenance"].pop("created", None)
    digest.update(json.dumps(plain, sort_keys=True).encode())
    for name in card.networks:
        for key, value in sorted(tensors[name].items()):
            digest.update(key.encode() + value.tobytes())
    return digest.hexdigest()[:16]


def read_digest(path: str, card: BundleCard) -> str:
    """Return the digest of a bundle from its files.

    Raises
    ------
    BundleError
        If a file is missing, is not what its name says, or holds a value that is not finite.
    """
    from safetensors.numpy import load

    tensors = {name: read_tensors(path, name, load) for name in card.networks}
    for name, some in tensors.items():
        for key, value in some.items():
            if not np.isfinite(value).all():
                raise BundleError(f"{path}/{name}.safetensors: {key} holds values that are not finite; train again")
    return digest_of(card, tensors)


def read_tensors(path: str, name: str, load: Callable[[bytes], _Tensors]) -> _Tensors:
    """Return the weights of one network.

    Parameters
    ----------
    path : str
        The bundle's folder or fsspec URL.
    name : str
        Of the network.
    load : callable
        Of safetensors, for the kind of array that is wanted.

    Raises
    ------
    BundleError
        If the file is missing, or is not what its name says.
    """
    if not name.isidentifier():
        raise BundleError(f"{path}/{CARD}: got the network name {name!r}; wanted a plain word; train again")
    try:
        return load(read_object(path, f"{name}.safetensors"))
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleError(
            f"{path}/{name}.safetensors is no safetensors file ({error}); train again; other formats are not read"
        ) from error

"""Bundles: a trained ensemble as a folder of one JSON card and one safetensors file per network.

Loading runs no code from the files: the card is validated, the networks are built from it, and the tensors must have
exactly the names, shapes and types that those networks have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from smdown.errors import BundleError
from smdown.networks import Network, build_network
from smdown.networks.config import NetworkConfig
from smdown.training.card import CARD, BundleCard, check_drivers, read_card
from smdown.training.weights import digest_of, read_tensors


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained ensemble.

    Parameters
    ----------
    card : BundleCard
        What it is.
    networks : dict of str to Network
        In the card's order, in evaluation mode.
    """

    card: BundleCard
    networks: dict[str, Network]

    @classmethod
    def load(cls, path: str) -> Bundle:
        """Read a bundle from a folder or fsspec URL.

        Raises
        ------
        BundleError
            If a file is missing, is not what its name says, does not fit the card, or holds a value that is not finite.
        """
        card = read_card(path)
        networks = {name: _read_network(path, name, config, card) for name, config in card.networks.items()}
        return cls(card, networks)

    def save(self, path: str) -> None:
        """Write the bundle; the card comes last, so a folder with a card is whole."""
        folder = str(path).rstrip("/")
        fsspec.core.url_to_fs(folder)[0].makedirs(_bare(folder), exist_ok=True)
        for name, network in self.networks.items():
            tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
            _write(f"{folder}/{name}.safetensors", save_tensors(tensors))
        _write(f"{folder}/{CARD}", (self.card.model_dump_json(indent=1) + "\n").encode())

    @property
    def radius(self) -> int:
        """Pixels that prediction needs around its core."""
        return max(network.radius for network in self.networks.values())

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that change with anything but the time of training."""
        tensors = {
            name: {key: value.detach().cpu().contiguous().numpy() for key, value in network.state_dict().items()}
            for name, network in self.networks.items()
        }
        return digest_of(self.card, tensors)

    def check(
        self, names: Sequence[str], units: Mapping[str, str], sequence_names: Sequence[str] | None = None
    ) -> None:
        """Refuse a project whose drivers are not those that the networks were trained on.

        Parameters
        ----------
        names, sequence_names : sequence of str
            The project's drivers in channel order; those of its sequence (None: not compared).
        units : mapping of str to str
            Their units.

        Raises
        ------
        BundleError
            Naming every difference.
        """
        check_drivers(self.card, names, units, sequence_names)


def _read_network(path: str, name: str, config: NetworkConfig, card: BundleCard) -> Network:
    n_sequence = len(card.sequence.drivers) if card.sequence else 0
    with torch.device("meta"):
        network = build_network(config, len(card.drivers), n_sequence, len(card.layers))
    file = f"{path}/{name}.safetensors"
    tensors = read_tensors(path, name, load_tensors)
    _check_tensors(file, tensors, network.state_dict())
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(requires_grad=False)


def _check_tensors(file: str, tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    if tensors.keys() != wanted.keys():
        odd = sorted(tensors.keys() ^ wanted.keys())
        raise BundleError(f"{file} does not fit its card: tensors {', '.join(odd[:5])} differ; train again")
    for key, tensor in tensors.items():
        if tensor.shape != wanted[key].shape or tensor.dtype != wanted[key].dtype:
            raise BundleError(
                f"{file}: {key} is {tensor.dtype} {tuple(tensor.shape)}, the card says {wanted[key].dtype} "
                f"{tuple(wanted[key].shape)}; train again"
            )
        if not torch.isfinite(tensor).all():
            raise BundleError(f"{file}: {key} holds values that are not finite; train again")


def _bare(url: str) -> str:
    return str(fsspec.core.url_to_fs(url)[1])


def _write(url: str, data: bytes) -> None:
    with fsspec.open(url, "wb") as file:
        file.write(data)


def write_json(path: str, name: str, content: Any) -> None:
    """Write a JSON file into a bundle's folder."""
    _write(f"{str(path).rstrip('/')}/{name}", (json.dumps(content, indent=1) + "\n").encode())

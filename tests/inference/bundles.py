"""Bundles of networks that were never trained."""

from __future__ import annotations

import torch

from smdown.networks import build_network
from smdown.training import Bundle, BundleCard


def untrained(networks, drivers, layers, sequence=None, days=30) -> Bundle:
    """Networks with random weights; `drivers` and `sequence` map names to units, mean and standard deviation."""
    torch.manual_seed(0)
    cards = [[_feature(name, *rest) for name, rest in some.items()] for some in (drivers, sequence or {})]
    card = BundleCard.model_validate({
        "lattice": "ease2_m09", "resolutions": (1000,), "drivers": cards[0], "networks": networks,
        "layers": [{"name": n, "units": "m3 m-3", "valid_range": (0, 0.9), "mean": 0.25, "std": 0.1} for n in layers],
        "sequence": {"drivers": cards[1], "days": days, "resolution": 1000, "ratio": 9} if sequence else None,
        "weights": {layer: dict.fromkeys(networks, 1 / len(networks)) for layer in layers},
        "variance_scale": dict.fromkeys(layers, 1.0),
    })  # fmt: skip
    sizes = len(drivers), len(sequence or {}), len(layers)
    built = {name: build_network(config, *sizes).eval().requires_grad_(False) for name, config in networks.items()}
    for network in built.values():
        for parameter in network.parameters():
            parameter.data.normal_(0, 0.2)  # what starts at zero counts too, with contrasts as large as if trained
    return Bundle(card, built)


def _feature(name, units, mean, std):
    return {"name": name, "units": units, "mean": mean, "std": std}

"""The three networks: tensors in, tensors out; no files, no storage.

What needs PyTorch is imported when it is first asked for: many commands need no more than a network's settings.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from smdown.networks.config import CNNConfig, DNNConfig, LSTMConfig

if TYPE_CHECKING:
    from smdown.networks.base import Network
    from smdown.networks.build import build_network
    from smdown.networks.cnn import CNN
    from smdown.networks.dnn import DNN
    from smdown.networks.lstm import LSTM
    from smdown.networks.placement import Placement

_HOMES = {
    "CNN": "cnn", "DNN": "dnn", "LSTM": "lstm", "Network": "base", "Placement": "placement", "build_network": "build",
}  # fmt: skip

__all__ = ["CNN", "DNN", "LSTM", "CNNConfig", "DNNConfig", "LSTMConfig", "Network", "Placement", "build_network"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

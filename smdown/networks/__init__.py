"""The three networks: tensors in, tensors out; no files, no storage.

What needs PyTorch is imported when it is first asked for: many commands need no more than a network's settings.
"""

from typing import TYPE_CHECKING

from smdown.later import imported_later
from smdown.networks.config import CNNConfig, DNNConfig, LSTMConfig

if TYPE_CHECKING:
    from smdown.networks.base import Network
    from smdown.networks.build import build_network
    from smdown.networks.cnn import CNN
    from smdown.networks.dnn import DNN
    from smdown.networks.lstm import LSTM
    from smdown.networks.placement import Placement

__all__ = ["CNN", "DNN", "LSTM", "CNNConfig", "DNNConfig", "LSTMConfig", "Network", "Placement", "build_network"]

__getattr__ = imported_later(
    __name__, base="Network", build="build_network", cnn="CNN", dnn="DNN", lstm="LSTM", placement="Placement"
)

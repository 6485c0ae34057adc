"""The three networks: tensors in, tensors out; no files, no storage."""

from smdown.networks.base import Network
from smdown.networks.build import build_network
from smdown.networks.cnn import CNN
from smdown.networks.config import CNNConfig, DNNConfig, LSTMConfig
from smdown.networks.dnn import DNN
from smdown.networks.lstm import LSTM
from smdown.networks.placement import Placement, placement

__all__ = [
    "CNN",
    "DNN",
    "LSTM",
    "CNNConfig",
    "DNNConfig",
    "LSTMConfig",
    "Network",
    "Placement",
    "build_network",
    "placement",
]
